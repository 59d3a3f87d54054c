package components

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	random "math/rand/v2"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"flowspan.dev/go/flowspan"
	pb "flowspan.dev/go/flowspanv1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	defaultGrace   = 25 * time.Second
	welcomeTimeout = 10 * time.Second
	firstBackOff   = 100 * time.Millisecond
	longestBackOff = 5 * time.Second
	// A message of results ends here: a larger one stalls those of other workers.
	maxResultsBytes = 1 << 20
	maxResults      = 2_048
	// An output beyond it would not fit a message of the gateway's (16 MiB), which ends the stream, and with it all others.
	maxOutputBytes = 15 << 20
	// Heartbeats come a good while before they are due.
	heartbeatShare = 0.6
	// A gateway that answers no heartbeat for so many of them is gone.
	silentHeartbeats = 3
	closeTimeout     = 2 * time.Second
	// Between two messages of a worker that has more to say.
	sendInterval = 500 * time.Microsecond
)

// RunWorker connects to a gateway as a worker of a queue and serves it until SIGTERM, SIGINT or the end of ctx: then it takes
// nothing new, finishes what it holds, and returns. A connection that is lost is made again, and what runs meanwhile goes on. It
// returns an error if the gateway refuses the worker for good.
func (s *Server) RunWorker(ctx context.Context, queue string) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	w := newWorker(ctx, s, queue)
	stop := make(chan struct{})
	go func() {
		select {
		case <-signals:
			w.leave()
			select {
			case <-signals:
				w.giveUp()
			case <-stop:
			}
		case <-ctx.Done():
			w.leave()
		case <-stop:
		}
	}()
	defer close(stop)
	return w.serve()
}

// session is one life of the gateway, as the worker knows it.
type session struct {
	id          string
	tokenPrefix string
	spanPrefix  string
}

// worker is one worker over all its connections.
type worker struct {
	engine   *engine
	queue    string
	workerID string
	options  flowspan.Options
	grace    time.Duration

	life      context.Context // ends when everything is to be given up
	giveUp    context.CancelFunc
	leaving   chan struct{}
	leaveOnce sync.Once
	news      chan struct{}

	// Of one goroutine, that of serve.
	client *flowspan.Client
	target string
	token  string

	// Of the engine's lock.
	session   session
	results   *pb.WorkerResults // not sent, without a sequence
	size      int
	unsent    []*pb.WorkerResults // with a sequence, or to be sent again
	unacked   []*pb.WorkerResults // as they were sent
	sequence  uint64
	told      []*pb.ConnectRequest
	begun     []uint64
	taken     bool // by the gateway's word or ours, nothing new comes
	gateway   *flowspan.Client
	overrunAt time.Time
}

func newWorker(ctx context.Context, server *Server, queue string) *worker {
	var id [12]byte
	_, _ = rand.Read(id[:])
	host, _ := os.Hostname()
	w := &worker{
		engine:   newEngine(ctx, server),
		queue:    queue,
		workerID: fmt.Sprintf("%.24s-%d-%s", host, os.Getpid(), hex.EncodeToString(id[:])),
		options:  server.client,
		grace:    server.grace,
		leaving:  make(chan struct{}),
		news:     make(chan struct{}, 1),
		results:  &pb.WorkerResults{},
	}
	w.life, w.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	w.engine.sink = w
	return w
}

// leave begins the end: nothing new, and only so long for what is held.
func (w *worker) leave() {
	w.leaveOnce.Do(func() {
		close(w.leaving)
		time.AfterFunc(w.grace, w.giveUp)
	})
}

func (w *worker) isLeaving() bool {
	select {
	case <-w.leaving:
		return true
	default:
		return false
	}
}

// serve connects again and again.
func (w *worker) serve() error {
	defer w.close()
	backOff := firstBackOff
	for {
		if w.life.Err() != nil || (w.isLeaving() && w.holdsNothing()) {
			return nil
		}
		wasWelcome, err := w.connect()
		if w.life.Err() != nil || (w.isLeaving() && w.holdsNothing()) {
			return nil
		}
		if w.isRefused(err) {
			return err
		}
		if wasWelcome {
			backOff = firstBackOff
		}
		if err != nil {
			w.engine.log.Warn("no connection to the gateway; trying again", "queue", w.queue, "error", err)
		}
		pause := time.Duration(float64(backOff) * (0.5 + random.Float64()/2))
		backOff = min(2*backOff, longestBackOff)
		select {
		case <-time.After(pause):
		case <-w.life.Done():
		}
	}
}

