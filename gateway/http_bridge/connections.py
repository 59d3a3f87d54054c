"""Connections to one server, each for one request at a time.

A pool that is shared by all requests looks through all of them for each: with 64 requests under way that took four times as
long as the rest of a request. Here a request takes the connection that was used last, and brings it back.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import httpx

CONNECT_S: Final = 5.0
KEEP_ALIVE_S: Final = 2.0
"""For a connection that is not used. Servers close theirs after five seconds, and a request must not meet that."""


class Connections:
    """To be closed when nothing is under way any more. `headers`: of every request."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers: Final = dict(headers)
        self._loop = asyncio.get_running_loop()
        self._idle: deque[tuple[float, httpx.AsyncHTTPTransport]] = deque()  # since when; used last at the right
        self._tls: ssl.SSLContext | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
        """The response, whose body is still to be read. How long that may take is for the owner of the request to know.

        Raises:
            httpx.HTTPError: as of `httpx.AsyncHTTPTransport`.
        """
        import httpx  # it takes its time to load, and few gateways need it

        # No limit of time but for the connection's own beginning.
        timeout = {"connect": CONNECT_S, "read": None, "write": None, "pool": None}
        request = httpx.Request("POST", url, headers={**self._headers, **headers}, content=body, extensions={"timeout": timeout})
        transport = self._idle.pop()[1] if self._idle else self._new()
        is_whole = False
        try:
            response = await transport.handle_async_request(request)
            response.request = request
            yield response
            await response.aclose()
            is_whole = True
        finally:
            if is_whole:
                self._idle.append((self._loop.time(), transport))
                if self._sweeper is None:
                    self._sweeper = self._loop.call_later(KEEP_ALIVE_S, self._sweep)
            else:
                self._close(transport)

    def _new(self) -> httpx.AsyncHTTPTransport:
        import httpx

        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        return httpx.AsyncHTTPTransport(verify=self._tls, limits=limits, trust_env=False)

    def _sweep(self) -> None:
        """End what was not used for long."""
        until = self._loop.time() - KEEP_ALIVE_S
        while self._idle and self._idle[0][0] <= until:
            self._close(self._idle.popleft()[1])
        self._sweeper = self._loop.call_later(KEEP_ALIVE_S, self._sweep) if self._idle else None

    def _close(self, transport: httpx.AsyncHTTPTransport) -> None:
        task = self._loop.create_task(transport.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._idle:
            self._close(self._idle.pop()[1])
        if self._closing:
            await asyncio.wait(self._closing, timeout=CONNECT_S)
