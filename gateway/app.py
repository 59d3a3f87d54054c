"""The composition root: the only place that knows every part, and puts them together.

Order of birth: store and engine, plugins, recovery of open runs, listeners. Order of death: health, listeners refuse, runs
drain, watchers leave with their cursors, plugins, engine and store.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import structlog

from flowspan.errors import InvalidArgumentError
from flowspan.protobuf.segments import ProtobufSegmentCodec
from gateway.builtins.in_process_plugin import InProcessPlugin, offered_builtins
from gateway.builtins.load_file import LoadFile
from gateway.builtins.openai import OpenAi
from gateway.builtins.settings import OutsideSettings
from gateway.catalog import ComponentCatalog, OfferingServer
from gateway.figures import Figures
from gateway.grpc_server.listener import Listener
from gateway.http_bridge.settings import HttpPlugin
from gateway.mcp_bridge.settings import McpPlugin
from gateway.methods.table import MethodTable
from gateway.mock_plugin import MockServer, MockSettings, offered_mocks
from gateway.routed_catalog import RoutedCatalog
from gateway.routing import ComponentRules, PlannedRoute, PrefixRouter, RouteEntry, planned_routes
from gateway.stdio_bridge.peer import ComponentPeer
from gateway.stdio_bridge.pool import PluginServer
from gateway.stdio_bridge.process_peer import PeerMaker
from gateway.stdio_bridge.settings import StdioPlugin
from gateway.stdio_bridge.supervisor import StdioSupervisor
from gateway.telemetry.exposition import render
from gateway.telemetry.observer import GatewayObserver, TraceSink
from gateway.telemetry.status_pages import StatusPages
from gateway.web.settings import WebSettings
from gateway.workers.queue import WorkerQueue
from gateway.workers.worker import QueueSettings
from runtime_core.api import RuntimeApi
from runtime_core.builtins.server import BuiltinServer
from runtime_core.calls import CallNaming, CallResult
from runtime_core.engine.runtime import Runtime
from runtime_core.limits import Limits
from runtime_core.ports import ComponentServer, EngineSink, SecretBox, Store

if TYPE_CHECKING:
    from gateway.grpc_server.server import GrpcServer
    from gateway.web.server import WebServer

log = structlog.get_logger("flowspan.gateway")

BUILTIN: Final = "builtin"
"""Name of the plugin that is always there."""

SWITCH_INTERVAL_S: Final = 0.0002
"""How long a thread that wants the interpreter waits for it; the default, 5 ms, is ten commits."""

DRAIN_S: Final = 10.0
"""What runs may finish within a graceful stop."""


class SystemClock:
    """Implements `runtime_core.ports.Clock`."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What a gateway is made of.

    Attributes:
        store: not yet open; the gateway owns it from here on.
        plugins: those of the types stdio, http and mcp. `mocks`: those that answer by rote. `queues`: those that
            workers serve.
        routes: to plugins by their names, in the order in which they are tried; `builtin` is the name of the built-ins. A mapping
            of prefixes (such as `/python`) to names stands for routes without conditions.
        rules: which components of a plugin may be called; all where there are none.
        outside: what built-ins may reach.
        listeners: none for an embedded gateway.
        traces: makes what takes spans; None: none are made.
        secrets: keeps secret variables out of the store; None: nothing that is stored outlives the process.
        metrics: `host:port` of the status pages; None: there are none.
        web: the run API over HTTP, beside at least one listener; None: there is none.
        on_calls: told of attempts that ended, as `RunObserver.on_calls`; None: nobody asks.
    """

    store: Store
    plugins: Sequence[StdioPlugin] = ()
    mocks: Sequence[MockSettings] = ()
    queues: Sequence[QueueSettings] = ()
    outside: OutsideSettings = field(default_factory=OutsideSettings)
    routes: Mapping[str, str] | Sequence[PlannedRoute] = field(default_factory=lambda: {"/builtin": BUILTIN})
    rules: Mapping[str, ComponentRules] = field(default_factory=dict)
    listeners: Sequence[Listener] = ()
    limits: Limits = field(default_factory=Limits)
    drain_s: float = DRAIN_S
    traces: Callable[[CallNaming], TraceSink] | None = None
    metrics: str | None = None
    web: WebSettings | None = None
    secrets: SecretBox | None = None
    on_calls: Callable[[Sequence[CallResult]], None] | None = None


class Gateway:
    """A running gateway. Make it with `open_gateway`, end it with `stop`; stopping twice is harmless.

    Attributes:
        failed: is set to the error that made the store unusable; the process must then end with 74.
    """

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        load_file = LoadFile(parts.outside.directories, parts.limits.result_bytes)
        self._openai = OpenAi(parts.outside.openai)
        self._builtins = BuiltinServer({"/load_file": load_file.answer, "/openai": self._openai.answer})
        self._mocks = {mock.name: MockServer(mock) for mock in parts.mocks}
        naming = self._naming = CallNaming(secrets.token_hex(16), secrets.token_hex(3))
        methods = MethodTable(lambda: self._runtime)
        self._plugins = {
            plugin.name: PluginServer(plugin, self._sink, naming, methods.handle, make_peer=_kind_of_process(plugin))
            for plugin in parts.plugins
        }
        self._supervisor = StdioSupervisor(tuple(self._plugins.values()))
        session = secrets.token_hex(8)
        self._queues = {
            queue.name: WorkerQueue(queue, self._sink, session=session, clock=time.monotonic) for queue in parts.queues
        }
        servers: dict[str, ComponentServer] = {BUILTIN: self._builtins, **self._plugins, **self._queues, **self._mocks}
        routes = planned_routes(parts.routes)
        unknown = sorted({route.plugin for route in routes} - servers.keys())
        if unknown:
            raise InvalidArgumentError(f"routes name plugins that are not configured: {', '.join(unknown)}", field="routes")
        router = PrefixRouter(
            [RouteEntry(route.prefix, servers[route.plugin], route.conditions) for route in routes],
            {servers[name]: rules for name, rules in parts.rules.items() if name in servers},
        )
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._traces = None if parts.traces is None else parts.traces(naming)
        self._observer = GatewayObserver(self._traces, on_calls=parts.on_calls)
        self._runtime = Runtime(
            store=parts.store,
            router=router,
            codec=ProtobufSegmentCodec(),
            clock=SystemClock(),
            limits=parts.limits,
            naming=naming,
            on_fatal=self._on_fatal,
            observer=self._observer,
            secrets=parts.secrets,
        )
        self._builtins.connect(
            sink=self._runtime.dispatcher,
            api=self._runtime,
            naming=naming,
            codec=self._runtime.codec,
            result_bytes=parts.limits.result_bytes,
        )
        offering: dict[str, OfferingServer] = {
            BUILTIN: InProcessPlugin(self._builtins, BUILTIN, offered_builtins()),
            **self._plugins,
            **self._queues,
        }
        for mock in parts.mocks:
            server = self._mocks[mock.name]
            server.sink = self._runtime.dispatcher
            offering[mock.name] = InProcessPlugin(server, "mock", offered_mocks(mock))
        self.catalog: ComponentCatalog = RoutedCatalog(routes, offering, parts.rules)
        self._server: GrpcServer | None = None
        self._web: WebServer | None = None
        self.figures = Figures(
            self._runtime, self._observer, (*self._plugins.values(), *self._queues.values()), lambda: self._server
        )
        self._pages: StatusPages | None = None
        if parts.metrics is not None:
            self._pages = StatusPages(
                parts.metrics,
                metrics=self._metrics_page,
                is_live=lambda: not self.failed.done(),
                is_ready=lambda: self._is_serving,
            )
        self._is_serving = False
        self._is_stopped = False

    @property
    def metrics_address(self) -> str | None:
        """Where the status pages are, as bound; None: nowhere."""
        return self._pages.address if self._pages is not None else None

    @property
    def web_url(self) -> str | None:
        """Where the web face is, as bound; None: nowhere."""
        return self._web.url if self._web is not None else None

    @property
    def api(self) -> RuntimeApi:
        return self._runtime

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, in the order of its listeners."""
        return self._server.addresses if self._server is not None else ()

    async def wait_plugins(self, timeout_s: float) -> bool:
        """Until every plugin takes calls or is known to be broken; False if one has not said by then, or is broken."""
        ready = await asyncio.gather(*(plugin.wait_ready(timeout_s) for plugin in self._plugins.values()))
        return all(ready)

    async def start(self) -> None:
        """Ready when it returns: open runs go on, plugins start, listeners answer."""
        try:
            if self._pages is not None:
                await self._pages.start()
            began_s = time.monotonic()
            # No plugin is started for a store that another gateway owns; they come up while runs are recovered.
            await self._runtime.open(on_owned=self._supervisor.start)
            open_runs = self._runtime.open_runs.values()
            if open_runs:
                items = sum(run.counts().running for run in open_runs)
                took_s = round(time.monotonic() - began_s, 3)
                log.info("runs_recovered", runs=len(open_runs), items_under_way=items, took_s=took_s)
            self.figures.begin()
            if self._parts.listeners:
                # Only now: gRPC takes its time to load, and the plugins start meanwhile.
                from gateway.grpc_server.server import GrpcServer

                for queue in self._queues.values():
                    queue.open()
                queues = {queue.queue: queue for queue in self._queues.values()}
                self._server = GrpcServer(
                    self._runtime, self.catalog, tuple(self._parts.listeners), queues=queues, naming=self._naming
                )
                await self._server.start()
                if self._parts.web is not None:
                    await self._start_web(self._parts.web, self._server)
                await self._server.set_serving(True)
            self._is_serving = True
            log.info("gateway_ready", addresses=list(self.addresses), metrics=self.metrics_address)
        except BaseException:
            await self.stop(grace_s=0.0)
            raise

    async def _start_web(self, settings: WebSettings, server: GrpcServer) -> None:
        from gateway.web.request import Faces  # an extra, and time to load
        from gateway.web.server import WebServer

        faces = Faces(self._runtime, self.catalog, server.services, server.streams, server.submissions, lambda: self._is_serving)
        self._web = WebServer(settings, faces)
        await self._web.start()

    async def stop(self, grace_s: float | None = None) -> None:
        """Drain for at most `grace_s` seconds (default: as configured), then end everything. Nothing that is durable is
        lost; what still runs is repeated by the next gateway."""
        if self._is_stopped:
            return
        self._is_stopped = True
        was_serving, self._is_serving = self._is_serving, False
        grace_s = self._parts.drain_s if grace_s is None else grace_s
        dispatcher, began_s = self._runtime.dispatcher, time.monotonic()
        async with AsyncExitStack() as ends:  # the last one first, and each of them whatever becomes of the others
            if self._traces is not None:
                ends.push_async_callback(self._traces.close)
            if self._pages is not None:
                ends.push_async_callback(self._pages.stop)
            ends.push_async_callback(self._runtime.close)
            ends.push_async_callback(self._openai.aclose)
            ends.push_async_callback(self._builtins.wait_closed)
            ends.callback(self._builtins.close)
            ends.push_async_callback(self._supervisor.stop)
            if self._server is not None:
                ends.push_async_callback(self._server.stop, grace_s=1.0)
            if self._web is not None:
                ends.push_async_callback(self._web.stop)
            if self._server is not None:
                await self._server.set_serving(False)
            for queue in self._queues.values():  # ahead of the server, which would wait for their streams
                ends.push_async_callback(queue.close)
            if dispatcher.calls:
                log.info("drain_begins", in_flight=len(dispatcher.calls), parked=len(dispatcher.parking), grace_s=grace_s)
            await self._runtime.drain(grace_s)
        if was_serving:  # else `start` failed, and its error says so
            log.info(
                "gateway_stopped",
                took_s=round(time.monotonic() - began_s, 3),
                open_runs=len(self._runtime.open_runs),
                to_repeat=len(dispatcher.calls),
            )

    async def _metrics_page(self) -> bytes:
        return render(await self.figures.collect())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    def _sink(self) -> EngineSink:
        return self._runtime.dispatcher

    def _on_fatal(self, error: BaseException) -> None:
        log.critical("store_failed", error=str(error))
        if not self.failed.done():
            self.failed.set_result(error)


def _kind_of_process(plugin: StdioPlugin) -> PeerMaker:
    # Loaded where a plugin needs them: each start of a gateway would wait for them.
    if isinstance(plugin, McpPlugin):
        from gateway.mcp_bridge.peer import McpPeer

        return McpPeer
    if isinstance(plugin, HttpPlugin):
        from gateway.http_bridge.peer import HttpPeer

        return HttpPeer
    return ComponentPeer


async def open_gateway(parts: GatewayParts) -> Gateway:
    """Make and start a gateway.

    Raises:
        PreconditionError: the store has another owner or a newer schema, or an address is taken.
        StorageError: the store is damaged.
    """
    gateway = Gateway(parts)
    await gateway.start()
    _tune_interpreter()
    return gateway


def _tune_interpreter() -> None:
    """For a process that is a gateway and nothing else."""
    # The writer thread gets the interpreter back from a busy loop this much sooner after each commit: a third more items
    # per second at 256 in flight, measured by `make bench`.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # What is there by now stays for good; full collections need not look at it. The little garbage among it is not worth the
    # time of looking for it before the gateway is ready.
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
