"""Errors on the gRPC wire: FlowspanError to and from `google.rpc.Status` with typed details.

Every error carries `ErrorInfo{reason, domain: "flowspan", metadata}`; one that names a field also `BadRequest`, one that
names a time to wait also `RetryInfo`. `ErrorInfo.metadata` holds the error's details: texts as they are, everything else
as JSON (a text that would be read as JSON is written as a JSON string, so that each comes back as what it was).

Needs no grpc: callers hand over the status name, its text and the bytes of the trailer `STATUS_TRAILER`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from flowspan.errors import (
    ERROR_DOMAIN,
    ConflictError,
    DataLossError,
    FlowInvalidError,
    FlowspanError,
    GrpcCode,
    InvalidArgumentError,
    LimitExceededError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    Reason,
    RecursionLimitError,
    RequestCancelledError,
    StorageError,
    UnavailableError,
)

STATUS_TRAILER: Final = "grpc-status-details-bin"
"""Name of the trailer that carries the serialized `google.rpc.Status`."""

MAX_MESSAGE_BYTES: Final = 768
"""Of an error's text, as UTF-8. The header `grpc-message` may triple it (percent-encoding)."""

MAX_STATUS_BYTES: Final = 3_800
"""Of the serialized status. In base64, and with the text beside it, it stays below the 8 KiB of headers that clients take
by default."""

_CODE_NUMBERS: Final[dict[GrpcCode, int]] = {
    GrpcCode.CANCELLED: 1,
    GrpcCode.INVALID_ARGUMENT: 3,
    GrpcCode.DEADLINE_EXCEEDED: 4,
    GrpcCode.NOT_FOUND: 5,
    GrpcCode.ALREADY_EXISTS: 6,
    GrpcCode.PERMISSION_DENIED: 7,
    GrpcCode.RESOURCE_EXHAUSTED: 8,
    GrpcCode.FAILED_PRECONDITION: 9,
    GrpcCode.ABORTED: 10,
    GrpcCode.OUT_OF_RANGE: 11,
    GrpcCode.UNIMPLEMENTED: 12,
    GrpcCode.INTERNAL: 13,
    GrpcCode.UNAVAILABLE: 14,
    GrpcCode.DATA_LOSS: 15,
    GrpcCode.UNAUTHENTICATED: 16,
}
"""google.rpc.Code. Total over `GrpcCode`."""

_REASON_OF_CODE: Final[dict[str, Reason]] = {
    "CANCELLED": Reason.REQUEST_CANCELLED,
    "INVALID_ARGUMENT": Reason.INVALID_ARGUMENT,
    "DEADLINE_EXCEEDED": Reason.TIMEOUT,
    "NOT_FOUND": Reason.NOT_FOUND,
    "ALREADY_EXISTS": Reason.IDEMPOTENCY_CONFLICT,
    "PERMISSION_DENIED": Reason.PERMISSION_DENIED,
    "RESOURCE_EXHAUSTED": Reason.QUOTA_EXCEEDED,
    "FAILED_PRECONDITION": Reason.FAILED_PRECONDITION,
    "ABORTED": Reason.FENCED,
    "OUT_OF_RANGE": Reason.CURSOR_EXPIRED,
    "UNIMPLEMENTED": Reason.METHOD_NOT_FOUND,
    "INTERNAL": Reason.INTERNAL,
    "UNAVAILABLE": Reason.UNAVAILABLE,
    "DATA_LOSS": Reason.HASH_MISMATCH,
    "UNAUTHENTICATED": Reason.UNAUTHENTICATED,
    "UNKNOWN": Reason.INTERNAL,
}
"""What a status means that carries no ErrorInfo of ours: it comes from gRPC itself, a proxy or another server."""

