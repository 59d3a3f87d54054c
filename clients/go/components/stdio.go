package components

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"flowspan.dev/go/flowspan"
)

const (
	protocolVersion = 1
	readBytes       = 256 << 10
	maxLineBytes    = 32 << 20
	frameBytes      = 1 << 10 // around an output in its line
	// What is larger gains nothing from company: it goes out in a line of its own.
	smallBytes = 4 << 10
	// Lines of many answers end here; a gateway refuses those beyond 1 MiB.
	joinedBytes = 256 << 10
	// Beyond it, reading rests: a gateway that takes no answers gets no more work done.
	maxUnwrittenBytes = 64 << 20
	// How long executions may go on after the end of stdin, where somebody may still read the answers.
	lastAnswers = time.Second
	parentCheck = time.Second
)

// stdioServer is one conversation with a gateway over a pair of pipes.
type stdioServer struct {
	engine *engine
	in     io.Reader
	out    io.Writer

	// Of the engine's lock.
	lines     []byte // whole lines
	outputs   []byte // "[1,…],[2,…]"
	failures  []byte
	unwritten int
	ending    bool
	broken    bool
	drained   bool
	room      *sync.Cond

	news  chan struct{} // something is to be written
	ended chan struct{} // nothing more is to be read
	once  sync.Once
	left  chan struct{} // everything is written

	initialized   bool
	gatewayDrains bool
	calls         *calls
}

func newStdioServer(ctx context.Context, server *Server, in io.Reader, out io.Writer) *stdioServer {
	s := &stdioServer{
		engine: newEngine(ctx, server), in: in, out: out,
		news: make(chan struct{}, 1), ended: make(chan struct{}), left: make(chan struct{}),
	}
	s.engine.sink = s
	s.room = sync.NewCond(&s.engine.mutex)
	s.calls = newCalls(s)
	return s
}

// serve returns when the gateway is gone or has asked to end.
func (s *stdioServer) serve(watchParent bool) error {
	go s.write()
	inputEnded := make(chan error, 1)
	go func() { inputEnded <- s.read() }()
	if watchParent {
		go s.watchParent()
	}
	var err error
	select {
	case err = <-inputEnded:
		s.endWhenIdle()
		s.finishSoon(watchParent)
	case <-s.ended:
	}
	s.end()
	s.calls.close()
	s.engine.mutex.Lock()
	gone := s.engine.forget(nil)
	s.engine.mutex.Unlock()
	for _, x := range gone {
		x.end(stopGone)
	}
	select {
	case <-s.left:
	case <-time.After(lastAnswers):
	}
	s.engine.close()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("reading from the gateway: %w", err)
	}
	return nil
}

func (s *stdioServer) end() { s.once.Do(func() { close(s.ended) }) }

// endWhenIdle ends once nothing is being executed.
func (s *stdioServer) endWhenIdle() {
	s.engine.mutex.Lock()
	s.ending = true
	idle := s.engine.isIdle()
	s.engine.mutex.Unlock()
	if idle {
		s.end()
	}
}

// finishSoon lets executions go on for a moment, unless the gateway has died: then nobody reads the answers.
func (s *stdioServer) finishSoon(watchParent bool) {
	const glance = 20 * time.Millisecond
	parent := os.Getppid()
	for waited := time.Duration(0); waited < lastAnswers; waited += glance {
		select {
		case <-s.ended:
			return
		case <-time.After(glance):
			if watchParent && os.Getppid() != parent {
				return
			}
		}
	}
}

// watchParent is a second belt beside the end of stdin, which another process may hold open.
func (s *stdioServer) watchParent() {
	parent := os.Getppid()
	if parent <= 1 {
		return
	}
	ticks := time.NewTicker(parentCheck)
	defer ticks.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-ticks.C:
			if os.Getppid() != parent {
				s.end()
				return
			}
		}
	}
}

// --- reading

// read takes in whole reads. What executions keep of a buffer is never overwritten.
func (s *stdioServer) read() error {
	buffer := make([]byte, 0, readBytes)
	discarding := false
	for {
		if cap(buffer)-len(buffer) < readBytes/8 {
			fresh := make([]byte, len(buffer), max(readBytes, 2*len(buffer)))
			copy(fresh, buffer)
			buffer = fresh
		}
		count, err := s.in.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+count]
		for {
			end := bytes.IndexByte(buffer, '\n')
			if end < 0 {
				break
			}
			line := buffer[:end]
			buffer = buffer[end+1:]
			if discarding {
				discarding = false
				continue
			}
			s.receive(bytes.TrimSuffix(line, []byte{'\r'}))
		}
		if len(buffer) > maxLineBytes {
			s.engine.log.Error("the gateway sent a line that is longer than 32 MiB; it is dropped")
			buffer, discarding = buffer[:0], true
		}
		if err != nil {
			return err
		}
		s.awaitRoom()
	}
}

