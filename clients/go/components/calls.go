package components

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"sort"
	"strconv"
	"sync"
	"time"

	"flowspan.dev/go/flowspan"
)

const (
	// Requests that may be open at once, waits on runs not counted; a gateway refuses more.
	requestWindow  = 1_024
	requestTimeout = time.Minute
	// How long a request is repeated while the gateway says that it is overloaded.
	maxOverload       = time.Minute
	defaultRetryAfter = 100 * time.Millisecond
	// A wait that the gateway bounds is given up here only so much later.
	waitMargin = 30 * time.Second
	// A reader that is this far behind makes its watch pause: it is cancelled and opened again behind its cursor.
	maxHeldItems = 10_000
	maxHeldBytes = 16 << 20
)

// calls are the requests of this side to the gateway.
type calls struct {
	server *stdioServer
	window chan struct{}

	mutex   sync.Mutex
	last    uint64
	open    map[string]chan<- answer
	watches map[string]*stdioWatch
	closed  chan struct{}
	once    sync.Once
}

type answer struct {
	result []byte
	err    error
}

func newCalls(server *stdioServer) *calls {
	return &calls{
		server: server, window: make(chan struct{}, requestWindow), open: map[string]chan<- answer{},
		watches: map[string]*stdioWatch{}, closed: make(chan struct{}),
	}
}

// close fails every open request: the gateway is gone.
func (c *calls) close() { c.once.Do(func() { close(c.closed) }) }

// take is an answer of the gateway.
func (c *calls) take(id, result, failed []byte) {
	c.mutex.Lock()
	waiting := c.open[textOf(id)]
	delete(c.open, textOf(id))
	c.mutex.Unlock()
	if waiting == nil {
		return
	}
	if failed != nil {
		waiting <- answer{err: errorOf(failed)}
	} else {
		waiting <- answer{result: result}
	}
}

// reasonOfCode is the first reason of the table for each code of JSON-RPC.
var reasonOfCode = map[int]flowspan.Reason{
	-32700: flowspan.ParseError, -32600: flowspan.InvalidRequest, -32601: flowspan.MethodNotFound,
	-32602: flowspan.InvalidArgument, -32603: flowspan.Internal, -32001: flowspan.ComponentNotFound,
	-32002: flowspan.NotInitialized, -32003: flowspan.InputSchema, -32004: flowspan.ComponentFailed,
	-32005: flowspan.ResourceUnavailable, -32006: flowspan.Timeout, -32007: flowspan.PermissionDenied,
	-32008: flowspan.BlobNotFound, -32009: flowspan.ExpressionFailure, -32011: flowspan.InvalidValue,
	-32012: flowspan.NotFound, -32013: flowspan.LimitExceeded, -32014: flowspan.Overloaded,
	-32015: flowspan.IdempotencyConflict, -32016: flowspan.Cancelled, -32017: flowspan.StorageFull,
	-32018: flowspan.HashMismatch, -32019: flowspan.RecursionLimit, -32020: flowspan.PluginCrashed,
	-32021: flowspan.PluginProtocol, -32022: flowspan.Unavailable, -32023: flowspan.Fenced, -32800: flowspan.RequestCancelled,
}

// errorOf is the error object of an answer, as the error of a call.
func errorOf(object []byte) error {
	var wire struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(object, &wire); err != nil {
		return unreadable("error", err)
	}
	failure := &flowspan.Error{Message: wire.Message, FromPeer: true, Details: map[string]any{}}
	var data any
	if wire.Data != nil && flowspan.Unmarshal(wire.Data, &data) == nil {
		if members, isObject := data.(map[string]any); isObject {
			failure.Details = members
		} else if data != nil {
			failure.Details["data"] = data
		}
	}
	named, _ := failure.Details["reason"].(string)
	delete(failure.Details, "reason")
	delete(failure.Details, "domain")
	reason, known := reasonOfCode[wire.Code]
	switch {
	case flowspan.Reason(named).IsKnown() && flowspan.Reason(named).JSONRPC() == wire.Code:
		failure.Reason = flowspan.Reason(named)
	case known:
		failure.Reason = reason
	default:
		failure.Reason = flowspan.ComponentFailed
		failure.Details["code"] = wire.Code
	}
	return failure
}

