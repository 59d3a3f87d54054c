package flowspan

import (
	"context"
	"errors"
	"io"
	"iter"

	pb "flowspan.dev/go/flowspanv1"
)

// TreeNews is what has come of one run of a tree: where it stands, and the results that are new, which may be none.
type TreeNews struct {
	Status  *RunStatus
	Results []ItemResult
}

// TreeWatch follows a run and all its sub-runs, at any depth, over any number of lost connections. The news of one run come in its
// own order. It ends when all have ended. It is bound to its context, and not to be shared by goroutines.
type TreeWatch struct {
	client  *Client
	ctx     context.Context
	runID   string
	folds   map[string]*runFold
	deleted map[string]bool
	stream  resumingStream
}

// WatchTree follows a run and its sub-runs.
func (c *Client) WatchTree(ctx context.Context, runID string) *TreeWatch {
	watch := &TreeWatch{client: c, ctx: ctx, runID: runID, folds: map[string]*runFold{}, deleted: map[string]bool{}}
	watch.stream = resumingStream{
		client: c, open: watch.open, isAccepted: func() bool { return true }, isBehindTheEnd: watch.isBehindTheEnd,
	}
	return watch
}

// News iterates over what comes, to the end of all runs.
func (w *TreeWatch) News() iter.Seq2[TreeNews, error] {
	return func(yield func(TreeNews, error) bool) {
		defer w.stream.hangUp()
		for {
			news, err := w.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(news, err) || err != nil {
				return
			}
		}
	}
}

// Next is what comes next, of one run; io.EOF when all have ended.
func (w *TreeWatch) Next() (TreeNews, error) {
	for !w.stream.hasEnded {
		message, err := w.stream.receive(w.ctx)
		if err != nil {
			failure := asError(err)
			failure.withDetail("runId", w.runID)
			return TreeNews{}, failure
		}
		if message == nil {
			continue
		}
		news, err := w.takeIn(message)
		if err != nil || news.Status != nil {
			return news, err
		}
	}
	return TreeNews{}, io.EOF
}

// Status is one of the runs that were heard of, without results; nil for any other.
func (w *TreeWatch) Status(runID string) *RunStatus {
	if fold := w.folds[runID]; fold != nil {
		return fold.snapshot()
	}
	return nil
}

// Close ends the watch early; the runs go on.
func (w *TreeWatch) Close() error {
	w.stream.hangUp()
	return nil
}

func (w *TreeWatch) takeIn(message watchMessage) (TreeNews, error) {
	runID := message.GetRunId()
	if runID == "" {
		runID = w.runID
	}
	fold := w.folds[runID]
	if fold == nil {
		fold = &runFold{}
		w.folds[runID] = fold
	}
	var fresh []logResult
	for _, segment := range message.GetSegments() {
		var err error
		if fresh, err = fold.apply(segment, fresh); err != nil {
			w.stream.hangUp()
			return TreeNews{}, &Error{Reason: Internal, Message: "the gateway sent a broken log of run " + runID + ": " + err.Error(), FromPeer: true}
		}
	}
	fold.throughSeq = max(fold.throughSeq, message.GetThroughSeq())
	news := TreeNews{Status: fold.snapshot()}
	for position := range fresh {
		result := &fresh[position]
		if result.isBlob {
			data, err := w.client.readBlob(w.ctx, string(result.payload))
			if err != nil {
				return TreeNews{}, err
			}
			result.payload = data
		}
		if err := result.finish(); err != nil {
			return TreeNews{}, &Error{Reason: ParseError, Message: err.Error()}
		}
		news.Results = append(news.Results, result.item)
	}
	return news, nil
}

// isBehindTheEnd: the gateway ends the stream once every run has ended, and a connection that breaks cleanly does so as well. Of a
// sub-run that ended and was deleted while nobody was connected, no end is ever heard.
func (w *TreeWatch) isBehindTheEnd(ctx context.Context) (bool, error) {
	for runID, fold := range w.folds {
		if fold.status.IsTerminal() || w.deleted[runID] {
			continue
		}
		if runID == w.runID {
			return false, nil
		}
		_, err := w.client.GetRun(ctx, runID, nil)
		if err == nil {
			return false, nil
		}
		if !errors.Is(err, RunNotFound) && !errors.Is(err, NotFound) {
			return false, err
		}
		w.deleted[runID] = true
	}
	return len(w.folds) > 0, nil
}

func (w *TreeWatch) open(ctx context.Context) (watchStream, error) {
	request := &pb.WatchRunRequest{
		RunId: w.runID, Options: &pb.WatchOptions{WholeTree: true, TaskToken: w.client.taskToken}, TreeAfterSeq: map[string]uint64{},
	}
	for runID, fold := range w.folds {
		if runID == w.runID {
			request.AfterSeq = fold.throughSeq
		} else {
			request.TreeAfterSeq[runID] = fold.throughSeq
		}
	}
	stream, err := w.client.watches.WatchRun(ctx, request)
	if err != nil {
		return nil, err
	}
	return streamOf[*pb.WatchRunResponse]{stream}, nil
}
