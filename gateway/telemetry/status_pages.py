"""`/metrics`, `/livez` and `/readyz` over plain HTTP/1.1: for scrapers and probes on this machine, and nobody else.

Every request is answered and its connection closed. What a caller can hold is bounded: connections, bytes, seconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Final

from flowspan.errors import PreconditionError
from gateway.telemetry.exposition import CONTENT_TYPE

MAX_CONNECTIONS: Final = 32
"""At once; a scraper needs one."""
MAX_HEAD_BYTES: Final = 8_192
ANSWER_S: Final = 5.0
"""For a whole request: its head, the page, its way out."""

_PLAIN: Final = "text/plain; charset=utf-8"
_WORDS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 421: "Misdirected Request"}
_UNAVAILABLE: Final = 503


class StatusPages:
    """The pages on one address. Make, `start`, `stop`; stopping twice is harmless.

    Args:
        address: `host:port`, the host a loopback address (brackets around IPv6); port 0: any free one.
        metrics: makes the page of figures.
        is_live: false: the process is of no use any more and is to be started anew.
        is_ready: false: it takes no work just now.
    """

    def __init__(
        self,
        address: str,
        *,
        metrics: Callable[[], Awaitable[bytes]],
        is_live: Callable[[], bool],
        is_ready: Callable[[], bool],
    ) -> None:
        self._configured: Final = address
        self._metrics = metrics
        self._is_live = is_live
        self._is_ready = is_ready
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.address = ""

    async def start(self) -> None:
        """Answers when it returns; `address` is then `host:port` as bound.

        Raises:
            PreconditionError: the address cannot be had.
        """
        host, _, port = self._configured.rpartition(":")
        try:
            self._server = await asyncio.start_server(
                self._on_connection, host.strip("[]"), int(port), limit=MAX_HEAD_BYTES, backlog=MAX_CONNECTIONS
            )
        except OSError as error:
            raise PreconditionError(f"telemetry.metrics: {self._configured}: {error.strerror or error}") from error
        bound = self._server.sockets[0].getsockname()
        self.address = f"{host}:{bound[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=ANSWER_S)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if len(self._connections) < MAX_CONNECTIONS:
                self._connections.add(task)
                async with asyncio.timeout(ANSWER_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._answer(head))
                    await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
            pass  # no request of ours, or a caller that went away: nobody is there to be told
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        request, *headers = head.decode("latin-1").split("\r\n")
        words = request.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(400, "this is not HTTP/1.1\n")
        method, target, _ = words
        host = next((line.partition(":")[2].strip() for line in headers if line.lower().startswith("host:")), "localhost")
        if not _is_address(host):
            # A page in a browser that had its own name point here does not get to read this.
            return _response(421, "ask by address\n")
        if method not in ("GET", "HEAD"):
            return _response(405, "GET and HEAD are answered\n")
        answer = await self._page(target.partition("?")[0])
        return answer if method == "GET" else answer[: answer.index(b"\r\n\r\n") + 4]

    async def _page(self, path: str) -> bytes:
        if path == "/metrics":
            return _response(200, await self._metrics(), CONTENT_TYPE)
        if path == "/livez":
            return _state(self._is_live())
        if path == "/readyz":
            return _state(self._is_live() and self._is_ready())
        return _response(404, "there are /metrics, /livez and /readyz\n")


def _state(is_good: bool) -> bytes:
    return _response(200, "ok\n") if is_good else _response(_UNAVAILABLE, "no\n")


def _response(code: int, body: str | bytes, content_type: str = _PLAIN) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = (
        f"HTTP/1.1 {code} {_WORDS.get(code, 'Service Unavailable')}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(data)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def _is_address(host: str) -> bool:
    """Whether a Host header names an IP address or `localhost`."""
    name = host[1 : host.index("]")] if host.startswith("[") and "]" in host else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
