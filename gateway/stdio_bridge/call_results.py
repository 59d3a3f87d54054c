"""What an answer to `components/execute` means for its call. Pure."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from flowspan.errors import FlowErrorCode, Reason
from flowspan.jsonrpc import Dialect, WireError, classify_execution_error
from flowspan.jsonrpc.guard import outline
from runtime_core.calls import CallFailure, CallSkip

_MAX_RETRY_AFTER_S: Final = 86_400
"""A wish beyond a day is taken for a mistake."""


class ExecuteResult(msgspec.Struct, gc=False):
    """The result of a call; `output` unparsed."""

    output: msgspec.Raw


_decode_result: Final = msgspec.json.Decoder(ExecuteResult).decode
_OUTPUT_FIRST: Final = b'{"output":'


def output_of(result: bytes) -> bytes:
    """The output in the result of a call, which is known to be JSON.

    Raises:
        msgspec.DecodeError: the result is no object or has no output.
    """
    if result.startswith(_OUTPUT_FIRST):
        outlined = outline(result)
        # Where that is all of its outline, it is all of it. A large one is not parsed a second time.
        if outlined is not result and bytes(_decode_result(outlined).output) == outlined[len(_OUTPUT_FIRST) : -1]:
            return result[len(_OUTPUT_FIRST) : -1]
    return bytes(_decode_result(result).output)


class _OwnSkip(msgspec.Struct, forbid_unknown_fields=True):
    outcome: Literal["skipped"]
    reason: str | None = None


_MAX_SKIP_BYTES: Final = 4_096
_decode_skip: Final = msgspec.json.Decoder(_OwnSkip).decode


def told_skip(output: bytes) -> CallSkip | None:
    """`{"outcome": "skipped", "reason"?}` and nothing else: what SDKs of the `stepflow` dialect send for a component that skips
    its step. In our own dialect such an output is a value like any other."""
    if len(output) > _MAX_SKIP_BYTES or not output.startswith(b'{"outcome"'):
        return None
    try:
        return CallSkip(_decode_skip(output).reason)
    except (ValueError, msgspec.MsgspecError):
        return None


def call_failure(error: WireError, dialect: Dialect) -> CallFailure:
    """The failure that a server's error, or one inferred on this side, makes of its call."""
    code, message, data = classify_execution_error(error, dialect)
    return CallFailure(code, message, data, _retry_after_s(data))


def too_long(limit: str, max_bytes: int, actual: int) -> CallFailure:
    """An `input` or `output` that does not fit; it fails its call only."""
    error = {"reason": Reason.LIMIT_EXCEEDED.value, "limit": limit, "max": max_bytes, "actual": actual}
    return CallFailure(
        FlowErrorCode.COMPONENT_FAILED,
        f"the {limit} has {actual} bytes, at most {max_bytes} are accepted; pass it as a blob",
        msgspec.json.encode(error),
    )


class _RetryHint(msgspec.Struct):
    retryAfterMs: float | None = None
    retry_after_ms: float | None = None
    retryAfter: float | None = None
    retry_after: float | None = None


def _retry_after_s(data: bytes | None) -> float | None:
    """The component's wish, in seconds, from `error.data`; None if it has none or an absurd one."""
    if data is None or b"etry" not in data:
        return None
    try:
        hint = msgspec.json.decode(data, type=_RetryHint)
    except msgspec.MsgspecError:
        return None
    wish_ms = hint.retryAfterMs if hint.retryAfterMs is not None else hint.retry_after_ms
    wish_s = wish_ms / 1000 if wish_ms is not None else hint.retryAfter if hint.retryAfter is not None else hint.retry_after
    return wish_s if wish_s is not None and 0 <= wish_s <= _MAX_RETRY_AFTER_S else None
