package flowspan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Reason is the stable, machine-readable name of a failure. It is an error itself, so that
// errors.Is(err, flowspan.RunNotFound) tells what happened.
type Reason string

// The reasons of docs/errors.md.
const (
	ParseError          Reason = "PARSE_ERROR"
	InvalidRequest      Reason = "INVALID_REQUEST"
	MethodNotFound      Reason = "METHOD_NOT_FOUND"
	InvalidArgument     Reason = "INVALID_ARGUMENT"
	FlowInvalid         Reason = "FLOW_INVALID"
	Internal            Reason = "INTERNAL"
	ComponentNotFound   Reason = "COMPONENT_NOT_FOUND"
	NotInitialized      Reason = "NOT_INITIALIZED"
	InputSchema         Reason = "INPUT_SCHEMA"
	ComponentFailed     Reason = "COMPONENT_FAILED"
	ResourceUnavailable Reason = "RESOURCE_UNAVAILABLE"
	Timeout             Reason = "TIMEOUT"
	PermissionDenied    Reason = "PERMISSION_DENIED"
	Unauthenticated     Reason = "UNAUTHENTICATED"
	BlobNotFound        Reason = "BLOB_NOT_FOUND"
	ExpressionFailure   Reason = "EXPRESSION_FAILURE"
	InvalidValue        Reason = "INVALID_VALUE"
	NotFound            Reason = "NOT_FOUND"
	RunNotFound         Reason = "RUN_NOT_FOUND"
	FlowNotFound        Reason = "FLOW_NOT_FOUND"
	LimitExceeded       Reason = "LIMIT_EXCEEDED"
	QuotaExceeded       Reason = "QUOTA_EXCEEDED"
	Overloaded          Reason = "OVERLOADED"
	IdempotencyConflict Reason = "IDEMPOTENCY_CONFLICT"
	Cancelled           Reason = "CANCELLED"
	StorageFull         Reason = "STORAGE_FULL"
	StorageFailed       Reason = "STORAGE_FAILED"
	HashMismatch        Reason = "HASH_MISMATCH"
	RecursionLimit      Reason = "RECURSION_LIMIT"
	PluginCrashed       Reason = "PLUGIN_CRASHED"
	PluginProtocol      Reason = "PLUGIN_PROTOCOL"
	Unavailable         Reason = "UNAVAILABLE"
	Fenced              Reason = "FENCED"
	CursorExpired       Reason = "CURSOR_EXPIRED"
	FailedPrecondition  Reason = "FAILED_PRECONDITION"
	RequestCancelled    Reason = "REQUEST_CANCELLED"
)

// Error makes a Reason usable as the target of errors.Is.
func (r Reason) Error() string { return string(r) }

type reasonCodes struct {
	jsonrpc int
	grpc    codes.Code
}

var codesOf = map[Reason]reasonCodes{
	ParseError:          {-32700, codes.InvalidArgument},
	InvalidRequest:      {-32600, codes.InvalidArgument},
	MethodNotFound:      {-32601, codes.Unimplemented},
	InvalidArgument:     {-32602, codes.InvalidArgument},
	FlowInvalid:         {-32602, codes.InvalidArgument},
	Internal:            {-32603, codes.Internal},
	ComponentNotFound:   {-32001, codes.NotFound},
	NotInitialized:      {-32002, codes.FailedPrecondition},
	InputSchema:         {-32003, codes.InvalidArgument},
	ComponentFailed:     {-32004, codes.Internal},
	ResourceUnavailable: {-32005, codes.Unavailable},
	Timeout:             {-32006, codes.DeadlineExceeded},
	PermissionDenied:    {-32007, codes.PermissionDenied},
	Unauthenticated:     {-32007, codes.Unauthenticated},
	BlobNotFound:        {-32008, codes.NotFound},
	ExpressionFailure:   {-32009, codes.FailedPrecondition},
	InvalidValue:        {-32011, codes.InvalidArgument},
	NotFound:            {-32012, codes.NotFound},
	RunNotFound:         {-32012, codes.NotFound},
	FlowNotFound:        {-32012, codes.NotFound},
	LimitExceeded:       {-32013, codes.InvalidArgument},
	QuotaExceeded:       {-32013, codes.ResourceExhausted},
	Overloaded:          {-32014, codes.ResourceExhausted},
	IdempotencyConflict: {-32015, codes.AlreadyExists},
	Cancelled:           {-32016, codes.Canceled},
	StorageFull:         {-32017, codes.ResourceExhausted},
	StorageFailed:       {-32017, codes.Internal},
	HashMismatch:        {-32018, codes.DataLoss},
	RecursionLimit:      {-32019, codes.FailedPrecondition},
	PluginCrashed:       {-32020, codes.Unavailable},
	PluginProtocol:      {-32021, codes.Unavailable},
	Unavailable:         {-32022, codes.Unavailable},
	Fenced:              {-32023, codes.Aborted},
	CursorExpired:       {-32012, codes.OutOfRange},
	FailedPrecondition:  {-32012, codes.FailedPrecondition},
	RequestCancelled:    {-32800, codes.Canceled},
}

