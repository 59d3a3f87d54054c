"""The one table of errors, shared by the gateway and the SDK.

Every failure that leaves Flowspan has a `Reason`. The reason decides its JSON-RPC code, its gRPC status, the error code
that an item gets when the failure ends the item, and the budget that may retry it. No other module maps codes.

Three kinds of failure are kept apart:

* the *work* failed: a value (`flowspan.view.FlowError` inside an item's result), never raised across the core;
* the *call* cannot be served: a `FlowspanError`, raised;
* a *bug*: any other exception; the peer sees INTERNAL and an incident id, never its text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, ClassVar, Final

ERROR_DOMAIN: Final = "flowspan"
"""`ErrorInfo.domain` on gRPC, `error.data.domain` on JSON-RPC."""


class GrpcCode(StrEnum):
    """Canonical gRPC status names; kept as text so that this module needs no grpc."""

    CANCELLED = "CANCELLED"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


HTTP_STATUS: Final[dict[GrpcCode, int]] = {
    GrpcCode.CANCELLED: 499,
    GrpcCode.INVALID_ARGUMENT: 400,
    GrpcCode.DEADLINE_EXCEEDED: 504,
    GrpcCode.NOT_FOUND: 404,
    GrpcCode.ALREADY_EXISTS: 409,
    GrpcCode.PERMISSION_DENIED: 403,
    GrpcCode.RESOURCE_EXHAUSTED: 429,
    GrpcCode.FAILED_PRECONDITION: 400,
    GrpcCode.ABORTED: 409,
    GrpcCode.OUT_OF_RANGE: 400,
    GrpcCode.UNIMPLEMENTED: 501,
    GrpcCode.INTERNAL: 500,
    GrpcCode.UNAVAILABLE: 503,
    GrpcCode.DATA_LOSS: 500,
    GrpcCode.UNAUTHENTICATED: 401,
}
"""Status of an HTTP answer; the figures of the Connect protocol. Total over `GrpcCode`."""


class FlowErrorCode(StrEnum):
    """Why a step or an item failed (`error.code` of a FlowResult; docs/flow-language)."""

    TIMEOUT = "TIMEOUT"
    INVALID_INPUT = "INVALID_INPUT"
    COMPONENT_FAILED = "COMPONENT_FAILED"
    CANCELLED = "CANCELLED"
    UNREACHABLE = "UNREACHABLE"
    COMPONENT_NOT_FOUND = "COMPONENT_NOT_FOUND"
    RESOURCE_UNAVAILABLE = "RESOURCE_UNAVAILABLE"
    EXPRESSION_FAILURE = "EXPRESSION_FAILURE"
    ORCHESTRATOR_ERROR = "ORCHESTRATOR_ERROR"
    WORKER_ERROR = "WORKER_ERROR"


class Budget(Enum):
    """Which retry budget a failed attempt draws on (docs/flow-language, section on errors and retries)."""

    NONE = "none"
    COMPONENT = "component"
    TRANSPORT = "transport"


BUDGET_OF: Final[dict[FlowErrorCode, Budget]] = {
    FlowErrorCode.TIMEOUT: Budget.TRANSPORT,
    FlowErrorCode.UNREACHABLE: Budget.TRANSPORT,
    FlowErrorCode.COMPONENT_FAILED: Budget.COMPONENT,
    FlowErrorCode.RESOURCE_UNAVAILABLE: Budget.COMPONENT,
    FlowErrorCode.INVALID_INPUT: Budget.NONE,
    FlowErrorCode.CANCELLED: Budget.NONE,
    FlowErrorCode.COMPONENT_NOT_FOUND: Budget.NONE,
    FlowErrorCode.EXPRESSION_FAILURE: Budget.NONE,
    FlowErrorCode.ORCHESTRATOR_ERROR: Budget.NONE,
    FlowErrorCode.WORKER_ERROR: Budget.NONE,
}
"""Total over `FlowErrorCode`."""


class Reason(StrEnum):
    """The stable, machine-readable name of a failure: `ErrorInfo.reason` on gRPC, `error.data.reason` on JSON-RPC."""

    PARSE_ERROR = "PARSE_ERROR"
    INVALID_REQUEST = "INVALID_REQUEST"
    METHOD_NOT_FOUND = "METHOD_NOT_FOUND"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    FLOW_INVALID = "FLOW_INVALID"
    INTERNAL = "INTERNAL"
    COMPONENT_NOT_FOUND = "COMPONENT_NOT_FOUND"
    NOT_INITIALIZED = "NOT_INITIALIZED"
    INPUT_SCHEMA = "INPUT_SCHEMA"
    COMPONENT_FAILED = "COMPONENT_FAILED"
    RESOURCE_UNAVAILABLE = "RESOURCE_UNAVAILABLE"
    TIMEOUT = "TIMEOUT"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    BLOB_NOT_FOUND = "BLOB_NOT_FOUND"
    EXPRESSION_FAILURE = "EXPRESSION_FAILURE"
    INVALID_VALUE = "INVALID_VALUE"
    NOT_FOUND = "NOT_FOUND"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    FLOW_NOT_FOUND = "FLOW_NOT_FOUND"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    OVERLOADED = "OVERLOADED"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    CANCELLED = "CANCELLED"
    STORAGE_FULL = "STORAGE_FULL"
    STORAGE_FAILED = "STORAGE_FAILED"
    HASH_MISMATCH = "HASH_MISMATCH"
    RECURSION_LIMIT = "RECURSION_LIMIT"
    PLUGIN_CRASHED = "PLUGIN_CRASHED"
    PLUGIN_PROTOCOL = "PLUGIN_PROTOCOL"
    UNAVAILABLE = "UNAVAILABLE"
    FENCED = "FENCED"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    REQUEST_CANCELLED = "REQUEST_CANCELLED"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One line of the table.

    Attributes:
        jsonrpc: the `error.code` of a JSON-RPC answer.
        grpc: the status of a gRPC answer.
        flow: the code an item gets when this failure ends it.
        meaning: one sentence for the generated documentation.
    """

    jsonrpc: int
    grpc: GrpcCode
    flow: FlowErrorCode
    meaning: str


