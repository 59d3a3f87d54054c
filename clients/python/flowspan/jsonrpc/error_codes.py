"""Errors on the JSON-RPC wire: to and from `FlowspanError`, and what a component server's error means for an item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from flowspan.errors import ERROR_TABLE, FlowErrorCode, FlowspanError, Reason
from flowspan.jsonrpc.excerpt import printable

Dialect = Literal["flowspan", "stepflow"]

MAX_MESSAGE_BYTES: Final = 4 * 1024
MAX_DATA_BYTES: Final = 64 * 1024
_DATA_HEAD_CHARS: Final = 1024

REQUEST_CANCELLED_CODE: Final = ERROR_TABLE[Reason.REQUEST_CANCELLED].jsonrpc
COMPONENT_FAILED_CODE: Final = ERROR_TABLE[Reason.COMPONENT_FAILED].jsonrpc
RESERVED_CODES: Final = range(-32023, -32012)
"""Codes that only a gateway may claim; from a component server they say nothing about the gateway."""

RETRY_HINTS: Final = ("retryAfterMs", "retryAfter", "retry_after_ms", "retry_after")
"""Members of `error.data` that survive the cut, since the back-off reads them."""


@dataclass(frozen=True, slots=True)
class WireError:
    """A normalised JSON-RPC error object.

    Attributes:
        code: the number on the wire; `COMPONENT_FAILED_CODE` where the peer sent something else than an integer.
        message: at most 4 KiB of UTF-8.
        data: JSON bytes of at most 64 KiB, or None.
        reason: set where this side inferred the failure (limit exceeded, protocol broken, connection lost); None if the
            peer reported it.
    """

    code: int
    message: str
    data: bytes | None = None
    reason: Reason | None = None

    @property
    def from_peer(self) -> bool:
        """Whether the peer sent this error."""
        return self.reason is None


class _ErrorObject(msgspec.Struct):
    code: msgspec.Raw = msgspec.Raw(b"null")
    message: msgspec.Raw = msgspec.Raw(b"null")
    data: msgspec.Raw = msgspec.Raw(b"null")


class _ReplyError(msgspec.Struct, omit_defaults=True):
    code: int
    message: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_ERROR_DECODER: Final = msgspec.json.Decoder(_ErrorObject)
_INT_DECODER: Final = msgspec.json.Decoder(int)
_OBJECT_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_REASON_OF_CODE: Final[dict[int, Reason]] = {row.jsonrpc: reason for reason, row in reversed(ERROR_TABLE.items())}
"""The first reason of the table for each code."""
_REASON_OF_NAME: Final[dict[str, Reason]] = {reason.value: reason for reason in Reason}


def wire_error(error: FlowspanError) -> WireError:
    """The error as it goes onto the wire (`data` holds reason, domain and details)."""
    return WireError(
        error.row.jsonrpc,
        _cut_text(error.message),
        msgspec.json.encode(error.wire_data(), enc_hook=str),
        error.reason,
    )


def encode_wire_error(error: WireError) -> bytes:
    """The JSON object for `error` of a response; one line."""
    data = msgspec.Raw(error.data) if error.data is not None else msgspec.UNSET
    return msgspec.json.encode(_ReplyError(error.code, error.message, data))


def decode_wire_error(raw: bytes) -> WireError:
    """Normalise whatever a peer put into `error` (syntactically valid JSON). Never raises."""
    try:
        parts = _ERROR_DECODER.decode(raw)
    except (ValueError, RecursionError):
        return WireError(COMPONENT_FAILED_CODE, f"the error is not an object: {printable(raw[:256].decode('utf-8', 'replace'))}")
    code_bytes, data = bytes(parts.code), bytes(parts.data)
    try:
        code = _INT_DECODER.decode(code_bytes) if len(code_bytes) <= 20 else COMPONENT_FAILED_CODE
    except ValueError:
        code = COMPONENT_FAILED_CODE
    return WireError(code, _message_text(bytes(parts.message)), None if data == b"null" else _cut_data(data))


def to_flowspan_error(error: WireError) -> FlowspanError:
    """The exception that a caller of a request gets. The reason is the peer's `data.reason` where it fits the code."""
    details: dict[str, Any] = {}
    if error.data is not None:
        try:
            decoded = msgspec.json.decode(error.data)
        except (ValueError, RecursionError):
            decoded = None
        if isinstance(decoded, dict):
            details = {
                str(key): value for key, value in decoded.items() if key not in ("reason", "domain", "message", "from_peer")
            }
            named = _REASON_OF_NAME.get(str(decoded.get("reason")))
            if error.reason is None and named is not None and ERROR_TABLE[named].jsonrpc == error.code:
                return FlowspanError(error.message, reason=named, from_peer=True, **details)
        elif decoded is not None:
            details = {"data": decoded}
    if error.reason is not None:
        return FlowspanError(error.message, reason=error.reason, **details)
    reason = _REASON_OF_CODE.get(error.code)
    if reason is None:
        return FlowspanError(error.message, reason=Reason.COMPONENT_FAILED, from_peer=True, code=error.code, **details)
    return FlowspanError(error.message, reason=reason, from_peer=True, **details)


