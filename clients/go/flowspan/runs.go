package flowspan

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"sort"
	"time"

	pb "flowspan.dev/go/flowspanv1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// SubmitOptions say more about a run. What is zero is not said.
type SubmitOptions struct {
	// MaxConcurrency bounds the items that run at once; default 10.
	MaxConcurrency int
	// Overrides and Variables are JSON objects.
	Overrides any
	Variables any
	// Label comes back as RunStatus.FlowLabel.
	Label string
	// Metadata is free, and a filter of ListRuns.
	Metadata map[string]string
	// ItemLabels are one per input, or none.
	ItemLabels []string
	// Deadline is how long the run may take until it is cancelled.
	Deadline time.Duration
	// Detached lets a sub-run go on when its parent is cancelled.
	Detached bool
	// RequestID makes the call safe to repeat by you; default: a new one for each call, for the retries of this package.
	RequestID string
	// TaskToken is that of the execution that submits the run.
	TaskToken string
	// TraceParent is the W3C trace context of the caller.
	TraceParent string
	// Order of the results of Run and SubmitAndWatch; default: Run by index, SubmitAndWatch by completion.
	Order Order
}

func (c *Client) runOptions(flowID string, options *SubmitOptions) (*pb.RunOptions, error) {
	message := &pb.RunOptions{
		FlowId:      flowID,
		Metadata:    options.Metadata,
		ItemLabels:  options.ItemLabels,
		Detached:    options.Detached,
		RequestId:   options.RequestID,
		TaskToken:   options.TaskToken,
		Traceparent: options.TraceParent,
	}
	if message.TaskToken == "" {
		message.TaskToken = c.taskToken
	}
	if message.RequestId == "" && c.taskToken == "" {
		message.RequestId = newRequestID()
	}
	if options.MaxConcurrency != 0 {
		bound := int64(options.MaxConcurrency)
		message.MaxConcurrency = &bound
	}
	if options.Label != "" {
		message.FlowLabel = &options.Label
	}
	if options.Deadline != 0 {
		message.Deadline = durationpb.New(options.Deadline)
	}
	var err error
	if options.Overrides != nil {
		if message.Overrides, _, err = jsonValue(options.Overrides); err != nil {
			return nil, err
		}
	}
	if options.Variables != nil {
		if message.Variables, _, err = jsonValue(options.Variables); err != nil {
			return nil, err
		}
	}
	return message, nil
}

// submitRepetition: a request id makes a submit safe to repeat. A sub-run has none of ours: the gateway knows it by its parent's
// execution, so that a repeated execution finds it again.
func submitRepetition(header *pb.RunOptions) repetition {
	if header.GetRequestId() == "" {
		return unlessApplied
	}
	return always
}

// newRequestID is a random UUID.
func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// Submit submits a run; when it returns, the run and all its inputs are durable. Flow is an id, or a document as in StoreFlow, which
// is stored first. More than some thousand inputs, and those of an iterator, are streamed.
func (c *Client) Submit(ctx context.Context, flow any, inputs Inputs, options *SubmitOptions) (*RunStatus, error) {
	header, err := c.header(ctx, flow, options)
	if err != nil {
		return nil, err
	}
	values, fits, err := inputs.whole()
	if err != nil {
		return nil, err
	}
	if !fits {
		return c.submitStream(ctx, header, inputs)
	}
	answer, err := unary(ctx, c, c.raw.Runs.SubmitRun, &pb.SubmitRunRequest{Options: header, Inputs: values}, submitRepetition(header))
	if err != nil {
		return nil, err
	}
	return runStatus(ctx, answer.GetRun(), false, c.readBlob)
}

// SubmitStream is Submit by the streamed call, whatever the number of inputs.
func (c *Client) SubmitStream(ctx context.Context, flow any, inputs Inputs, options *SubmitOptions) (*RunStatus, error) {
	header, err := c.header(ctx, flow, options)
	if err != nil {
		return nil, err
	}
	return c.submitStream(ctx, header, inputs)
}

