package flowspan

import (
	"encoding/json"
	"fmt"
	"time"

	pb "flowspan.dev/go/flowspanv1"
)

// runDescription is what never changes about a run: the payload of its first event.
type runDescription struct {
	RunID          string            `json:"runId"`
	FlowID         string            `json:"flowId"`
	FlowName       string            `json:"flowName"`
	FlowLabel      string            `json:"flowLabel"`
	Total          int               `json:"total"`
	CreatedAtUS    int64             `json:"createdAtUs"`
	CreatedAt      time.Time         `json:"createdAt"`
	MaxConcurrency int               `json:"maxConcurrency"`
	RootRunID      string            `json:"rootRunId"`
	ParentRunID    string            `json:"parentRunId"`
	SourceRunID    string            `json:"sourceRunId"`
	Metadata       map[string]string `json:"metadata"`
}

// runFold is the state of a run after the events that were seen so far.
type runFold struct {
	description  *runDescription
	throughSeq   uint64
	status       Status
	completedAt  time.Time
	cancelReason string
	closing      bool
	started      int
	success      int
	failed       int
	cancelled    int
}

// logResult is a result with its place in the log. A payload that is kept in a blob is read before the result is handed out.
type logResult struct {
	seq     uint64
	item    ItemResult
	payload []byte
	isBlob  bool
}

// apply takes in the events of a segment that lie behind throughSeq, and gives the results among them.
func (f *runFold) apply(segment *pb.Segment, results []logResult) ([]logResult, error) {
	first, headers, payloads := segment.GetFirstSeq(), segment.GetHeaders(), segment.GetPayloads()
	if first > f.throughSeq+1 {
		return results, fmt.Errorf("gap in the log: have events up to %d, got a segment from %d", f.throughSeq, first)
	}
	hasPayloads := len(payloads) == len(headers)
	recordedAt := segment.GetRecordedAt().AsTime()
	for position, header := range headers {
		seq := first + uint64(position)
		if seq <= f.throughSeq {
			continue
		}
		var payload []byte
		if hasPayloads {
			payload = payloads[position]
		}
		switch header.GetKind() {
		case pb.EventKind_EVENT_KIND_ITEM_COMPLETED:
			result := logResult{seq: seq, payload: payload, isBlob: header.GetPayloadIsBlob()}
			result.item.ItemIndex = int(header.GetItemIndex())
			result.item.Outcome = Outcome(header.GetOutcome())
			result.item.CompletedAt = recordedAt
			switch result.item.Outcome {
			case OutcomeFailed:
				f.failed++
			case OutcomeCancelled:
				f.cancelled++
			default:
				f.success++
			}
			results = append(results, result)
		case pb.EventKind_EVENT_KIND_ITEMS_STARTED:
			f.started = int(header.GetItemIndex() + header.GetItemCount())
			if !f.status.IsTerminal() {
				f.status = StatusRunning
			}
		case pb.EventKind_EVENT_KIND_RUN_ACCEPTED:
			if len(payload) > 0 {
				description := &runDescription{}
				if err := json.Unmarshal(payload, description); err != nil {
					return results, fmt.Errorf("the first event cannot be read: %w", err)
				}
				f.description = description
			}
		case pb.EventKind_EVENT_KIND_RUN_CANCEL_REQUESTED:
			f.closing, f.cancelReason = true, string(payload)
		case pb.EventKind_EVENT_KIND_RUN_COMPLETED:
			f.status, f.completedAt = Status(header.GetRunStatus()), recordedAt
		}
	}
	if count := uint64(len(headers)); count > 0 {
		f.throughSeq = max(f.throughSeq, first+count-1)
	}
	return results, nil
}

// snapshot is the state as a value; nil before event 1 was seen.
func (f *runFold) snapshot() *RunStatus {
	description := f.description
	if description == nil {
		return nil
	}
	createdAt := description.CreatedAt
	if createdAt.IsZero() && description.CreatedAtUS != 0 {
		createdAt = time.UnixMicro(description.CreatedAtUS).UTC()
	}
	status := f.status
	if status == 0 {
		status = StatusPending
	}
	return &RunStatus{
		RunID:          description.RunID,
		FlowID:         description.FlowID,
		FlowName:       description.FlowName,
		FlowLabel:      description.FlowLabel,
		Status:         status,
		Items:          f.counts(),
		CreatedAt:      createdAt,
		CompletedAt:    f.completedAt,
		AsOfSeq:        f.throughSeq,
		RootRunID:      description.RootRunID,
		ParentRunID:    description.ParentRunID,
		SourceRunID:    description.SourceRunID,
		Metadata:       description.Metadata,
		MaxConcurrency: description.MaxConcurrency,
		CancelReason:   f.cancelReason,
	}
}

// counts turns tallies into counts by the one rule that the gateway keeps as well.
func (f *runFold) counts() ItemCounts {
	total := f.description.Total
	// A filter may leave out that items have started, but not that they have ended.
	running := min(max(f.started-f.success-f.failed-f.cancelled, 0), f.description.MaxConcurrency)
	if f.closing {
		return ItemCounts{total, 0, running, f.success, f.failed, total - running - f.success - f.failed}
	}
	pending := total - running - f.success - f.failed - f.cancelled
	return ItemCounts{total, pending, running, f.success, f.failed, f.cancelled}
}

// finish turns the payload into the members of the result.
func (r *logResult) finish() error {
	item := &r.item
	switch item.Outcome {
	case OutcomeSuccess:
		item.Value = r.payload
	case OutcomeSkipped:
		if len(r.payload) > 0 {
			var skipped struct {
				Reason string `json:"reason"`
			}
			if err := json.Unmarshal(r.payload, &skipped); err != nil {
				return err
			}
			item.Reason = skipped.Reason
		}
	case OutcomeCancelled, OutcomeFailed:
		if len(r.payload) > 0 {
			item.Error = &FlowError{}
			if err := json.Unmarshal(r.payload, item.Error); err != nil {
				return err
			}
		} else if item.Outcome == OutcomeCancelled {
			item.Error = &FlowError{Code: CodeCancelled, Message: "the run was cancelled"}
		}
	}
	r.payload = nil
	return nil
}