_CLASS_OF_REASON: Final[dict[Reason, type[FlowspanError]]] = {
    Reason.PARSE_ERROR: InvalidArgumentError,
    Reason.INVALID_REQUEST: InvalidArgumentError,
    Reason.INVALID_ARGUMENT: InvalidArgumentError,
    Reason.INPUT_SCHEMA: InvalidArgumentError,
    Reason.INVALID_VALUE: InvalidArgumentError,
    Reason.FLOW_INVALID: FlowInvalidError,
    Reason.COMPONENT_NOT_FOUND: NotFoundError,
    Reason.BLOB_NOT_FOUND: NotFoundError,
    Reason.NOT_FOUND: NotFoundError,
    Reason.RUN_NOT_FOUND: NotFoundError,
    Reason.FLOW_NOT_FOUND: NotFoundError,
    Reason.LIMIT_EXCEEDED: LimitExceededError,
    Reason.QUOTA_EXCEEDED: LimitExceededError,
    Reason.OVERLOADED: OverloadedError,
    Reason.IDEMPOTENCY_CONFLICT: ConflictError,
    Reason.STORAGE_FULL: StorageError,
    Reason.STORAGE_FAILED: StorageError,
    Reason.HASH_MISMATCH: DataLossError,
    Reason.RECURSION_LIMIT: RecursionLimitError,
    Reason.UNAVAILABLE: UnavailableError,
    Reason.FAILED_PRECONDITION: PreconditionError,
    Reason.REQUEST_CANCELLED: RequestCancelledError,
}
"""The class that a caller may want to catch; FlowspanError for all other reasons."""


def error_of_reason(
    reason: Reason, message: str, *, from_peer: bool = False, details: dict[str, Any] | None = None
) -> FlowspanError:
    """An error of the class that stands for `reason`."""
    error = _CLASS_OF_REASON.get(reason, FlowspanError)(message, reason=reason, from_peer=from_peer)
    error.details.update(details or {})
    return error


# --- to the wire -----------------------------------------------------------------------------------------------------


def status_from_error(error: FlowspanError) -> status_pb2.Status:
    """The status of an error, at most `MAX_STATUS_BYTES` long: long texts and lists in its details are cut, and details
    that still do not fit are named in the detail `omitted` instead."""
    message = cut_text(error.message, MAX_MESSAGE_BYTES)
    status = status_pb2.Status(code=_CODE_NUMBERS[error.row.grpc], message=message)
    retry_after_ms = error.details.get("retryAfterMs")
    if isinstance(retry_after_ms, int | float) and not isinstance(retry_after_ms, bool) and 0 <= retry_after_ms <= 86_400_000:
        seconds, millis = divmod(int(retry_after_ms), 1000)
        _pack(status, error_details_pb2.RetryInfo(retry_delay=Duration(seconds=seconds, nanos=millis * 1_000_000)))
    field = error.details.get("field")
    if isinstance(field, str):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=cut_text(field, 256), description=cut_text(error.message, 256), reason=error.reason.value
        )
        _pack(status, error_details_pb2.BadRequest(field_violations=[violation]))
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=ERROR_DOMAIN)
    _write_details(info, error.details, MAX_STATUS_BYTES - status.ByteSize() - _ANY_OVERHEAD_BYTES)
    _pack(status, info)
    return status


_ANY_OVERHEAD_BYTES: Final = 80
"""Type URL and framing around a packed ErrorInfo."""

_OMITTED_RESERVE_BYTES: Final = 200


def _pack(
    status: status_pb2.Status, detail: error_details_pb2.RetryInfo | error_details_pb2.BadRequest | error_details_pb2.ErrorInfo
) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def _write_details(info: error_details_pb2.ErrorInfo, details: dict[str, Any], max_bytes: int) -> None:
    texts = {name: _detail_to_text(value) for name, value in details.items()}
    left = max_bytes - info.ByteSize() - _OMITTED_RESERVE_BYTES
    omitted: list[str] = []
    # Short ones first: one long text must not push out a dozen figures.
    for name, text in sorted(texts.items(), key=lambda entry: len(entry[1])):
        room = left - len(name.encode()) - 16
        if len(text.encode()) > room:
            cut = _cut_detail(details[name], room)
            if cut is None:
                omitted.append(name)
                continue
            text = cut
        info.metadata[name] = text
        left -= len(name.encode()) + len(text.encode()) + 16
    if omitted:
        info.metadata["omitted"] = cut_text(", ".join(omitted), _OMITTED_RESERVE_BYTES - 40)