// SubmitAndWatch submits a run and follows it, in one round trip.
func (c *Client) SubmitAndWatch(ctx context.Context, flow any, inputs Inputs, options *SubmitOptions) (*Watch, error) {
	order := OrderDefault
	if options != nil {
		order = options.Order
	}
	header, err := c.header(ctx, flow, options)
	if err != nil {
		return nil, err
	}
	values, fits, err := inputs.whole()
	if err != nil {
		return nil, err
	}
	if !fits {
		status, err := c.submitStream(ctx, header, inputs)
		if err != nil {
			return nil, err
		}
		return c.Watch(ctx, status.RunID, &WatchOptions{Order: order}), nil
	}
	watch := c.newWatch(ctx, "", &WatchOptions{Order: order})
	watch.submission = &pb.SubmitAndWatchRunRequest{Run: &pb.SubmitRunRequest{Options: header, Inputs: values}}
	return watch, nil
}

// Run submits a run and waits for its end: the status, with results. Items that fail are data; see RunStatus.Err.
func (c *Client) Run(ctx context.Context, flow any, inputs Inputs, options *SubmitOptions) (*RunStatus, error) {
	if options == nil {
		options = &SubmitOptions{}
	}
	inOrderOfLog := *options
	inOrderOfLog.Order = ByCompletion
	watch, err := c.SubmitAndWatch(ctx, flow, inputs, &inOrderOfLog)
	if err != nil {
		return nil, err
	}
	defer watch.Close()
	results := []ItemResult{}
	for {
		batch, err := watch.NextBatch()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		results = append(results, batch...)
	}
	if labels := options.ItemLabels; len(labels) > 0 {
		for position := range results {
			if index := results[position].ItemIndex; index < len(labels) {
				results[position].ItemLabel = labels[index]
			}
		}
	}
	if options.Order != ByCompletion {
		sortByIndex(results)
	}
	status := watch.Status()
	status.Results = results
	return status, nil
}

func sortByIndex(results []ItemResult) {
	sort.Slice(results, func(a, b int) bool { return results[a].ItemIndex < results[b].ItemIndex })
}

func (c *Client) header(ctx context.Context, flow any, options *SubmitOptions) (*pb.RunOptions, error) {
	flowID, err := c.flowID(ctx, flow)
	if err != nil {
		return nil, err
	}
	if options == nil {
		options = &SubmitOptions{}
	}
	return c.runOptions(flowID, options)
}

func (c *Client) submitStream(ctx context.Context, header *pb.RunOptions, inputs Inputs) (*RunStatus, error) {
	repeat := submitRepetition(header)
	if !inputs.isRepeatable() {
		repeat = never
	}
	answer, err := repeated(ctx, ctx, c, repeat, func() (*pb.SubmitRunStreamResponse, error) {
		return c.sendStream(ctx, header, inputs)
	})
	if err != nil {
		return nil, err
	}
	return runStatus(ctx, answer.GetRun(), false, c.readBlob)
}

func (c *Client) sendStream(ctx context.Context, header *pb.RunOptions, inputs Inputs) (*pb.SubmitRunStreamResponse, error) {
	bounded := newSteps(c.outgoing(ctx))
	defer bounded.end()
	bounded.within(c.timeout)
	stream, err := c.raw.Runs.SubmitRunStream(bounded)
	if err != nil {
		return nil, bounded.failure(ctx, err)
	}
	send := func(message *pb.SubmitRunStreamRequest) error {
		bounded.within(c.timeout)
		// io.EOF: the gateway has answered before it has read everything; the answer says why.
		return stream.Send(message)
	}
	err = send(&pb.SubmitRunStreamRequest{Options: header})
	message := &pb.SubmitRunStreamRequest{}
	size := 0
	if err == nil {
		for input := range inputs.All() {
			value, bytes, encoding := jsonValue(input)
			if encoding != nil {
				return nil, encoding
			}
			message.Inputs = append(message.Inputs, value)
			if size += bytes; size < messageBytes && len(message.Inputs) < unaryMaxInputs {
				continue
			}
			if err = send(message); err != nil {
				break
			}
			message, size = &pb.SubmitRunStreamRequest{}, 0
		}
	}
	if err == nil && len(message.Inputs) > 0 {
		err = send(message)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, bounded.failure(ctx, err)
	}
	bounded.within(commitTimeout)
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return nil, bounded.failure(ctx, err)
	}
	return answer, nil
}

// WaitOptions say how long a Wait lasts and what it brings.
type WaitOptions struct {
	// Timeout is how long to wait; 0: to the run's end. When it is over, the status as it stands is the answer.
	Timeout time.Duration
	// IncludeResults brings the results as well, in Order.
	IncludeResults bool
	Order          Order
}

