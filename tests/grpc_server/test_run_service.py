"""RunService over a socket."""

from __future__ import annotations

import asyncio
import dataclasses
from hashlib import sha256

import grpc
import msgspec
import pytest

from flowspan.errors import Reason, UnavailableError
from flowspan.protobuf.convert import run_status_from_message
from flowspan.v1 import json_value_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.fold import RunFold
from flowspan.view.status import ResultOrder
from gateway.grpc_server.limits import MAX_ITEM_INPUT_BYTES, MAX_SEND_BYTES
from gateway.grpc_server.server import GrpcServer
from runtime_core.ports import InputChunk, RunFilter
from tests.grpc_server.calls import read_all, refusal, segments_of, submit_request, until
from tests.grpc_server.fake_runtime import FLOW_ID, FakeRuntime

RUN_ID = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
def runs(channel: grpc.aio.Channel) -> run_service_pb2_grpc.RunServiceAsyncStub:
    return run_service_pb2_grpc.RunServiceStub(channel)


async def test_a_submitted_run_comes_back_with_its_status(runs, runtime: FakeRuntime) -> None:
    request = submit_request(b"1", b'{"a":2}', flow_label="nightly", metadata={"team": "a"}, max_concurrency=4)
    answer = await runs.SubmitRun(request)
    assert run_status_from_message(answer.run) == runtime.runs[answer.run.run_id].fold().snapshot()
    assert answer.run.status == run_pb2.RunStatus.RUN_STATUS_SUCCESS
    assert (answer.run.flow_label, dict(answer.run.metadata), answer.run.effective_max_concurrency) == (
        "nightly",
        {"team": "a"},
        4,
    )


async def test_every_option_reaches_the_core(runs, runtime: FakeRuntime) -> None:
    request = submit_request(b"1", b"2")
    request.inputs.append(json_value_pb2.JsonValue(blob_id="b" * 64))
    options = request.options
    options.overrides.json = b' {"s": {}}'
    options.variables.json = b'{"v": 1}'
    options.item_labels.extend(["x", "y", "z"])
    options.deadline.FromMilliseconds(1500)
    options.detached = True
    options.request_id = "r-1"
    options.task_token = "t-1"
    options.traceparent = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    await runs.SubmitRun(request)
    (command,) = runtime.commands
    assert msgspec.structs.asdict(command) == {
        "flow_id": FLOW_ID,
        "inputs": [b"1", b"2", b"sha256:" + b"b" * 64],
        "namespace": "default",
        "input_blobs": frozenset({2}),
        "max_concurrency": None,
        "overrides": b' {"s": {}}',
        "variables": b'{"v": 1}',
        "flow_label": None,
        "metadata": {},
        "item_labels": ("x", "y", "z"),
        "deadline_s": 1.5,
        "detached": True,
        "request_id": "r-1",
        "task_token": "t-1",
        "unlinked_depth": 0,
        "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        "trace_id": None,
        "stage_id": None,
        "staged_total": 0,
        "staged_sha256": b"",
        "source_run_id": None,
        "source_items": (),
    }


