package main

import (
	"context"
	"strings"

	"flowspan.dev/go/components"
	"flowspan.dev/go/flowspan"
)

var countFlow = map[string]any{
	"name":   "count",
	"steps":  []any{map[string]any{"id": "count", "component": "/@NAME@/count", "input": map[string]any{"$input": "$"}}},
	"output": map[string]any{"$step": "count"},
}

// count is the number of words of a text.
func count(_ context.Context, text string) (int, error) {
	words := len(strings.Fields(text))
	if words == 0 {
		return 0, components.InvalidInput("a text without words", nil)
	}
	return words, nil
}

// total is the words of many texts: count over all of them, as a sub-run.
func total(ctx context.Context, texts []string) (int, error) {
	execution := components.ExecutionOf(ctx)
	flowID, err := execution.PutBlob(ctx, countFlow, flowspan.BlobFlow)
	if err != nil {
		return 0, err
	}
	run, err := execution.SubmitRun(ctx, flowID, flowspan.Slice(texts), &components.SubmitRunOptions{Wait: true})
	if err != nil {
		return 0, err
	}
	if err := run.Err(); err != nil {
		return 0, err
	}
	sum := 0
	for _, item := range run.Results {
		var words int
		if err := item.Decode(&words); err != nil {
			return 0, err
		}
		sum += words
	}
	return sum, nil
}
