package components

import (
	"encoding/json"
	"time"

	"flowspan.dev/go/flowspan"
)

// A RunStatus and its results as JSON; unknown members are ignored.

type wireResult struct {
	ItemIndex int `json:"itemIndex"`
	Result    struct {
		Outcome string              `json:"outcome"`
		Value   json.RawMessage     `json:"value"`
		Error   *flowspan.FlowError `json:"error"`
		Reason  string              `json:"reason"`
		BlobID  string              `json:"blobId"`
	} `json:"result"`
	CompletedAt     time.Time `json:"completedAt"`
	ItemLabel       string    `json:"itemLabel"`
	SourceItemIndex *int      `json:"sourceItemIndex"`
}

type wireStatus struct {
	RunID          string                   `json:"runId"`
	FlowID         string                   `json:"flowId"`
	FlowName       string                   `json:"flowName"`
	FlowLabel      string                   `json:"flowLabel"`
	Status         string                   `json:"status"`
	Items          flowspan.ItemCounts      `json:"items"`
	CreatedAt      time.Time                `json:"createdAt"`
	CompletedAt    time.Time                `json:"completedAt"`
	Results        *[]wireResult            `json:"results"`
	ResultsOmitted *flowspan.ResultsOmitted `json:"resultsOmitted"`
	AsOfSeq        uint64                   `json:"asOfSeq"`
	RootRunID      string                   `json:"rootRunId"`
	ParentRunID    string                   `json:"parentRunId"`
	SourceRunID    string                   `json:"sourceRunId"`
	Metadata       map[string]string        `json:"metadata"`
	MaxConcurrency int                      `json:"effectiveMaxConcurrency"`
	CancelReason   string                   `json:"cancelReason"`
	Progress       *struct {
		RatePerSecond float64  `json:"ratePerSecond"`
		ETASeconds    float64  `json:"etaSeconds"`
		WaitingFor    []string `json:"waitingFor"`
	} `json:"progress"`
}

// keptInBlob is a result whose value is to be read from a blob.
type keptInBlob struct {
	position int
	blobID   string
}

func readStatus(data []byte) (*flowspan.RunStatus, []keptInBlob, error) {
	var wire wireStatus
	if err := json.Unmarshal(data, &wire); err != nil {
		return nil, nil, unreadable("RunStatus", err)
	}
	code, err := flowspan.ParseStatus(wire.Status)
	if err != nil {
		return nil, nil, unreadable("RunStatus", err)
	}
	status := &flowspan.RunStatus{
		RunID: wire.RunID, FlowID: wire.FlowID, FlowName: wire.FlowName, FlowLabel: wire.FlowLabel, Status: code,
		Items: wire.Items, CreatedAt: wire.CreatedAt, CompletedAt: wire.CompletedAt, AsOfSeq: wire.AsOfSeq,
		RootRunID: wire.RootRunID, ParentRunID: wire.ParentRunID, SourceRunID: wire.SourceRunID, Metadata: wire.Metadata,
		ResultsOmitted: wire.ResultsOmitted, MaxConcurrency: wire.MaxConcurrency, CancelReason: wire.CancelReason,
	}
	if status.RootRunID == "" {
		status.RootRunID = status.RunID
	}
	if wire.Progress != nil {
		status.Progress = &flowspan.RunProgress{
			RatePerSecond: wire.Progress.RatePerSecond,
			ETA:           time.Duration(wire.Progress.ETASeconds * float64(time.Second)),
			WaitingFor:    wire.Progress.WaitingFor,
		}
	}
	var kept []keptInBlob
	if wire.Results != nil {
		status.Results = make([]flowspan.ItemResult, 0, len(*wire.Results))
		for position := range *wire.Results {
			result, blobID, err := (*wire.Results)[position].read()
			if err != nil {
				return nil, nil, err
			}
			if blobID != "" {
				kept = append(kept, keptInBlob{position, blobID})
			}
			status.Results = append(status.Results, result)
		}
	}
	return status, kept, nil
}

func (w *wireResult) read() (flowspan.ItemResult, string, error) {
	outcome, err := flowspan.ParseOutcome(w.Result.Outcome)
	if err != nil {
		return flowspan.ItemResult{}, "", unreadable("item result", err)
	}
	if outcome == flowspan.OutcomeFailed && w.Result.Error != nil && w.Result.Error.Code == flowspan.CodeCancelled {
		// On the wire an item that a cancel ended is a failed one; its code tells them apart.
		outcome = flowspan.OutcomeCancelled
	}
	return flowspan.ItemResult{
		ItemIndex: w.ItemIndex, Outcome: outcome, Value: w.Result.Value, Error: w.Result.Error, Reason: w.Result.Reason,
		CompletedAt: w.CompletedAt, ItemLabel: w.ItemLabel, SourceItemIndex: w.SourceItemIndex,
	}, w.Result.BlobID, nil
}

// setPayload completes a result whose value was kept in a blob.
func setPayload(result *flowspan.ItemResult, payload []byte) error {
	switch result.Outcome {
	case flowspan.OutcomeSuccess:
		result.Value = payload
	case flowspan.OutcomeFailed, flowspan.OutcomeCancelled:
		result.Error = &flowspan.FlowError{}
		if err := json.Unmarshal(payload, result.Error); err != nil {
			return unreadable("error of an item", err)
		}
	}
	return nil
}

func unreadable(what string, err error) error {
	return flowspan.NewError(flowspan.ParseError, "the gateway's "+what+" is not what the contract says: "+err.Error(), nil)
}
