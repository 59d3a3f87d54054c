package flowspan

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	pb "flowspan.dev/go/flowspanv1"
)

// Status is where a run stands.
type Status int

// A run is final from StatusSuccess on.
const (
	StatusPending   Status = 1
	StatusRunning   Status = 2
	StatusSuccess   Status = 3
	StatusFailed    Status = 4
	StatusCancelled Status = 5
)

var statusWords = [...]string{"unspecified", "pending", "running", "success", "failed", "cancelled"}

// String is the word of the protocol, such as "running".
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusWords) {
		return fmt.Sprintf("status %d", int(s))
	}
	return statusWords[s]
}

// IsTerminal tells whether the run has ended.
func (s Status) IsTerminal() bool { return s >= StatusSuccess }

// ParseStatus is the inverse of Status.String.
func ParseStatus(word string) (Status, error) {
	for number, known := range statusWords {
		if known == word && number > 0 {
			return Status(number), nil
		}
	}
	return 0, NewError(InvalidArgument, fmt.Sprintf("there is no status %q", word), nil)
}

// Outcome is how an item ended.
type Outcome int

// An item that was skipped counts as a success; one that had started when its run was cancelled is OutcomeCancelled.
const (
	OutcomeSuccess   Outcome = 1
	OutcomeFailed    Outcome = 2
	OutcomeSkipped   Outcome = 3
	OutcomeCancelled Outcome = 4
)

var outcomeWords = [...]string{"unspecified", "success", "failed", "skipped", "cancelled"}

// String is the word of the protocol, such as "success".
func (o Outcome) String() string {
	if o < 0 || int(o) >= len(outcomeWords) {
		return fmt.Sprintf("outcome %d", int(o))
	}
	return outcomeWords[o]
}

// ParseOutcome is the inverse of Outcome.String.
func ParseOutcome(word string) (Outcome, error) {
	for number, known := range outcomeWords {
		if known == word && number > 0 {
			return Outcome(number), nil
		}
	}
	return 0, NewError(InvalidArgument, fmt.Sprintf("there is no outcome %q", word), nil)
}

// Order is the order of item results.
type Order int

// ByIndex is the order of the inputs, ByCompletion that of the run's log.
const (
	OrderDefault Order = 0
	ByIndex      Order = 1
	ByCompletion Order = 2
)

// String is the word of the protocol.
func (o Order) String() string {
	if o == ByCompletion {
		return "byCompletion"
	}
	return "byIndex"
}

// ParseOrder reads byIndex and byCompletion.
func ParseOrder(word string) (Order, error) {
	switch word {
	case "byIndex":
		return ByIndex, nil
	case "byCompletion":
		return ByCompletion, nil
	}
	return 0, NewError(InvalidArgument, fmt.Sprintf("there is no order %q; it is byIndex or byCompletion", word), nil)
}

// The codes of a FlowError.
const (
	CodeTimeout             = "TIMEOUT"
	CodeInvalidInput        = "INVALID_INPUT"
	CodeComponentFailed     = "COMPONENT_FAILED"
	CodeCancelled           = "CANCELLED"
	CodeUnreachable         = "UNREACHABLE"
	CodeComponentNotFound   = "COMPONENT_NOT_FOUND"
	CodeResourceUnavailable = "RESOURCE_UNAVAILABLE"
	CodeExpressionFailure   = "EXPRESSION_FAILURE"
	CodeOrchestratorError   = "ORCHESTRATOR_ERROR"
	CodeWorkerError         = "WORKER_ERROR"
)

// FlowError is why an item failed.
type FlowError struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func (e *FlowError) Error() string { return e.Code + ": " + e.Message }