// isRefused tells whether trying again is of no use.
func (w *worker) isRefused(err error) bool {
	var failure *flowspan.Error
	if !errors.As(err, &failure) {
		return false
	}
	switch failure.Reason {
	case flowspan.Unauthenticated:
		// A gateway that starts again has another token, which is found where the gateway was found.
		return w.options.Token != "" || os.Getenv("FLOWSPAN_TOKEN") != ""
	case flowspan.PermissionDenied, flowspan.InvalidArgument, flowspan.MethodNotFound, flowspan.LimitExceeded:
		return true
	}
	return false
}

func (w *worker) close() {
	w.giveUp()
	w.engine.mutex.Lock()
	gone := w.engine.forget(nil)
	w.engine.mutex.Unlock()
	for _, x := range gone {
		x.end(stopGone)
	}
	w.engine.close()
	if w.client != nil {
		w.client.Close()
	}
}

func (w *worker) holdsNothing() bool {
	w.engine.mutex.Lock()
	defer w.engine.mutex.Unlock()
	return w.isDone()
}

// isDone tells whether everything is answered and acknowledged. To be called under the lock.
func (w *worker) isDone() bool {
	return w.engine.isIdle() && len(w.unacked) == 0 && len(w.unsent) == 0 && countOf(w.results) == 0
}

func countOf(results *pb.WorkerResults) int { return len(results.Executions) + len(results.Failures) }

// dial finds the gateway anew each time: one that was started again may be elsewhere, with another token.
func (w *worker) dial() error {
	target, token, err := flowspan.FindTarget(w.options.Target, w.options.Token)
	if err != nil {
		return err
	}
	if w.client != nil && target == w.target && token == w.token {
		return nil
	}
	options := w.options
	options.Target, options.Token = target, token
	client, err := flowspan.NewClient(options)
	if err != nil {
		return err
	}
	if w.client != nil {
		w.client.Close()
	}
	w.client, w.target, w.token = client, target, token
	w.engine.mutex.Lock()
	w.gateway = client
	w.engine.mutex.Unlock()
	return nil
}

