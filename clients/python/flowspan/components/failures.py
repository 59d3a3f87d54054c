"""What goes wrong in component code, as the error answers that a gateway understands."""

from __future__ import annotations

import traceback
from typing import Any, Final

import msgspec

from flowspan.components.values import encode_value
from flowspan.errors import FlowErrorCode, FlowspanError, Reason
from flowspan.jsonrpc import WireError, wire_error

MAX_TRACEBACK_CHARS: Final = 8 * 1024
"""Data of an error is cut at 64 KiB by the gateway; a traceback shall leave room for the author's data."""
MAX_TRACEBACK_FRAMES: Final = 20
MAX_AUTHOR_DATA_BYTES: Final = 48 * 1024

_REASON_OF_CODE: Final[dict[str, Reason]] = {
    FlowErrorCode.INVALID_INPUT.value: Reason.INPUT_SCHEMA,
    FlowErrorCode.RESOURCE_UNAVAILABLE.value: Reason.RESOURCE_UNAVAILABLE,
    FlowErrorCode.TIMEOUT.value: Reason.TIMEOUT,
}
"""Codes that a component may claim because they choose the retry budget; any other is its own and travels in the data."""


class ComponentError(Exception):
    """Raised by a component to fail its step in a chosen way.

    Args:
        message: for people; becomes the message of the step's error.
        code: the component's own code, told in `data.code`. `INVALID_INPUT` is never retried; `RESOURCE_UNAVAILABLE` and
            `TIMEOUT` draw on the budgets of the same names.
        data: any JSON value, told in `data.data`; cut beyond 48 KiB.
        retry_after_s: when the next attempt may be worth while, seconds >= 0.
    """

    def __init__(self, message: str, *, code: str | None = None, data: object = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = data
        self.retry_after_s = retry_after_s


def failure_of(error: BaseException) -> WireError:
    """The error answer for an exception that left component code. Never raises, whatever the exception holds."""
    try:
        failure = _failure_of(error)
        failure.message.encode()
        return failure
    except Exception as defect:
        # Its text cannot be had or not be written as UTF-8, or a member has another type than it should.
        text = f"{_sayable(_type_name(error))}, which cannot be told: {_sayable(_type_name(defect))}"
        return wire_error(FlowspanError(text, reason=Reason.COMPONENT_FAILED))


def _failure_of(error: BaseException) -> WireError:
    if isinstance(error, InputError) or (isinstance(error, FlowspanError) and error.reason is Reason.INVALID_VALUE):
        return wire_error(error)
    details: dict[str, Any] = {"type": _type_name(error)}
    reason = Reason.COMPONENT_FAILED
    message = str(error)
    if isinstance(error, ComponentError):
        message = error.message
        if error.code is not None:
            details["code"] = error.code
            reason = _REASON_OF_CODE.get(error.code, reason)
        if error.data is not None:
            details["data"] = _bounded(error.data)
        if error.retry_after_s is not None:
            details["retryAfterMs"] = max(0, round(error.retry_after_s * 1000))
    elif isinstance(error, FlowspanError):
        # A call to the gateway failed and the component let it pass: the component failed, whatever the gateway said.
        details["cause"] = error.reason.value
    elif not message:
        message = details["type"]
    else:
        message = f"{details['type']}: {message}"
    details["traceback"] = _short_traceback(error)
    return wire_error(FlowspanError(_sayable(message), reason=reason, **details))


class InputError(FlowspanError):
    """The input does not fit the component's input type. `details["pointer"]` is the JSON pointer of the member."""

    default_reason = Reason.INPUT_SCHEMA


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"


def _short_traceback(error: BaseException) -> str:
    """The innermost frames of component code, at most 8 KiB, its end kept."""
    frames = error.__traceback__
    # The first frames are this package's own: they say nothing to the author.
    while frames is not None and frames.tb_next is not None and frames.tb_frame.f_globals.get("__package__") == __package__:
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames, limit=-MAX_TRACEBACK_FRAMES)
    return _sayable("".join(lines)[-MAX_TRACEBACK_CHARS:])


def _sayable(text: str) -> str:
    """Text that UTF-8 can carry: lone surrogates are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _bounded(data: object) -> object:
    try:
        encoded = encode_value(data)
    except FlowspanError as error:
        return {"unreadable": error.message}
    if len(encoded) > MAX_AUTHOR_DATA_BYTES:
        return {"truncated": True, "bytes": len(encoded), "head": encoded[:1024].decode("utf-8", "ignore")}
    return msgspec.Raw(encoded)