async def test_metadata_of_the_call_fills_in_what_the_options_leave_open(runs, runtime: FakeRuntime) -> None:
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    metadata = (("traceparent", traceparent), ("flowspan-task-token", "t-9"), ("flowspan-namespace", "team-a"))
    await runs.SubmitRun(submit_request(b"1"), metadata=metadata)
    await runs.SubmitRun(submit_request(b"1"), metadata=(("traceparent", "nonsense"),))
    first, second = runtime.commands
    assert (first.traceparent, first.task_token, first.namespace) == (traceparent, "t-9", "team-a")
    assert (second.traceparent, second.task_token, second.namespace) == (None, None, "default")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda request: setattr(request.options, "flow_id", "../../etc"), "flowId"),
        (lambda request: setattr(request.options, "max_concurrency", 0), "maxConcurrency"),
        (lambda request: setattr(request.options, "max_concurrency", -1), "maxConcurrency"),
        (lambda request: setattr(request.options.overrides, "json", b"[1]"), "options.overrides"),
        (lambda request: setattr(request.options.variables, "json", b"{"), "options.variables"),
        (lambda request: setattr(request.options.variables, "blob_id", "a" * 64), "options.variables"),
        (lambda request: request.options.item_labels.append("one of two"), "itemLabels"),
        (lambda request: request.options.deadline.FromSeconds(-1), "deadline"),
        (lambda request: setattr(request.options, "request_id", "x" * 129), "requestId"),
        (lambda request: setattr(request.options, "flow_label", "x" * 257), "flowLabel"),
        (lambda request: request.options.metadata.update({str(key): "" for key in range(65)}), "metadata"),
        (lambda request: request.options.metadata.update({"k": "x" * 1025}), "metadata.k"),
        (lambda request: request.inputs.add(), "inputs[2]"),
        (lambda request: request.inputs.add(blob_id="nothing"), "inputs[2]"),
        (lambda request: request.inputs.add(json=b"[1,"), "inputs[2]"),
        (lambda request: request.inputs.add(json=b"NaN"), "inputs[2]"),
        (lambda request: request.inputs.add(json=b'"\xff"'), "inputs[2]"),
        (lambda request: request.inputs.add(json=b"[" * 65 + b"]" * 65), "inputs[2]"),
        (lambda request: request.inputs.add(json=b'"' + b"x" * MAX_ITEM_INPUT_BYTES + b'"'), "inputs[2]"),
    ],
)
async def test_a_wrong_submit_is_refused_before_anything_is_done(runs, runtime: FakeRuntime, change, field: str) -> None:
    request = submit_request(b"1", b"2")
    change(request)
    code, error = await refusal(runs.SubmitRun(request))
    assert (code, error.details["field"], runtime.commands) == (grpc.StatusCode.INVALID_ARGUMENT, field, [])


async def test_a_bad_input_behind_a_blob_is_named_by_its_own_index(runs) -> None:
    request = submit_request(b"1")
    request.inputs.add(blob_id="a" * 64)
    request.inputs.add(json=b"tru")
    _, error = await refusal(runs.SubmitRun(request))
    assert (error.reason, error.details["index"]) == (Reason.PARSE_ERROR, 2)


async def test_more_items_than_one_call_may_bring_point_to_the_stream(runs) -> None:
    code, error = await refusal(runs.SubmitRun(submit_request(*([b"1"] * 100_001))))
    assert (code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, Reason.LIMIT_EXCEEDED)
    assert "SubmitRunStream" in error.message
    assert (error.details["max"], error.details["actual"]) == (100_000, 100_001)


async def test_a_submit_whose_caller_left_is_still_applied_as_a_whole(runs, runtime: FakeRuntime) -> None:
    runtime.gate = asyncio.Event()
    call = runs.SubmitRun(submit_request(b"1", request_id="once"))
    await until(lambda: bool(runtime.commands))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    runtime.gate.set()
    await until(lambda: RUN_ID in runtime.runs)
    again = await runs.SubmitRun(submit_request(b"1", request_id="once"))
    assert again.run.run_id == RUN_ID


async def test_a_watched_run_arrives_as_the_very_bytes_of_its_log(channel: grpc.aio.Channel, runtime: FakeRuntime, runs) -> None:
    await runs.SubmitRun(submit_request(*(b'{"n":%d}' % number for number in range(5_000))))
    watch = channel.unary_stream("/flowspan.v1.RunService/WatchRun")
    request = run_service_pb2.WatchRunRequest(run_id=RUN_ID).SerializeToString()
    received = b"".join(await read_all(watch(request)))
    log = b"".join(row for _, _, row in runtime.runs[RUN_ID].rows)
    assert received.startswith(log[: 1 << 19])
    message = run_service_pb2.WatchRunResponse.FromString(received)
    assert message.through_seq == 5_003
    message.ClearField("through_seq")
    assert message.SerializeToString() == log


async def test_a_watch_resumes_behind_its_cursor_and_misses_nothing(runs, runtime: FakeRuntime) -> None:
    await runs.SubmitRun(submit_request(*([b"7"] * 1_000)))
    fold = RunFold()
    for after_seq in (0, 300, 1_002):
        stream = runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID, after_seq=after_seq))
        fold = RunFold() if after_seq == 0 else fold
        fold.apply_all(segments_of(await read_all(stream)))
    assert fold.snapshot(order=ResultOrder.BY_INDEX) == runtime.runs[RUN_ID].fold().snapshot(order=ResultOrder.BY_INDEX)


