// The conformance component server: a stdio plugin, or a worker where FLOWSPAN_QUEUE is set. What its components do stands in
// tests/conformance/PROTOCOL.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"flowspan.dev/go/components"
	"flowspan.dev/go/flowspan"
)

func main() {
	capacity := 8
	if text := os.Getenv("CONFORMANCE_CAPACITY"); text != "" {
		var err error
		if capacity, err = strconv.Atoi(text); err != nil {
			log.Fatal("CONFORMANCE_CAPACITY: ", err)
		}
	}
	server := components.New(components.Options{Capacity: capacity})
	components.Register(server, "/echo", echo, components.Description("Its input."))
	components.Register(server, "/facts", facts)
	components.Register(server, "/fail", fail)
	components.Register(server, "/skip", skip)
	components.Register(server, "/print", printText)
	components.Register(server, "/sleep", sleep)
	components.Register(server, "/progress", progress)
	components.Register(server, "/big", big)
	components.Register(server, "/deep", deep)
	components.Register(server, "/exit", exit)
	components.Register(server, "/put", put)
	components.Register(server, "/sub_run", subRun)
	components.Register(server, "/sub_watch", subWatch)
	components.Register(server, "/count", count)
	components.Register(server, "/users/{id}", user)
	if err := server.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func echo(_ context.Context, input flowspan.Ordered) (flowspan.Ordered, error) { return input, nil }

func facts(ctx context.Context, _ any) (map[string]any, error) {
	x := components.ExecutionOf(ctx)
	return map[string]any{
		"attempt": x.Attempt(), "runId": x.RunID(), "flowId": x.FlowID(), "stepId": x.StepID(), "itemIndex": x.ItemIndex(),
		"taskToken": x.TaskToken() != "", "idempotencyToken": x.IdempotencyToken(), "traceparent": x.TraceParent(), "pid": os.Getpid(),
	}, nil
}

type failInput struct {
	Kind    string            `json:"kind"`
	Message string            `json:"message"`
	Data    *flowspan.Ordered `json:"data"`
}

func fail(_ context.Context, input failInput) (any, error) {
	var data any
	if input.Data != nil {
		data = *input.Data
	}
	switch input.Kind {
	case "invalid_input":
		return nil, components.InvalidInput(input.Message, data)
	case "failed":
		return nil, components.Failed(input.Message, data)
	case "unavailable":
		return nil, &components.Error{Message: input.Message, Code: flowspan.CodeResourceUnavailable, Data: data}
	case "crash_in_code":
		panic(errors.New(input.Message))
	}
	return nil, components.InvalidInput("there is no kind "+input.Kind, nil)
}

// skip fails: a component of this SDK cannot skip its step, its flow does.
func skip(context.Context, any) (any, error) { return nil, components.Failed("not today", nil) }

func printText(_ context.Context, input struct{ Text string }) (string, error) {
	fmt.Println(input.Text)
	return "printed", nil
}

func sleep(ctx context.Context, input struct{ MS int64 }) (int64, error) {
	select {
	case <-time.After(time.Duration(input.MS) * time.Millisecond):
		return input.MS, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func progress(ctx context.Context, _ any) (string, error) {
	x := components.ExecutionOf(ctx)
	for _, fraction := range []float64{0.25, 0.5, 0.75} {
		x.ReportProgress(fraction, fmt.Sprintf("%.0f %% done", 100*fraction))
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return "done", nil
}

func big(_ context.Context, input struct{ Bytes int }) (string, error) {
	return strings.Repeat("x", input.Bytes), nil
}

func deep(_ context.Context, input struct{ Depth int }) (any, error) {
	var value any = []any{}
	for range input.Depth - 1 {
		value = []any{value}
	}
	return value, nil
}

func exit(ctx context.Context, input struct{ Below int }) (int, error) {
	attempt := components.ExecutionOf(ctx).Attempt()
	if attempt < input.Below {
		os.Exit(3)
	}
	return attempt, nil
}

func put(ctx context.Context, input flowspan.Ordered) (map[string]any, error) {
	x := components.ExecutionOf(ctx)
	blobID, err := x.PutBlob(ctx, input, flowspan.BlobData)
	if err != nil {
		return nil, err
	}
	blob, err := x.GetBlob(ctx, blobID)
	if err != nil {
		return nil, err
	}
	var data flowspan.Ordered
	if err := blob.Decode(&data); err != nil {
		return nil, err
	}
	return map[string]any{"blobId": blobID, "data": data}, nil
}

type subRunInput struct {
	FlowID         string             `json:"flow_id"`
	Inputs         []flowspan.Ordered `json:"inputs"`
	MaxConcurrency int                `json:"max_concurrency"`
}

func subRun(ctx context.Context, input subRunInput) (map[string]any, error) {
	x := components.ExecutionOf(ctx)
	status, err := x.SubmitRun(ctx, input.FlowID, flowspan.Slice(input.Inputs), &components.SubmitRunOptions{
		Wait: true, MaxConcurrency: input.MaxConcurrency,
	})
	if err != nil {
		return nil, err
	}
	results := []map[string]any{}
	for _, result := range status.Results {
		described := map[string]any{"itemIndex": result.ItemIndex, "outcome": result.Outcome.String()}
		if result.Outcome == flowspan.OutcomeSuccess {
			var value flowspan.Ordered
			if err := result.Decode(&value); err != nil {
				return nil, err
			}
			described["value"] = value
		}
		results = append(results, described)
	}
	return map[string]any{"runId": status.RunID, "status": status.Status.String(), "results": results}, nil
}

func subWatch(ctx context.Context, input subRunInput) (map[string]any, error) {
	x := components.ExecutionOf(ctx)
	status, err := x.SubmitRun(ctx, input.FlowID, flowspan.Slice(input.Inputs), &components.SubmitRunOptions{
		MaxConcurrency: input.MaxConcurrency,
	})
	if err != nil {
		return nil, err
	}
	indexes := []int{}
	watch := x.WatchRun(ctx, status.RunID, 0)
	for result, err := range watch.Results() {
		if err != nil {
			return nil, err
		}
		indexes = append(indexes, result.ItemIndex)
	}
	return map[string]any{"indexes": indexes, "status": watch.Status().Status.String()}, nil
}

var counted atomic.Int64

func count(context.Context, any) (int64, error) { return counted.Add(1), nil }

func user(ctx context.Context, input flowspan.Ordered) (map[string]any, error) {
	return map[string]any{"id": components.ExecutionOf(ctx).Parameter("id"), "input": input}, nil
}
