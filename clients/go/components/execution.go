package components

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"flowspan.dev/go/flowspan"
)

// progressInterval: watchers cannot tell more than 20 steps a second apart, so what is between is dropped.
const progressInterval = 50 * time.Millisecond

// origin is what executions of one step of one run share, and how their tokens are made from their numbers.
type origin struct {
	runID       string
	flowID      string
	stepID      string
	traceID     string
	flags       string
	tokenPrefix string
	spanPrefix  string

	// Of an execution that came alone: said, not made.
	taskToken        string
	idempotencyToken string
	traceparent      string
	observability    json.RawMessage
}

// callID names an execution: its number, or the JSON of another kind of request id.
type callID struct {
	number uint64
	text   string
}

const (
	stateHeld = iota
	stateBegun
	stateDropped
)

type stopCause int32

const (
	stopNone stopCause = iota
	stopCancelled
	stopTimedOut
	stopGone
	stopFinished
)

// Execution is one execution of a component: what it may know, ask and tell. ExecutionOf finds it in the component's context.
type Execution struct {
	engine     *engine
	id         callID
	inBulk     bool
	component  *component
	parameters map[string]string
	input      []byte
	origin     *origin
	itemIndex  int
	attempt    int
	timeout    time.Duration

	state atomic.Int32
	stop  atomic.Int32

	mutex       sync.Mutex
	done        chan struct{}
	afterFuncs  map[*func()]struct{}
	progressAt  time.Time
	waits       int
	parkedSince time.Duration
	waited      time.Duration

	// Of the engine's lock. Times are counted from the engine's start.
	answered  bool
	toldBegun bool
	timedOut  time.Duration

	began atomic.Int64
}

type executionKey struct{}

// ExecutionOf is the execution that a component's context, or one made from it, belongs to; nil for any other context.
func ExecutionOf(ctx context.Context) *Execution {
	execution, _ := ctx.Value(executionKey{}).(*Execution)
	return execution
}

// Attempt is from 1; it rises with every repetition of this step of this item.
func (x *Execution) Attempt() int { return max(x.attempt, 1) }

// ItemIndex says which item of the run it is; -1 if the gateway does not tell.
func (x *Execution) ItemIndex() int { return x.itemIndex }

// RunID is the run.
func (x *Execution) RunID() string { return x.origin.runID }

// FlowID is the blob id of the run's flow.
func (x *Execution) FlowID() string { return x.origin.flowID }

// StepID is the step.
func (x *Execution) StepID() string { return x.origin.stepID }

// Component is the component's name, as it was registered.
func (x *Execution) Component() string { return x.component.name }

// Parameter is the value of a parameter of the component's path.
func (x *Execution) Parameter(name string) string { return x.parameters[name] }

// TaskToken links requests to this execution; it is sent with all that are made here.
func (x *Execution) TaskToken() string {
	if x.origin.taskToken != "" || x.origin.tokenPrefix == "" {
		return x.origin.taskToken
	}
	return x.origin.tokenPrefix + strconv.FormatUint(x.id.number, 16)
}

// IdempotencyToken is equal over all attempts of this step of this item: give it to services that recognise repetitions. It is
// empty if the gateway tells too little.
func (x *Execution) IdempotencyToken() string {
	from := x.origin
	if from.idempotencyToken != "" {
		return from.idempotencyToken
	}
	if from.runID == "" || from.stepID == "" || x.itemIndex < 0 {
		return ""
	}
	return flowspan.IdempotencyToken(from.runID, x.itemIndex, from.stepID)
}

// TraceParent is the W3C trace context of this execution's span; empty if there is none.
func (x *Execution) TraceParent() string {
	from := x.origin
	if from.traceparent != "" || from.traceID == "" || from.spanPrefix == "" {
		return from.traceparent
	}
	return "00-" + from.traceID + "-" + x.spanID() + "-" + from.flags
}

