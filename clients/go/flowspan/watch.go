package flowspan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"sort"
	"time"

	pb "flowspan.dev/go/flowspanv1"
)

// WatchOptions say where a watch begins and in which order it hands out results.
type WatchOptions struct {
	// AfterSeq is the cursor of an earlier watch; 0: from the beginning.
	AfterSeq uint64
	// Order: by completion, or by index, where a result waits for those before it.
	Order Order
	// ResultsOnly leaves out what says how far items are: fewer bytes, and the counts of Status are those of ended items.
	ResultsOnly bool
}

// Watch follows a run: each result once, as it becomes durable. A connection that is lost is taken up again behind the last event;
// what was handed out is not handed out again. It is bound to the context that it was made with, and not to be shared by goroutines.
type Watch struct {
	client     *Client
	ctx        context.Context
	runID      string
	submission *pb.SubmitAndWatchRunRequest
	filter     *pb.WatchOptions
	byIndex    bool
	fold       runFold
	stream     resumingStream

	unread    []logResult // payloads are still in blobs
	held      map[int]logResult
	nextIndex int
	ready     []logResult
	failure   error
}

// Watch follows a run from a cursor. Nothing is asked for before the first result is.
func (c *Client) Watch(ctx context.Context, runID string, options *WatchOptions) *Watch {
	return c.newWatch(ctx, runID, options)
}

func (c *Client) newWatch(ctx context.Context, runID string, options *WatchOptions) *Watch {
	if options == nil {
		options = &WatchOptions{}
	}
	watch := &Watch{client: c, ctx: ctx, runID: runID, byIndex: options.Order == ByIndex}
	watch.fold.throughSeq = options.AfterSeq
	if options.ResultsOnly || c.taskToken != "" {
		watch.filter = &pb.WatchOptions{ResultsOnly: options.ResultsOnly, TaskToken: c.taskToken}
	}
	watch.stream = resumingStream{
		client: c, open: watch.open,
		isAccepted:     func() bool { return watch.runID != "" },
		isBehindTheEnd: watch.isBehindTheEnd,
	}
	if watch.byIndex {
		watch.held = map[int]logResult{}
		if options.AfterSeq != 0 {
			watch.failure = NewError(InvalidArgument,
				"a watch by index begins at AfterSeq 0; use ListRunItems with AfterItemIndex", map[string]any{"field": "order"})
		}
	}
	return watch
}

// RunID is the run; empty until the gateway has accepted it.
func (w *Watch) RunID() string { return w.runID }

// Status is the run as of what was received, without results; nil before the run's first event was seen, so always for a watch
// with AfterSeq.
func (w *Watch) Status() *RunStatus { return w.fold.snapshot() }

// Cursor is what to give as AfterSeq to another watch: it hands out everything that this one has not.
func (w *Watch) Cursor() uint64 {
	least := w.fold.throughSeq + 1
	for _, waiting := range [][]logResult{w.ready, w.unread} {
		for _, result := range waiting {
			least = min(least, result.seq)
			if !w.byIndex {
				break
			}
		}
	}
	for _, result := range w.held {
		least = min(least, result.seq)
	}
	return least - 1
}