// ItemResult is how one item of a run ended.
type ItemResult struct {
	// ItemIndex is the position of the item in the run's inputs, from 0.
	ItemIndex int
	// Outcome says which of the members below is set.
	Outcome Outcome
	// Value is the output of the flow, as JSON that lost nothing; only with OutcomeSuccess.
	Value json.RawMessage
	// Error is why the item failed or was cancelled.
	Error *FlowError
	// Reason is why the item was skipped, if the flow says so.
	Reason string
	// CompletedAt is when the result was recorded.
	CompletedAt time.Time
	// ItemLabel is what was given at submit.
	ItemLabel string
	// SourceItemIndex is, in a retry of another run, the item's index there.
	SourceItemIndex *int
}

// Decode reads the value of a successful item. An item without one gives its error.
func (r *ItemResult) Decode(value any) error {
	if r.Outcome == OutcomeSuccess {
		return Unmarshal(r.Value, value)
	}
	if r.Error != nil {
		return r.Error
	}
	return NewError(FailedPrecondition, fmt.Sprintf("item %d was skipped and has no value", r.ItemIndex), nil)
}

// ItemCounts says how many items are where. Total is the sum of the others, always.
type ItemCounts struct {
	Total     int `json:"total"`
	Pending   int `json:"pending"`
	Running   int `json:"running"`
	Success   int `json:"success"`
	Failed    int `json:"failed"`
	Cancelled int `json:"cancelled"`
}

// ResultsOmitted says that results were asked for and did not fit. This package reads them in pages by itself.
type ResultsOmitted struct {
	Count int `json:"count"`
	Bytes int `json:"bytes"`
	Limit int `json:"limit"`
	Next  int `json:"next"`
}

// RunProgress is the speed of a run: the only part of a status that is not durable fact.
type RunProgress struct {
	RatePerSecond float64
	// ETA is 0 if it is not known.
	ETA        time.Duration
	WaitingFor []string
}

// RunStatus is the state of a run as of event AsOfSeq of its log. Texts that are not there are empty, times zero.
type RunStatus struct {
	RunID     string
	FlowID    string
	FlowName  string
	FlowLabel string
	Status    Status
	Items     ItemCounts
	CreatedAt time.Time
	// CompletedAt is zero while the run goes on.
	CompletedAt time.Time
	// Results is nil if they were not asked for.
	Results     []ItemResult
	AsOfSeq     uint64
	RootRunID   string
	ParentRunID string
	SourceRunID string
	Metadata    map[string]string
	// ResultsOmitted is nil unless results were left out.
	ResultsOmitted *ResultsOmitted
	// MaxConcurrency is the bound on items running at once, after defaults and clamping; 0: not known.
	MaxConcurrency int
	Progress       *RunProgress
	CancelReason   string
}

// IsTerminal tells whether the run has ended.
func (s *RunStatus) IsTerminal() bool { return s.Status.IsTerminal() }

// RunFailedError says that a run did not succeed; RunStatus.Err makes it.
type RunFailedError struct {
	Status *RunStatus
	// First is the first failure among the results, if they are there.
	First *ItemResult
}

func (e *RunFailedError) Error() string {
	status := e.Status
	if status.Status == StatusCancelled {
		if status.CancelReason != "" {
			return fmt.Sprintf("run %s was cancelled: %s", status.RunID, status.CancelReason)
		}
		return fmt.Sprintf("run %s was cancelled", status.RunID)
	}
	text := fmt.Sprintf("%d of %d items of run %s failed", status.Items.Failed, status.Items.Total, status.RunID)
	if e.First != nil {
		text += fmt.Sprintf("; item %d: %s", e.First.ItemIndex, e.First.Error)
	}
	return text
}

// Err is a *RunFailedError if an item failed or the run was cancelled, else nil.
func (s *RunStatus) Err() error {
	if s.Status != StatusCancelled && s.Status != StatusFailed && s.Items.Failed == 0 {
		return nil
	}
	failure := &RunFailedError{Status: s}
	for position := range s.Results {
		if s.Results[position].Outcome == OutcomeFailed && s.Results[position].Error != nil {
			failure.First = &s.Results[position]
			break
		}
	}
	return failure
}

// --- from messages

type blobReader func(ctx context.Context, blobID string) ([]byte, error)

