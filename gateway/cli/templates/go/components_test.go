package main

import (
	"context"
	"testing"
)

func TestCountCountsWords(t *testing.T) {
	words, err := count(context.Background(), "or not to be")
	if err != nil || words != 4 {
		t.Fatalf("got %d and %v, want 4", words, err)
	}
}

func TestCountRefusesATextWithoutWords(t *testing.T) {
	if words, err := count(context.Background(), " "); err == nil {
		t.Fatalf("got %d, want an error", words)
	}
}