_F = FlowErrorCode
_G = GrpcCode
# fmt: off
ERROR_TABLE: Final[dict[Reason, ErrorRow]] = {
    Reason.PARSE_ERROR: ErrorRow(-32700, _G.INVALID_ARGUMENT, _F.UNREACHABLE, "The bytes are not JSON that Flowspan accepts."),
    Reason.INVALID_REQUEST: ErrorRow(-32600, _G.INVALID_ARGUMENT, _F.UNREACHABLE, "The JSON is not a JSON-RPC 2.0 message."),
    Reason.METHOD_NOT_FOUND: ErrorRow(-32601, _G.UNIMPLEMENTED, _F.COMPONENT_NOT_FOUND, "The peer has no such method."),
    Reason.INVALID_ARGUMENT: ErrorRow(-32602, _G.INVALID_ARGUMENT, _F.INVALID_INPUT, "A parameter is missing, has the wrong type or is out of range."),
    Reason.FLOW_INVALID: ErrorRow(-32602, _G.INVALID_ARGUMENT, _F.INVALID_INPUT, "The blob does not compile as a flow; the diagnostics say why."),
    Reason.INTERNAL: ErrorRow(-32603, _G.INTERNAL, _F.ORCHESTRATOR_ERROR, "A bug in Flowspan; the incident id is in the log."),
    Reason.COMPONENT_NOT_FOUND: ErrorRow(-32001, _G.NOT_FOUND, _F.COMPONENT_NOT_FOUND, "No component server offers this component."),
    Reason.NOT_INITIALIZED: ErrorRow(-32002, _G.FAILED_PRECONDITION, _F.UNREACHABLE, "A request came before the handshake was done."),
    Reason.INPUT_SCHEMA: ErrorRow(-32003, _G.INVALID_ARGUMENT, _F.INVALID_INPUT, "The input violates its JSON Schema."),
    Reason.COMPONENT_FAILED: ErrorRow(-32004, _G.INTERNAL, _F.COMPONENT_FAILED, "The component raised an error."),
    Reason.RESOURCE_UNAVAILABLE: ErrorRow(-32005, _G.UNAVAILABLE, _F.RESOURCE_UNAVAILABLE, "The component server cannot be used (it does not start, or speaks another protocol version)."),
    Reason.TIMEOUT: ErrorRow(-32006, _G.DEADLINE_EXCEEDED, _F.TIMEOUT, "The answer did not come in time."),
    Reason.PERMISSION_DENIED: ErrorRow(-32007, _G.PERMISSION_DENIED, _F.COMPONENT_FAILED, "The caller may not do this."),
    Reason.UNAUTHENTICATED: ErrorRow(-32007, _G.UNAUTHENTICATED, _F.COMPONENT_FAILED, "The call carries no valid token."),
    Reason.BLOB_NOT_FOUND: ErrorRow(-32008, _G.NOT_FOUND, _F.INVALID_INPUT, "There is no blob with this id."),
    Reason.EXPRESSION_FAILURE: ErrorRow(-32009, _G.FAILED_PRECONDITION, _F.EXPRESSION_FAILURE, "An expression of the flow has no value."),
    Reason.INVALID_VALUE: ErrorRow(-32011, _G.INVALID_ARGUMENT, _F.INVALID_INPUT, "A value cannot be written as JSON (NaN, infinity, a lone surrogate)."),
    Reason.NOT_FOUND: ErrorRow(-32012, _G.NOT_FOUND, _F.INVALID_INPUT, "There is no such object."),
    Reason.RUN_NOT_FOUND: ErrorRow(-32012, _G.NOT_FOUND, _F.INVALID_INPUT, "There is no run with this id."),
    Reason.FLOW_NOT_FOUND: ErrorRow(-32012, _G.NOT_FOUND, _F.INVALID_INPUT, "There is no flow with this id."),
    Reason.LIMIT_EXCEEDED: ErrorRow(-32013, _G.INVALID_ARGUMENT, _F.COMPONENT_FAILED, "A fixed limit was exceeded; the data names the limit, its maximum and the actual figure."),
    Reason.QUOTA_EXCEEDED: ErrorRow(-32013, _G.RESOURCE_EXHAUSTED, _F.COMPONENT_FAILED, "A configurable quota is used up."),
    Reason.OVERLOADED: ErrorRow(-32014, _G.RESOURCE_EXHAUSTED, _F.RESOURCE_UNAVAILABLE, "Too much at once; repeat after `retryAfterMs`."),
    Reason.IDEMPOTENCY_CONFLICT: ErrorRow(-32015, _G.ALREADY_EXISTS, _F.INVALID_INPUT, "The request id was used for a different request."),
    Reason.CANCELLED: ErrorRow(-32016, _G.CANCELLED, _F.CANCELLED, "The run was cancelled."),
    Reason.STORAGE_FULL: ErrorRow(-32017, _G.RESOURCE_EXHAUSTED, _F.ORCHESTRATOR_ERROR, "The disk is full; nothing was applied."),
    Reason.STORAGE_FAILED: ErrorRow(-32017, _G.INTERNAL, _F.ORCHESTRATOR_ERROR, "The store failed; whether the call was applied is unknown."),
    Reason.HASH_MISMATCH: ErrorRow(-32018, _G.DATA_LOSS, _F.INVALID_INPUT, "Stored or given bytes do not have the hash that they are named by."),
    Reason.RECURSION_LIMIT: ErrorRow(-32019, _G.FAILED_PRECONDITION, _F.COMPONENT_FAILED, "Sub-runs nest too deep, or runs wait for each other in a circle."),
    Reason.PLUGIN_CRASHED: ErrorRow(-32020, _G.UNAVAILABLE, _F.UNREACHABLE, "The component server's process ended during the call."),
    Reason.PLUGIN_PROTOCOL: ErrorRow(-32021, _G.UNAVAILABLE, _F.UNREACHABLE, "The component server broke the protocol."),
    Reason.UNAVAILABLE: ErrorRow(-32022, _G.UNAVAILABLE, _F.UNREACHABLE, "The gateway is starting, recovering or stopping; repeat after `retryAfterMs`."),
    Reason.FENCED: ErrorRow(-32023, _G.ABORTED, _F.ORCHESTRATOR_ERROR, "Another gateway owns this run now."),
    Reason.CURSOR_EXPIRED: ErrorRow(-32012, _G.OUT_OF_RANGE, _F.INVALID_INPUT, "The cursor is older than what is kept; the data names the earliest."),
    Reason.FAILED_PRECONDITION: ErrorRow(-32012, _G.FAILED_PRECONDITION, _F.INVALID_INPUT, "The object is not in a state that allows this."),
    Reason.REQUEST_CANCELLED: ErrorRow(-32800, _G.CANCELLED, _F.CANCELLED, "The caller cancelled this request."),
}
# fmt: on
"""Total over `Reason`; tests/gateway/test_error_table.py and docs/errors.md are driven by it."""