async def test_filters_and_cursors_reach_the_core(runs, runtime: FakeRuntime) -> None:
    await runs.SubmitRun(submit_request(b"1"))
    options = run_service_pb2.WatchOptions(results_only=True, omit_payloads=True, whole_tree=True, task_token="t")
    request = run_service_pb2.WatchRunRequest(run_id=RUN_ID, after_seq=1, options=options, tree_after_seq={RUN_ID.upper(): 4})
    messages = await read_all(runs.WatchRun(request))
    assert runtime.watch_calls == [
        {
            "after_seq": 1,
            "results_only": True,
            "omit_payloads": True,
            "whole_tree": True,
            "tree_after_seq": {RUN_ID: 4},
            "task_token": "t",
        }
    ]
    assert [message.run_id for message in messages] == [RUN_ID]
    assert [len(segment.payloads) for segment in messages[0].segments] == [0]
    assert (runtime.watches[0].slots_taken, runtime.watches[0].closed) == (1, 1)


async def test_submit_and_watch_begins_with_the_accepted_run_and_its_first_events(runs, runtime: FakeRuntime) -> None:
    runtime.hold = True
    stream = runs.SubmitAndWatchRun(run_service_pb2.SubmitAndWatchRunRequest(run=submit_request(b"1", b"2")))
    first = await stream.read()
    assert (first.run.run_id, first.run.status) == (RUN_ID, run_pb2.RunStatus.RUN_STATUS_RUNNING)
    await runtime.finish(RUN_ID)
    fold = RunFold()
    fold.apply_all(segments_of([first]))
    assert fold.through_seq == first.through_seq > 0
    fold.apply_all(segments_of(await read_all(stream)))
    assert (fold.status, fold.counts().success) == (RunStatusCode.SUCCESS, 2)


async def test_submit_and_watch_from_a_cursor_begins_with_the_accepted_run_alone(runs, runtime: FakeRuntime) -> None:
    runtime.hold = True
    request = run_service_pb2.SubmitAndWatchRunRequest(run=submit_request(b"1", b"2", request_id="again"))
    through_seq = (await runs.SubmitAndWatchRun(request).read()).through_seq
    request.after_seq = through_seq
    stream = runs.SubmitAndWatchRun(request)
    first = await stream.read()
    assert (first.run.run_id, first.through_seq, len(first.segments)) == (RUN_ID, 0, 0)
    await runtime.finish(RUN_ID)
    assert (await read_all(stream))[0].segments[0].first_seq == through_seq + 1


async def test_events_that_piled_up_during_a_write_leave_as_one_message(runs, runtime: FakeRuntime) -> None:
    await runs.SubmitRun(submit_request(*([b"1"] * 20_000)))
    messages = await read_all(runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID)))
    assert len(messages) <= 2
    assert messages[-1].through_seq == 20_003


async def test_a_cursor_beyond_the_log_is_refused(runs) -> None:
    await runs.SubmitRun(submit_request(b"1"))
    code, error = await refusal(read_all(runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID, after_seq=99))))
    assert (code, error.details["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "afterSeq")


async def test_a_stopping_gateway_ends_a_watch_with_its_cursor(runs, runtime: FakeRuntime) -> None:
    runtime.hold = True
    await runs.SubmitRun(submit_request(b"1"))
    stream = runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID))
    assert (await stream.read()).through_seq == 2
    await runtime.stop(RUN_ID, UnavailableError("the gateway stops", afterSeq=2, retryAfterMs=500))
    code, error = await refusal(read_all(stream))
    assert (code, error.details, error.from_peer) == (
        grpc.StatusCode.UNAVAILABLE,
        {"afterSeq": 2, "retryAfterMs": 500},
        True,
    )


async def test_watchers_of_a_deleted_run_end_with_not_found(runs, runtime: FakeRuntime) -> None:
    runtime.hold = True
    await runs.SubmitRun(submit_request(b"1"))
    stream = runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID))
    await stream.read()
    await runs.DeleteRun(run_service_pb2.DeleteRunRequest(run_id=RUN_ID))
    code, error = await refusal(read_all(stream))
    assert (code, error.reason) == (grpc.StatusCode.NOT_FOUND, Reason.RUN_NOT_FOUND)


