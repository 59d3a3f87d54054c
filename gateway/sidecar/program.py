"""The bridge as a program: a component server, its stream to the remote gateway, and their common end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from flowspan import __version__
from flowspan.client import AsyncClient
from flowspan.components.worker.stream import LAST_ACKNOWLEDGEMENT_S, WorkerStream
from flowspan.errors import FlowspanError, Reason
from gateway.http_bridge.peer import HttpPeer
from gateway.http_bridge.settings import HttpPlugin
from gateway.methods.table import MethodTable
from gateway.sidecar.host import BridgedServer, SidecarHost
from gateway.sidecar.naming import SessionNaming
from gateway.sidecar.remote_runs import RemoteRuns
from gateway.stdio_bridge.pool import PluginServer
from gateway.stdio_bridge.requests import RequestHandler
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.calls import CallNaming
from runtime_core.ports import SinkFactory

_log = structlog.get_logger("flowspan.sidecar")

READY_S: Final = 60.0
"""How long the component server may take to say what it offers."""
LEAVE_GRACE_S: Final = 10.0
"""What executions may take to end after the bridge was told to."""

ServerMaker = Callable[[SinkFactory, CallNaming, RequestHandler], BridgedServer]


def stdio_server(plugin: StdioPlugin) -> ServerMaker:
    """A component server over pipes."""
    return lambda sink, naming, handler: PluginServer(plugin, sink, naming, handler)


def http_server(plugin: HttpPlugin) -> ServerMaker:
    """A component server over HTTP."""
    return lambda sink, naming, handler: PluginServer(plugin, sink, naming, handler, make_peer=HttpPeer)


async def serve_bridge(make_server: ServerMaker, client: AsyncClient, queue: str, stop: asyncio.Event) -> None:
    """Serve a queue with a component server until `stop` is set.

    Raises:
        FlowspanError: (RESOURCE_UNAVAILABLE) the component server cannot be used, and no restart helps. What it had is given
            back.
    """
    naming = SessionNaming()
    host = SidecarHost(naming)
    methods = MethodTable(lambda: runs)
    runs = RemoteRuns(client, host, host.guess_token)
    server = make_server(lambda: host, naming, methods.handle)
    stream = WorkerStream(client.connection, queue, host, f"flowspan-bridge {__version__}")
    host.connect(server, stream)
    loop = asyncio.get_running_loop()
    stopped = loop.create_task(stop.wait())
    broken = loop.create_task(host.is_broken.wait())
    conversation: asyncio.Task[None] | None = None
    server.start_processes()
    try:
        await _wait_ready(server, stopped)
        if stopped.done():
            return
        conversation = loop.create_task(stream.serve())
        await asyncio.wait((conversation, stopped, broken), return_when=asyncio.FIRST_COMPLETED)
        if conversation.done():
            conversation.result()
        await host.leave(LEAVE_GRACE_S)
        await asyncio.wait((conversation,), timeout=LAST_ACKNOWLEDGEMENT_S)
        if server.broken is not None:
            raise FlowspanError(server.broken.message, reason=Reason.RESOURCE_UNAVAILABLE)
    finally:
        stopped.cancel()
        broken.cancel()
        if conversation is not None:
            conversation.cancel()
            await asyncio.wait((conversation,))
        host.close()
        await server.stop()
        await client.aclose()


async def _wait_ready(server: BridgedServer, stopped: asyncio.Task[bool]) -> None:
    """Until the server has said what it offers, which hello tells the gateway."""
    ready = asyncio.get_running_loop().create_task(server.wait_ready(READY_S))
    try:
        while not stopped.done():
            await asyncio.wait((ready, stopped), return_when=asyncio.FIRST_COMPLETED)
            if server.broken is not None:
                raise FlowspanError(server.broken.message, reason=Reason.RESOURCE_UNAVAILABLE)
            if ready.done():
                if ready.result():
                    return
                _log.warning("bridge_waits", why=server.waiting_for)
                ready = asyncio.get_running_loop().create_task(server.wait_ready(READY_S))
    finally:
        ready.cancel()
