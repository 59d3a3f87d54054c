package components

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"time"

	"flowspan.dev/go/flowspan"
)

const (
	// The gateway cuts messages at 4 KiB and data at 64 KiB; the author's data shall leave room for the stack.
	maxMessageBytes    = 4 << 10
	maxStackBytes      = 8 << 10
	maxAuthorDataBytes = 48 << 10
)

// Error fails a step in a chosen way. Any other error, and a panic, fails it as COMPONENT_FAILED with the error's text.
type Error struct {
	// Message is for people.
	Message string
	// Code is the component's own. flowspan.CodeInvalidInput is never retried; flowspan.CodeResourceUnavailable and
	// flowspan.CodeTimeout draw on the retry budgets of those names. Any other travels in the data.
	Code string
	// Data is any JSON value, for machines.
	Data any
	// RetryAfter says when the next attempt may be worth while; 0: not said.
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Message }

// Failed fails a step; its flow may try it again.
func Failed(message string, data any) *Error { return &Error{Message: message, Data: data} }

// InvalidInput fails a step whose input is wrong; it is not tried again.
func InvalidInput(message string, data any) *Error {
	return &Error{Message: message, Code: flowspan.CodeInvalidInput, Data: data}
}

// Unavailable fails a step because something that it needs is not there; it is tried again.
func Unavailable(message string, retryAfter time.Duration) *Error {
	return &Error{Message: message, Code: flowspan.CodeResourceUnavailable, RetryAfter: retryAfter}
}

// failure is an error answer as it goes onto the wire.
type failure struct {
	code    int
	message string
	data    json.RawMessage
}

func newFailure(reason flowspan.Reason, message string, details map[string]any) *failure {
	data := map[string]any{"reason": reason, "domain": "flowspan"}
	for name, value := range details {
		data[name] = value
	}
	encoded, err := flowspan.Marshal(data)
	if err != nil {
		encoded, _ = flowspan.Marshal(map[string]any{"reason": reason, "domain": "flowspan", "unreadable": err.Error()})
	}
	return &failure{reason.JSONRPC(), cutText(strings.ToValidUTF8(message, "�"), maxMessageBytes), encoded}
}

var (
	cancelledFailure = newFailure(flowspan.RequestCancelled, "the execution was cancelled", nil)
	timedOutFailure  = newFailure(flowspan.Timeout, "the component did not answer in time", nil)
)

// tooLarge is an output that the wire does not carry: it fails its item, where it would cost the connection.
func tooLarge(size, most int) *failure {
	message := fmt.Sprintf("the output has %d bytes, at most %d fit a message; store it as a blob and return its id", size, most)
	return newFailure(flowspan.LimitExceeded, message, map[string]any{"limit": "output", "max": most, "actual": size})
}

// appendTo writes the error object of a JSON-RPC answer.
func (f *failure) appendTo(to []byte) []byte {
	to = append(to, `{"code":`...)
	to = fmt.Appendf(to, "%d", f.code)
	to = append(to, `,"message":`...)
	to = appendQuoted(to, f.message)
	if f.data != nil {
		to = append(to, `,"data":`...)
		to = append(to, f.data...)
	}
	return append(to, '}')
}

// inputError is an input that does not fit the component's input type.
type inputError struct {
	cause   error
	pointer string
}

func (e *inputError) Error() string { return "the input does not fit: " + e.cause.Error() }

func newInputError(err error) *inputError {
	var mistyped *json.UnmarshalTypeError
	pointer := ""
	if errors.As(err, &mistyped) && mistyped.Field != "" {
		pointer = "/" + strings.ReplaceAll(mistyped.Field, ".", "/")
	}
	return &inputError{err, pointer}
}

// panicked is a panic of component code.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func newPanicked(value any) *panicked { return &panicked{value, debug.Stack()} }

// failureOf is the error answer for an error that component code returned.
func failureOf(err error) *failure {
	var own *Error
	var input *inputError
	var call *flowspan.Error
	var panicking *panicked
	details := map[string]any{"type": fmt.Sprintf("%T", err)}
	reason := flowspan.ComponentFailed
	switch {
	case errors.As(err, &own):
		switch own.Code {
		case flowspan.CodeInvalidInput:
			reason = flowspan.InputSchema
		case flowspan.CodeResourceUnavailable:
			reason = flowspan.ResourceUnavailable
		case flowspan.CodeTimeout:
			reason = flowspan.Timeout
		}
		if own.Code != "" {
			details["code"] = own.Code
		}
		if own.Data != nil {
			details["data"] = bounded(own.Data)
		}
		if own.RetryAfter > 0 {
			details["retryAfterMs"] = int64(math.Ceil(float64(own.RetryAfter) / float64(time.Millisecond)))
		}
	case errors.As(err, &input):
		return newFailure(flowspan.InputSchema, err.Error(), map[string]any{"pointer": input.pointer})
	case errors.As(err, &call):
		if call.Reason == flowspan.InvalidValue && !call.FromPeer {
			return newFailure(flowspan.InvalidValue, call.Message, nil)
		}
		// A call to the gateway failed and the component let it pass: the component failed, whatever the gateway said.
		details["cause"] = call.Reason
	case errors.As(err, &panicking):
		details["type"] = "panic"
		details["stack"] = cutText(string(ownFrames(panicking.stack)), maxStackBytes)
	case errors.Is(err, context.DeadlineExceeded):
		details["type"] = "context.DeadlineExceeded"
	}
	return newFailure(reason, err.Error(), details)
}

// ownFrames leaves out the frames of the runtime and of this package that lie above the panic.
func ownFrames(stack []byte) []byte {
	lines := strings.SplitAfter(string(stack), "\n")
	for position := len(lines) - 1; position > 0; position-- {
		if strings.HasPrefix(lines[position], "panic(") && position+2 < len(lines) {
			return []byte(strings.Join(lines[position+2:], ""))
		}
	}
	return stack
}

func bounded(data any) any {
	encoded, err := flowspan.Marshal(data)
	if err != nil {
		return map[string]any{"unreadable": err.Error()}
	}
	if len(encoded) > maxAuthorDataBytes {
		return map[string]any{"truncated": true, "bytes": len(encoded), "head": strings.ToValidUTF8(string(encoded[:1024]), "")}
	}
	return encoded
}

// cutText keeps at most so many bytes of UTF-8, with an ellipsis where something is left out.
func cutText(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	const ellipsis = "…"
	return strings.ToValidUTF8(text[:maxBytes-len(ellipsis)], "") + ellipsis
}