func errorOfContext(ctx context.Context) error {
	reason := flowspan.RequestCancelled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		reason = flowspan.Timeout
	}
	return flowspan.NewError(reason, "the context ended the call: "+context.Cause(ctx).Error(), nil)
}

func errGone() error {
	return flowspan.NewError(flowspan.Unavailable, "the connection to the gateway is closed", nil)
}

// request asks the gateway; the result as JSON. What is open-ended waits for a run and takes no place in the window. A request that
// the gateway is too busy for is repeated for a while.
func (c *calls) request(ctx context.Context, method string, params any, timeout time.Duration, openEnded bool) ([]byte, error) {
	encoded, err := flowspan.Marshal(params)
	if err != nil {
		return nil, err
	}
	giveUp := time.Now().Add(maxOverload)
	for {
		result, err := c.ask(ctx, method, encoded, timeout, openEnded, nil)
		var failure *flowspan.Error
		if err == nil || !errors.As(err, &failure) || failure.Reason != flowspan.Overloaded {
			return result, err
		}
		pause, named := failure.RetryAfter()
		if !named || pause <= 0 {
			pause = defaultRetryAfter
		}
		pause = time.Duration(float64(pause) * (1 + rand.Float64()/4))
		if time.Now().Add(pause).After(giveUp) {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, errorOfContext(ctx)
		}
	}
}

// ask sends one request. onID is told its id before anything can be answered.
func (c *calls) ask(
	ctx context.Context, method string, params []byte, timeout time.Duration, openEnded bool, onID func(id string),
) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, errorOfContext(ctx)
	}
	if !openEnded {
		select {
		case c.window <- struct{}{}:
			defer func() { <-c.window }()
		case <-ctx.Done():
			return nil, errorOfContext(ctx)
		case <-c.closed:
			return nil, errGone()
		}
	}
	waiting := make(chan answer, 1)
	c.mutex.Lock()
	c.last++
	id := "g-" + strconv.FormatUint(c.last, 10)
	c.open[id] = waiting
	c.mutex.Unlock()
	if onID != nil {
		onID(id)
	}
	server := c.server
	server.engine.mutex.Lock()
	server.putLine([]byte(`{"jsonrpc":"2.0","id":"`+id+`","method":"`+method+`","params":`), params, []byte("}\n"))
	server.engine.mutex.Unlock()
	server.wake()
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	var err error
	select {
	case answer := <-waiting:
		return answer.result, answer.err
	case <-c.closed:
		return nil, errGone()
	case <-ctx.Done():
		err = errorOfContext(ctx)
	case <-late:
		err = flowspan.NewError(flowspan.Timeout, "the gateway did not answer "+method+" within "+timeout.String(), nil)
	}
	c.forget(id)
	return nil, err
}

// forget gives a request up: the gateway need not go on.
func (c *calls) forget(id string) {
	c.mutex.Lock()
	_, isOpen := c.open[id]
	delete(c.open, id)
	c.mutex.Unlock()
	if isOpen {
		c.server.tell("$/cancelRequest", map[string]any{"id": id})
	}
}

// stdioAPI is the gateway over JSON-RPC, in the name of one execution.
type stdioAPI struct {
	calls     *calls
	execution *Execution
}

func (a *stdioAPI) params(members map[string]any) map[string]any {
	if token := a.execution.TaskToken(); token != "" {
		members["taskToken"] = token
	}
	if observability := a.execution.origin.observability; observability != nil {
		members["observability"] = observability
	} else if from := a.execution.origin; from.spanPrefix != "" {
		members["observability"] = map[string]any{
			"trace_id": from.traceID, "span_id": a.execution.spanID(), "run_id": from.runID, "flow_id": from.flowID,
			"step_id": from.stepID, "traceparent": a.execution.TraceParent(),
		}
	}
	return members
}

