"""The HTTP listener: from a socket to the application, and its end."""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Final, Self

import uvicorn
from uvicorn.server import ServerState

from flowspan.errors import PreconditionError
from gateway.web.application import Application
from gateway.web.connection import Connection
from gateway.web.limits import IDLE_TIMEOUT_S, MAX_HEAD_BYTES, STOP_GRACE_S
from gateway.web.request import Faces
from gateway.web.settings import WebSettings, WebTls


class WebServer:
    """The run API on one HTTP address. Make, `start`, `stop`; stopping twice is harmless.

    Args:
        faces: what is served.

    Attributes:
        address: `host:port` as bound.
    """

    def __init__(self, settings: WebSettings, faces: Faces) -> None:
        self._settings: Final = settings
        self._application: Final = Application(settings, faces)
        self._state: Final = ServerState()
        self._server: asyncio.Server | None = None
        self.address = ""

    @property
    def url(self) -> str:
        return f"{self._settings.scheme}://{self.address}"

    async def start(self) -> None:
        """Answers when it returns.

        Raises:
            PreconditionError: the address cannot be had, or a file of `tls` cannot be used.
        """
        config = uvicorn.Config(
            self._application,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=int(IDLE_TIMEOUT_S),
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        config.load()
        host, _, port = self._settings.listen.rpartition(":")
        try:
            context = None if self._settings.tls is None else _context(self._settings.tls)
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(config, self._state, {}), host.strip("[]"), int(port), ssl=context, backlog=128
            )
        except OSError as error:
            raise PreconditionError(f"web.listen: {self._settings.listen}: {error.strerror or error}") from error
        self.address = f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Take no new connections, let answers end within `grace_s`, then end them.

        Streams of events do not end by themselves: drain the core before, so that they end with their cursors.
        """
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = list(self._state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=grace_s)
        for connection in list(self._state.connections):
            connection.transport.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()


def _context(tls: WebTls) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.client_ca)
    context.load_cert_chain(tls.certificate, tls.key)
    context.set_alpn_protocols(["http/1.1"])
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
