package components

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"flowspan.dev/go/flowspan"
)

// runAPI is the gateway as an execution sees it, on whatever wire.
type runAPI interface {
	putBlob(ctx context.Context, value any, blobType flowspan.BlobType) (string, error)
	getBlob(ctx context.Context, blobID string) (*flowspan.Blob, error)
	submitRun(ctx context.Context, flowID string, inputs flowspan.Inputs, options *SubmitRunOptions) (*flowspan.RunStatus, error)
	getRun(ctx context.Context, runID string, options *GetRunOptions) (*flowspan.RunStatus, error)
	watchRun(ctx context.Context, runID string, afterSeq uint64) runWatch
	cancelRun(ctx context.Context, runID, reason string) error
}

// runWatch gives results one by one, io.EOF behind the last. It is used by one goroutine.
type runWatch interface {
	next() (flowspan.ItemResult, error)
	cursor() uint64
	status() *flowspan.RunStatus
	close()
}

// SubmitRunOptions say more about a sub-run. What is zero is not said.
type SubmitRunOptions struct {
	// Wait until the run has ended; the status then has results by index. Waiting takes no slot and no time of the execution.
	Wait bool
	// Timeout bounds the wait: when it is over, the status as it stands is the answer.
	Timeout time.Duration
	// MaxConcurrency bounds the items that run at once; default 10.
	MaxConcurrency int
	// Overrides and Variables are JSON objects.
	Overrides any
	Variables any
	Label     string
	Metadata  map[string]string
	// ItemLabels are one per input, or none.
	ItemLabels []string
	// Deadline is how long the run may take until it is cancelled.
	Deadline time.Duration
	// Detached lets the run go on when its parent is cancelled.
	Detached bool
	// RequestID makes the call safe to repeat by you. Without one, the gateway knows the run by this execution: a repeated
	// execution that submits the same finds it again.
	RequestID string
}

// GetRunOptions say what a GetRun brings and whether it waits.
type GetRunOptions struct {
	// Wait until the run has ended; the status then has results, unless WithoutResults.
	Wait bool
	// Timeout bounds the wait: when it is over, the status as it stands is the answer.
	Timeout        time.Duration
	IncludeResults bool
	WithoutResults bool
	Order          flowspan.Order
}

func (o *GetRunOptions) wantsResults() bool { return !o.WithoutResults && (o.Wait || o.IncludeResults) }

// PutBlob stores a value as flowspan.Client.PutBlob does; its id.
func (x *Execution) PutBlob(ctx context.Context, value any, blobType flowspan.BlobType) (string, error) {
	return x.engine.sink.api(x).putBlob(ctx, value, blobType)
}

// GetBlob reads a blob.
func (x *Execution) GetBlob(ctx context.Context, blobID string) (*flowspan.Blob, error) {
	return x.engine.sink.api(x).getBlob(ctx, blobID)
}

// SubmitRun runs a stored flow over inputs, as a sub-run of this execution. A run that fails is a status, not an error.
func (x *Execution) SubmitRun(
	ctx context.Context, flowID string, inputs flowspan.Inputs, options *SubmitRunOptions,
) (*flowspan.RunStatus, error) {
	if options == nil {
		options = &SubmitRunOptions{}
	}
	if options.Wait {
		x.beginWait()
		defer x.endWait()
	}
	return x.engine.sink.api(x).submitRun(ctx, flowID, inputs, options)
}

// GetRun gives the status of a run.
func (x *Execution) GetRun(ctx context.Context, runID string, options *GetRunOptions) (*flowspan.RunStatus, error) {
	if options == nil {
		options = &GetRunOptions{}
	}
	if options.Wait {
		x.beginWait()
		defer x.endWait()
	}
	return x.engine.sink.api(x).getRun(ctx, runID, options)
}

// CancelRun cancels a run and its sub-runs; durable when it returns.
func (x *Execution) CancelRun(ctx context.Context, runID, reason string) error {
	return x.engine.sink.api(x).cancelRun(ctx, runID, reason)
}

// WatchRun follows a run from a cursor, 0 for its beginning.
func (x *Execution) WatchRun(ctx context.Context, runID string, afterSeq uint64) *Watch {
	return &Watch{execution: x, watch: x.engine.sink.api(x).watchRun(ctx, runID, afterSeq)}
}

// Watch follows a run from inside of a component: each result once, as it becomes durable. Not to be shared by goroutines.
type Watch struct {
	execution *Execution
	watch     runWatch
}

// Results iterates over the results to the end of the run. An error ends the iteration.
func (w *Watch) Results() iter.Seq2[flowspan.ItemResult, error] {
	return func(yield func(flowspan.ItemResult, error) bool) {
		defer w.watch.close()
		for {
			result, err := w.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(result, err) || err != nil {
				return
			}
		}
	}
}

// Next is the next result; io.EOF behind the last. The execution's time rests while it waits.
func (w *Watch) Next() (flowspan.ItemResult, error) {
	w.execution.beginWait()
	defer w.execution.endWait()
	return w.watch.next()
}

// Cursor is what to give as afterSeq to another watch: it goes on behind what this one has handed out.
func (w *Watch) Cursor() uint64 { return w.watch.cursor() }

// Status is the run's status, without results, once it has ended; before that nil.
func (w *Watch) Status() *flowspan.RunStatus { return w.watch.status() }

// Close ends the watch early; the run goes on. Harmless if repeated.
func (w *Watch) Close() error {
	w.watch.close()
	return nil
}
