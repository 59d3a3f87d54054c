"""A real server over a unix socket, a real channel, and the core's face in memory; on both event loops."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
import uvloop

from gateway.catalog import ComponentDescription, PluginHealth, PluginStatus
from gateway.grpc_server.listener import Listener
from gateway.grpc_server.server import GrpcServer
from tests.grpc_server.fake_runtime import FakeRuntime


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class FakeCatalog:
    """One plugin with one component."""

    def __init__(self) -> None:
        self.schema = b'{"type":"object"}'

    async def components(self) -> list[ComponentDescription]:
        return [ComponentDescription("/python/double", "python", "doubles", self.schema, None)]

    def plugins(self) -> list[PluginStatus]:
        return [PluginStatus("python", "stdio", PluginHealth.UP, restarts=2, capacity=8, in_flight=3, stderr_tail=("hello",))]


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


@pytest.fixture
def socket_path() -> Iterator[str]:
    # Not pytest's own directory: a socket path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="fs-grpc-") as directory:
        yield str(Path(directory) / "s")


@pytest_asyncio.fixture
async def server(runtime: FakeRuntime, catalog: FakeCatalog, socket_path: str) -> AsyncIterator[GrpcServer]:
    async with GrpcServer(runtime, catalog, (Listener(f"unix:{socket_path}"),)) as server:
        yield server
        async with asyncio.timeout(5):
            while server.statistics().watch_streams:
                await asyncio.sleep(0.001)


@pytest_asyncio.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        yield channel
