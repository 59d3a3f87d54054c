"""Callers that are wrong, slow or gone, and bugs of our own."""

from __future__ import annotations

import asyncio
import gc

import grpc
import psutil
import pytest
import structlog

from flowspan.errors import OverloadedError, Reason
from flowspan.v1 import run_service_pb2, run_service_pb2_grpc
from flowspan.view.fold import RunFold
from gateway.grpc_server.listener import Listener
from gateway.grpc_server.server import GrpcServer
from gateway.grpc_server.watch_stream import WatchStreams
from gateway.grpc_server.write_budget import WriteBudget
from runtime_core.api import SubmitRun
from tests.grpc_server.calls import read_all, refusal, segments_of, submit_request, until
from tests.grpc_server.conftest import FakeCatalog
from tests.grpc_server.fake_runtime import FLOW_ID, FakeRuntime

RUN_ID = "01900000-0000-7000-8000-000000000000"
MIB = 1 << 20


@pytest.fixture
def runs(channel: grpc.aio.Channel) -> run_service_pb2_grpc.RunServiceAsyncStub:
    return run_service_pb2_grpc.RunServiceStub(channel)


def long_run(runtime: FakeRuntime, items: int, size: int) -> None:
    payload = b'"' + b"x" * size + b'"'
    inputs = [payload] * items
    runtime.add_run(RUN_ID, SubmitRun(FLOW_ID, inputs), inputs)


async def test_a_message_beyond_the_limit_is_refused_and_the_connection_lives(channel: grpc.aio.Channel, runs) -> None:
    call = channel.unary_unary("/flowspan.v1.RunService/SubmitRun")
    code, _ = await refusal(call(b"\x12" + b"x" * (17 * MIB)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await runs.SubmitRun(submit_request(b"1"))).run.run_id == RUN_ID


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff",
        b"\x0a\x7f",
        run_service_pb2.GetRunRequest(run_id="x").SerializeToString().replace(b"x", b"\xff"),
    ],
    ids=["no message", "cut off", "invalid UTF-8"],
)
async def test_bytes_that_are_no_message_are_an_invalid_argument(channel: grpc.aio.Channel, data: bytes) -> None:
    for path in ("GetRun", "WatchRun"):
        method = f"/flowspan.v1.RunService/{path}"
        call = channel.unary_unary(method)(data) if path == "GetRun" else read_all(channel.unary_stream(method)(data))
        code, error = await refusal(call)
        assert (code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_ARGUMENT)


async def test_bytes_that_are_no_message_end_a_caller_s_stream(channel: grpc.aio.Channel) -> None:
    call = channel.stream_unary("/flowspan.v1.RunService/SubmitRunStream")(iter([b"\xff\xff\xff"]))
    code, _ = await refusal(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_unknown_fields_are_ignored(channel: grpc.aio.Channel, runs) -> None:
    await runs.SubmitRun(submit_request(b"1"))
    call = channel.unary_unary("/flowspan.v1.RunService/GetRun")
    answer = await call(run_service_pb2.GetRunRequest(run_id=RUN_ID).SerializeToString() + b"\xfa\x3f\x03abc")
    assert run_service_pb2.GetRunResponse.FromString(answer).run.run_id == RUN_ID


@pytest.mark.parametrize("path", ["/flowspan.v1.RunService/NoSuch", "/no.such.Service/X", "/x"])
async def test_unknown_methods_are_unimplemented(channel: grpc.aio.Channel, path: str) -> None:
    code, _ = await refusal(channel.unary_unary(path)(b""))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_metadata_beyond_the_limit_is_refused_and_the_next_call_is_served(runs) -> None:
    code, _ = await refusal(runs.SubmitRun(submit_request(b"1"), metadata=(("x-big", "y" * 20_000),)))
    assert code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    assert (await runs.SubmitRun(submit_request(b"1"))).run.run_id == RUN_ID


async def test_a_bug_shows_an_incident_and_none_of_its_words(runs, runtime: FakeRuntime) -> None:
    runtime.bug = ZeroDivisionError("the secret is 42")
    with structlog.testing.capture_logs() as logs:
        code, error = await refusal(runs.SubmitRun(submit_request(b"1")))
    assert (code, error.reason) == (grpc.StatusCode.INTERNAL, Reason.INTERNAL)
    assert "secret" not in error.message
    (entry,) = [log for log in logs if log["event"] == "incident"]
    assert entry["incident_id"] == error.details["incidentId"]
    assert entry["exc_info"] is runtime.bug


async def test_an_error_of_the_core_keeps_its_details(runs, runtime: FakeRuntime) -> None:
    runtime.bug = OverloadedError("too much", retryAfterMs=750)
    code, error = await refusal(runs.SubmitRun(submit_request(b"1")))
    assert (code, error.reason, error.details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVERLOADED, {"retryAfterMs": 750})


async def test_a_slow_reader_holds_a_few_messages_and_not_the_log(runs, runtime: FakeRuntime, server: GrpcServer) -> None:
    """64 MiB of log; a reader that takes one message and stops must not pull the rest into memory."""
    long_run(runtime, 4_096, 16 << 10)
    stream = runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID))
    await stream.read()
    gc.collect()
    before = psutil.Process().memory_info().rss
    # Another reader goes through the whole log meanwhile.
    fold = RunFold(keep_results=False)
    other = runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID))
    while (message := await other.read()) is not grpc.aio.EOF:
        fold.apply_all(segments_of([message]))
    assert fold.is_terminal
    slow = runtime.watches[0]
    assert slow._next_row < len(runtime.runs[RUN_ID].rows) // 2
    assert server.statistics().watch_streams == 1
    assert psutil.Process().memory_info().rss - before < 48 * MIB
    stream.cancel()
    await until(lambda: slow.closed == 1)


