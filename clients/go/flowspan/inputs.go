package flowspan

import (
	"iter"

	pb "flowspan.dev/go/flowspanv1"
)

const (
	// More inputs than this are streamed: one message would keep the gateway busy for tens of milliseconds.
	unaryMaxInputs = 5_000
	// Inputs of a message end here; larger ones stall the messages of other calls.
	messageBytes  = 1 << 20
	unaryMaxBytes = 4 * messageBytes
)

// Inputs are the values of a run, one per item. Values, Slice and Seq make them.
//
// A value is written by Marshal; json.RawMessage stands for itself, and BlobRef for what a blob holds.
type Inputs struct {
	values iter.Seq[any]
	// count is -1 for values that come from an iterator, which can be read once only.
	count int
}

// BlobRef as an input says that the value is what the blob holds.
type BlobRef struct{ BlobID string }

// Values are inputs that are at hand.
func Values(values ...any) Inputs { return Slice(values) }

// Slice makes inputs of a slice, which is not to be changed during the call.
func Slice[T any](values []T) Inputs {
	return Inputs{count: len(values), values: func(yield func(any) bool) {
		for _, value := range values {
			if !yield(value) {
				return
			}
		}
	}}
}

// Seq makes inputs of an iterator. They are streamed, a few at a time, and the call is not repeated by this package: with a
// RequestID of yours it can be repeated by you.
func Seq[T any](values iter.Seq[T]) Inputs {
	return Inputs{count: -1, values: func(yield func(any) bool) {
		for value := range values {
			if !yield(value) {
				return
			}
		}
	}}
}

// All iterates over the inputs.
func (i Inputs) All() iter.Seq[any] {
	if i.values == nil {
		return func(func(any) bool) {}
	}
	return i.values
}

func (i Inputs) isRepeatable() bool { return i.count >= 0 }

func jsonValue(value any) (*pb.JsonValue, int, error) {
	if blob, isBlob := value.(BlobRef); isBlob {
		return &pb.JsonValue{Kind: &pb.JsonValue_BlobId{BlobId: blob.BlobID}}, len(blob.BlobID), nil
	}
	data, err := Marshal(value)
	if err != nil {
		return nil, 0, err
	}
	return &pb.JsonValue{Kind: &pb.JsonValue_Json{Json: data}}, len(data), nil
}

// whole gives the messages of all inputs if they are at hand and fit into one message; else nil.
func (i Inputs) whole() ([]*pb.JsonValue, bool, error) {
	if i.count < 0 || i.count > unaryMaxInputs {
		return nil, false, nil
	}
	values := make([]*pb.JsonValue, 0, i.count)
	size := 0
	for input := range i.All() {
		value, bytes, err := jsonValue(input)
		if err != nil {
			return nil, false, err
		}
		if size += bytes; size > unaryMaxBytes {
			return nil, false, nil
		}
		values = append(values, value)
	}
	return values, true, nil
}
