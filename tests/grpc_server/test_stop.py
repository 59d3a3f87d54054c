"""What becomes of calls when the server stops, and of bytes that are no HTTP/2."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from flowspan.v1 import run_service_pb2, run_service_pb2_grpc
from gateway.grpc_server.listener import Listener
from gateway.grpc_server.server import GrpcServer
from runtime_core.api import SubmitRun
from tests.grpc_server.calls import refusal, submit_request, until
from tests.grpc_server.conftest import FakeCatalog
from tests.grpc_server.fake_runtime import FLOW_ID, FakeRuntime

RUN_ID = "01900000-0000-7000-8000-000000000000"


async def test_a_stream_that_the_core_did_not_end_ends_with_the_grace(
    runtime: FakeRuntime, catalog: FakeCatalog, socket_path: str
) -> None:
    runtime.hold = True
    runtime.add_run(RUN_ID, SubmitRun(FLOW_ID, [b"1"]), [b"1"])
    server = GrpcServer(runtime, catalog, (Listener(f"unix:{socket_path}"),))
    await server.start()
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        stream = run_service_pb2_grpc.RunServiceStub(channel).WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID))
        await stream.read()
        async with asyncio.timeout(5):
            await server.stop(grace_s=0.05)
        code, _ = await refusal(stream.read())
        assert code is grpc.StatusCode.UNAVAILABLE
    await until(lambda: runtime.watches[0].closed == 1)
    assert server.statistics().watch_streams == 0


async def test_a_submit_that_runs_is_finished_before_the_server_is_down(
    runtime: FakeRuntime, catalog: FakeCatalog, socket_path: str
) -> None:
    runtime.gate = asyncio.Event()
    server = GrpcServer(runtime, catalog, (Listener(f"unix:{socket_path}"),))
    await server.start()
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        call = asyncio.ensure_future(run_service_pb2_grpc.RunServiceStub(channel).SubmitRun(submit_request(b"1")))
        await until(lambda: bool(runtime.commands))
        stopping = asyncio.ensure_future(server.stop(grace_s=0.01))
        code, _ = await refusal(call)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert not stopping.done()
        runtime.gate.set()
        async with asyncio.timeout(5):
            await stopping
    assert list(runtime.runs) == [RUN_ID]


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" + b"\x00" * 200, b"\x00" * 4_096]
)
async def test_bytes_that_are_no_http2_end_their_connection_and_no_other(
    runtime: FakeRuntime, catalog: FakeCatalog, data: bytes
) -> None:
    async with (
        GrpcServer(runtime, catalog, (Listener("127.0.0.1:0"),)) as server,
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
    ):
        host, _, port = server.addresses[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        async with asyncio.timeout(5):
            try:
                while await reader.read(65_536):
                    pass
            except ConnectionError:
                pass
        writer.close()
        runs = run_service_pb2_grpc.RunServiceStub(channel)
        assert (await runs.SubmitRun(submit_request(b"1"))).run.run_id == RUN_ID


async def test_compressed_bytes_count_as_what_they_unpack_to(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/flowspan.v1.RunService/SubmitRun")
    code, _ = await refusal(call(bytes(64 << 20), compression=grpc.Compression.Gzip))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
