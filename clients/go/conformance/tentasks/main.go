// Ten tasks, the same in every language: docs/sdks.md shows them side by side. With "serve" it is the component server.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"flowspan.dev/go/components"
	"flowspan.dev/go/flowspan"
)

// 1. Store a flow
func oneStep(component string) map[string]any {
	step := map[string]any{"id": "only", "component": component, "input": map[string]any{"$input": "$"}}
	return map[string]any{"name": component, "steps": []any{step}, "output": map[string]any{"$step": "only"}}
}

func store(ctx context.Context, client *flowspan.Client) (string, error) {
	return client.StoreFlow(ctx, oneStep("/shop/double"))
}

// 2. Run it
func run(ctx context.Context, client *flowspan.Client, flowID string) error {
	status, err := client.Run(ctx, flowID, flowspan.Values(1, 2, 3), &flowspan.SubmitOptions{Label: "first"})
	if err != nil {
		return err
	}
	for _, item := range status.Results {
		fmt.Println(item.ItemIndex, string(item.Value))
	}
	return nil
}

// 3. Follow a run
func follow(ctx context.Context, client *flowspan.Client, flowID string) (string, uint64, error) {
	inputs := flowspan.Values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	run, err := client.Submit(ctx, flowID, inputs, &flowspan.SubmitOptions{MaxConcurrency: 5})
	if err != nil {
		return "", 0, err
	}
	watch := client.Watch(ctx, run.RunID, &flowspan.WatchOptions{Order: flowspan.ByIndex})
	for item, err := range watch.Results() {
		if err != nil {
			return "", 0, err
		}
		if item.ItemIndex == 9 {
			fmt.Println("the last is", string(item.Value))
		}
	}
	return run.RunID, watch.Cursor(), nil
}

// 4. Go on from a cursor
func resume(ctx context.Context, client *flowspan.Client, runID string, cursor uint64) error {
	left := 0
	for _, err := range client.Watch(ctx, runID, &flowspan.WatchOptions{AfterSeq: cursor}).Results() {
		if err != nil {
			return err
		}
		left++
	}
	fmt.Println("left:", left)
	return nil
}

// 5. Errors have reasons
func lookUp(ctx context.Context, client *flowspan.Client) error {
	_, err := client.GetRun(ctx, "019f0000-0000-7000-8000-000000000000", nil)
	var failure *flowspan.Error
	if !errors.As(err, &failure) {
		return err
	}
	whether := "for good"
	if failure.Retryable() {
		whether = "to be repeated"
	}
	fmt.Println(failure.Reason, whether)
	return nil
}

// 6. Wait with a bound, and cancel
func cancel(ctx context.Context, client *flowspan.Client) error {
	run, err := client.Submit(ctx, oneStep("/shop/slow"), flowspan.Slice([]any{nil}), nil)
	if err != nil {
		return err
	}
	status, err := client.Wait(ctx, run.RunID, &flowspan.WaitOptions{Timeout: 200 * time.Millisecond})
	if err != nil {
		return err
	}
	fmt.Println(status.Status)
	if _, err := client.CancelRun(ctx, run.RunID, "no longer needed"); err != nil {
		return err
	}
	status, err = client.Wait(ctx, run.RunID, nil)
	if err != nil {
		return err
	}
	fmt.Println(status.Status)
	return nil
}

// 7. Retry what failed
func retry(ctx context.Context, client *flowspan.Client, flowID string) error {
	status, err := client.Run(ctx, flowID, flowspan.Values(1, -1), nil)
	if err != nil {
		return err
	}
	for _, item := range status.Results {
		if item.Error != nil {
			fmt.Println(item.ItemIndex, item.Error.Code, item.Error.Message)
		}
	}
	again, err := client.RetryRun(ctx, status.RunID, nil)
	if err != nil {
		return err
	}
	fmt.Println("again:", again.Items.Total)
	return nil
}

// 8. Blobs
func blobs(ctx context.Context, client *flowspan.Client) error {
	blobID, err := client.PutBlob(ctx, map[string]any{"count": int64(1) << 60}, flowspan.BlobData)
	if err != nil {
		return err
	}
	blob, err := client.GetBlob(ctx, blobID)
	if err != nil {
		return err
	}
	var value struct {
		Count int64 `json:"count"`
	}
	if err := flowspan.Unmarshal(blob.Data, &value); err != nil {
		return err
	}
	fmt.Println(value.Count)
	return nil
}

// 9. Components
func double(_ context.Context, value int) (int, error) {
	if value < 0 {
		return 0, components.Failed(fmt.Sprintf("%d is negative", value), nil)
	}
	return 2 * value, nil
}

func slow(ctx context.Context, _ any) (any, error) {
	select {
	case <-time.After(time.Minute):
		return nil, nil
	case <-ctx.Done(): // cancelled with its run
		return nil, ctx.Err()
	}
}

// 10. A component that runs a flow
func total(ctx context.Context, values []int) (int, error) {
	x := components.ExecutionOf(ctx)
	flowID, err := x.PutBlob(ctx, oneStep("/shop/double"), flowspan.BlobFlow)
	if err != nil {
		return 0, err
	}
	x.ReportProgress(0.5, "running the others")
	run, err := x.SubmitRun(ctx, flowID, flowspan.Slice(values), &components.SubmitRunOptions{Wait: true})
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, item := range run.Results {
		var value int
		if err := item.Decode(&value); err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
}

func serve(ctx context.Context) error {
	server := components.New(components.Options{Capacity: 8})
	components.Register(server, "/double", double)
	components.Register(server, "/slow", slow)
	components.Register(server, "/total", total)
	return server.Run(ctx)
}

// end
func tasks(ctx context.Context) error {
	client, err := flowspan.NewClient(flowspan.Options{})
	if err != nil {
		return err
	}
	defer client.Close()
	flowID, err := store(ctx, client)
	if err != nil {
		return err
	}
	if err := run(ctx, client, flowID); err != nil {
		return err
	}
	runID, cursor, err := follow(ctx, client, flowID)
	if err != nil {
		return err
	}
	if err := resume(ctx, client, runID, cursor); err != nil {
		return err
	}
	if err := lookUp(ctx, client); err != nil {
		return err
	}
	if err := cancel(ctx, client); err != nil {
		return err
	}
	if err := retry(ctx, client, flowID); err != nil {
		return err
	}
	if err := blobs(ctx, client); err != nil {
		return err
	}
	status, err := client.Run(ctx, oneStep("/shop/total"), flowspan.Values([]int{1, 2, 3}), nil)
	if err != nil {
		return err
	}
	fmt.Println("in all:", string(status.Results[0].Value))
	return nil
}

func main() {
	call := tasks
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		call = serve
	}
	if err := call(context.Background()); err != nil {
		log.Fatal(err)
	}
}