func runStatus(ctx context.Context, run *pb.RunStatus, withResults bool, readBlob blobReader) (*RunStatus, error) {
	items := run.GetItems()
	status := &RunStatus{
		RunID:     run.GetRunId(),
		FlowID:    run.GetFlowId(),
		FlowName:  run.GetFlowName(),
		FlowLabel: run.GetFlowLabel(),
		Status:    Status(run.GetStatus()),
		Items: ItemCounts{
			Total: int(items.GetTotal()), Pending: int(items.GetPending()), Running: int(items.GetRunning()),
			Success: int(items.GetSuccess()), Failed: int(items.GetFailed()), Cancelled: int(items.GetCancelled()),
		},
		AsOfSeq:        run.GetAsOfSeq(),
		RootRunID:      run.GetRootRunId(),
		ParentRunID:    run.GetParentRunId(),
		SourceRunID:    run.GetSourceRunId(),
		Metadata:       run.GetMetadata(),
		MaxConcurrency: int(run.GetEffectiveMaxConcurrency()),
		CancelReason:   run.GetCancelReason(),
	}
	if run.GetCreatedAt() != nil {
		status.CreatedAt = run.GetCreatedAt().AsTime()
	}
	if run.GetCompletedAt() != nil {
		status.CompletedAt = run.GetCompletedAt().AsTime()
	}
	if omitted := run.GetResultsOmitted(); omitted != nil {
		status.ResultsOmitted = &ResultsOmitted{
			Count: int(omitted.GetCount()), Bytes: int(omitted.GetBytes()), Limit: int(omitted.GetLimit()), Next: int(omitted.GetNext()),
		}
	}
	if progress := run.GetProgress(); progress != nil {
		status.Progress = &RunProgress{
			RatePerSecond: progress.GetRatePerSecond(),
			ETA:           time.Duration(progress.GetEtaSeconds() * float64(time.Second)),
			WaitingFor:    progress.GetWaitingFor(),
		}
	}
	if withResults || len(run.GetResults()) > 0 {
		results, err := itemResults(ctx, run.GetResults(), readBlob)
		if err != nil {
			return nil, err
		}
		status.Results = results
	}
	return status, nil
}

func itemResults(ctx context.Context, items []*pb.ItemResult, readBlob blobReader) ([]ItemResult, error) {
	results := make([]ItemResult, len(items))
	for position, item := range items {
		if err := itemResult(ctx, item, &results[position], readBlob); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func itemResult(ctx context.Context, item *pb.ItemResult, result *ItemResult, readBlob blobReader) error {
	flow := item.GetResult()
	result.ItemIndex = int(item.GetItemIndex())
	result.Outcome = Outcome(flow.GetOutcome())
	result.Reason = flow.GetReason()
	result.ItemLabel = item.GetItemLabel()
	if item.GetCompletedAt() != nil {
		result.CompletedAt = item.GetCompletedAt().AsTime()
	}
	if item.SourceItemIndex != nil {
		index := int(item.GetSourceItemIndex())
		result.SourceItemIndex = &index
	}
	var err error
	if result.Value, err = jsonBytes(ctx, flow.GetValue(), readBlob); err != nil {
		return err
	}
	if failure := flow.GetError(); failure != nil {
		result.Error = &FlowError{Code: failure.GetCode(), Message: failure.GetMessage()}
		if result.Error.Data, err = jsonBytes(ctx, failure.GetData(), readBlob); err != nil {
			return err
		}
		if result.Outcome == OutcomeFailed && failure.GetCode() == CodeCancelled {
			// On the wire an item that a cancel ended is a failed one; its code tells them apart.
			result.Outcome = OutcomeCancelled
		}
	}
	return nil
}

func jsonBytes(ctx context.Context, value *pb.JsonValue, readBlob blobReader) (json.RawMessage, error) {
	if value == nil {
		return nil, nil
	}
	if value.GetBlobId() != "" {
		return readBlob(ctx, value.GetBlobId())
	}
	return value.GetJson(), nil
}
