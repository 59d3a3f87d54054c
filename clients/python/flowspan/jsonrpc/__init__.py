"""JSON-RPC 2.0 over lines, without I/O: the same session on both ends of a pipe. Imports neither grpc nor protobuf."""

from flowspan.jsonrpc.encoding import decode_payload, encode_payload
from flowspan.jsonrpc.error_codes import (
    Dialect,
    WireError,
    classify_component_error,
    classify_execution_error,
    method_not_found,
    to_flowspan_error,
    wire_error,
)
from flowspan.jsonrpc.events import (
    Answer,
    NoiseReceived,
    NotificationReceived,
    OutputsReceived,
    ProtocolViolation,
    RequestReceived,
    ResponsesReceived,
    SessionEvent,
    ViolationKind,
)
from flowspan.jsonrpc.excerpt import excerpt, printable
from flowspan.jsonrpc.framing import LineFramer
from flowspan.jsonrpc.guard import check_payload, check_payloads, one_line
from flowspan.jsonrpc.limits import CLIENT_LIMITS, DEFAULT_LIMITS, FrameLimits
from flowspan.jsonrpc.messages import RequestId
from flowspan.jsonrpc.meters import NoiseMeter, ViolationMeter
from flowspan.jsonrpc.session import Session, SessionStatistics

__all__ = [
    "CLIENT_LIMITS",
    "DEFAULT_LIMITS",
    "Answer",
    "Dialect",
    "FrameLimits",
    "LineFramer",
    "NoiseMeter",
    "NoiseReceived",
    "NotificationReceived",
    "OutputsReceived",
    "ProtocolViolation",
    "RequestId",
    "RequestReceived",
    "ResponsesReceived",
    "Session",
    "SessionEvent",
    "SessionStatistics",
    "ViolationKind",
    "ViolationMeter",
    "WireError",
    "check_payload",
    "check_payloads",
    "classify_component_error",
    "classify_execution_error",
    "decode_payload",
    "encode_payload",
    "excerpt",
    "method_not_found",
    "one_line",
    "printable",
    "to_flowspan_error",
    "wire_error",
]