// reasonOfStatus says what a status means that carries no reason of ours: it comes from gRPC itself, or from a proxy.
var reasonOfStatus = map[codes.Code]Reason{
	codes.Canceled:           RequestCancelled,
	codes.InvalidArgument:    InvalidArgument,
	codes.DeadlineExceeded:   Timeout,
	codes.NotFound:           NotFound,
	codes.AlreadyExists:      IdempotencyConflict,
	codes.PermissionDenied:   PermissionDenied,
	codes.ResourceExhausted:  QuotaExceeded,
	codes.FailedPrecondition: FailedPrecondition,
	codes.Aborted:            Fenced,
	codes.OutOfRange:         CursorExpired,
	codes.Unimplemented:      MethodNotFound,
	codes.Internal:           Internal,
	codes.Unavailable:        Unavailable,
	codes.DataLoss:           HashMismatch,
	codes.Unauthenticated:    Unauthenticated,
}

var statusNames = map[codes.Code]string{
	codes.Canceled:           "CANCELLED",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
	codes.NotFound:           "NOT_FOUND",
	codes.AlreadyExists:      "ALREADY_EXISTS",
	codes.PermissionDenied:   "PERMISSION_DENIED",
	codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted:            "ABORTED",
	codes.OutOfRange:         "OUT_OF_RANGE",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.Internal:           "INTERNAL",
	codes.Unavailable:        "UNAVAILABLE",
	codes.DataLoss:           "DATA_LOSS",
	codes.Unauthenticated:    "UNAUTHENTICATED",
	codes.Unknown:            "UNKNOWN",
}

// JSONRPC is the code of the reason in a JSON-RPC answer.
func (r Reason) JSONRPC() int { return codesOf[r].jsonrpc }

// GRPC is the name of the gRPC status of the reason, such as NOT_FOUND.
func (r Reason) GRPC() string { return statusNames[codesOf[r].grpc] }

// IsKnown tells whether docs/errors.md has the reason.
func (r Reason) IsKnown() bool {
	_, known := codesOf[r]
	return known
}

// Error is a call that could not be served. An item that fails is no Error: it is data of its run.
type Error struct {
	// Reason says what kind of failure it is.
	Reason Reason
	// Message is for people.
	Message string
	// Details are for machines; keys in camelCase, such as retryAfterMs. Numbers are json.Number.
	Details map[string]any
	// FromPeer tells whether the gateway said so; otherwise it was inferred on this side.
	FromPeer bool

	cause error
}

// NewError makes an error of a reason. Details may be nil.
func NewError(reason Reason, message string, details map[string]any) *Error {
	return &Error{Reason: reason, Message: message, Details: details}
}

func (e *Error) Error() string { return string(e.Reason) + ": " + e.Message }

// Is tells whether target is this error's Reason.
func (e *Error) Is(target error) bool {
	reason, ok := target.(Reason)
	return ok && reason == e.Reason
}

// Unwrap gives the context's error where the caller's context ended the call.
func (e *Error) Unwrap() error { return e.cause }

