"""Failures of component calls as servers tell them, whichever wire they came over. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from flowspan.errors import FlowErrorCode, Reason
from flowspan.jsonrpc import Dialect, WireError, classify_execution_error
from runtime_core.calls import CallFailure

_MAX_RETRY_AFTER_S: Final = 86_400
"""A wish beyond a day is taken for a mistake."""


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