// connect is one connection, from Hello to its end.
func (w *worker) connect() (wasWelcome bool, err error) {
	if err := w.dial(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(w.life)
	defer cancel()
	patience := time.AfterFunc(welcomeTimeout, cancel)
	defer patience.Stop()
	stream, err := w.client.Raw().Workers.Connect(ctx)
	if err != nil {
		return false, w.failureOf(err)
	}
	if err := stream.Send(&pb.ConnectRequest{Message: &pb.ConnectRequest_Hello{Hello: w.hello()}}); err != nil && !errors.Is(err, io.EOF) {
		return false, w.failureOf(err)
	}
	first, err := stream.Recv()
	if err != nil {
		return false, w.failureOf(err)
	}
	welcome := first.GetWelcome()
	if welcome == nil {
		return false, flowspan.NewError(flowspan.PluginProtocol, "the gateway did not begin with Welcome", nil)
	}
	if welcome.GetProtocolVersion() != protocolVersion {
		message := fmt.Sprintf("the gateway speaks version %d of the workers' protocol, this worker %d", welcome.GetProtocolVersion(), protocolVersion)
		return false, flowspan.NewError(flowspan.InvalidArgument, message, nil)
	}
	patience.Stop()
	w.takeWelcome(welcome)
	heartbeat := time.Duration(welcome.GetHeartbeatSeconds() * float64(time.Second))
	if heartbeat <= 0 {
		heartbeat = 4 * time.Second
	}
	received := make(chan struct{}, 1)
	sent := make(chan error, 1)
	go func() { sent <- w.send(ctx, cancel, stream, heartbeat, received) }()
	w.engine.log.Info("connected to the gateway", "queue", w.queue, "target", w.target, "worker", w.workerID)
	err = w.receive(stream, received)
	cancel()
	sending := <-sent
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	if errors.Is(sending, errGatewayGone) {
		return true, errGatewayGone
	}
	return true, w.failureOf(err)
}

func (w *worker) failureOf(err error) error {
	if errors.Is(err, io.EOF) {
		return flowspan.NewError(flowspan.Unavailable, "the gateway ended the connection", nil)
	}
	if status.Code(err) == codes.Canceled && w.life.Err() == nil {
		return flowspan.NewError(flowspan.Unavailable, "the gateway did not answer in time, or ended the connection", nil)
	}
	return flowspan.ErrorFromRPC(w.life, err)
}

func (w *worker) hello() *pb.WorkerHello {
	hello := &pb.WorkerHello{
		Queue: w.queue, Capacity: uint32(w.engine.capacity), ProtocolVersions: []uint32{protocolVersion},
		WorkerId: w.workerID, Sdk: "flowspan-go " + flowspan.Version,
	}
	for _, component := range w.engine.registry.ordered {
		offered := &pb.WorkerComponent{Name: component.name, Description: component.description}
		if component.inputSchema != nil {
			offered.InputSchema = jsonOf(component.inputSchema)
		}
		if component.outputSchema != nil {
			offered.OutputSchema = jsonOf(component.outputSchema)
		}
		hello.Components = append(hello.Components, offered)
	}
	w.engine.mutex.Lock()
	defer w.engine.mutex.Unlock()
	hello.Session = w.session.id
	for id, x := range w.engine.running {
		if !x.answered {
			hello.Held = append(hello.Held, id.number)
		}
	}
	for _, list := range [][]*pb.WorkerResults{w.unacked, w.unsent, {w.results}} {
		for _, results := range list {
			hello.Held = append(hello.Held, results.Executions...)
			for _, failed := range results.Failures {
				hello.Held = append(hello.Held, failed.Execution)
			}
		}
	}
	return hello
}

func jsonOf(data []byte) *pb.JsonValue { return &pb.JsonValue{Kind: &pb.JsonValue_Json{Json: data}} }

// takeWelcome goes on with what is still wanted, and makes ready to send again what was not acknowledged.
func (w *worker) takeWelcome(welcome *pb.WorkerWelcome) {
	w.engine.mutex.Lock()
	var gone []*Execution
	if welcome.GetSession() != w.session.id {
		gone = w.engine.forget(nil)
		w.results, w.size = &pb.WorkerResults{}, 0
		w.unsent, w.unacked, w.sequence = nil, nil, 0
	} else if len(welcome.GetUnwanted()) > 0 {
		unwanted := map[uint64]bool{}
		for _, number := range welcome.GetUnwanted() {
			unwanted[number] = true
		}
		gone = w.engine.forget(unwanted)
		for _, list := range [][]*pb.WorkerResults{w.unacked, w.unsent, {w.results}} {
			for position, results := range list {
				if kept := without(results, unwanted); kept != results {
					list[position] = kept
					if results == w.results {
						w.results = kept
					}
				}
			}
		}
	}
	w.session = session{welcome.GetSession(), welcome.GetTokenPrefix(), welcome.GetSpanPrefix()}
	// In the order of their sequence: what was sent comes before what was not.
	w.unsent = append(w.unacked, w.unsent...)
	w.unacked = nil
	w.told, w.begun = nil, nil
	for _, x := range w.engine.running {
		// The notices of a lost connection are lost with it.
		x.toldBegun = false
	}
	w.taken = false
	w.engine.mutex.Unlock()
	for _, x := range gone {
		x.end(stopGone)
	}
	w.engine.sweepBy(w.engine.now() + startedNotice)
	w.wake()
}

// without gives results less those of some executions: a copy, since the former may still be on its way.
func without(results *pb.WorkerResults, unwanted map[uint64]bool) *pb.WorkerResults {
	kept := &pb.WorkerResults{Sequence: results.Sequence}
	for position, number := range results.Executions {
		if !unwanted[number] {
			kept.Executions = append(kept.Executions, number)
			kept.Outputs = append(kept.Outputs, results.Outputs[position])
		}
	}
	for _, failed := range results.Failures {
		if !unwanted[failed.Execution] {
			kept.Failures = append(kept.Failures, failed)
		}
	}
	if countOf(kept) == countOf(results) {
		return results
	}
	return kept
}

// --- receiving

func (w *worker) receive(stream pb.WorkerService_ConnectClient, received chan<- struct{}) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		select {
		case received <- struct{}{}:
		default:
		}
		switch message := message.GetMessage().(type) {
		case *pb.ConnectResponse_Execute:
			for _, batch := range message.Execute.GetBatches() {
				w.execute(batch)
			}
		case *pb.ConnectResponse_Cancel:
			w.cancel(message.Cancel.GetExecutions())
		case *pb.ConnectResponse_Acknowledged:
			w.acknowledge(message.Acknowledged.GetThroughSequence())
		case *pb.ConnectResponse_Drain:
			w.engine.log.Info("the gateway sends nothing new", "reason", message.Drain.GetReason())
			w.engine.mutex.Lock()
			w.taken = true
			w.engine.mutex.Unlock()
			w.wake()
		}
	}
}

