"""The server: listeners, services, health, reflection; started and stopped as one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Final, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from flowspan.errors import InvalidArgumentError, PreconditionError
from gateway.catalog import ComponentCatalog
from gateway.grpc_server.auth import TokenInterceptor
from gateway.grpc_server.blob_service import BlobService
from gateway.grpc_server.component_service import ComponentService
from gateway.grpc_server.flow_service import FlowService
from gateway.grpc_server.handlers import Service, generic_handler
from gateway.grpc_server.limits import CLEANUP_TIMEOUT_S
from gateway.grpc_server.listener import Listener
from gateway.grpc_server.options import MAX_CONCURRENT_CALLS, SERVER_OPTIONS
from gateway.grpc_server.run_service import RunService
from gateway.grpc_server.submissions import Submissions
from gateway.grpc_server.watch_stream import WatchStreams
from gateway.grpc_server.worker_service import WorkerService
from gateway.grpc_server.write_budget import WriteBudget
from gateway.workers.queue import WorkerQueue
from runtime_core.api import RuntimeApi
from runtime_core.calls import CallNaming

_MAX_SOCKET_PATH_BYTES: Final = 107
"""What `sockaddr_un` holds on Linux, less the NUL."""

_PROBE_TIMEOUT_S: Final = 1.0
"""For asking whether somebody listens on a socket path."""


@dataclass(frozen=True, slots=True)
class GrpcServerStatistics:
    """A moment's figures.

    Attributes:
        watch_streams: open streams of events.
        writing_bytes: bytes under way to readers that read; `stalled_bytes` to readers that do not.
        submissions: submits and other changes that the core works on.
    """

    watch_streams: int
    writing_bytes: int
    stalled_bytes: int
    submissions: int


class GrpcServer:
    """The services of `flowspan.v1` on one or more listeners.

    Use as `async with GrpcServer(...) as server`, or `start` and `stop`; stopping twice or unstarted is harmless.

    Args:
        api: the core. It outlives the server.
        catalog: what ComponentService shows.
        listeners: at least one. Each has a gRPC server of its own, and so its own bound on calls and its own token.
        queues: what workers may serve, by the name that they use. `naming`: of their executions; needed where there are any.
        max_concurrent_calls: per listener.
    """

    def __init__(
        self,
        api: RuntimeApi,
        catalog: ComponentCatalog,
        listeners: tuple[Listener, ...],
        *,
        queues: Mapping[str, WorkerQueue] = MappingProxyType({}),
        naming: CallNaming | None = None,
        max_concurrent_calls: int = MAX_CONCURRENT_CALLS,
    ) -> None:
        if not listeners:
            raise InvalidArgumentError("a gRPC server needs at least one address to listen on", field="listen")
        self._listeners: Final = listeners
        self._max_concurrent_calls: Final = max_concurrent_calls
        self._budget: Final = WriteBudget()
        self._streams: Final = WatchStreams(self._budget)
        self._submissions: Final = Submissions()
        self._services: Final[tuple[Service, ...]] = (
            RunService(api, self._submissions, self._streams),
            FlowService(api, self._submissions),
            BlobService(api, self._submissions, self._streams),
            ComponentService(catalog),
            *((WorkerService(queues, naming),) if naming is not None else ()),
        )
        self._health: health.aio.HealthServicer | None = None
        self._servers: list[grpc.aio.Server] = []
        self._addresses: list[str] = []
        self._socket_inodes: dict[str, int] = {}

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, in the order of the listeners: `unix:/path` or `host:port` with the true port."""
        return tuple(self._addresses)

    @property
    def services(self) -> tuple[Service, ...]:
        """What it serves, for those who serve the same over another wire."""
        return self._services

    @property
    def streams(self) -> WatchStreams:
        """Open streams and the budget that they share."""
        return self._streams

    @property
    def submissions(self) -> Submissions:
        return self._submissions

    def statistics(self) -> GrpcServerStatistics:
        return GrpcServerStatistics(
            self._streams.open_streams, self._budget.active_bytes, self._budget.stalled_bytes, self._submissions.in_progress
        )

    async def start(self) -> None:
        """Listen and answer. Health says NOT_SERVING until `set_serving(True)`.

        Raises:
            PreconditionError: an address is taken, or cannot be listened on.
            InvalidArgumentError: an address is malformed.
        """
        if self._servers:
            return
        self._health = health.aio.HealthServicer()
        await self.set_serving(False)
        try:
            for listener in self._listeners:
                server = self._make_server(listener, self._health)
                self._servers.append(server)
                self._addresses.append(await self._listen(server, listener))
            for server in self._servers:
                await server.start()
        except BaseException:
            await self.stop(grace_s=0.0)
            raise

    async def set_serving(self, is_serving: bool) -> None:
        """What the health service says, for the server as a whole and for each service."""
        if self._health is None:
            return
        serving = health_pb2.HealthCheckResponse.SERVING
        not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *(service.descriptor.full_name for service in self._services)):
            await self._health.set(name, serving if is_serving else not_serving)

    async def stop(self, grace_s: float = 1.0) -> None:
        """Take no new calls, let those that run end within `grace_s`, then end them.

        Streams of events do not end by themselves: drain the core before, so that they end with their cursors.
        """
        servers, self._servers = self._servers, []
        if self._health is not None:
            await self._health.enter_graceful_shutdown()
            self._health = None
        await asyncio.gather(*(server.stop(grace_s) for server in servers))
        await self._submissions.drain(CLEANUP_TIMEOUT_S)
        self._addresses.clear()
        for path, inode in self._socket_inodes.items():
            with contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_ino == inode:
                    os.unlink(path)
        self._socket_inodes.clear()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    def _make_server(self, listener: Listener, health_servicer: health.aio.HealthServicer) -> grpc.aio.Server:
        interceptors = () if listener.token is None else (TokenInterceptor(listener.token),)
        server = grpc.aio.server(
            interceptors=interceptors, options=SERVER_OPTIONS, maximum_concurrent_rpcs=self._max_concurrent_calls
        )
        is_authenticated = listener.is_unix or listener.token is not None
        server.add_generic_rpc_handlers(
            tuple(generic_handler(service, is_authenticated=is_authenticated) for service in self._services)
        )
        health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
        names = (
            *(service.descriptor.full_name for service in self._services),
            health.SERVICE_NAME,
            reflection.SERVICE_NAME,
        )
        reflection.enable_server_reflection(names, server)
        return server

    async def _listen(self, server: grpc.aio.Server, listener: Listener) -> str:
        if listener.is_unix:
            return await self._listen_unix(server, listener)
        host, colon, port = listener.target.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 65_535:
            raise InvalidArgumentError(f"{listener.target!r} is not host:port or unix:/path", field="listen")
        return f"{host}:{_bind(server, listener)}"

    async def _listen_unix(self, server: grpc.aio.Server, listener: Listener) -> str:
        path = listener.socket_path
        if not os.path.isabs(path) or len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
            raise InvalidArgumentError(
                f"{path!r} must be an absolute path of at most {_MAX_SOCKET_PATH_BYTES} bytes", field="listen"
            )
        await _check_unused(path)
        # The socket is made by the bind: nobody else may open it, not even for a moment.
        former = os.umask(0o177)
        try:
            _bind(server, listener)
        finally:
            os.umask(former)
        os.chmod(path, 0o600)
        self._socket_inodes[path] = os.stat(path).st_ino
        return listener.target


def _bind(server: grpc.aio.Server, listener: Listener) -> int:
    try:
        if listener.credentials is not None:
            return server.add_secure_port(listener.target, listener.credentials)
        return server.add_insecure_port(listener.target)
    except RuntimeError as error:
        raise PreconditionError(
            f"cannot listen on {listener.target}: is it taken by another server, or not an address of this machine?",
            target=listener.target,
        ) from error


async def _check_unused(path: str) -> None:
    """gRPC would take a socket away from a living server without a word, and replace any file but a socket never."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise PreconditionError(f"cannot listen on unix:{path}: there is a file that is no socket", target=path)
    except FileNotFoundError:
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.setblocking(False)
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(probe, path)
    except (ConnectionRefusedError, FileNotFoundError):
        return
    except TimeoutError:
        pass
    finally:
        probe.close()
    raise PreconditionError(f"cannot listen on unix:{path}: another server listens there", target=path)