def _detail_to_text(value: Any) -> str:
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return msgspec.json.encode(text).decode() if _reads_as_json(text) else text
    try:
        return msgspec.json.encode(value, enc_hook=str).decode()
    except UnicodeEncodeError:  # a lone surrogate somewhere inside: better shown than lost
        return repr(value).encode("utf-8", "replace").decode()


def _cut_detail(value: Any, max_bytes: int) -> str | None:
    """The head of a text or of a list that fits; None if nothing of it makes sense alone."""
    if isinstance(value, str) and max_bytes > 64 and not _reads_as_json(value):
        return cut_text(value, max_bytes)
    if isinstance(value, list | tuple):
        kept = list(value)
        while kept:
            kept = kept[: len(kept) // 2] if len(kept) > 8 else kept[:-1]
            text = _detail_to_text(kept)
            if kept and len(text.encode()) <= max_bytes:
                return text
    return None


def _reads_as_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def cut_text(text: str, max_bytes: int) -> str:
    """`text`, cut to `max_bytes` of UTF-8 with an ellipsis at the end; what cannot be written as UTF-8 becomes `?`."""
    data = text.encode("utf-8", "replace")
    if len(data) <= max_bytes:
        return data.decode()
    return data[: max_bytes - 3].decode("utf-8", "ignore") + "…"


# --- from the wire ---------------------------------------------------------------------------------------------------


def error_from_status(code: str, message: str, trailer: bytes | None = None) -> FlowspanError:
    """The error that a call ended with.

    Args:
        code: name of the gRPC status, such as `NOT_FOUND`.
        message: the status' text.
        trailer: value of `STATUS_TRAILER`, if the call had one.

    Returns:
        `from_peer` tells whether a Flowspan gateway said so; otherwise gRPC on either side, or a proxy, did.
    """
    info, field, retry_after_ms = _read_trailer(trailer)
    if info is None:
        details: dict[str, Any] = {"grpcCode": code}
        return error_of_reason(_REASON_OF_CODE.get(code, Reason.INTERNAL), message or code, details=details)
    details = {name: _detail_from_text(text) for name, text in info.metadata.items()}
    if field is not None:
        details.setdefault("field", field)
    if retry_after_ms is not None:
        details.setdefault("retryAfterMs", retry_after_ms)
    try:
        reason = Reason(info.reason)
    except ValueError:
        # A newer gateway: the status says at least what kind of failure it is.
        reason = _REASON_OF_CODE.get(code, Reason.INTERNAL)
        details["peerReason"] = info.reason
    return error_of_reason(reason, message, from_peer=True, details=details)


def _read_trailer(trailer: bytes | None) -> tuple[error_details_pb2.ErrorInfo | None, str | None, int | None]:
    info: error_details_pb2.ErrorInfo | None = None
    field: str | None = None
    retry_after_ms: int | None = None
    if trailer is None:
        return info, field, retry_after_ms
    try:
        for packed in status_pb2.Status.FromString(trailer).details:
            if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                candidate = error_details_pb2.ErrorInfo.FromString(packed.value)
                info = candidate if candidate.domain == ERROR_DOMAIN else info
            elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                violations = error_details_pb2.BadRequest.FromString(packed.value).field_violations
                field = violations[0].field if violations else None
            elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                delay = error_details_pb2.RetryInfo.FromString(packed.value).retry_delay
                retry_after_ms = delay.seconds * 1000 + delay.nanos // 1_000_000
    except DecodeError:
        return None, None, None
    return info, field, retry_after_ms


def _detail_from_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
