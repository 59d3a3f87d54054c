// The conformance client: commands come as lines of JSON on stdin, answers go out as lines on stdout, several at once. What it must
// do stands in tests/conformance/PROTOCOL.md.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
	"time"

	"flowspan.dev/go/flowspan"
)

type command struct {
	ID            json.RawMessage   `json:"id"`
	Op            string            `json:"op"`
	Target        string            `json:"target"`
	Token         string            `json:"token"`
	FlowJSON      string            `json:"flow_json"`
	DataJSON      *string           `json:"data_json"`
	DataBase64    *string           `json:"data_base64"`
	BlobType      flowspan.BlobType `json:"blob_type"`
	BlobID        string            `json:"blob_id"`
	FlowID        string            `json:"flow_id"`
	InputsJSON    []string          `json:"inputs_json"`
	MaxConc       int               `json:"max_concurrency"`
	OverridesJSON *string           `json:"overrides_json"`
	VariablesJSON *string           `json:"variables_json"`
	FlowLabel     string            `json:"flow_label"`
	Metadata      map[string]string `json:"metadata"`
	ItemLabels    []string          `json:"item_labels"`
	DeadlineS     float64           `json:"deadline_s"`
	RequestID     string            `json:"request_id"`
	RunID         string            `json:"run_id"`
	Results       bool              `json:"include_results"`
	Order         string            `json:"order"`
	TimeoutS      float64           `json:"timeout_s"`
	TimeoutMS     float64           `json:"timeout_ms"`
	AfterSeq      uint64            `json:"after_seq"`
	ByIndex       bool              `json:"by_index"`
	ResultsOnly   bool              `json:"results_only"`
	Reason        string            `json:"reason"`
	ItemIndexes   []int             `json:"item_indexes"`
	PageSize      int               `json:"page_size"`
	Statuses      []string          `json:"statuses"`
	Outcomes      []string          `json:"outcomes"`
	OpID          json.RawMessage   `json:"op_id"`
}

type object map[string]any

type program struct {
	out     *json.Encoder
	writing sync.Mutex

	mutex  sync.Mutex
	client *flowspan.Client
	open   map[string]context.CancelFunc
}

func main() {
	program := &program{out: json.NewEncoder(os.Stdout), open: map[string]context.CancelFunc{}}
	program.out.SetEscapeHTML(false)
	if err := program.serve(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "conformance client:", err)
		os.Exit(1)
	}
}

