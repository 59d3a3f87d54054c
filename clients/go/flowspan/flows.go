package flowspan

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	pb "flowspan.dev/go/flowspanv1"
)

var flowIDForm = regexp.MustCompile(`^(sha256:)?[0-9a-f]{64}$`)

// Diagnostic is one finding about a flow. Level is warning, error or fatal; Line and Column are from 1, 0 where they are not known.
type Diagnostic struct {
	Kind    string
	Code    int
	Level   string
	Message string
	Path    string
	Line    int
	Column  int
}

// Flow is a stored flow. Document is its JSON, as stored.
type Flow struct {
	FlowID   string
	FlowName string
	Document json.RawMessage
}

// FlowSummary is a flow in a list.
type FlowSummary struct {
	FlowID   string
	FlowName string
}

// StoreFlow validates a flow and stores it; its id. Flow is the path of a .json or .yaml file (string), a document as []byte or
// json.RawMessage, or a value that Marshal makes a document of. A flow that does not compile fails with FLOW_INVALID; the detail
// "diagnostics" says why.
func (c *Client) StoreFlow(ctx context.Context, flow any) (string, error) {
	request, err := storeFlowRequest(flow)
	if err != nil {
		return "", err
	}
	answer, err := unary(ctx, c, c.raw.Flows.StoreFlow, request, always)
	if err != nil {
		return "", err
	}
	return answer.GetFlowId(), nil
}

// CheckFlow is what the gateway finds about a flow, fatal findings included. Nothing is stored.
func (c *Client) CheckFlow(ctx context.Context, flow any) ([]Diagnostic, error) {
	request, err := storeFlowRequest(flow)
	if err != nil {
		return nil, err
	}
	request.DryRun = true
	answer, err := unary(ctx, c, c.raw.Flows.StoreFlow, request, always)
	if err != nil {
		return nil, err
	}
	found := make([]Diagnostic, 0, len(answer.GetDiagnostics()))
	for _, d := range answer.GetDiagnostics() {
		level := strings.ToLower(strings.TrimPrefix(d.GetLevel().String(), "DIAGNOSTIC_LEVEL_"))
		found = append(found, Diagnostic{
			d.GetKind(), int(d.GetCode()), level, d.GetMessage(), d.GetPath(), int(d.GetLine()), int(d.GetColumn()),
		})
	}
	return found, nil
}

// GetFlow gives a stored flow.
func (c *Client) GetFlow(ctx context.Context, flowID string) (*Flow, error) {
	answer, err := unary(ctx, c, c.raw.Flows.GetFlow, &pb.GetFlowRequest{FlowId: flowID}, always)
	if err != nil {
		return nil, err
	}
	document, err := jsonBytes(ctx, answer.GetDocument(), c.readBlob)
	if err != nil {
		return nil, err
	}
	return &Flow{FlowID: answer.GetFlowId(), FlowName: answer.GetFlowName(), Document: document}, nil
}

// ListFlows iterates over stored flows, newest first. pageSize 0: the gateway's choice.
func (c *Client) ListFlows(ctx context.Context, pageSize int) iter.Seq2[FlowSummary, error] {
	return pages(func(token string) ([]FlowSummary, string, error) {
		request := &pb.ListFlowsRequest{PageSize: int32(pageSize), PageToken: token}
		answer, err := unary(ctx, c, c.raw.Flows.ListFlows, request, always)
		if err != nil {
			return nil, "", err
		}
		page := make([]FlowSummary, 0, len(answer.GetFlows()))
		for _, flow := range answer.GetFlows() {
			page = append(page, FlowSummary{flow.GetFlowId(), flow.GetFlowName()})
		}
		return page, answer.GetNextPageToken(), nil
	})
}

// GetFlowVariables gives the JSON Schema of the variables that a flow declares.
func (c *Client) GetFlowVariables(ctx context.Context, flowID string) (json.RawMessage, error) {
	answer, err := unary(ctx, c, c.raw.Flows.GetFlowVariables, &pb.GetFlowVariablesRequest{FlowId: flowID}, always)
	if err != nil {
		return nil, err
	}
	return jsonBytes(ctx, answer.GetSchema(), c.readBlob)
}

// DeleteFlow deletes a flow that no run refers to. It is not repeated by this package, as DeleteRun is not.
func (c *Client) DeleteFlow(ctx context.Context, flowID string) error {
	_, err := unary(ctx, c, c.raw.Flows.DeleteFlow, &pb.DeleteFlowRequest{FlowId: flowID}, never)
	return err
}

func (c *Client) flowID(ctx context.Context, flow any) (string, error) {
	if id, isText := flow.(string); isText && flowIDForm.MatchString(id) {
		return id, nil
	}
	return c.StoreFlow(ctx, flow)
}

func storeFlowRequest(flow any) (*pb.StoreFlowRequest, error) {
	switch flow := flow.(type) {
	case []byte:
		return &pb.StoreFlowRequest{Document: flow}, nil
	case json.RawMessage:
		return &pb.StoreFlowRequest{Document: flow}, nil
	case string:
		document, err := os.ReadFile(flow)
		if err != nil {
			message := fmt.Sprintf("%.200q is neither a flow id (sha256: and 64 hexadecimal digits) nor a file that can be read: %v", flow, err)
			return nil, &Error{Reason: InvalidArgument, Message: message, Details: map[string]any{"field": "flow"}, cause: err}
		}
		request := &pb.StoreFlowRequest{Document: document}
		switch strings.ToLower(filepath.Ext(flow)) {
		case ".json":
			request.Format = pb.DocumentFormat_DOCUMENT_FORMAT_JSON
		case ".yaml", ".yml":
			request.Format = pb.DocumentFormat_DOCUMENT_FORMAT_YAML
		}
		return request, nil
	}
	document, err := Marshal(flow)
	if err != nil {
		return nil, err
	}
	return &pb.StoreFlowRequest{Document: document, Format: pb.DocumentFormat_DOCUMENT_FORMAT_JSON}, nil
}