func (s *stdioServer) awaitRoom() {
	s.engine.mutex.Lock()
	for s.unwritten > maxUnwrittenBytes && !s.broken {
		s.room.Wait()
	}
	s.engine.mutex.Unlock()
}

type message struct {
	id, method, params, result, failed []byte
}

func (s *stdioServer) receive(line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	var m message
	err := scanObject(line, func(key string, value []byte) error {
		switch key {
		case "id":
			m.id = value
		case "method":
			m.method = value
		case "params":
			m.params = value
		case "result":
			m.result = value
		case "error":
			m.failed = value
		}
		return nil
	})
	if err != nil {
		s.engine.log.Warn("ignored a line that is no message", "line", cutText(strings.ToValidUTF8(string(line[:min(len(line), 400)]), "?"), 200))
		return
	}
	if m.params == nil || isNull(m.params) {
		m.params = []byte("{}")
	}
	switch {
	case m.method == nil:
		s.calls.take(m.id, m.result, m.failed)
	case m.id == nil:
		s.takeNotification(textOf(m.method), m.params)
	default:
		s.takeRequest(m.id, textOf(m.method), m.params)
	}
}

func (s *stdioServer) takeNotification(method string, params []byte) {
	switch method {
	case "$/execute":
		if err := s.executeMany(params); err != nil {
			s.engine.log.Error("$/execute cannot be read; nobody could say which executions are lost", "error", err)
			s.end()
		}
	case "runs/event":
		s.calls.takeEvent(params)
	case "$/cancelRequest":
		_ = scanObject(params, func(key string, value []byte) error {
			if key == "id" {
				s.engine.cancel([]callID{idOf(value)}, true)
			}
			return nil
		})
	}
}

func (s *stdioServer) takeRequest(id []byte, method string, params []byte) {
	if method == "components/execute" {
		s.execute(id, params)
		return
	}
	result, failed := s.answer(method, params)
	s.engine.mutex.Lock()
	if failed != nil {
		s.putError(id, failed)
	} else {
		s.putResult(id, result)
	}
	s.engine.mutex.Unlock()
	s.wake()
	if method == "shutdown" {
		s.endWhenIdle()
	}
}

func (s *stdioServer) answer(method string, params []byte) (json.RawMessage, *failure) {
	switch method {
	case "initialize":
		return s.initialize(params)
	case "ping", "shutdown":
		return json.RawMessage("{}"), nil
	case "$/cancel":
		var asked struct {
			IDs []json.RawMessage `json:"ids"`
		}
		if err := json.Unmarshal(params, &asked); err != nil {
			return nil, newFailure(flowspan.InvalidArgument, "$/cancel: "+err.Error(), nil)
		}
		ids := make([]callID, 0, len(asked.IDs))
		for _, id := range asked.IDs {
			ids = append(ids, idOf(id))
		}
		dropped, running := s.engine.cancel(ids, true)
		return encoded(map[string]any{"dropped": requestIDs(dropped), "running": requestIDs(running)})
	case "components/list", "components/info":
		if !s.initialized {
			return nil, newFailure(flowspan.NotInitialized, "initialize comes first", nil)
		}
		if method == "components/info" {
			return s.componentInfo(params)
		}
		list := []map[string]any{}
		for _, component := range s.engine.registry.ordered {
			list = append(list, component.info())
		}
		return encoded(map[string]any{"components": list})
	}
	return nil, newFailure(flowspan.MethodNotFound, fmt.Sprintf("there is no method %q", cutText(method, 200)), nil)
}

func (s *stdioServer) componentInfo(params []byte) (json.RawMessage, *failure) {
	var asked struct {
		Component string `json:"component"`
	}
	if err := json.Unmarshal(params, &asked); err != nil {
		return nil, newFailure(flowspan.InvalidArgument, "components/info: "+err.Error(), nil)
	}
	component, _ := s.engine.registry.find(asked.Component)
	if component == nil {
		return nil, refusal(asked.Component)
	}
	return encoded(map[string]any{"info": component.info()})
}

