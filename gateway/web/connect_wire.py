"""The Connect protocol and gRPC-Web as bytes: media types, envelopes, errors. Pure.

Connect: https://connectrpc.com/docs/protocol. gRPC-Web: the same envelopes, with trailers in a last one.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from urllib.parse import quote

import msgspec

from flowspan.errors import FlowspanError, InvalidArgumentError
from flowspan.protobuf.status import STATUS_TRAILER, status_from_error

END_STREAM: Final = 0x02
"""Flag of Connect's last envelope."""
TRAILERS: Final = 0x80
"""Flag of gRPC-Web's last envelope."""
COMPRESSED: Final = 0x01
HEAD_BYTES: Final = 5

_MAX_TIMEOUT_S: Final = 1e10
_GRPC_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Protocol(Enum):
    """How messages stand in a body: alone, or in envelopes with one of two ends."""

    UNARY = "unary"
    STREAM = "stream"
    GRPC_WEB = "grpc-web"


@dataclass(frozen=True, slots=True)
class MediaType:
    """What a Content-Type says. `is_json`: messages are proto3 JSON."""

    protocol: Protocol
    is_json: bool
    name: str


MEDIA_TYPES: Final[dict[str, MediaType]] = {
    media.name: media
    for media in (
        MediaType(Protocol.UNARY, False, "application/proto"),
        MediaType(Protocol.UNARY, True, "application/json"),
        MediaType(Protocol.STREAM, False, "application/connect+proto"),
        MediaType(Protocol.STREAM, True, "application/connect+json"),
        MediaType(Protocol.GRPC_WEB, False, "application/grpc-web"),
        MediaType(Protocol.GRPC_WEB, False, "application/grpc-web+proto"),
    )
}


def envelope(flags: int, data: bytes) -> bytes:
    """One message of a stream."""
    return b"%c%b%b" % (flags, len(data).to_bytes(4, "big"), data)


def opened(body: bytes) -> bytes:
    """The message of a body that holds exactly one. InvalidArgumentError if it holds anything else."""
    if len(body) < HEAD_BYTES or len(body) != HEAD_BYTES + int.from_bytes(body[1:HEAD_BYTES], "big"):
        raise InvalidArgumentError("the body must hold one message in an envelope of 5 bytes and its length")
    check_flags(body[0])
    return body[HEAD_BYTES:]


def check_flags(flags: int) -> None:
    """InvalidArgumentError unless it is a plain message."""
    if flags != 0:
        raise InvalidArgumentError(f"an envelope has the flags {flags}; messages are taken uncompressed, with flags 0")


def timeout_of(headers: dict[str, str]) -> float | None:
    """Seconds that the caller waits; None: it does not say, or not in a way that can be read."""
    text = headers.get("connect-timeout-ms", "")
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return int(text) / 1_000
    text = headers.get("grpc-timeout", "")
    if 2 <= len(text) <= 9 and text[:-1].isascii() and text[:-1].isdigit() and text[-1] in _GRPC_UNITS:
        return min(int(text[:-1]) * _GRPC_UNITS[text[-1]], _MAX_TIMEOUT_S)
    return None


def error_object(error: FlowspanError) -> dict[str, Any]:
    """Connect's error: code, message, and the typed details that gRPC callers get."""
    status = status_from_error(error)
    details = [
        {"type": packed.TypeName(), "value": base64.b64encode(packed.value).decode().rstrip("=")} for packed in status.details
    ]
    return {"code": code_name(error), "message": status.message, "details": details}


def code_name(error: FlowspanError) -> str:
    """Connect's word for the gRPC status."""
    word = error.row.grpc.value.lower()
    return "canceled" if word == "cancelled" else word


def connect_end(error: FlowspanError | None) -> bytes:
    """The last envelope of a Connect stream."""
    return envelope(END_STREAM, b"{}" if error is None else msgspec.json.encode({"error": error_object(error)}))


def grpc_web_end(error: FlowspanError | None) -> bytes:
    """The last envelope of a gRPC-Web answer: its trailers."""
    if error is None:
        return envelope(TRAILERS, b"grpc-status: 0\r\n")
    status = status_from_error(error)
    packed = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
    lines = (
        f"grpc-status: {status.code}",
        f"grpc-message: {quote(status.message, safe=_UNQUOTED)}",
        f"{STATUS_TRAILER}: {packed}",
    )
    return envelope(TRAILERS, "".join(f"{line}\r\n" for line in lines).encode())


_UNQUOTED: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