// Results iterates over the results, one by one, to the end of the run. An error ends the iteration; its details have runId and
// afterSeq, the cursor to resume from.
func (w *Watch) Results() iter.Seq2[ItemResult, error] {
	return func(yield func(ItemResult, error) bool) {
		defer w.stream.hangUp()
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

// Next is the next result; io.EOF behind the last.
func (w *Watch) Next() (ItemResult, error) {
	if err := w.fill(); err != nil {
		return ItemResult{}, err
	}
	result := w.ready[0].item
	w.ready = w.ready[1:]
	return result, nil
}

// NextBatch is whatever has come since the last batch, at least one result; io.EOF when the run is over.
func (w *Watch) NextBatch() ([]ItemResult, error) {
	if err := w.fill(); err != nil {
		return nil, err
	}
	batch := make([]ItemResult, len(w.ready))
	for position := range w.ready {
		batch[position] = w.ready[position].item
	}
	w.ready = nil
	return batch, nil
}

// Close ends the watch early; the run goes on. Harmless if repeated. The watch could even go on afterwards.
func (w *Watch) Close() error {
	w.stream.hangUp()
	return nil
}

// fill receives until a result is ready.
func (w *Watch) fill() error {
	for len(w.ready) == 0 {
		if w.failure != nil {
			return w.failure
		}
		if len(w.unread) == 0 {
			if w.stream.hasEnded || w.fold.status.IsTerminal() {
				return io.EOF
			}
			message, err := w.stream.receive(w.ctx)
			if err != nil {
				return w.located(err)
			}
			if message == nil {
				continue
			}
			if err := w.takeIn(message); err != nil {
				w.stream.hangUp()
				w.failure = w.located(&Error{Reason: Internal, Message: "the gateway sent a broken log: " + err.Error(), FromPeer: true})
				return w.failure
			}
		}
		if err := w.readPayloads(); err != nil {
			return w.located(err)
		}
	}
	return nil
}

func (w *Watch) readPayloads() error {
	for position := range w.unread {
		result := &w.unread[position]
		if result.isBlob {
			data, err := w.client.readBlob(w.ctx, string(result.payload))
			if err != nil {
				return err
			}
			result.payload, result.isBlob = data, false
		}
		if err := result.finish(); err != nil {
			return &Error{Reason: ParseError, Message: fmt.Sprintf("the result of item %d cannot be read: %v", result.item.ItemIndex, err)}
		}
	}
	fresh := w.unread
	w.unread = nil
	if w.byIndex {
		fresh = w.inOrder(fresh)
	}
	w.ready = fresh
	return nil
}

func (w *Watch) inOrder(fresh []logResult) []logResult {
	for _, result := range fresh {
		w.held[result.item.ItemIndex] = result
	}
	var ready []logResult
	for {
		result, here := w.held[w.nextIndex]
		if !here {
			break
		}
		delete(w.held, w.nextIndex)
		ready = append(ready, result)
		w.nextIndex++
	}
	if w.fold.status.IsTerminal() {
		// Items that a cancel kept from starting leave holes.
		rest := make([]logResult, 0, len(w.held))
		for _, result := range w.held {
			rest = append(rest, result)
		}
		sort.Slice(rest, func(a, b int) bool { return rest[a].item.ItemIndex < rest[b].item.ItemIndex })
		clear(w.held)
		ready = append(ready, rest...)
	}
	return ready
}

func (w *Watch) takeIn(message watchMessage) error {
	if first, isFirst := message.(*pb.SubmitAndWatchRunResponse); isFirst && first.GetRun() != nil {
		w.runID = first.GetRun().GetRunId()
	}
	for _, segment := range message.GetSegments() {
		var err error
		if w.unread, err = w.fold.apply(segment, w.unread); err != nil {
			return err
		}
	}
	w.fold.throughSeq = max(w.fold.throughSeq, message.GetThroughSeq())
	if w.fold.status.IsTerminal() {
		w.stream.hangUp()
	}
	return nil
}

// isBehindTheEnd tells whether the log ends at the cursor: a watch that begins there gets no event at all, not even the last.
func (w *Watch) isBehindTheEnd(ctx context.Context) (bool, error) {
	if w.runID == "" {
		return false, nil
	}
	status, err := w.client.GetRun(ctx, w.runID, nil)
	if err != nil {
		return false, err
	}
	return status.IsTerminal() && status.AsOfSeq <= w.fold.throughSeq, nil
}

func (w *Watch) open(ctx context.Context) (watchStream, error) {
	if w.runID == "" {
		stream, err := w.client.watches.SubmitAndWatchRun(ctx, w.submission)
		if err != nil {
			return nil, err
		}
		return streamOf[*pb.SubmitAndWatchRunResponse]{stream}, nil
	}
	request := &pb.WatchRunRequest{RunId: w.runID, AfterSeq: w.fold.throughSeq, Options: w.filter}
	stream, err := w.client.watches.WatchRun(ctx, request)
	if err != nil {
		return nil, err
	}
	return streamOf[*pb.WatchRunResponse]{stream}, nil
}

func (w *Watch) located(err error) error {
	failure := asError(err)
	failure.withDetail("afterSeq", w.Cursor())
	if w.runID != "" {
		failure.withDetail("runId", w.runID)
	}
	return failure
}

// --- streams that are taken up again

type watchMessage interface {
	GetSegments() []*pb.Segment
	GetThroughSeq() uint64
	GetRunId() string
}

type watchStream interface {
	receive() (watchMessage, error)
}

type streamOf[M watchMessage] struct {
	stream interface{ Recv() (M, error) }
}

func (s streamOf[M]) receive() (watchMessage, error) {
	message, err := s.stream.Recv()
	if err != nil {
		return nil, err
	}
	return message, nil
}

// resumingStream gives the messages of a watch over any number of connections.
type resumingStream struct {
	client *Client
	// open begins at the cursor that the owner keeps.
	open func(ctx context.Context) (watchStream, error)
	// isAccepted tells whether the run is known to exist; before, the rules of a unary call hold.
	isAccepted func() bool
	// isBehindTheEnd is asked when a stream ends before its run did: whether nothing can come any more.
	isBehindTheEnd func(ctx context.Context) (bool, error)

	hasEnded bool
	stream   watchStream
	cancel   context.CancelFunc
	retry    int
	lostAt   time.Time
}

// receive gives the next message; nil where the stream was lost and another try is due, or where it has ended.
func (r *resumingStream) receive(ctx context.Context) (watchMessage, error) {
	var err error
	if ended := ctx.Err(); ended != nil {
		r.hangUp()
		return nil, ErrorFromRPC(ctx, ended)
	}
	if r.stream == nil {
		var streamContext context.Context
		streamContext, r.cancel = context.WithCancel(r.client.outgoing(ctx))
		r.stream, err = r.open(streamContext)
	}
	if err == nil {
		var message watchMessage
		if message, err = r.stream.receive(); err == nil {
			r.retry, r.lostAt = 0, time.Time{}
			return message, nil
		}
	}
	r.hangUp()
	if errors.Is(err, io.EOF) {
		isOver, asking := r.isBehindTheEnd(ctx)
		if isOver {
			r.hasEnded = true
			return nil, nil
		}
		if err = asking; err == nil {
			err = NewError(Unavailable, "the stream ended before the run did", nil)
		}
	}
	failure := ErrorFromRPC(ctx, err)
	if r.lostAt.IsZero() {
		r.lostAt = time.Now()
	}
	delay := r.client.policy.delay(r.retry, rand.Float64(), failure)
	if !r.mayGoOn(ctx, failure, time.Since(r.lostAt)+delay) {
		return nil, failure
	}
	r.retry++
	if pause(ctx, delay) != nil {
		return nil, ErrorFromRPC(ctx, ctx.Err())
	}
	return nil, nil
}

// hangUp ends the stream of now. The next receive would begin another.
func (r *resumingStream) hangUp() {
	r.stream = nil
	if r.cancel != nil {
		r.cancel()
		r.cancel = nil
	}
}

func (r *resumingStream) mayGoOn(ctx context.Context, failure *Error, lost time.Duration) bool {
	policy := &r.client.policy
	if r.client.closed.Load() || ctx.Err() != nil {
		return false
	}
	if !r.isAccepted() {
		repeat := always
		if r.client.taskToken != "" {
			repeat = unlessApplied
		}
		return repeat(failure) && r.retry < policy.MaxRetries
	}
	return failure.isResumable() && (policy.GiveUpAfter == 0 || lost <= policy.GiveUpAfter)
}