func (a *stdioAPI) request(ctx context.Context, method string, members map[string]any) ([]byte, error) {
	return a.calls.request(ctx, method, a.params(members), requestTimeout, false)
}

func (a *stdioAPI) putBlob(ctx context.Context, value any, blobType flowspan.BlobType) (string, error) {
	data, blobType, err := flowspan.EncodeBlob(value, blobType)
	if err != nil {
		return "", err
	}
	members := map[string]any{"blob_type": blobType, "data": json.RawMessage(data)}
	if blobType == flowspan.BlobBinary {
		members["data"] = base64.StdEncoding.EncodeToString(data)
	}
	answered, err := a.request(ctx, "blobs/put", members)
	if err != nil {
		return "", err
	}
	var put struct {
		BlobID string `json:"blob_id"`
	}
	if err := json.Unmarshal(answered, &put); err != nil {
		return "", unreadable("answer to blobs/put", err)
	}
	return put.BlobID, nil
}

func (a *stdioAPI) getBlob(ctx context.Context, blobID string) (*flowspan.Blob, error) {
	answered, err := a.request(ctx, "blobs/get", map[string]any{"blob_id": blobID})
	if err != nil {
		return nil, err
	}
	var got struct {
		Data     json.RawMessage   `json:"data"`
		BlobType flowspan.BlobType `json:"blob_type"`
	}
	if err := json.Unmarshal(answered, &got); err != nil {
		return nil, unreadable("answer to blobs/get", err)
	}
	blob := &flowspan.Blob{BlobID: blobID, Type: got.BlobType, Data: got.Data}
	if blob.Type == "" {
		blob.Type = flowspan.BlobData
	}
	if blob.Type == flowspan.BlobBinary {
		if blob.Data, err = base64.StdEncoding.DecodeString(textOf(got.Data)); err != nil {
			return nil, unreadable("answer to blobs/get", err)
		}
	}
	return blob, nil
}