func (x *Execution) spanID() string {
	digits := strconv.FormatUint(x.id.number, 16)
	const zeros = "0000000000"
	if len(digits) < len(zeros) {
		digits = zeros[len(digits):] + digits
	}
	return x.origin.spanPrefix + digits
}

// Cancelled tells whether the result is not wanted any more: the run was cancelled, the time is over or the gateway is gone. The
// component's context is done then.
func (x *Execution) Cancelled() bool { return stopCause(x.stop.Load()) != stopNone }

// Logger writes to stderr, with the run, the step and the item on each record.
func (x *Execution) Logger() *slog.Logger {
	return x.engine.log.With("component", x.component.name, "run", x.origin.runID, "step", x.origin.stepID, "item", x.itemIndex)
}

// ReportProgress tells watchers how far this execution is; fraction is 0 to 1. It never blocks, and at most 20 a second are sent.
func (x *Execution) ReportProgress(fraction float64, message string) {
	if !(fraction >= 0 && fraction <= 1) {
		return
	}
	now := time.Now()
	x.mutex.Lock()
	isSoon := now.Sub(x.progressAt) < progressInterval && fraction < 1
	if !isSoon {
		x.progressAt = now
	}
	x.mutex.Unlock()
	if !isSoon && !x.Cancelled() {
		x.engine.sink.progress(x, fraction, message)
	}
}

// --- the context of a component

// executionContext is an Execution as a context.Context: it costs nothing unless somebody waits for its end.
type executionContext struct{ *Execution }

func (x *Execution) context() context.Context { return executionContext{x} }

func (c executionContext) Deadline() (time.Time, bool) {
	// Waits on runs do not count, so nobody knows the moment.
	return time.Time{}, false
}

func (c executionContext) Done() <-chan struct{} {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.Cancelled() {
			close(c.done)
		}
	}
	return c.done
}

func (c executionContext) Err() error {
	switch stopCause(c.stop.Load()) {
	case stopNone:
		return nil
	case stopTimedOut:
		return context.DeadlineExceeded
	}
	return context.Canceled
}

func (c executionContext) Value(key any) any {
	if _, own := key.(executionKey); own {
		return c.Execution
	}
	return c.engine.base.Value(key)
}

// AfterFunc spares the context package a goroutine for each context that is made from this one.
func (c executionContext) AfterFunc(function func()) (stop func() bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.Cancelled() {
		go function()
		return func() bool { return false }
	}
	if c.afterFuncs == nil {
		c.afterFuncs = map[*func()]struct{}{}
	}
	key := &function
	c.afterFuncs[key] = struct{}{}
	return func() bool {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		_, waits := c.afterFuncs[key]
		delete(c.afterFuncs, key)
		return waits
	}
}

// end makes the context done. The first cause counts.
func (x *Execution) end(cause stopCause) {
	if !x.stop.CompareAndSwap(int32(stopNone), int32(cause)) {
		return
	}
	x.mutex.Lock()
	if x.done != nil {
		close(x.done)
	}
	functions := x.afterFuncs
	x.afterFuncs = nil
	x.mutex.Unlock()
	for function := range functions {
		go (*function)()
	}
}

// --- time

// beginWait: from here on the execution's time rests.
func (x *Execution) beginWait() {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	if x.waits == 0 {
		x.parkedSince = x.engine.now()
	}
	x.waits++
}

func (x *Execution) endWait() {
	x.mutex.Lock()
	x.waits--
	if x.waits == 0 {
		x.waited += x.engine.now() - x.parkedSince
	}
	x.mutex.Unlock()
	x.engine.sweepBy(x.deadline())
}

// deadline is when it times out as things stand; never while it waits or has not begun.
func (x *Execution) deadline() time.Duration {
	began := time.Duration(x.began.Load())
	if x.timeout <= 0 || began == 0 {
		return never
	}
	x.mutex.Lock()
	defer x.mutex.Unlock()
	if x.waits > 0 {
		return never
	}
	return began + x.timeout + x.waited
}