async def test_a_reader_that_vanishes_leaves_no_stream_and_no_task(server: GrpcServer, runtime: FakeRuntime) -> None:
    runtime.hold = True
    runtime.add_run(RUN_ID, SubmitRun(FLOW_ID, [b"1"]), [b"1"])
    tasks = len(asyncio.all_tasks())
    for end in ("cancel", "close"):
        channel = grpc.aio.insecure_channel(server.addresses[0], options=(("grpc.use_local_subchannel_pool", 1),))
        stream = run_service_pb2_grpc.RunServiceStub(channel).WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID))
        await stream.read()
        if end == "cancel":
            stream.cancel()
        await channel.close()
        await until(lambda: server.statistics().watch_streams == 0)
    assert [watch.closed for watch in runtime.watches] == [1, 1]
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_reader_that_vanishes_in_the_middle_of_a_write_is_no_bug(
    server: GrpcServer, runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    long_run(runtime, 2_048, 16 << 10)
    with structlog.testing.capture_logs() as logs:
        for _ in range(10):
            channel = grpc.aio.insecure_channel(server.addresses[0], options=(("grpc.use_local_subchannel_pool", 1),))
            stream = run_service_pb2_grpc.RunServiceStub(channel).WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID))
            await stream.read()
            await channel.close()
        await until(lambda: server.statistics().watch_streams == 0)
    assert logs == []
    assert [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")] == []
    assert server.statistics().writing_bytes == server.statistics().stalled_bytes == 0


async def test_calls_beyond_the_bound_are_refused_at_once(runtime: FakeRuntime, catalog: FakeCatalog, socket_path: str) -> None:
    runtime.gate = asyncio.Event()
    async with (
        GrpcServer(runtime, catalog, (Listener(f"unix:{socket_path}"),), max_concurrent_calls=3) as server,
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
    ):
        runs = run_service_pb2_grpc.RunServiceStub(channel)
        waiting = [asyncio.ensure_future(runs.SubmitRun(submit_request(b"1"))) for _ in range(3)]
        await until(lambda: len(runtime.commands) == 3)
        code, _ = await refusal(runs.GetRun(run_service_pb2.GetRunRequest(run_id=RUN_ID)))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        runtime.gate.set()
        await asyncio.gather(*waiting)


async def test_two_readers_with_one_cursor_both_get_everything(runs, runtime: FakeRuntime) -> None:
    long_run(runtime, 3_000, 10)
    request = run_service_pb2.WatchRunRequest(run_id=RUN_ID, after_seq=100)
    first, second = await asyncio.gather(read_all(runs.WatchRun(request)), read_all(runs.WatchRun(request)))
    assert segments_of(first) == segments_of(second)


async def test_streams_beyond_the_bound_are_told_to_come_back() -> None:
    streams = WatchStreams(WriteBudget(), max_streams=0)
    with pytest.raises(OverloadedError) as caught:
        streams.check_room()
    assert caught.value.details["retryAfterMs"] > 0


async def test_a_reader_that_takes_nothing_for_long_is_let_go_with_its_cursor(runtime: FakeRuntime) -> None:
    long_run(runtime, 10, 10)
    streams = WatchStreams(WriteBudget(), write_timeout_s=0.01)
    watch = await runtime.watch_run(RUN_ID, after_seq=3)

    async def write(_message: bytes) -> None:
        await asyncio.Event().wait()

    with pytest.raises(OverloadedError) as caught:
        await streams.pump(watch, write, after_seq=3, whole_tree=False, holds_slot=False)
    assert caught.value.details == {"afterSeq": 3, "retryAfterMs": 0}
    assert (watch.closed, streams.open_streams) == (1, 0)