func (a *stdioAPI) submitRun(
	ctx context.Context, flowID string, inputs flowspan.Inputs, options *SubmitRunOptions,
) (*flowspan.RunStatus, error) {
	values := []json.RawMessage{}
	for input := range inputs.All() {
		if _, isBlob := input.(flowspan.BlobRef); isBlob {
			return nil, flowspan.NewError(flowspan.InvalidArgument, "on stdio an input is a value, not a BlobRef", nil)
		}
		value, err := flowspan.Marshal(input)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	members := map[string]any{"flowId": flowID, "inputs": values}
	put := func(name string, value any, isSet bool) {
		if isSet {
			members[name] = value
		}
	}
	put("maxConcurrency", options.MaxConcurrency, options.MaxConcurrency != 0)
	put("overrides", options.Overrides, options.Overrides != nil)
	put("variables", options.Variables, options.Variables != nil)
	put("flowLabel", options.Label, options.Label != "")
	put("metadata", options.Metadata, len(options.Metadata) > 0)
	put("itemLabels", options.ItemLabels, len(options.ItemLabels) > 0)
	put("deadlineSecs", options.Deadline.Seconds(), options.Deadline != 0)
	put("detached", true, options.Detached)
	put("requestId", options.RequestID, options.RequestID != "")
	return a.askForRun(ctx, "runs/submit", members, options.Wait, options.Timeout, flowspan.ByIndex)
}

func (a *stdioAPI) getRun(ctx context.Context, runID string, options *GetRunOptions) (*flowspan.RunStatus, error) {
	members := map[string]any{"runId": runID, "resultOrder": options.Order.String(), "includeResults": options.wantsResults()}
	return a.askForRun(ctx, "runs/get", members, options.Wait, options.Timeout, options.Order)
}

func (a *stdioAPI) cancelRun(ctx context.Context, runID, reason string) error {
	members := map[string]any{"runId": runID}
	if reason != "" {
		members["reason"] = reason
	}
	_, err := a.request(ctx, "runs/cancel", members)
	return err
}

func (a *stdioAPI) askForRun(
	ctx context.Context, method string, members map[string]any, wait bool, timeout time.Duration, order flowspan.Order,
) (*flowspan.RunStatus, error) {
	bound := requestTimeout
	if wait {
		members["wait"] = true
		bound = 0
		if timeout > 0 {
			members["timeoutSecs"] = timeout.Seconds()
			bound = timeout + waitMargin
		}
	}
	answered, err := a.calls.request(ctx, method, a.params(members), bound, wait)
	if err != nil {
		return nil, err
	}
	status, err := a.readStatus(ctx, answered)
	if err != nil || status.ResultsOmitted == nil {
		return status, err
	}
	return a.withAllResults(ctx, status, order)
}

func (a *stdioAPI) readStatus(ctx context.Context, data []byte) (*flowspan.RunStatus, error) {
	status, kept, err := readStatus(data)
	if err != nil {
		return nil, err
	}
	for _, one := range kept {
		blob, err := a.getBlob(ctx, one.blobID)
		if err != nil {
			return nil, err
		}
		if err := setPayload(&status.Results[one.position], blob.Data); err != nil {
			return nil, err
		}
	}
	return status, nil
}

// withAllResults reads results that did not fit, in pages by index.
func (a *stdioAPI) withAllResults(ctx context.Context, status *flowspan.RunStatus, order flowspan.Order) (*flowspan.RunStatus, error) {
	results := []flowspan.ItemResult{}
	after := -1
	if order != flowspan.ByCompletion && len(status.Results) > 0 {
		results = append(results, status.Results...)
		after = status.ResultsOmitted.Next - 1
	}
	for page := status; page.ResultsOmitted != nil; {
		// An index, even the one before the first, or a limit asks for a page: as many results as fit.
		answered, err := a.request(ctx, "runs/get", map[string]any{
			"runId": status.RunID, "includeResults": true, "resultOrder": "byIndex", "afterItemIndex": after,
			"limit": max(1, page.ResultsOmitted.Count),
		})
		if err != nil {
			return nil, err
		}
		if page, err = a.readStatus(ctx, answered); err != nil {
			return nil, err
		}
		results = append(results, page.Results...)
		if page.ResultsOmitted != nil {
			if page.ResultsOmitted.Next-1 <= after {
				return nil, flowspan.NewError(flowspan.ParseError, "the gateway's pages of results do not advance", nil)
			}
			after = page.ResultsOmitted.Next - 1
		}
	}
	if order == flowspan.ByCompletion {
		sort.SliceStable(results, func(one, other int) bool {
			return results[one].CompletedAt.Before(results[other].CompletedAt)
		})
	}
	status.Results, status.ResultsOmitted = results, nil
	return status, nil
}

// --- watches

// stdioWatch follows a run by runs/watch: results come as notifications, the answer at the run's end.
type stdioWatch struct {
	api   *stdioAPI
	ctx   context.Context
	runID string

	mutex     sync.Mutex
	held      []heldResult
	heldBytes int
	taken     uint64 // the cursor of what came
	given     uint64 // the cursor of what was handed out
	isPaused  bool
	news      chan struct{}

	cancel context.CancelFunc
	answer chan answer
	end    *flowspan.RunStatus
	closed bool
}

type heldResult struct {
	item   flowspan.ItemResult
	blobID string
	// through is the cursor once this result, the last of its notification, was handed out; else 0.
	through uint64
	size    int
}

func (a *stdioAPI) watchRun(ctx context.Context, runID string, afterSeq uint64) runWatch {
	return &stdioWatch{api: a, ctx: ctx, runID: runID, taken: afterSeq, given: afterSeq, news: make(chan struct{}, 1)}
}

// takeEvent is a runs/event. One of a watch that is no more is dropped.
func (c *calls) takeEvent(params []byte) {
	var event struct {
		WatchID string       `json:"watchId"`
		Cursor  uint64       `json:"cursor"`
		Items   []wireResult `json:"items"`
	}
	if err := json.Unmarshal(params, &event); err != nil {
		c.server.engine.log.Warn("a runs/event cannot be read", "error", err)
		return
	}
	c.mutex.Lock()
	watch := c.watches[event.WatchID]
	c.mutex.Unlock()
	if watch == nil {
		return
	}
	watch.mutex.Lock()
	for position := range event.Items {
		item, blobID, err := event.Items[position].read()
		if err != nil {
			c.server.engine.log.Warn("a result cannot be read", "error", err)
			continue
		}
		watch.held = append(watch.held, heldResult{item: item, blobID: blobID, size: len(item.Value)})
		watch.heldBytes += len(item.Value)
	}
	watch.taken = max(watch.taken, event.Cursor)
	if len(watch.held) > 0 {
		watch.held[len(watch.held)-1].through = watch.taken
	} else {
		watch.given = watch.taken
	}
	pause := !watch.isPaused && (len(watch.held) > maxHeldItems || watch.heldBytes > maxHeldBytes)
	watch.isPaused = watch.isPaused || pause
	cancel := watch.cancel
	watch.mutex.Unlock()
	if pause && cancel != nil {
		cancel()
	}
	select {
	case watch.news <- struct{}{}:
	default:
	}
}

func (w *stdioWatch) next() (flowspan.ItemResult, error) {
	for {
		w.mutex.Lock()
		if len(w.held) > 0 {
			result := w.held[0]
			w.held = w.held[1:]
			w.heldBytes -= result.size
			w.mutex.Unlock()
			if result.blobID != "" {
				blob, err := w.api.getBlob(w.ctx, result.blobID)
				if err != nil {
					return flowspan.ItemResult{}, err
				}
				if err := setPayload(&result.item, blob.Data); err != nil {
					return flowspan.ItemResult{}, err
				}
			}
			if result.through > 0 {
				w.mutex.Lock()
				w.given = result.through
				w.mutex.Unlock()
			}
			return result.item, nil
		}
		w.mutex.Unlock()
		if w.end != nil || w.closed {
			return flowspan.ItemResult{}, io.EOF
		}
		if w.answer == nil {
			w.open()
		}
		select {
		case <-w.news:
		case answered := <-w.answer:
			if err := w.over(answered); err != nil {
				return flowspan.ItemResult{}, err
			}
		}
	}
}

// open begins behind what came.
func (w *stdioWatch) open() {
	calls := w.api.calls
	ctx, cancel := context.WithCancel(w.ctx)
	w.mutex.Lock()
	w.isPaused, w.cancel = false, cancel
	members := w.api.params(map[string]any{"runId": w.runID, "afterSeq": w.taken})
	w.mutex.Unlock()
	w.answer = make(chan answer, 1)
	answered := w.answer
	go func() {
		defer cancel()
		params, err := flowspan.Marshal(members)
		if err != nil {
			answered <- answer{err: err}
			return
		}
		var id string
		result, err := calls.ask(ctx, "runs/watch", params, 0, true, func(given string) {
			id = given
			calls.mutex.Lock()
			calls.watches[id] = w
			calls.mutex.Unlock()
		})
		calls.mutex.Lock()
		delete(calls.watches, id)
		calls.mutex.Unlock()
		answered <- answer{result, err}
	}()
}

// over takes the answer: the run has ended, or the watch has paused and is opened again once the reader has caught up.
func (w *stdioWatch) over(answered answer) error {
	w.answer = nil
	w.mutex.Lock()
	paused := w.isPaused
	w.mutex.Unlock()
	if answered.err != nil {
		if paused && w.ctx.Err() == nil && errors.Is(answered.err, flowspan.RequestCancelled) {
			return nil
		}
		return answered.err
	}
	status, _, err := readStatus(answered.result)
	if err != nil {
		return err
	}
	status.Results = nil
	w.end = status
	return nil
}

func (w *stdioWatch) cursor() uint64 {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if len(w.held) == 0 {
		return w.taken
	}
	return w.given
}

func (w *stdioWatch) status() *flowspan.RunStatus { return w.end }

func (w *stdioWatch) close() {
	w.closed = true
	w.mutex.Lock()
	cancel := w.cancel
	w.mutex.Unlock()
	if cancel != nil {
		cancel()
	}
}