func (w *worker) execute(batch *pb.WorkerBatch) {
	numbers, inputs := batch.GetExecutions(), batch.GetInputs()
	indexes, attempts := batch.GetItemIndexes(), batch.GetAttempts()
	if len(inputs) != len(numbers) || len(indexes) != len(numbers) || len(attempts) != len(numbers) {
		w.engine.log.Error("the lists of a batch differ in length; its executions are refused", "component", batch.GetComponent())
		w.refuse(numbers, newFailure(flowspan.PluginProtocol, "the lists of the batch differ in length", nil))
		return
	}
	if w.isLeaving() {
		// They crossed our Leaving.
		w.tell(&pb.ConnectRequest{Message: &pb.ConnectRequest_Leaving{Leaving: &pb.WorkerLeaving{GivenBack: numbers}}})
		return
	}
	component, parameters := w.engine.registry.find(batch.GetComponent())
	if component == nil {
		w.refuse(numbers, refusal(batch.GetComponent()))
		return
	}
	// Read without the lock: only this goroutine and the one before it write the session.
	from := &origin{
		runID: batch.GetRunId(), flowID: batch.GetFlowId(), stepID: batch.GetStepId(), traceID: batch.GetTraceId(), flags: "00",
		tokenPrefix: w.session.tokenPrefix, spanPrefix: w.session.spanPrefix,
	}
	if batch.GetSampled() {
		from.flags = "01"
	}
	timeout := time.Duration(min(batch.GetTimeoutSeconds(), 1e9) * float64(time.Second))
	executions := make([]Execution, len(numbers))
	for position := range executions {
		x := &executions[position]
		x.engine, x.component, x.parameters, x.origin, x.timeout = w.engine, component, parameters, from, timeout
		x.id.number = numbers[position]
		x.itemIndex = int(indexes[position])
		x.attempt = int(attempts[position])
		x.input = inputs[position]
	}
	w.engine.run(executions)
}

func (w *worker) refuse(numbers []uint64, failed *failure) {
	w.engine.mutex.Lock()
	for _, number := range numbers {
		w.putFailure(number, failed)
	}
	w.engine.mutex.Unlock()
	w.wake()
}

func (w *worker) cancel(numbers []uint64) {
	ids := make([]callID, 0, len(numbers))
	for _, number := range numbers {
		ids = append(ids, callID{number: number})
	}
	dropped, running := w.engine.cancel(ids, false)
	w.tell(&pb.ConnectRequest{Message: &pb.ConnectRequest_Cancelled{
		Cancelled: &pb.WorkerCancelled{Dropped: numbersOf(dropped), Running: numbersOf(running)},
	}})
}

func numbersOf(executions []*Execution) []uint64 {
	var numbers []uint64
	for _, x := range executions {
		numbers = append(numbers, x.id.number)
	}
	return numbers
}

func (w *worker) acknowledge(through uint64) {
	w.engine.mutex.Lock()
	kept := 0
	for kept < len(w.unacked) && w.unacked[kept].Sequence <= through {
		w.unacked[kept] = nil
		kept++
	}
	w.unacked = w.unacked[kept:]
	isDone := (w.taken || w.isLeaving()) && w.isDone()
	w.engine.mutex.Unlock()
	if isDone {
		w.wake()
	}
}

// --- sink

func (w *worker) put(x *Execution, output json.RawMessage, failed *failure) {
	if failed != nil {
		w.putFailure(x.id.number, failed)
		return
	}
	if len(output) > maxOutputBytes {
		w.putFailure(x.id.number, tooLarge(len(output), maxOutputBytes))
		return
	}
	if w.size+len(output) > maxResultsBytes {
		// A large one goes alone: together they might not fit.
		w.closeResults()
	}
	w.results.Executions = append(w.results.Executions, x.id.number)
	w.results.Outputs = append(w.results.Outputs, output)
	w.added(len(output))
}

func (w *worker) putFailure(number uint64, failed *failure) {
	answer := &pb.WorkerFailure{Execution: number, Code: int32(failed.code), Message: failed.message}
	if failed.data != nil {
		answer.Data = jsonOf(failed.data)
	}
	w.results.Failures = append(w.results.Failures, answer)
	w.added(len(failed.message) + len(failed.data))
}

// added closes a message that is full.
func (w *worker) added(bytes int) {
	w.size += bytes + 8
	if w.size >= maxResultsBytes || countOf(w.results) >= maxResults {
		w.closeResults()
	}
}

