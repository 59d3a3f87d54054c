"""One HTTP request and its answer, over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from flowspan.errors import FlowspanError, InvalidArgumentError, LimitExceededError, Reason
from gateway.grpc_server.limits import READ_TIMEOUT_S

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON: Final = "application/json"


class CallerGone(Exception):
    """The caller closed the connection; there is nobody to answer."""


class Exchange:
    """One request. The first of `answer` and `begin` decides the status.

    Attributes:
        method, path: as asked; the path is decoded.
        head_bytes: of path, query and headers, about.
        headers: names in lower case; the last one of a name holds.
        answer_headers: go out with the answer, whatever it is.
        has_begun: status and headers are out.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: Final = str(scope["method"])
        self.path: Final = str(scope["path"])
        self.headers: Final[dict[str, str]] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.head_bytes: Final = (
            len(scope["raw_path"])
            + len(scope["query_string"])
            + sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        )
        self.answer_headers: list[tuple[str, str]] = []
        self.has_begun = False
        self._query: Final[bytes] = scope["query_string"]
        self._receive: Final = receive
        self._send: Final = send
        self._has_read_all = self.headers.get("content-length", "0") == "0" and "transfer-encoding" not in self.headers
        self._abort: Final[Callable[[], None] | None] = scope.get("state", {}).get("abort")

    def abort(self) -> None:
        """Drop the connection, and what waits to be written."""
        if self._abort is not None:
            self._abort()

    def query(self) -> list[tuple[str, str]]:
        """Parameters behind the `?`, in order. InvalidArgumentError if they are no UTF-8, or too many."""
        try:
            pairs: list[tuple[str, str]] = parse_qsl(
                self._query.decode("ascii"), keep_blank_values=True, max_num_fields=200, errors="strict", encoding="utf-8"
            )
        except ValueError:
            raise InvalidArgumentError("the query cannot be read: UTF-8, percent-encoded, at most 200 parameters") from None
        return pairs

    def content_type(self) -> str:
        """Of the request, without its parameters, in lower case; empty if there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    # the request's body

    async def chunk(self) -> bytes | None:
        """The next bytes of the body; None at its end.

        Raises:
            CallerGone: the connection broke.
            FlowspanError: TIMEOUT: nothing came for a minute.
        """
        while not self._has_read_all:
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    message = await self._receive()
            except TimeoutError:
                raise FlowspanError(
                    f"the body brought nothing for {READ_TIMEOUT_S:.0f} s; send it without long pauses", reason=Reason.TIMEOUT
                ) from None
            if message["type"] == "http.disconnect":
                raise CallerGone
            self._has_read_all = not message.get("more_body", False)
            if message.get("body"):
                return bytes(message["body"])
        return None

    async def body(self, max_bytes: int) -> bytes:
        """The whole body. LimitExceededError if it is larger than `max_bytes`; the rest stays unread."""
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise _too_large(int(declared), max_bytes)
        parts: list[bytes] = []
        size = 0
        while (data := await self.chunk()) is not None:
            size += len(data)
            if size > max_bytes:
                raise _too_large(size, max_bytes)
            parts.append(data)
        return b"".join(parts)

    async def wait_gone(self) -> None:
        """Until the caller closes the connection. The rest of the body, if any, is dropped."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # the answer

    async def answer(self, status: int, body: bytes, content_type: str = JSON, headers: Iterable[tuple[str, str]] = ()) -> None:
        """The whole answer. An unread body is not waited for: the connection ends with the answer."""
        extra = [*headers, ("content-length", str(len(body)))] if status != 204 else [*headers]
        if not self._has_read_all:
            extra.append(("connection", "close"))
        await self._start(status, content_type if status != 204 else None, extra)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def begin(self, content_type: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        """An answer of unknown length, with status 200."""
        await self._start(200, content_type, headers)

    async def write(self, data: bytes) -> None:
        """A piece of it; done when the connection has taken it."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
        # The server looks at its buffer before it writes and not after it: nothing more waits for what was written.
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The last piece."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def _start(self, status: int, content_type: str | None, headers: Iterable[tuple[str, str]]) -> None:
        self.has_begun = True
        lines = [*self.answer_headers, *headers]
        if content_type is not None:
            lines.append(("content-type", content_type))
        lines.append(("x-content-type-options", "nosniff"))
        names = {name for name, _ in lines}
        if "cache-control" not in names:
            lines.append(("cache-control", "no-store"))
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})


def _too_large(actual: int, max_bytes: int) -> LimitExceededError:
    return LimitExceededError(
        f"the body has {actual} bytes or more, at most {max_bytes} are accepted here; put large values as blobs",
        limit="body",
        max=max_bytes,
        actual=actual,
    )
