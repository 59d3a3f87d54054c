"""What a session reports to its shell.

Structs rather than dataclasses: a component server makes one per request, and a frozen dataclass costs five times as much.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from flowspan.jsonrpc.error_codes import WireError
from flowspan.jsonrpc.messages import RequestId

Answer = tuple[RequestId, bytes | None, WireError | None]
"""(our request's id, result, error): exactly one of the last two is not None."""


class ViolationKind(StrEnum):
    """Which rule the peer broke."""

    PARSE_ERROR = "parse_error"
    LIMIT_EXCEEDED = "limit_exceeded"
    ENDLESS_LINE = "endless_line"
    CONTENT_LENGTH_FRAMING = "content_length_framing"
    BATCH = "batch"
    INVALID_MESSAGE = "invalid_message"
    INVALID_ID = "invalid_id"
    INVALID_PARAMS = "invalid_params"
    DUPLICATE_REQUEST = "duplicate_request"
    UNKNOWN_RESPONSE = "unknown_response"
    DUPLICATE_RESPONSE = "duplicate_response"
    RESULT_AND_ERROR = "result_and_error"
    BULK_UNREADABLE = "bulk_unreadable"
    PEER_REFUSED_MESSAGE = "peer_refused_message"


class RequestReceived(msgspec.Struct, frozen=True):
    """The peer asks; answer with `Session.respond` or `Session.fail`. `params` is a JSON object, `{}` if absent or null."""

    id: RequestId
    method: str
    params: bytes


class NotificationReceived(msgspec.Struct, frozen=True):
    """The peer tells; unknown methods are to be ignored. `params` is a JSON object, `{}` if absent or null."""

    method: str
    params: bytes


class ResponsesReceived(msgspec.Struct, frozen=True):
    """Answers to our requests that came one after the other in one read. All ids were open and are so no more."""

    answers: list[Answer]


class OutputsReceived(msgspec.Struct, frozen=True):
    """Outputs of executions that went out in bulk: (number, JSON bytes). Whether one is open is for the owner to know; failures
    come as `ResponsesReceived`."""

    outputs: list[tuple[int, bytes]]


class ProtocolViolation(msgspec.Struct, frozen=True):
    """The peer broke a rule.

    Attributes:
        kind: which rule.
        message: for people.
        quoted: at most 200 printable characters of what came.
        reply: bytes to write to the peer, or None.
        count: how many violations this event stands for: floods within one read are merged, without replies.
        charged: whether it counts towards giving the peer up. A value that is too large does not: one bad item must not
            take its neighbours with it.
        fatal: whether nothing more will be understood on this pipe.
    """

    kind: ViolationKind
    message: str
    quoted: str
    reply: bytes | None = None
    count: int = 1
    charged: bool = True
    fatal: bool = False


class NoiseReceived(msgspec.Struct, frozen=True):
    """Lines that are no messages, such as the output of `print`.

    Attributes:
        text: the lines, joined by newlines, other control characters escaped, cut at 8 KiB.
        lines: how many there were, empty ones included.
        size_bytes: how long they were, newlines included.
    """

    text: str
    lines: int
    size_bytes: int


SessionEvent = RequestReceived | NotificationReceived | ResponsesReceived | OutputsReceived | ProtocolViolation | NoiseReceived
