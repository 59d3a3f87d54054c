"""Errors as answers: the contract's error object, and the status of the one table."""

from __future__ import annotations

from typing import Final

from flowspan.errors import FlowspanError, NotFoundError, Reason
from flowspan.jsonrpc import wire_error
from flowspan.jsonrpc.error_codes import encode_wire_error
from gateway.web.exchange import Exchange
from gateway.web.limits import MAX_HEAD_BYTES


class HttpError(FlowspanError):
    """A failure that HTTP has a status of its own for: the method, the name that was asked by.

    Attributes:
        status: instead of the table's.
        headers: that belong to it.
    """

    def __init__(self, status: int, message: str, *, reason: Reason, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message, reason=reason)
        self.status: Final = status
        self.headers: Final = headers


def method_not_allowed(method: str, allowed: list[str]) -> HttpError:
    text = f"{method} is not answered here; there are {', '.join(allowed)}"
    return HttpError(405, text, reason=Reason.METHOD_NOT_FOUND, headers=(("allow", ", ".join(allowed)),))


def head_too_large(actual: int) -> HttpError:
    text = f"request line and headers have {actual} bytes, at most {MAX_HEAD_BYTES} are accepted"
    return HttpError(431, text, reason=Reason.LIMIT_EXCEEDED, headers=(("connection", "close"),))


def unknown_path(path: str) -> FlowspanError:
    return NotFoundError(f"there is nothing at {path[:200]!r}; /v1/openapi.json lists what there is")


def misdirected(host: str) -> FlowspanError:
    text = f"this listener is not known as {host[:200]!r}; ask by address or localhost, or name it in web.hosts"
    return HttpError(421, text, reason=Reason.FAILED_PRECONDITION)


def status_of(error: FlowspanError) -> int:
    return error.status if isinstance(error, HttpError) else error.http_status


def headers_of(error: FlowspanError) -> list[tuple[str, str]]:
    """What belongs to an error's answer beside its body."""
    headers = list(error.headers) if isinstance(error, HttpError) else []
    if error.reason is Reason.UNAUTHENTICATED:
        headers.append(("www-authenticate", "Bearer"))
    retry_after_ms = error.details.get("retryAfterMs")
    if isinstance(retry_after_ms, int):
        headers.append(("retry-after", str(-(-retry_after_ms // 1_000))))
    return headers


def error_body(error: FlowspanError) -> bytes:
    """`{"error": {"code", "message", "data": {"reason", "domain", ...}}}`: the member of a JSON-RPC answer."""
    return b'{"error":%b}' % encode_wire_error(wire_error(error))


async def answer_error(exchange: Exchange, error: FlowspanError) -> None:
    """The error as the whole answer."""
    await exchange.answer(status_of(error), error_body(error), headers=headers_of(error))
