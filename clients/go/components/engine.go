package components

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"flowspan.dev/go/flowspan"
)

const (
	never = time.Duration(math.MaxInt64)
	// An execution that runs for so long is reported as begun; shorter ones answer by themselves.
	startedNotice = time.Second
	// Whatever runs for so long by then is reported with it: two notices a second at most.
	startedTogether = 500 * time.Millisecond
	// From its time-out a component has so long to notice it; one that runs on will do so for good, as far as anybody can tell.
	overrunAfter = time.Second
)

// sink is where a transport takes answers and news. put is called under the engine's lock, and wake afterwards.
type sink interface {
	put(x *Execution, output json.RawMessage, failed *failure)
	wake()
	started(executions []*Execution)
	progress(x *Execution, fraction float64, message string)
	overrun(count int)
	api(x *Execution) runAPI
}

// engine runs executions and keeps their time. It knows no wire.
type engine struct {
	registry *registry
	capacity int
	log      *slog.Logger
	base     context.Context
	start    time.Time
	sink     sink

	// mutex also guards what the transport collects to be sent.
	mutex   sync.Mutex
	running map[callID]*Execution
	open    int // of them, not answered

	timer     *time.Timer
	nextSweep atomic.Int64
}

func newEngine(ctx context.Context, server *Server) *engine {
	e := &engine{
		registry: &server.registry,
		capacity: server.capacity,
		log:      server.log,
		base:     context.WithoutCancel(ctx),
		start:    time.Now().Add(-time.Nanosecond),
		running:  map[callID]*Execution{},
	}
	e.nextSweep.Store(int64(never))
	e.timer = time.AfterFunc(never, e.sweep)
	return e
}

func (e *engine) now() time.Duration { return time.Since(e.start) }

func (e *engine) close() { e.timer.Stop() }

// run begins executions, which belong to one component. What is inline is done when it returns.
func (e *engine) run(executions []Execution) {
	if len(executions) == 0 {
		return
	}
	if executions[0].component.inline {
		e.runInline(executions)
		return
	}
	e.mutex.Lock()
	for position := range executions {
		x := &executions[position]
		e.running[x.id] = x
	}
	e.open += len(executions)
	e.mutex.Unlock()
	soonest := startedNotice
	if timeout := executions[0].timeout; timeout > 0 {
		soonest = min(soonest, timeout)
	}
	e.sweepBy(e.now() + soonest)
	for position := range executions {
		go e.execute(&executions[position])
	}
}

func (e *engine) runInline(executions []Execution) {
	type answer struct {
		output json.RawMessage
		failed *failure
	}
	const together = 32
	answers := make([]answer, 0, min(together, len(executions)))
	for begin := 0; begin < len(executions); begin += together {
		piece := executions[begin:min(begin+together, len(executions))]
		answers = answers[:0]
		for position := range piece {
			output, failed := e.call(&piece[position])
			piece[position].end(stopFinished)
			answers = append(answers, answer{output, failed})
		}
		e.mutex.Lock()
		for position := range piece {
			e.sink.put(&piece[position], answers[position].output, answers[position].failed)
		}
		e.mutex.Unlock()
		e.sink.wake()
	}
}

func (e *engine) execute(x *Execution) {
	if !x.state.CompareAndSwap(stateHeld, stateBegun) {
		return
	}
	x.began.Store(int64(e.now()))
	output, failed := e.call(x)
	e.finish(x, output, failed)
	x.end(stopFinished)
}

// call runs the component's code. It returns whatever that code does.
func (e *engine) call(x *Execution) (output json.RawMessage, failed *failure) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if value := recover(); value != nil {
			output, failed = nil, failureOf(newPanicked(value))
			return
		}
		// runtime.Goexit ends this goroutine whatever is done here: the answer has to go out now.
		failed = failureOf(errors.New("the component ended its goroutine"))
		e.finish(x, nil, failed)
		x.end(stopFinished)
	}()
	value, err := x.component.call(x.context(), x.input)
	returned = true
	if err != nil {
		return nil, failureOf(err)
	}
	return value, nil
}

// finish answers an execution whose code is done, unless it was answered before.
func (e *engine) finish(x *Execution, output json.RawMessage, failed *failure) {
	if failed != nil && stopCause(x.stop.Load()) == stopCancelled {
		failed = cancelledFailure
	}
	e.mutex.Lock()
	if e.running[x.id] == x {
		delete(e.running, x.id)
	}
	if x.answered {
		e.mutex.Unlock()
		return
	}
	e.answer(x, output, failed)
	e.mutex.Unlock()
	e.sink.wake()
}