func (p *program) serve(input io.Reader) error {
	var running sync.WaitGroup
	lines := bufio.NewReaderSize(input, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 1 {
			asked := &command{}
			if err := json.Unmarshal(line, asked); err != nil {
				return fmt.Errorf("a command cannot be read: %w", err)
			}
			if asked.Op == "connect" || asked.Op == "stop" {
				// These two decide what the next command means.
				p.handle(context.Background(), asked)
			} else {
				ctx, cancel := context.WithCancel(context.Background())
				p.mutex.Lock()
				p.open[string(asked.ID)] = cancel
				p.mutex.Unlock()
				running.Go(func() {
					defer cancel()
					p.handle(ctx, asked)
					p.mutex.Lock()
					delete(p.open, string(asked.ID))
					p.mutex.Unlock()
				})
			}
		}
		if errors.Is(err, io.EOF) {
			p.mutex.Lock()
			for _, cancel := range p.open {
				cancel()
			}
			p.mutex.Unlock()
			running.Wait()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *program) handle(ctx context.Context, asked *command) {
	answer, err := p.answer(ctx, asked)
	if err != nil {
		p.write(object{"id": asked.ID, "error": errorOf(err)})
		return
	}
	p.write(object{"id": asked.ID, "ok": answer})
}

func (p *program) write(line object) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.out.Encode(line); err != nil {
		fmt.Fprintln(os.Stderr, "conformance client:", err)
		os.Exit(1)
	}
}

func errorOf(err error) object {
	var failure *flowspan.Error
	if !errors.As(err, &failure) {
		failure = flowspan.NewError(flowspan.Internal, err.Error(), nil)
	}
	details := failure.Details
	if details == nil {
		details = map[string]any{}
	}
	return object{
		"reason": failure.Reason, "grpc": failure.Reason.GRPC(), "message": failure.Message,
		"retryable": failure.Retryable(), "details": details,
	}
}

func (p *program) connected() (*flowspan.Client, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.client == nil {
		return nil, flowspan.NewError(flowspan.FailedPrecondition, "connect comes first", nil)
	}
	return p.client, nil
}

func (p *program) answer(ctx context.Context, asked *command) (any, error) {
	if asked.Op == "connect" {
		return p.connect(ctx, asked)
	}
	if asked.Op == "stop" {
		p.mutex.Lock()
		cancel := p.open[string(asked.OpID)]
		p.mutex.Unlock()
		if cancel != nil {
			cancel()
		}
		return object{}, nil
	}
	client, err := p.connected()
	if err != nil {
		return nil, err
	}
	order := flowspan.OrderDefault
	if asked.Order != "" {
		if order, err = flowspan.ParseOrder(asked.Order); err != nil {
			return nil, err
		}
	}
	switch asked.Op {
	case "store_flow":
		flow, err := valueOf(asked.FlowJSON)
		if err != nil {
			return nil, err
		}
		flowID, err := client.StoreFlow(ctx, flow)
		return object{"flow_id": flowID}, err
	case "put_blob":
		return putBlob(ctx, client, asked)
	case "get_blob":
		return getBlob(ctx, client, asked)
	case "submit", "submit_stream", "run":
		return submit(ctx, client, asked)
	case "get":
		status, err := client.GetRun(ctx, asked.RunID, &flowspan.GetRunOptions{IncludeResults: asked.Results, Order: order})
		return statusOf(status), err
	case "wait":
		status, err := client.Wait(ctx, asked.RunID, &flowspan.WaitOptions{
			Timeout: seconds(asked.TimeoutS), IncludeResults: true, Order: order,
		})
		return statusOf(status), err
	case "watch":
		return p.watch(ctx, client, asked)
	case "cancel":
		status, err := client.CancelRun(ctx, asked.RunID, asked.Reason)
		return statusOf(status), err
	case "retry":
		status, err := client.RetryRun(ctx, asked.RunID, &flowspan.RetryRunOptions{
			ItemIndexes: asked.ItemIndexes, RequestID: asked.RequestID,
		})
		return statusOf(status), err
	case "delete":
		return object{}, client.DeleteRun(ctx, asked.RunID)
	case "list_runs":
		return listRuns(ctx, client, asked)
	case "list_items":
		return listItems(ctx, client, asked)
	case "components":
		components, _, err := client.ListComponents(ctx)
		names := []string{}
		for _, component := range components {
			names = append(names, component.Path)
		}
		return object{"names": names}, err
	case "deadline":
		bounded, cancel := context.WithTimeout(ctx, time.Duration(asked.TimeoutMS*float64(time.Millisecond)))
		defer cancel()
		status, err := client.GetRun(bounded, asked.RunID, nil)
		return statusOf(status), err
	}
	return nil, flowspan.NewError(flowspan.MethodNotFound, "there is no op "+asked.Op, nil)
}

func (p *program) connect(ctx context.Context, asked *command) (any, error) {
	client, err := flowspan.NewClient(flowspan.Options{Target: asked.Target, Token: asked.Token})
	if err != nil {
		return nil, err
	}
	// A client connects with its first call: an answer shall mean that the gateway is there.
	if _, err := client.Health(ctx); err != nil {
		client.Close()
		return nil, err
	}
	p.mutex.Lock()
	former := p.client
	p.client = client
	p.mutex.Unlock()
	if former != nil {
		former.Close()
	}
	return object{"sdk": "flowspan-go", "version": flowspan.Version}, nil
}

// valueOf reads a text into values that users have, which are as exact as the text.
func valueOf(text string) (any, error) {
	var value flowspan.Ordered
	if err := flowspan.Unmarshal([]byte(text), &value); err != nil {
		return nil, flowspan.NewError(flowspan.ParseError, err.Error(), nil)
	}
	return value, nil
}

// textOf reads a value as users do, and writes it again.
func textOf(data json.RawMessage) string {
	value, err := valueOf(string(data))
	if err != nil {
		return string(data)
	}
	text, err := flowspan.Marshal(value)
	if err != nil {
		return string(data)
	}
	return string(text)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func putBlob(ctx context.Context, client *flowspan.Client, asked *command) (any, error) {
	var value any
	var err error
	if asked.DataBase64 != nil {
		value, err = base64.StdEncoding.DecodeString(*asked.DataBase64)
	} else if asked.DataJSON != nil {
		value, err = valueOf(*asked.DataJSON)
	}
	if err != nil {
		return nil, err
	}
	blobID, err := client.PutBlob(ctx, value, asked.BlobType)
	return object{"blob_id": blobID}, err
}

func getBlob(ctx context.Context, client *flowspan.Client, asked *command) (any, error) {
	blob, err := client.GetBlob(ctx, asked.BlobID)
	if err != nil {
		return nil, err
	}
	if blob.Type == flowspan.BlobBinary {
		return object{"blob_type": blob.Type, "data_base64": base64.StdEncoding.EncodeToString(blob.Data)}, nil
	}
	return object{"blob_type": blob.Type, "data_json": textOf(blob.Data)}, nil
}

func submit(ctx context.Context, client *flowspan.Client, asked *command) (any, error) {
	values := make([]any, 0, len(asked.InputsJSON))
	for _, text := range asked.InputsJSON {
		value, err := valueOf(text)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	options := &flowspan.SubmitOptions{
		MaxConcurrency: asked.MaxConc, Label: asked.FlowLabel, Metadata: asked.Metadata, ItemLabels: asked.ItemLabels,
		Deadline: seconds(asked.DeadlineS), RequestID: asked.RequestID,
	}
	for text, member := range map[*string]*any{asked.OverridesJSON: &options.Overrides, asked.VariablesJSON: &options.Variables} {
		if text != nil {
			value, err := valueOf(*text)
			if err != nil {
				return nil, err
			}
			*member = value
		}
	}
	call := client.Submit
	switch asked.Op {
	case "submit_stream":
		call = client.SubmitStream
	case "run":
		call = client.Run
	}
	status, err := call(ctx, asked.FlowID, flowspan.Slice(values), options)
	return statusOf(status), err
}

func (p *program) watch(ctx context.Context, client *flowspan.Client, asked *command) (any, error) {
	options := &flowspan.WatchOptions{AfterSeq: asked.AfterSeq, ResultsOnly: asked.ResultsOnly}
	if asked.ByIndex {
		options.Order = flowspan.ByIndex
	}
	watch := client.Watch(ctx, asked.RunID, options)
	defer watch.Close()
	for result, err := range watch.Results() {
		if err != nil {
			return nil, err
		}
		p.write(object{"id": asked.ID, "event": object{"result": resultOf(&result), "cursor": watch.Cursor()}})
	}
	// A watch from a cursor on does not see the run's first event, which the status is made of.
	status := watch.Status()
	if status == nil {
		var err error
		if status, err = client.GetRun(ctx, asked.RunID, nil); err != nil {
			return nil, err
		}
	}
	return object{"status": statusOf(status), "cursor": watch.Cursor()}, nil
}

func listRuns(ctx context.Context, client *flowspan.Client, asked *command) (any, error) {
	options := &flowspan.ListRunsOptions{PageSize: asked.PageSize, Label: asked.FlowLabel, Metadata: asked.Metadata}
	for _, word := range asked.Statuses {
		status, err := flowspan.ParseStatus(word)
		if err != nil {
			return nil, err
		}
		options.Statuses = append(options.Statuses, status)
	}
	runs, err := collect(client.ListRuns(ctx, options))
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(runs))
	for _, run := range runs {
		ids = append(ids, run.RunID)
	}
	return object{"run_ids": ids}, nil
}

func listItems(ctx context.Context, client *flowspan.Client, asked *command) (any, error) {
	options := &flowspan.ListRunItemsOptions{PageSize: asked.PageSize}
	for _, word := range asked.Outcomes {
		outcome, err := flowspan.ParseOutcome(word)
		if err != nil {
			return nil, err
		}
		options.Outcomes = append(options.Outcomes, outcome)
	}
	results, err := collect(client.ListRunItems(ctx, asked.RunID, options))
	return object{"results": resultsOf(results)}, err
}

func collect[T any](all iter.Seq2[T, error]) ([]T, error) {
	var elements []T
	for element, err := range all {
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	return elements, nil
}

func statusOf(status *flowspan.RunStatus) object {
	if status == nil {
		return nil
	}
	described := object{
		"run_id": status.RunID, "flow_id": status.FlowID, "status": status.Status.String(), "items": status.Items,
		"as_of_seq": status.AsOfSeq,
	}
	if status.Results != nil {
		described["results"] = resultsOf(status.Results)
	}
	return described
}

func resultsOf(results []flowspan.ItemResult) []object {
	described := make([]object, 0, len(results))
	for position := range results {
		described = append(described, resultOf(&results[position]))
	}
	return described
}

func resultOf(result *flowspan.ItemResult) object {
	described := object{"item_index": result.ItemIndex, "outcome": result.Outcome.String()}
	if result.Value != nil {
		described["value_json"] = textOf(result.Value)
	}
	if result.Error != nil {
		failure := object{"code": result.Error.Code, "message": result.Error.Message}
		if result.Error.Data != nil {
			failure["data_json"] = textOf(result.Error.Data)
		}
		described["error"] = failure
	}
	if result.Reason != "" {
		described["reason"] = result.Reason
	}
	if result.ItemLabel != "" {
		described["item_label"] = result.ItemLabel
	}
	if result.SourceItemIndex != nil {
		described["source_item_index"] = *result.SourceItemIndex
	}
	return described
}