async def test_get_run_tells_results_in_the_order_that_was_asked_for(runs, runtime: FakeRuntime) -> None:
    await runs.SubmitRun(submit_request(b"1", b"2", b"3"))
    request = run_service_pb2.GetRunRequest(run_id=RUN_ID.upper(), include_results=True, after_item_index=0, limit=1)
    run = run_status_from_message((await runs.GetRun(request)).run, with_results=True)
    assert run.results is not None
    assert [(item.item_index, item.value) for item in run.results] == [(1, 2)]
    bare = await runs.GetRun(run_service_pb2.GetRunRequest(run_id=RUN_ID, result_order=2))
    assert list(bare.run.results) == []
    assert [call["order"] for name, call in runtime.calls if name == "get_run"] == [ResultOrder.BY_INDEX, None]


async def test_results_that_do_not_fit_are_left_out_and_counted(runs) -> None:
    payload = b'"' + b"x" * 500_000 + b'"'
    await runs.SubmitRun(submit_request(*([payload] * 8)))
    answer = await runs.GetRun(run_service_pb2.GetRunRequest(run_id=RUN_ID, include_results=True))
    assert (list(answer.run.results), answer.run.results_omitted.count) == ([], 8)
    assert answer.ByteSize() <= MAX_SEND_BYTES


async def test_pages_of_tiny_results_stay_below_the_limit_of_a_message(runs) -> None:
    await runs.SubmitRun(submit_request(*([b"1"] * 100_000)))
    answer = await runs.GetRun(run_service_pb2.GetRunRequest(run_id=RUN_ID, include_results=True))
    assert answer.ByteSize() <= MAX_SEND_BYTES
    assert answer.run.HasField("results_omitted") or answer.run.results
    page = await runs.ListRunItems(run_service_pb2.ListRunItemsRequest(run_id=RUN_ID, page_size=1_000_000))
    assert (len(page.items), page.next_page_token) == (10_000, "10000")


async def test_items_are_listed_in_pages_and_by_outcome(runs, runtime: FakeRuntime) -> None:
    await runs.SubmitRun(submit_request(*([b"5"] * 250)))
    seen: list[int] = []
    token = ""
    while True:
        page = await runs.ListRunItems(run_service_pb2.ListRunItemsRequest(run_id=RUN_ID, page_token=token))
        seen += [item.item_index for item in page.items]
        token = page.next_page_token
        if not token:
            break
    assert seen == list(range(250))
    request = run_service_pb2.ListRunItemsRequest(run_id=RUN_ID, outcomes=[run_pb2.OUTCOME_FAILED])
    assert list((await runs.ListRunItems(request)).items) == []
    assert runtime.calls[-1][1]["outcomes"] == frozenset({Outcome.FAILED})


async def test_runs_are_listed_by_filter(runs, runtime: FakeRuntime) -> None:
    for _ in range(3):
        await runs.SubmitRun(submit_request(b"1"))
    request = run_service_pb2.ListRunsRequest(
        page_size=2,
        statuses=[run_pb2.RunStatus.RUN_STATUS_SUCCESS],
        flow_id="a" * 64,
        flow_label="l",
        metadata={"k": "v"},
        parent_run_id=RUN_ID,
        root_run_id=RUN_ID,
    )
    request.created_after.FromMilliseconds(1_000)
    request.created_before.FromMilliseconds(2_000)
    page = await runs.ListRuns(request)
    assert ([run.run_id[-1] for run in page.runs], page.next_page_token) == (["2", "1"], "2")
    assert runtime.calls[-1][1]["filter"] == RunFilter(
        namespace="default",
        statuses=(RunStatusCode.SUCCESS,),
        flow_id=FLOW_ID,
        flow_label="l",
        metadata={"k": "v"},
        created_from_us=1_000_000,
        created_before_us=2_000_000,
        parent_run_id=RUN_ID,
        root_run_id=RUN_ID,
    )