// answer is to be called under the lock.
func (e *engine) answer(x *Execution, output json.RawMessage, failed *failure) {
	x.answered = true
	if !x.component.inline {
		e.open--
	}
	e.sink.put(x, output, failed)
}

// cancel ends executions early: those that never begin, and those whose code was told.
func (e *engine) cancel(ids []callID, answerDropped bool) (dropped, running []*Execution) {
	e.mutex.Lock()
	for _, id := range ids {
		x := e.running[id]
		if x == nil || x.answered {
			continue
		}
		if !x.state.CompareAndSwap(stateHeld, stateDropped) {
			running = append(running, x)
			continue
		}
		dropped = append(dropped, x)
		delete(e.running, id)
		if answerDropped {
			e.answer(x, nil, cancelledFailure)
		} else {
			x.answered = true
			e.open--
		}
	}
	e.mutex.Unlock()
	for _, x := range running {
		x.end(stopCancelled)
	}
	for _, x := range dropped {
		x.end(stopCancelled)
	}
	e.sink.wake()
	return dropped, running
}

// giveBack takes back everything that has not begun, which it never will.
func (e *engine) giveBack() []*Execution {
	var held []*Execution
	e.mutex.Lock()
	for id, x := range e.running {
		if !x.answered && x.state.CompareAndSwap(stateHeld, stateDropped) {
			x.answered = true
			e.open--
			delete(e.running, id)
			held = append(held, x)
		}
	}
	e.mutex.Unlock()
	for _, x := range held {
		x.end(stopGone)
	}
	return held
}

// forget drops executions that nobody wants any more, all of them if unwanted is nil. To be called under the lock; what it returns
// is to be ended outside of it.
func (e *engine) forget(unwanted map[uint64]bool) []*Execution {
	var forgotten []*Execution
	for id, x := range e.running {
		if unwanted != nil && !unwanted[id.number] {
			continue
		}
		if !x.answered {
			x.answered = true
			e.open--
		}
		x.state.CompareAndSwap(stateHeld, stateDropped)
		delete(e.running, id)
		forgotten = append(forgotten, x)
	}
	return forgotten
}

// refuse is why a component cannot be executed.
func refusal(path string) *failure {
	message := "there is no component " + cutText(path, 200) + " here; see components/list"
	return newFailure(flowspan.ComponentNotFound, message, nil)
}

// --- time-outs

func (e *engine) sweepBy(due time.Duration) {
	for {
		next := e.nextSweep.Load()
		if int64(due) >= next {
			return
		}
		if e.nextSweep.CompareAndSwap(next, int64(due)) {
			e.timer.Reset(max(due-e.now(), time.Millisecond))
			return
		}
	}
}

// sweep answers executions whose time is over and reports those that have begun.
func (e *engine) sweep() {
	e.nextSweep.Store(int64(never))
	now := e.now()
	due := never
	var expired, young, begun []*Execution
	overrunning := 0
	e.mutex.Lock()
	for _, x := range e.running {
		began := time.Duration(x.began.Load())
		if began == 0 {
			due = min(due, now+startedNotice)
			continue
		}
		if x.timedOut > 0 {
			if now >= x.timedOut+overrunAfter {
				overrunning++
			} else {
				due = min(due, x.timedOut+overrunAfter)
			}
			continue
		}
		if x.answered {
			continue
		}
		deadline := x.deadline()
		if deadline <= now {
			x.timedOut = now
			expired = append(expired, x)
			due = min(due, now+overrunAfter)
			e.answer(x, nil, timedOutFailure)
			continue
		}
		due = min(due, deadline)
		switch age := now - began; {
		case x.toldBegun:
		case age >= startedNotice:
			begun = append(begun, x)
		case age >= startedTogether:
			young = append(young, x)
		default:
			due = min(due, began+startedNotice)
		}
	}
	if len(begun) > 0 {
		begun = append(begun, young...)
		for _, x := range begun {
			x.toldBegun = true
		}
	} else {
		for _, x := range young {
			due = min(due, time.Duration(x.began.Load())+startedNotice)
		}
	}
	e.mutex.Unlock()
	for _, x := range expired {
		x.end(stopTimedOut)
	}
	if len(expired) > 0 {
		e.sink.wake()
	}
	if len(begun) > 0 {
		e.sink.started(begun)
	}
	if 2*overrunning > e.capacity {
		e.sink.overrun(overrunning)
	}
	if due != never {
		e.sweepBy(due)
	}
}

// isIdle tells whether everything is answered. To be called under the lock.
func (e *engine) isIdle() bool { return e.open == 0 }
