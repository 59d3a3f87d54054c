package components

import (
	"context"
	"errors"
	"io"

	"flowspan.dev/go/flowspan"
)

// workerAPI is the gateway over gRPC, in the name of one execution.
type workerAPI struct {
	client    *flowspan.Client
	execution *Execution
}

func (a *workerAPI) putBlob(ctx context.Context, value any, blobType flowspan.BlobType) (string, error) {
	return a.client.PutBlob(ctx, value, blobType)
}

func (a *workerAPI) getBlob(ctx context.Context, blobID string) (*flowspan.Blob, error) {
	return a.client.GetBlob(ctx, blobID)
}

func (a *workerAPI) submitRun(
	ctx context.Context, flowID string, inputs flowspan.Inputs, options *SubmitRunOptions,
) (*flowspan.RunStatus, error) {
	status, err := a.client.Submit(ctx, flowID, inputs, &flowspan.SubmitOptions{
		MaxConcurrency: options.MaxConcurrency,
		Overrides:      options.Overrides,
		Variables:      options.Variables,
		Label:          options.Label,
		Metadata:       options.Metadata,
		ItemLabels:     options.ItemLabels,
		Deadline:       options.Deadline,
		Detached:       options.Detached,
		RequestID:      options.RequestID,
		TraceParent:    a.execution.TraceParent(),
	})
	if err != nil || !options.Wait {
		return status, err
	}
	return a.client.Wait(ctx, status.RunID, &flowspan.WaitOptions{Timeout: options.Timeout, IncludeResults: true})
}

func (a *workerAPI) getRun(ctx context.Context, runID string, options *GetRunOptions) (*flowspan.RunStatus, error) {
	if options.Wait {
		return a.client.Wait(ctx, runID, &flowspan.WaitOptions{
			Timeout: options.Timeout, IncludeResults: options.wantsResults(), Order: options.Order,
		})
	}
	return a.client.GetRun(ctx, runID, &flowspan.GetRunOptions{IncludeResults: options.wantsResults(), Order: options.Order})
}

func (a *workerAPI) cancelRun(ctx context.Context, runID, reason string) error {
	_, err := a.client.CancelRun(ctx, runID, reason)
	return err
}

func (a *workerAPI) watchRun(ctx context.Context, runID string, afterSeq uint64) runWatch {
	watch := a.client.Watch(ctx, runID, &flowspan.WatchOptions{AfterSeq: afterSeq})
	return &workerWatch{ctx: ctx, api: a, watch: watch}
}

type workerWatch struct {
	ctx   context.Context
	api   *workerAPI
	watch *flowspan.Watch
	end   *flowspan.RunStatus
}

func (w *workerWatch) next() (flowspan.ItemResult, error) {
	result, err := w.watch.Next()
	if errors.Is(err, io.EOF) && w.end == nil {
		// A watch with a cursor does not see the run's first event, which the status is made of.
		if w.end = w.watch.Status(); w.end == nil {
			status, getting := w.api.client.GetRun(w.ctx, w.watch.RunID(), nil)
			if getting != nil {
				return flowspan.ItemResult{}, getting
			}
			w.end = status
		}
	}
	return result, err
}

func (w *workerWatch) cursor() uint64 { return w.watch.Cursor() }

func (w *workerWatch) status() *flowspan.RunStatus { return w.end }

func (w *workerWatch) close() { w.watch.Close() }
