"""What an HTTP answer without a completion means for a step. Pure but for the clock that dates are compared with.

| Status | Code | Tried again? |
|---|---|---|
| 200 without a text | COMPONENT_FAILED | by `onError: retry` |
| 400, 404, 413, 422 and other 4xx | INVALID_INPUT | no |
| 401, 403 | COMPONENT_FAILED | no: the key will not get better |
| 3xx | COMPONENT_FAILED | no: redirects are not followed |
| 408 | TIMEOUT | by the transport budget |
| 429, 5xx | RESOURCE_UNAVAILABLE | by `onError: retry`, not before `Retry-After` |
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from flowspan.errors import FlowErrorCode
from runtime_core.builtins.work import shown
from runtime_core.calls import CallFailure

MAX_MESSAGE_CHARS: Final = 500
"""Of what the endpoint says itself."""


class _Error(msgspec.Struct):
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Error | str


_error_body: Final = msgspec.json.Decoder(_ErrorBody)


def failed_answer(host: str, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> CallFailure:
    """The failure that an answer stands for. `data`: `{status}`."""
    said = _said(body)
    data: dict[str, Any] = {"status": status}
    retry_after_s: float | None = None
    is_final = False
    if 200 <= status < 300:
        code = FlowErrorCode.COMPONENT_FAILED
        said = f"without a text: {shown(body)}"
    elif 300 <= status < 400:
        code, is_final = FlowErrorCode.COMPONENT_FAILED, True
        said = "redirects are not followed; name the final address as base_url"
    elif status in (401, 403):
        code, is_final = FlowErrorCode.COMPONENT_FAILED, True
        said = f"the api_key was not accepted{f': {said}' if said else ''}"
    elif status == 408:
        code = FlowErrorCode.TIMEOUT
    elif status == 429 or status >= 500:
        code = FlowErrorCode.RESOURCE_UNAVAILABLE
        retry_after_s = retry_after(headers, datetime.now(UTC))
        if retry_after_s is not None:
            data["retryAfter"] = retry_after_s
    else:
        code = FlowErrorCode.INVALID_INPUT
    message = f"{host} answered {status}{f': {said}' if said else ''}"
    return CallFailure(code, message, msgspec.json.encode(data), retry_after_s, is_final)


def retry_after(headers: Sequence[tuple[bytes, bytes]], now: datetime) -> float | None:
    """Seconds (>= 0) that a `Retry-After` header asks for: a number or a date (RFC 9110, 10.2.3). None without a usable one."""
    text = next((value for name, value in headers if name.lower() == b"retry-after"), b"").decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())


def _said(body: bytes) -> str:
    """What an endpoint says about its error, in one line; nothing if it does not say it in the usual form."""
    try:
        error = _error_body.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    text = " ".join((error if isinstance(error, str) else error.message).split())
    return text if len(text) <= MAX_MESSAGE_CHARS else f"{text[:MAX_MESSAGE_CHARS]}..."