// Wait gives the status at the run's end. A run that fails is a status, and so is a time-out: no errors.
func (c *Client) Wait(ctx context.Context, runID string, options *WaitOptions) (*RunStatus, error) {
	if options == nil {
		options = &WaitOptions{}
	}
	status, err := c.GetRun(ctx, runID, nil)
	if err != nil {
		return nil, err
	}
	if !status.IsTerminal() {
		waiting, cancel := ctx, context.CancelFunc(func() {})
		if options.Timeout > 0 {
			waiting, cancel = context.WithTimeout(ctx, options.Timeout)
		}
		defer cancel()
		watch := c.newWatch(waiting, runID, &WatchOptions{AfterSeq: status.AsOfSeq})
		watch.filter = &pb.WatchOptions{ResultsOnly: true, OmitPayloads: true, TaskToken: c.taskToken}
		defer watch.Close()
		for err == nil {
			_, err = watch.NextBatch()
		}
		// The gateway keeps the same deadline, and its word may come before this side's clock has it.
		isOver := options.Timeout > 0 && ctx.Err() == nil && (waiting.Err() != nil || errors.Is(err, Timeout))
		if !errors.Is(err, io.EOF) && !isOver {
			return nil, err
		}
	}
	return c.GetRun(ctx, runID, &GetRunOptions{IncludeResults: options.IncludeResults, Order: options.Order})
}

// GetRunOptions say what a GetRun brings.
type GetRunOptions struct {
	IncludeResults bool
	Order          Order
}

// GetRun gives the status of a run. Results that do not fit into one answer are read in pages.
func (c *Client) GetRun(ctx context.Context, runID string, options *GetRunOptions) (*RunStatus, error) {
	if options == nil {
		options = &GetRunOptions{}
	}
	request := &pb.GetRunRequest{
		RunId: runID, IncludeResults: options.IncludeResults, ResultOrder: pb.ResultOrder(options.Order),
	}
	answer, err := unary(ctx, c, c.raw.Runs.GetRun, request, always)
	if err != nil {
		return nil, err
	}
	status, err := runStatus(ctx, answer.GetRun(), options.IncludeResults, c.readBlob)
	if err != nil || status.ResultsOmitted == nil {
		return status, err
	}
	// In the order of the log the first results are those of this status, however far the run is by now.
	results := make([]ItemResult, 0, status.ResultsOmitted.Count)
	for result, err := range c.ListRunItems(ctx, runID, &ListRunItemsOptions{Order: ByCompletion}) {
		if err != nil {
			return nil, err
		}
		if len(results) == status.ResultsOmitted.Count {
			break
		}
		results = append(results, result)
	}
	if options.Order != ByCompletion {
		sortByIndex(results)
	}
	status.Results, status.ResultsOmitted = results, nil
	return status, nil
}

// CancelRun cancels a run and its sub-runs: no item starts after it has returned, those that run are told to stop.
func (c *Client) CancelRun(ctx context.Context, runID, reason string) (*RunStatus, error) {
	answer, err := unary(ctx, c, c.raw.Runs.CancelRun, &pb.CancelRunRequest{RunId: runID, Reason: reason}, always)
	if err != nil {
		return nil, err
	}
	return runStatus(ctx, answer.GetRun(), false, c.readBlob)
}

// RetryRunOptions say which items are run again. What is zero is not said.
type RetryRunOptions struct {
	// ItemIndexes name the items; none: all that failed or were cancelled.
	ItemIndexes []int
	// MaxConcurrency: default as the source run.
	MaxConcurrency int
	RequestID      string
}

// RetryRun runs the failed and cancelled items of a finished run again, or those named; the new run.
func (c *Client) RetryRun(ctx context.Context, runID string, options *RetryRunOptions) (*RunStatus, error) {
	if options == nil {
		options = &RetryRunOptions{}
	}
	request := &pb.RetryRunRequest{RunId: runID, RequestId: options.RequestID}
	if request.RequestId == "" {
		request.RequestId = newRequestID()
	}
	for _, index := range options.ItemIndexes {
		if index < 0 {
			return nil, NewError(InvalidArgument, fmt.Sprintf("an item index is at least 0, not %d", index), map[string]any{"field": "itemIndexes"})
		}
		request.ItemIndexes = append(request.ItemIndexes, uint64(index))
	}
	if options.MaxConcurrency != 0 {
		bound := int64(options.MaxConcurrency)
		request.MaxConcurrency = &bound
	}
	answer, err := unary(ctx, c, c.raw.Runs.RetryRun, request, always)
	if err != nil {
		return nil, err
	}
	return runStatus(ctx, answer.GetRun(), false, c.readBlob)
}