class FlowspanError(Exception):
    """A call that could not be served.

    Attributes:
        reason: the row of `ERROR_TABLE`.
        message: for people; names the place and the remedy.
        details: for machines; JSON-able values, keys in camelCase (`limit`, `retryAfterMs`, `runId`, ...).
        from_peer: whether the peer sent this error, or it was inferred on this side (time-out, lost connection).
    """

    default_reason: ClassVar[Reason] = Reason.INTERNAL

    def __init__(self, message: str, *, reason: Reason | None = None, from_peer: bool = False, **details: Any) -> None:
        super().__init__(message)
        self.reason: Reason = reason if reason is not None else self.default_reason
        self.message = message
        self.details: dict[str, Any] = details
        self.from_peer = from_peer

    @property
    def row(self) -> ErrorRow:
        """Codes of this failure on every wire."""
        return ERROR_TABLE[self.reason]

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed a moment later: the peer was not there, or asked to come back."""
        code = self.row.grpc
        return code is GrpcCode.UNAVAILABLE or (code is GrpcCode.RESOURCE_EXHAUSTED and "retryAfterMs" in self.details)

    @property
    def http_status(self) -> int:
        """Status of an HTTP answer that says this."""
        return HTTP_STATUS[self.row.grpc]

    def wire_data(self) -> dict[str, Any]:
        """`error.data` of a JSON-RPC answer: the reason, the domain and the details."""
        return {"reason": self.reason.value, "domain": ERROR_DOMAIN, **self.details}


class InvalidArgumentError(FlowspanError):
    """A parameter is missing, has the wrong type or is out of range. `details["field"]` names it where one is to blame."""

    default_reason = Reason.INVALID_ARGUMENT


class FlowInvalidError(FlowspanError):
    """A document does not compile as a flow. `details["diagnostics"]` is a list of diagnostics, fatal ones first."""

    default_reason = Reason.FLOW_INVALID


class NotFoundError(FlowspanError):
    """There is no such run, flow, blob or component; the reason says which."""

    default_reason = Reason.NOT_FOUND


class LimitExceededError(FlowspanError):
    """A limit was exceeded. `details` holds `limit` (its name), `max` and `actual`."""

    default_reason = Reason.LIMIT_EXCEEDED


class OverloadedError(FlowspanError):
    """Too much at once. `details["retryAfterMs"]` says when to try again."""

    default_reason = Reason.OVERLOADED


class ConflictError(FlowspanError):
    """The request id was used for a different request."""

    default_reason = Reason.IDEMPOTENCY_CONFLICT


class UnavailableError(FlowspanError):
    """The gateway cannot be reached, or is starting, recovering or stopping."""

    default_reason = Reason.UNAVAILABLE


class PreconditionError(FlowspanError):
    """The object is not in a state that allows this."""

    default_reason = Reason.FAILED_PRECONDITION


class DataLossError(FlowspanError):
    """Bytes do not have the hash that they are named by."""

    default_reason = Reason.HASH_MISMATCH


class StorageError(FlowspanError):
    """The store refused or failed. `details["outcome"]` is `not_applied` or `unknown`."""

    default_reason = Reason.STORAGE_FAILED


class RecursionLimitError(FlowspanError):
    """Sub-runs nest too deep, or runs wait for each other in a circle."""

    default_reason = Reason.RECURSION_LIMIT


class RequestCancelledError(FlowspanError):
    """The caller cancelled the request."""

    default_reason = Reason.REQUEST_CANCELLED