func (s *stdioServer) initialize(params []byte) (json.RawMessage, *failure) {
	var asked struct {
		Version       *int           `json:"runtimeProtocolVersion"`
		VersionSnake  *int           `json:"runtime_protocol_version"`
		Versions      []int          `json:"protocolVersions"`
		VersionsSnake []int          `json:"protocol_versions"`
		Capabilities  map[string]any `json:"capabilities"`
	}
	if err := json.Unmarshal(params, &asked); err != nil {
		return nil, newFailure(flowspan.InvalidArgument, "initialize: "+err.Error(), nil)
	}
	offered := append(asked.Versions, asked.VersionsSnake...)
	for _, version := range []*int{asked.Version, asked.VersionSnake} {
		if version != nil {
			offered = append(offered, *version)
		}
	}
	speaks := len(offered) == 0
	for _, version := range offered {
		speaks = speaks || version == protocolVersion
	}
	if !speaks {
		message := fmt.Sprintf("the gateway speaks protocol versions %v, this server speaks %d: update the older one", offered, protocolVersion)
		return nil, newFailure(flowspan.ResourceUnavailable, message, map[string]any{
			"gatewayVersions": offered, "serverVersions": []int{protocolVersion},
		})
	}
	s.initialized = true
	s.gatewayDrains = asked.Capabilities["drain"] == true
	return encoded(map[string]any{
		"serverProtocolVersion":   protocolVersion,
		"server_protocol_version": protocolVersion,
		"serverInfo":              map[string]any{"name": "flowspan-go", "version": flowspan.Version},
		"capabilities": map[string]any{
			"capacity": s.engine.capacity, "cancelAck": true, "timeouts": true, "reentrant": true, "ping": true, "shutdown": true,
			"started": true, "progress": true, "watch": true, "derivesTokens": true, "bulk": true,
		},
	})
}

func encoded(value any) (json.RawMessage, *failure) {
	data, err := flowspan.Marshal(value)
	if err != nil {
		return nil, newFailure(flowspan.Internal, err.Error(), nil)
	}
	return data, nil
}

// --- executions

// idOf reads a request id; integers of the gateway are executions.
func idOf(raw []byte) callID {
	if number, err := strconv.ParseUint(string(raw), 10, 64); err == nil {
		return callID{number: number}
	}
	return callID{text: string(raw)}
}

func (id callID) appendTo(to []byte) []byte {
	if id.text != "" {
		return append(to, id.text...)
	}
	return strconv.AppendUint(to, id.number, 10)
}

func requestIDs(executions []*Execution) []json.RawMessage {
	ids := []json.RawMessage{}
	for _, x := range executions {
		ids = append(ids, x.id.appendTo(nil))
	}
	return ids
}

// execute begins one execution that came as a request.
func (s *stdioServer) execute(id, params []byte) {
	executions := make([]Execution, 1)
	x := &executions[0]
	*x = Execution{engine: s.engine, id: idOf(id), input: []byte("null"), origin: &origin{flags: "01"}, itemIndex: -1}
	var path string
	err := scanObject(params, func(key string, value []byte) error {
		if isNull(value) {
			return nil
		}
		switch key {
		case "component":
			path = textOf(value)
		case "input":
			x.input = value
		case "attempt":
			attempt, _ := intOf(value)
			x.attempt = int(attempt)
		case "itemIndex", "item_index":
			if index, ok := intOf(value); ok {
				x.itemIndex = int(index)
			}
		case "timeoutMs":
			if ms, ok := floatOf(value); ok {
				x.timeout = time.Duration(ms * float64(time.Millisecond))
			}
		case "taskToken", "task_token":
			x.origin.taskToken = textOf(value)
		case "idempotencyToken", "idempotency_token":
			x.origin.idempotencyToken = textOf(value)
		case "observability":
			x.origin.observability = value
			return x.readObservability(value)
		}
		return nil
	})
	switch {
	case err != nil:
		s.refuse(x, newFailure(flowspan.InvalidArgument, "components/execute cannot be read", nil))
		return
	case !s.initialized:
		s.refuse(x, newFailure(flowspan.NotInitialized, "initialize comes first", nil))
		return
	}
	x.component, x.parameters = s.engine.registry.find(path)
	if x.component == nil {
		s.refuse(x, refusal(path))
		return
	}
	if s.isDrained() {
		s.giveBack([]json.RawMessage{id})
		return
	}
	s.engine.run(executions)
}

func (s *stdioServer) refuse(x *Execution, failed *failure) {
	s.engine.mutex.Lock()
	s.put(x, nil, failed)
	s.engine.mutex.Unlock()
	s.wake()
}