// DeleteRun deletes a finished run with its sub-runs. It is not repeated by this package: a second answer could not tell what the
// first call did.
func (c *Client) DeleteRun(ctx context.Context, runID string) error {
	_, err := unary(ctx, c, c.raw.Runs.DeleteRun, &pb.DeleteRunRequest{RunId: runID}, never)
	return err
}

// ListRunsOptions are filters: a run is listed if it matches all that is given.
type ListRunsOptions struct {
	// Statuses: any of these.
	Statuses []Status
	FlowID   string
	Label    string
	Metadata map[string]string
	// CreatedAfter and CreatedBefore: zero is no bound.
	CreatedAfter  time.Time
	CreatedBefore time.Time
	ParentRunID   string
	RootRunID     string
	// PageSize 0: the gateway's choice.
	PageSize int
}

// ListRuns iterates over runs, newest first, without results. Pages are asked for as they are needed.
func (c *Client) ListRuns(ctx context.Context, options *ListRunsOptions) iter.Seq2[*RunStatus, error] {
	if options == nil {
		options = &ListRunsOptions{}
	}
	request := pb.ListRunsRequest{
		PageSize:      int32(options.PageSize),
		FlowId:        options.FlowID,
		FlowLabel:     options.Label,
		Metadata:      options.Metadata,
		CreatedAfter:  timestamp(options.CreatedAfter),
		CreatedBefore: timestamp(options.CreatedBefore),
		ParentRunId:   options.ParentRunID,
		RootRunId:     options.RootRunID,
	}
	for _, status := range options.Statuses {
		request.Statuses = append(request.Statuses, pb.RunStatus_Status(status))
	}
	return pages(func(token string) ([]*RunStatus, string, error) {
		request.PageToken = token
		answer, err := unary(ctx, c, c.raw.Runs.ListRuns, &request, always)
		if err != nil {
			return nil, "", err
		}
		page := make([]*RunStatus, 0, len(answer.GetRuns()))
		for _, run := range answer.GetRuns() {
			status, err := runStatus(ctx, run, false, c.readBlob)
			if err != nil {
				return nil, "", err
			}
			page = append(page, status)
		}
		return page, answer.GetNextPageToken(), nil
	})
}

// ListRunItemsOptions say which results are listed. What is zero is not said.
type ListRunItemsOptions struct {
	// Outcomes: only these.
	Outcomes []Outcome
	Order    Order
	// AfterItemIndex: only items behind this index, by index.
	AfterItemIndex *int
	// Merged: with retries of this run, the newest result of each item.
	Merged bool
	// PageSize 0: 10,000.
	PageSize int
}

const largestPage = 10_000

// ListRunItems iterates over the results of the items that have ended. Pages are asked for as they are needed.
func (c *Client) ListRunItems(ctx context.Context, runID string, options *ListRunItemsOptions) iter.Seq2[ItemResult, error] {
	if options == nil {
		options = &ListRunItemsOptions{}
	}
	request := pb.ListRunItemsRequest{
		RunId: runID, PageSize: int32(options.PageSize), ResultOrder: pb.ResultOrder(options.Order), Merged: options.Merged,
	}
	if request.PageSize == 0 {
		request.PageSize = largestPage
	}
	for _, outcome := range options.Outcomes {
		request.Outcomes = append(request.Outcomes, pb.Outcome(outcome))
	}
	if options.AfterItemIndex != nil {
		index := uint64(*options.AfterItemIndex)
		request.AfterItemIndex = &index
	}
	return pages(func(token string) ([]ItemResult, string, error) {
		request.PageToken = token
		answer, err := unary(ctx, c, c.raw.Runs.ListRunItems, &request, always)
		if err != nil {
			return nil, "", err
		}
		page, err := itemResults(ctx, answer.GetItems(), c.readBlob)
		return page, answer.GetNextPageToken(), err
	})
}

// pages reads like one list. fetch gives the page behind a token, "" for the first, and the token of the next, "" behind the last.
func pages[T any](fetch func(token string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		token := ""
		for {
			page, next, err := fetch(token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, element := range page {
				if !yield(element, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			token = next
		}
	}
}

func timestamp(moment time.Time) *timestamppb.Timestamp {
	if moment.IsZero() {
		return nil
	}
	return timestamppb.New(moment)
}