func (w *worker) closeResults() {
	if countOf(w.results) == 0 {
		return
	}
	w.sequence++
	w.results.Sequence = w.sequence
	w.unsent = append(w.unsent, w.results)
	// As large as the last one is the best guess.
	count := len(w.results.Executions)
	w.results = &pb.WorkerResults{Executions: make([]uint64, 0, count), Outputs: make([][]byte, 0, count)}
	w.size = 0
}

func (w *worker) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

func (w *worker) tell(message *pb.ConnectRequest) {
	w.engine.mutex.Lock()
	w.told = append(w.told, message)
	w.engine.mutex.Unlock()
	w.wake()
}

func (w *worker) started(executions []*Execution) {
	w.engine.mutex.Lock()
	w.begun = append(w.begun, numbersOf(executions)...)
	w.engine.mutex.Unlock()
	w.wake()
}

func (w *worker) progress(x *Execution, fraction float64, message string) {
	w.tell(&pb.ConnectRequest{Message: &pb.ConnectRequest_Progress{
		Progress: &pb.WorkerProgress{Execution: x.id.number, Fraction: fraction, Message: message},
	}})
}

func (w *worker) overrun(count int) {
	w.engine.mutex.Lock()
	isNew := time.Since(w.overrunAt) > time.Minute
	if isNew {
		w.overrunAt = time.Now()
	}
	w.engine.mutex.Unlock()
	if isNew {
		w.engine.log.Error("components run on after their time-out: they should heed their context", "running", count)
	}
}

func (w *worker) api(x *Execution) runAPI {
	w.engine.mutex.Lock()
	defer w.engine.mutex.Unlock()
	return &workerAPI{w.gateway.ForTask(x.TaskToken()), x}
}

// --- sending

// send writes whatever has come up during the last write, and signs of life. It ends with the connection.
func (w *worker) send(
	ctx context.Context, cancel context.CancelFunc, stream pb.WorkerService_ConnectClient, heartbeat time.Duration, received <-chan struct{},
) error {
	beats := time.NewTicker(time.Duration(float64(heartbeat) * heartbeatShare))
	defer beats.Stop()
	leaving := w.leaving
	heard := time.Now()
	var sent time.Time
	beat := func() error {
		w.engine.mutex.Lock()
		begun := w.begun
		w.begun = nil
		w.engine.mutex.Unlock()
		return stream.Send(&pb.ConnectRequest{Message: &pb.ConnectRequest_Heartbeat{Heartbeat: &pb.WorkerHeartbeat{Started: begun}}})
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-leaving:
			leaving = nil
			given := numbersOf(w.engine.giveBack())
			err = stream.Send(&pb.ConnectRequest{Message: &pb.ConnectRequest_Leaving{Leaving: &pb.WorkerLeaving{GivenBack: given}}})
		case <-beats.C:
			select {
			case <-received:
				heard = time.Now()
			default:
			}
			if time.Since(heard) > max(silentHeartbeats*heartbeat, welcomeTimeout) {
				cancel()
				return errGatewayGone
			}
			err = beat()
		case <-w.news:
			// Those that are about to answer come along; in a rush of answers, those of half a millisecond. Sending does not wait
			// for the wire, so without this a busy worker would send a message for every few answers.
			runtime.Gosched()
			if pause := sendInterval - time.Since(sent); pause > 0 {
				time.Sleep(pause)
			}
			err = w.sendNews(stream, beat)
			sent = time.Now()
		}
		if err != nil {
			// The receiving side is told why.
			return nil
		}
		w.engine.mutex.Lock()
		isOver := (w.taken || leaving == nil) && w.isDone() && len(w.told) == 0
		w.engine.mutex.Unlock()
		if isOver {
			return w.hangUp(ctx, cancel, stream)
		}
	}
}

func (w *worker) sendNews(stream pb.WorkerService_ConnectClient, beat func() error) error {
	w.engine.mutex.Lock()
	w.closeResults()
	told, unsent, begun := w.told, w.unsent, len(w.begun)
	w.told, w.unsent = nil, nil
	// From here on they count as sent: a connection that breaks now sends them again.
	w.unacked = append(w.unacked, unsent...)
	w.engine.mutex.Unlock()
	for _, message := range told {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	for _, results := range unsent {
		if err := stream.Send(&pb.ConnectRequest{Message: &pb.ConnectRequest_Results{Results: results}}); err != nil {
			return err
		}
	}
	if begun > 0 {
		return beat()
	}
	return nil
}

// hangUp closes our side; the gateway closes its own.
func (w *worker) hangUp(ctx context.Context, cancel context.CancelFunc, stream pb.WorkerService_ConnectClient) error {
	if err := stream.CloseSend(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(closeTimeout):
		cancel()
	}
	return nil
}