def method_not_found(method: str) -> FlowspanError:
    """METHOD_NOT_FOUND naming the method, cut and escaped."""
    return FlowspanError(f"there is no method {printable(method)!r}", reason=Reason.METHOD_NOT_FOUND)


_FLOW_CODE_OF: Final[dict[int, FlowErrorCode]] = {
    -32700: FlowErrorCode.UNREACHABLE,
    -32600: FlowErrorCode.UNREACHABLE,
    -32601: FlowErrorCode.COMPONENT_NOT_FOUND,
    -32602: FlowErrorCode.INVALID_INPUT,
    -32001: FlowErrorCode.COMPONENT_NOT_FOUND,
    -32002: FlowErrorCode.UNREACHABLE,
    -32003: FlowErrorCode.INVALID_INPUT,
    -32005: FlowErrorCode.RESOURCE_UNAVAILABLE,
    -32006: FlowErrorCode.TIMEOUT,
    -32102: FlowErrorCode.RESOURCE_UNAVAILABLE,
    -32103: FlowErrorCode.INVALID_INPUT,
    REQUEST_CANCELLED_CODE: FlowErrorCode.CANCELLED,
}
"""What a component server's code means for the item; any other code is COMPONENT_FAILED."""


def classify_component_error(
    code: int, message: str, data: bytes | None, dialect: Dialect
) -> tuple[FlowErrorCode, str, bytes | None]:
    """What an error answer to `components/execute` means: the item's code, the message (≤ 4 KiB), the data (≤ 64 KiB).

    Servers of the `stepflow` dialect answer -32003 for any raised exception. A code of ours becomes COMPONENT_FAILED with
    the number in `data.pluginCode`, so that a component server cannot imitate a state of the gateway.
    """
    message = _cut_text(message)
    data = _cut_data(data) if data is not None else None
    if code in RESERVED_CODES:
        return FlowErrorCode.COMPONENT_FAILED, message, _with_member(data, "pluginCode", b"%d" % code)
    if code == -32003 and dialect == "stepflow":
        return FlowErrorCode.COMPONENT_FAILED, message, data
    return _FLOW_CODE_OF.get(code, FlowErrorCode.COMPONENT_FAILED), message, data


def classify_execution_error(error: WireError, dialect: Dialect) -> tuple[FlowErrorCode, str, bytes | None]:
    """`classify_component_error` for what the peer sent; the one error table for what this side inferred."""
    if error.reason is not None:
        return ERROR_TABLE[error.reason].flow, error.message, error.data
    return classify_component_error(error.code, error.message, error.data, dialect)


def _message_text(raw: bytes) -> str:
    # Six bytes of JSON make at least one byte of text.
    if raw == b"null":
        return "the component server gave no message"
    try:
        decoded = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        decoded = None
    return _cut_text(decoded if isinstance(decoded, str) else raw[:MAX_MESSAGE_BYTES].decode("utf-8", "replace"))


def _cut_text(text: str) -> str:
    if len(text) * 4 <= MAX_MESSAGE_BYTES:
        return text
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_MESSAGE_BYTES:
        return text
    ellipsis = "…".encode()
    return encoded[: MAX_MESSAGE_BYTES - len(ellipsis)].decode("utf-8", "ignore") + "…"


def _cut_data(data: bytes) -> bytes:
    """`data` itself, or an object that says how much was cut and keeps its beginning and any retry hint."""
    if len(data) <= MAX_DATA_BYTES:
        return data
    kept: dict[str, msgspec.Raw | bool | int | str] = {}
    try:
        members = _OBJECT_DECODER.decode(data)
    except (ValueError, RecursionError):
        members = {}
    for name in (*RETRY_HINTS, "reason"):
        hint = members.get(name)
        if hint is not None and len(bytes(hint)) <= 64:
            kept[name] = hint
    kept["truncated"] = True
    kept["bytes"] = len(data)
    kept["head"] = data[:_DATA_HEAD_CHARS].decode("utf-8", "ignore")
    return msgspec.json.encode(kept)


def _with_member(data: bytes | None, name: str, value: bytes) -> bytes:
    """`data` with one more member; data that is no object moves into `data.data`."""
    members: dict[str, msgspec.Raw] = {}
    if data is not None:
        try:
            members = _OBJECT_DECODER.decode(data)
        except (ValueError, RecursionError):
            members = {"data": msgspec.Raw(data)}
    members[name] = msgspec.Raw(value)
    return msgspec.json.encode(members)