func (x *Execution) readObservability(data []byte) error {
	var spanID string
	from := x.origin
	err := scanObject(data, func(key string, value []byte) error {
		switch key {
		case "trace_id":
			from.traceID = textOf(value)
		case "span_id":
			spanID = textOf(value)
		case "run_id":
			from.runID = textOf(value)
		case "flow_id":
			from.flowID = textOf(value)
		case "step_id":
			from.stepID = textOf(value)
		case "traceparent":
			from.traceparent = textOf(value)
		case "item_index":
			if index, ok := intOf(value); ok && x.itemIndex < 0 {
				x.itemIndex = int(index)
			}
		}
		return nil
	})
	if from.traceparent == "" && from.traceID != "" && spanID != "" {
		from.traceparent = "00-" + from.traceID + "-" + spanID + "-01"
	}
	return err
}

// executeMany begins executions that came in bulk: what they share is said once.
func (s *stdioServer) executeMany(params []byte) error {
	from := &origin{flags: "01"}
	var path string
	var calls []byte
	var timeout time.Duration
	err := scanObject(params, func(key string, value []byte) error {
		switch key {
		case "component":
			path = textOf(value)
		case "spanPrefix":
			from.spanPrefix = textOf(value)
		case "tokenPrefix":
			from.tokenPrefix = textOf(value)
		case "timeoutMs":
			if ms, ok := floatOf(value); ok {
				timeout = time.Duration(ms * float64(time.Millisecond))
			}
		case "calls":
			calls = value
		case "observability":
			return scanObject(value, func(key string, value []byte) error {
				switch key {
				case "trace_id":
					from.traceID = textOf(value)
				case "run_id":
					from.runID = textOf(value)
				case "flow_id":
					from.flowID = textOf(value)
				case "step_id":
					from.stepID = textOf(value)
				case "flags":
					from.flags = textOf(value)
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	component, parameters := s.engine.registry.find(path)
	executions := make([]Execution, 0, 64)
	err = scanArray(calls, func(call []byte) error {
		executions = append(executions, Execution{
			engine: s.engine, inBulk: true, component: component, parameters: parameters, origin: from, timeout: timeout,
		})
		x := &executions[len(executions)-1]
		position := 0
		err := scanArray(call, func(value []byte) error {
			switch position {
			case 0:
				number, err := strconv.ParseUint(string(value), 10, 64)
				if err != nil {
					return err
				}
				x.id.number = number
			case 1:
				index, _ := intOf(value)
				x.itemIndex = int(index)
			case 2:
				attempt, _ := intOf(value)
				x.attempt = int(attempt)
			case 3:
				x.input = value
			}
			position++
			return nil
		})
		if err == nil && position < 4 {
			err = errScan
		}
		return err
	})
	if err != nil {
		return err
	}
	if component == nil || !s.initialized {
		failed := refusal(path)
		for position := range executions {
			s.refuse(&executions[position], failed)
		}
		return nil
	}
	if s.isDrained() {
		late := make([]json.RawMessage, 0, len(executions))
		for position := range executions {
			late = append(late, executions[position].id.appendTo(nil))
		}
		s.giveBack(late)
		return nil
	}
	s.engine.run(executions)
	return nil
}

// --- sink

func (s *stdioServer) put(x *Execution, output json.RawMessage, failed *failure) {
	before := len(s.lines) + len(s.outputs) + len(s.failures)
	if len(output) > maxLineBytes-frameBytes {
		output, failed = nil, tooLarge(len(output), maxLineBytes-frameBytes)
	}
	switch {
	case !x.inBulk && failed != nil:
		s.putError(x.id.appendTo(nil), failed)
		return
	case !x.inBulk:
		s.lines = append(s.lines, `{"jsonrpc":"2.0","id":`...)
		s.lines = x.id.appendTo(s.lines)
		s.lines = append(s.lines, `,"result":{"output":`...)
		s.lines = append(s.lines, output...)
		s.lines = append(s.lines, "}}\n"...)
	case failed != nil:
		s.failures = appendEntry(s.failures, x.id.number)
		s.failures = failed.appendTo(s.failures)
		s.failures = append(s.failures, ']')
	case len(output) > smallBytes:
		s.lines = append(s.lines, `{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[`...)
		s.lines = strconv.AppendUint(s.lines, x.id.number, 10)
		s.lines = append(s.lines, ',')
		s.lines = append(s.lines, output...)
		s.lines = append(s.lines, "]]}}\n"...)
	default:
		s.outputs = appendEntry(s.outputs, x.id.number)
		s.outputs = append(s.outputs, output...)
		s.outputs = append(s.outputs, ']')
	}
	s.unwritten += len(s.lines) + len(s.outputs) + len(s.failures) - before
	if len(s.outputs)+len(s.failures) >= joinedBytes {
		s.closeJoined()
	}
}

// appendEntry begins one "[number,…]" of a list.
func appendEntry(to []byte, number uint64) []byte {
	if len(to) > 0 {
		to = append(to, ',')
	}
	to = append(to, '[')
	to = strconv.AppendUint(to, number, 10)
	return append(to, ',')
}

// putLine, putResult and putError are to be called under the lock.
func (s *stdioServer) putLine(parts ...[]byte) {
	for _, part := range parts {
		s.lines = append(s.lines, part...)
		s.unwritten += len(part)
	}
}

func (s *stdioServer) putResult(id []byte, result json.RawMessage) {
	s.putLine([]byte(`{"jsonrpc":"2.0","id":`), id, []byte(`,"result":`), result, []byte("}\n"))
}

func (s *stdioServer) putError(id []byte, failed *failure) {
	s.putLine([]byte(`{"jsonrpc":"2.0","id":`), id, []byte(`,"error":`), failed.appendTo(nil), []byte("}\n"))
}

// tell sends a notification.
func (s *stdioServer) tell(method string, params any) {
	data, err := flowspan.Marshal(params)
	if err != nil {
		s.engine.log.Error("a notification cannot be written", "method", method, "error", err)
		return
	}
	s.engine.mutex.Lock()
	s.putLine([]byte(`{"jsonrpc":"2.0","method":"`+method+`","params":`), data, []byte("}\n"))
	s.engine.mutex.Unlock()
	s.wake()
}

func (s *stdioServer) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *stdioServer) started(executions []*Execution) {
	s.tell("$/started", map[string]any{"ids": requestIDs(executions)})
}

func (s *stdioServer) progress(x *Execution, fraction float64, message string) {
	params := map[string]any{"id": json.RawMessage(x.id.appendTo(nil)), "taskToken": x.TaskToken(), "fraction": fraction}
	if message != "" {
		params["message"] = message
	}
	s.tell("$/progress", params)
}

// overrun asks for a successor: goroutines cannot be ended, and those that heed nothing pile up.
func (s *stdioServer) overrun(count int) {
	s.engine.mutex.Lock()
	isNew := s.gatewayDrains && !s.drained
	s.drained = s.drained || isNew
	s.engine.mutex.Unlock()
	if isNew {
		s.engine.log.Error("components run on after their time-out; asking for a new process", "running", count)
		s.giveBack(requestIDs(s.engine.giveBack()))
	}
}

func (s *stdioServer) isDrained() bool {
	s.engine.mutex.Lock()
	defer s.engine.mutex.Unlock()
	return s.drained
}

// giveBack names executions that have not begun and never will.
func (s *stdioServer) giveBack(ids []json.RawMessage) { s.tell("$/drain", map[string]any{"ids": ids}) }

func (s *stdioServer) api(x *Execution) runAPI { return &stdioAPI{s.calls, x} }

// --- writing

// write joins whatever has come up during the last write.
func (s *stdioServer) write() {
	defer close(s.left)
	var spare []byte
	for {
		ending := false
		select {
		case <-s.news:
		case <-s.ended:
			ending = true
		}
		// Those that are about to answer come along.
		runtime.Gosched()
		s.engine.mutex.Lock()
		data := s.take(spare)
		isOver := s.ending && s.engine.isIdle()
		s.engine.mutex.Unlock()
		if len(data) > 0 {
			_, err := s.out.Write(data)
			s.engine.mutex.Lock()
			s.unwritten -= len(data)
			s.unwritten = max(s.unwritten, 0)
			s.broken = s.broken || err != nil
			s.room.Signal()
			s.engine.mutex.Unlock()
			if err != nil {
				s.end()
				return
			}
			if spare = data[:0]; cap(spare) > 1<<20 {
				spare = nil
			}
		}
		if ending {
			return
		}
		if isOver {
			s.end()
		}
	}
}

// take gives all that is to be written, and collects in spare from here on. Nothing changes hands if there is nothing: spare stays
// the caller's. To be called under the lock.
func (s *stdioServer) take(spare []byte) []byte {
	s.closeJoined()
	if len(s.lines) == 0 {
		return nil
	}
	data := s.lines
	s.lines = spare
	s.unwritten = len(data)
	return data
}

// closeJoined makes a line of the answers that were joined.
func (s *stdioServer) closeJoined() {
	if len(s.outputs)+len(s.failures) > 0 {
		s.lines = append(s.lines, `{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[`...)
		s.lines = append(s.lines, s.outputs...)
		if len(s.failures) > 0 {
			s.lines = append(s.lines, `],"failures":[`...)
			s.lines = append(s.lines, s.failures...)
		}
		s.lines = append(s.lines, "]}}\n"...)
		s.outputs, s.failures = s.outputs[:0], s.failures[:0]
	}
}
