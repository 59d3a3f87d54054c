"""Where the server listens, and who may call there."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from flowspan.errors import InvalidArgumentError, PreconditionError, Reason
from flowspan.v1 import run_service_pb2, run_service_pb2_grpc
from gateway.grpc_server.listener import Listener
from gateway.grpc_server.server import GrpcServer
from tests.grpc_server.calls import read_all, refusal, submit_request
from tests.grpc_server.conftest import FakeCatalog
from tests.grpc_server.fake_runtime import FakeRuntime

TOKEN = "correct-horse"


async def test_one_server_listens_on_several_addresses(runtime: FakeRuntime, catalog: FakeCatalog, socket_path: str) -> None:
    listeners = (Listener(f"unix:{socket_path}"), Listener("127.0.0.1:0", token=TOKEN))
    async with GrpcServer(runtime, catalog, listeners) as server:
        unix, tcp = server.addresses
        assert unix == f"unix:{socket_path}"
        assert int(tcp.removeprefix("127.0.0.1:")) > 0
        assert stat.S_IMODE(os.stat(socket_path).st_mode) == 0o600
        for address, metadata in ((unix, ()), (tcp, (("authorization", f"Bearer {TOKEN}"),))):
            async with grpc.aio.insecure_channel(address) as channel:
                runs = run_service_pb2_grpc.RunServiceStub(channel)
                assert (await runs.SubmitRun(submit_request(b"1"), metadata=metadata)).run.items.total == 1
    assert server.addresses == ()
    assert not Path(socket_path).exists()


async def nothing_to_read() -> AsyncIterator[Any]:
    """Requests of a caller that waits for the answer to its metadata."""
    await asyncio.Event().wait()
    yield None


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", TOKEN),),
        (("authorization", f"Basic {TOKEN}"),),
        (("authorization", "Bearer wrong"),),
        (("authorization", f"Bearer {TOKEN}x"),),
        (("authorization", "Bearer "),),
    ],
)
async def test_a_call_without_the_token_is_refused_unread(runtime: FakeRuntime, catalog: FakeCatalog, metadata) -> None:
    async with (
        GrpcServer(runtime, catalog, (Listener("127.0.0.1:0", token=TOKEN),)) as server,
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
    ):
        runs = run_service_pb2_grpc.RunServiceStub(channel)
        for call in (
            runs.SubmitRun(submit_request(b"1"), metadata=metadata),
            runs.SubmitRunStream(nothing_to_read(), metadata=metadata),
            read_all(runs.WatchRun(run_service_pb2.WatchRunRequest(), metadata=metadata)),
        ):
            code, error = await refusal(call)
            assert (code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, Reason.UNAUTHENTICATED)
            assert TOKEN not in error.message
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel)
        code, _ = await refusal(read_all(reflect.ServerReflectionInfo(nothing_to_read(), metadata=metadata)))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert runtime.commands == []


async def test_the_scheme_may_be_written_in_any_case(runtime: FakeRuntime, catalog: FakeCatalog) -> None:
    async with (
        GrpcServer(runtime, catalog, (Listener("127.0.0.1:0", token=TOKEN),)) as server,
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
    ):
        metadata = (("authorization", f"bearer  {TOKEN} "),)
        await run_service_pb2_grpc.RunServiceStub(channel).SubmitRun(submit_request(b"1"), metadata=metadata)
    assert len(runtime.commands) == 1


async def test_a_stranger_reaches_no_namespace_but_the_default(runtime: FakeRuntime, catalog: FakeCatalog) -> None:
    async with (
        GrpcServer(runtime, catalog, (Listener("127.0.0.1:0"),)) as server,
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
    ):
        runs = run_service_pb2_grpc.RunServiceStub(channel)
        code, _ = await refusal(runs.SubmitRun(submit_request(b"1"), metadata=(("flowspan-namespace", "a"),)))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        await runs.SubmitRun(submit_request(b"1"), metadata=(("flowspan-namespace", "default"),))


@pytest.mark.parametrize("name", ["", "A", "a_b", "a" * 64, "a/b"])
async def test_a_malformed_namespace_is_refused(channel: grpc.aio.Channel, name: str) -> None:
    runs = run_service_pb2_grpc.RunServiceStub(channel)
    code, error = await refusal(runs.SubmitRun(submit_request(b"1"), metadata=(("flowspan-namespace", name),)))
    assert (code, error.details["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "flowspan-namespace")


@pytest.mark.parametrize("target", ["", "nothing", "unix:relative/path", "unix:/" + "x" * 120, ":1", "127.0.0.1:x", "h:99999"])
async def test_malformed_addresses_are_refused(runtime: FakeRuntime, catalog: FakeCatalog, target: str) -> None:
    with pytest.raises(InvalidArgumentError):
        await GrpcServer(runtime, catalog, (Listener(target),)).start()


async def test_a_living_server_s_socket_is_not_taken_away(
    runtime: FakeRuntime, catalog: FakeCatalog, server: GrpcServer, channel: grpc.aio.Channel, socket_path: str
) -> None:
    with pytest.raises(PreconditionError, match="another server"):
        await GrpcServer(runtime, catalog, (Listener(f"unix:{socket_path}"),)).start()
    await run_service_pb2_grpc.RunServiceStub(channel).SubmitRun(submit_request(b"1"))


async def test_a_dead_server_s_socket_is_replaced(runtime: FakeRuntime, catalog: FakeCatalog, socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(socket_path)
    async with GrpcServer(runtime, catalog, (Listener(f"unix:{socket_path}"),)) as server:
        async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
            await run_service_pb2_grpc.RunServiceStub(channel).SubmitRun(submit_request(b"1"))


async def test_a_file_that_is_no_socket_is_left_alone(runtime: FakeRuntime, catalog: FakeCatalog, socket_path: str) -> None:
    Path(socket_path).write_text("precious")
    with pytest.raises(PreconditionError, match="no socket"):
        await GrpcServer(runtime, catalog, (Listener(f"unix:{socket_path}"),)).start()
    assert Path(socket_path).read_text() == "precious"


async def test_a_taken_port_is_told_and_nothing_stays_behind(
    runtime: FakeRuntime, catalog: FakeCatalog, socket_path: str
) -> None:
    async with GrpcServer(runtime, catalog, (Listener("127.0.0.1:0", token=TOKEN),)) as first:
        second = GrpcServer(runtime, catalog, (Listener(f"unix:{socket_path}"), Listener(first.addresses[0], token=TOKEN)))
        with pytest.raises(PreconditionError, match="cannot listen"):
            await second.start()
    assert not Path(socket_path).exists()


async def test_stopping_twice_or_unstarted_is_harmless(runtime: FakeRuntime, catalog: FakeCatalog, socket_path: str) -> None:
    server = GrpcServer(runtime, catalog, (Listener(f"unix:{socket_path}"),))
    await server.stop()
    await server.start()
    await server.start()
    await server.stop()
    await server.stop()


def test_a_server_needs_an_address_and_a_token_needs_letters(runtime: FakeRuntime, catalog: FakeCatalog) -> None:
    with pytest.raises(InvalidArgumentError):
        GrpcServer(runtime, catalog, ())