@pytest.mark.parametrize(
    ("method", "request_message", "field"),
    [
        ("GetRun", run_service_pb2.GetRunRequest(run_id="x"), "runId"),
        ("GetRun", run_service_pb2.GetRunRequest(run_id=RUN_ID, result_order=9), "resultOrder"),  # type: ignore[arg-type]
        ("CancelRun", run_service_pb2.CancelRunRequest(run_id=""), "runId"),
        ("CancelRun", run_service_pb2.CancelRunRequest(run_id=RUN_ID, reason="x" * 1_025), "reason"),
        ("RetryRun", run_service_pb2.RetryRunRequest(run_id=RUN_ID, max_concurrency=0), "maxConcurrency"),
        ("DeleteRun", run_service_pb2.DeleteRunRequest(run_id="../x"), "runId"),
        ("ListRuns", run_service_pb2.ListRunsRequest(page_size=-1), "pageSize"),
        ("ListRuns", run_service_pb2.ListRunsRequest(statuses=[77]), "statuses"),  # type: ignore[list-item]
        ("ListRuns", run_service_pb2.ListRunsRequest(flow_id="x"), "flowId"),
        ("ListRuns", run_service_pb2.ListRunsRequest(page_token="x" * 5_000), "pageToken"),
        ("ListRunItems", run_service_pb2.ListRunItemsRequest(run_id=RUN_ID, outcomes=[0]), "outcomes"),  # type: ignore[list-item]
        ("ListRunItems", run_service_pb2.ListRunItemsRequest(run_id=RUN_ID, page_token="?"), "pageToken"),
    ],
)
async def test_wrong_arguments_are_refused_by_name(runs, method: str, request_message, field: str) -> None:
    code, error = await refusal(getattr(runs, method)(request_message))
    assert (code, error.details["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_cancel_tells_what_was_not_confirmed(runs, runtime: FakeRuntime) -> None:
    runtime.hold = True
    await runs.SubmitRun(submit_request(b"1"))
    answer = await runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=RUN_ID, reason="enough"))
    assert (answer.run.cancel_reason, answer.unconfirmed_executions) == ("enough", 3)
    assert answer.run.status == run_pb2.RunStatus.RUN_STATUS_CANCELLED


async def test_retry_names_each_item_once(runs, runtime: FakeRuntime) -> None:
    await runs.SubmitRun(submit_request(b"1", b"2", b"3"))
    request = run_service_pb2.RetryRunRequest(run_id=RUN_ID, item_indexes=[2, 0, 2], max_concurrency=5)
    answer = await runs.RetryRun(request)
    assert answer.run.items.total == 2
    assert runtime.calls[-1] == ("retry_run", {"item_indexes": (2, 0), "max_concurrency": 5})


async def test_a_run_of_another_namespace_is_not_there(runs) -> None:
    await runs.SubmitRun(submit_request(b"1"), metadata=(("flowspan-namespace", "a"),))
    code, error = await refusal(runs.GetRun(run_service_pb2.GetRunRequest(run_id=RUN_ID)))
    assert (code, error.reason, error.details["runId"]) == (grpc.StatusCode.NOT_FOUND, Reason.RUN_NOT_FOUND, RUN_ID)


def _stream_message(*inputs: bytes, **options: object) -> run_service_pb2.SubmitRunStreamRequest:
    message = run_service_pb2.SubmitRunStreamRequest(inputs=[json_value_pb2.JsonValue(json=data) for data in inputs])
    if options:
        message.options.CopyFrom(run_service_pb2.RunOptions(**options))  # type: ignore[arg-type]
    return message


async def test_streamed_inputs_are_staged_in_chunks_and_submitted_at_the_end(runs, runtime: FakeRuntime) -> None:
    inputs = [b'"%06d"' % number + b" " * 90 for number in range(10_000)]
    call = runs.SubmitRunStream()
    await call.write(_stream_message(flow_id=FLOW_ID, request_id="r"))
    for start in range(0, len(inputs), 1_500):
        await call.write(_stream_message(*inputs[start : start + 1_500]))
    assert runtime.commands == []
    await call.done_writing()
    answer = await call
    (command,) = runtime.commands
    chunks = runtime.stages[command.stage_id or ""]
    assert answer.run.items.total == command.staged_total == 10_000
    assert [data for chunk in chunks for data in chunk.inputs] == inputs
    assert [chunk.first_item for chunk in chunks] == _starts(chunks)
    assert max(sum(map(len, chunk.inputs)) for chunk in chunks) <= (256 << 10) + 100
    assert len(chunks) == 4
    assert len(command.staged_sha256) == 32


def _starts(chunks: list[InputChunk]) -> list[int]:
    starts, total = [], 0
    for chunk in chunks:
        starts.append(total)
        total += len(chunk.inputs)
    return starts