// RetryAfter is how long the gateway asks to wait, if it does.
func (e *Error) RetryAfter() (time.Duration, bool) {
	var ms float64
	switch value := e.Details["retryAfterMs"].(type) {
	case json.Number:
		parsed, err := value.Float64()
		if err != nil {
			return 0, false
		}
		ms = parsed
	case int:
		ms = float64(value)
	case int64:
		ms = float64(value)
	case float64:
		ms = value
	default:
		return 0, false
	}
	return time.Duration(ms * float64(time.Millisecond)), ms >= 0
}

// Retryable tells whether the same call may succeed a moment later: the gateway was not there, or asked to come back.
func (e *Error) Retryable() bool {
	switch codesOf[e.Reason].grpc {
	case codes.Unavailable:
		return true
	case codes.ResourceExhausted:
		_, named := e.RetryAfter()
		return named
	}
	return false
}

// isResumable tells whether a watch goes on from its cursor: as Retryable, and where the stream was cut rather than refused.
func (e *Error) isResumable() bool {
	if e.Retryable() || codesOf[e.Reason].grpc == codes.Aborted {
		return true
	}
	return !e.FromPeer && e.cause == nil && (strings.Contains(e.Message, "RST_STREAM") || strings.Contains(e.Message, "unexpected EOF"))
}

func (e *Error) withDetail(name string, value any) {
	if e.Details == nil {
		e.Details = map[string]any{}
	}
	if _, there := e.Details[name]; !there {
		e.Details[name] = value
	}
}

// asError gives any error of this package's calls as an *Error.
func asError(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	return &Error{Reason: Internal, Message: err.Error(), cause: err}
}

// ErrorFromRPC is what a call of the generated stubs ended with, as an error of this package. ctx is the context of the call.
func ErrorFromRPC(ctx context.Context, err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	if ended := ctx.Err(); ended != nil {
		reason := RequestCancelled
		if errors.Is(ended, context.DeadlineExceeded) {
			reason = Timeout
		}
		return &Error{Reason: reason, Message: "the caller's context ended the call: " + context.Cause(ctx).Error(), cause: ended}
	}
	answer, _ := status.FromError(err)
	var info *errdetails.ErrorInfo
	details := map[string]any{}
	for _, detail := range answer.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == "flowspan" {
				info = detail
			}
		case *errdetails.BadRequest:
			if violations := detail.GetFieldViolations(); len(violations) > 0 {
				details["field"] = violations[0].GetField()
			}
		case *errdetails.RetryInfo:
			ms := detail.GetRetryDelay().AsDuration().Milliseconds()
			details["retryAfterMs"] = json.Number(fmt.Sprint(ms))
		}
	}
	reason, mapped := reasonOfStatus[answer.Code()]
	if !mapped {
		reason = Internal
	}
	if info == nil {
		message := answer.Message()
		if answer.Code() == codes.Canceled {
			if strings.Contains(message, "connection is closing") {
				return &Error{Reason: RequestCancelled, Message: "the client is closed"}
			}
			// Not by us, and the gateway would say why: a server that stops drops calls so.
			reason, message = Unavailable, "the gateway ended the call without an answer; it may be stopping"
		}
		if message == "" {
			message = answer.Code().String()
		}
		details["grpcCode"] = statusNames[answer.Code()]
		return &Error{Reason: reason, Message: message, Details: details}
	}
	for name, text := range info.GetMetadata() {
		details[name] = detailFromText(text)
	}
	if named := Reason(info.GetReason()); named.IsKnown() {
		reason = named
	} else {
		// A newer gateway: the status says at least what kind of failure it is.
		details["peerReason"] = info.GetReason()
	}
	return &Error{Reason: reason, Message: answer.Message(), Details: details, FromPeer: true}
}

// detailFromText reads a detail: texts stand as they are, everything else as JSON.
func detailFromText(text string) any {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil || len(bytes.TrimSpace([]byte(text[decoder.InputOffset():]))) > 0 {
		return text
	}
	return value
}