async def test_the_hash_of_a_stream_does_not_depend_on_how_it_was_cut(runs, runtime: FakeRuntime) -> None:
    for size in (1, 3, 7):
        call = runs.SubmitRunStream()
        await call.write(_stream_message(flow_id=FLOW_ID))
        for start in range(0, 7, size):
            await call.write(_stream_message(*[b"12", b"3", b"1", b"23", b"4", b"5", b"6"][start : start + size]))
        await call.done_writing()
        await call
    call = runs.SubmitRunStream()
    await call.write(_stream_message(b"1", b"23", b"1", b"23", b"4", b"5", b"6", flow_id=FLOW_ID))
    await call.done_writing()
    await call
    assert runtime.commands[0].staged_sha256 == sha256(b"2:121:31:12:231:41:51:6").digest()
    hashes = [command.staged_sha256 for command in runtime.commands]
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


async def test_streamed_blob_references_keep_their_place(runs, runtime: FakeRuntime) -> None:
    call = runs.SubmitRunStream()
    message = _stream_message(b"1", flow_id=FLOW_ID)
    message.inputs.add(blob_id="c" * 64)
    message.inputs.add(json=b"3")
    await call.write(message)
    await call.done_writing()
    await call
    ((chunk,),) = runtime.stages.values()
    assert chunk == InputChunk(0, [b"1", b"sha256:" + b"c" * 64, b"3"], frozenset({1}))


async def test_a_stream_that_breaks_leaves_neither_run_nor_inputs(server: GrpcServer, runtime: FakeRuntime) -> None:
    """Repeated: to gRPC's reader a broken stream looks like a closed one, and which news comes first is a race."""
    for attempt in range(90):
        options = (("grpc.use_local_subchannel_pool", 1),)
        async with grpc.aio.insecure_channel(server.addresses[0], options=options) as channel:
            deadline_s = 0.01 if attempt % 3 == 0 else None
            call = run_service_pb2_grpc.RunServiceStub(channel).SubmitRunStream(timeout=deadline_s)
            try:
                await call.write(_stream_message(flow_id=FLOW_ID))
                for _ in range(attempt % 4):
                    await call.write(_stream_message(*([b"1"] * 3_000)))
                if attempt % 3 == 1:
                    call.cancel()
                elif attempt % 3 == 2:
                    await channel.close()
                with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
                    await call
            except grpc.aio.AioRpcError:
                assert deadline_s is not None  # over already while the caller wrote
    async with grpc.aio.insecure_channel(server.addresses[0]) as channel:
        answer = await run_service_pb2_grpc.RunServiceStub(channel).SubmitRun(submit_request(b"1"))
    await until(lambda: not runtime.stages)
    assert (list(runtime.runs), len(runtime.commands)) == ([answer.run.run_id], 1)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "first message"),
        ([_stream_message(b"1")], "first message"),
        ([_stream_message(flow_id=FLOW_ID), _stream_message(flow_id=FLOW_ID)], "only the first"),
        ([_stream_message(b"1", flow_id=FLOW_ID, item_labels=["a", "b"])], "itemLabels"),
        ([_stream_message(flow_id="nothing")], "flowId"),
        ([_stream_message(*([b"1"] * 5_000), flow_id=FLOW_ID), _stream_message(b"[")], "not JSON"),
    ],
)
async def test_a_wrong_stream_is_refused_and_leaves_nothing(runs, runtime: FakeRuntime, messages, words: str) -> None:
    code, error = await refusal(runs.SubmitRunStream(iter(messages)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in error.message
    assert (runtime.commands, runtime.stages) == ([], {})


async def test_an_item_of_a_stream_is_named_by_its_index_in_the_run(runs) -> None:
    messages = [_stream_message(*([b"1"] * 10), flow_id=FLOW_ID), _stream_message(b"1", b"tru")]
    _, error = await refusal(runs.SubmitRunStream(iter(messages)))
    assert error.details["index"] == 11


async def test_a_refused_streamed_submit_discards_its_inputs(runs, runtime: FakeRuntime) -> None:
    runtime.bug = UnavailableError("not now", retryAfterMs=250)
    code, error = await refusal(runs.SubmitRunStream(iter([_stream_message(b"1", flow_id=FLOW_ID)])))
    assert (code, error.details["retryAfterMs"]) == (grpc.StatusCode.UNAVAILABLE, 250)
    assert runtime.stages == {}
    assert len(runtime.discarded) == 1


async def test_statistics_return_to_nothing(runs, server: GrpcServer) -> None:
    await runs.SubmitRun(submit_request(b"1"))
    await read_all(runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=RUN_ID)))
    await until(lambda: dataclasses.astuple(server.statistics()) == (0, 0, 0, 0))
