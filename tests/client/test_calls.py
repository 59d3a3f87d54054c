from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from flowspan.client import AsyncClient, BlobRef, RawJson
from flowspan.client.channel import error_from_rpc
from flowspan.errors import (
    ConflictError,
    FlowspanError,
    InvalidArgumentError,
    NotFoundError,
    OverloadedError,
    Reason,
    StorageError,
    UnavailableError,
)
from flowspan.v1 import run_service_pb2 as pb
from flowspan.view.events import RunStatusCode
from flowspan.view.status import ResultOrder
from tests.client.conftest import QUICK
from tests.client.fake_gateway import FLOW_ID, FakeGateway, log_of

EXACT: list[Any] = [
    2**53 + 1,
    10**30,
    -(10**30),
    1,
    1.0,
    -0.0,
    5e-324,
    1e22,
    0.1,
    None,
    True,
    "",
    "\x00\x1f\x7f\x85\u2028\ufeff\uffff",
    "".join(chr(plane * 0x10000 + offset) for plane in range(17) for offset in (0x42, 0xFFFE)),
    {"": [], "é": {"\U0010ffff": [1, 1.0, {}]}},
]


def exactly(value: Any) -> str:
    """Tells 1 from 1.0 and from True, and 0.0 from -0.0."""
    return repr(value)


async def test_values_come_back_as_they_were_given(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        status = await client.run(FLOW_ID, EXACT)
        assert status.results is not None
        assert exactly([item.value for item in status.results]) == exactly(EXACT)
        assert exactly([item.result.value for item in status.results]) == exactly(EXACT)
        got = await client.get(status.run_id, include_results=True)
        assert exactly([item.value for item in got.results or ()]) == exactly(EXACT)


async def test_raw_json_is_sent_byte_for_byte(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        await client.submit(FLOW_ID, [RawJson(b'{"b": 1.50, "a":1E2}'), {"in": RawJson(b"1.50")}, BlobRef("sha256:00")])
    inputs = pb.SubmitRunRequest.FromString(gateway.received["SubmitRun"][0]).inputs
    assert [inputs[0].json, inputs[1].json, inputs[2].blob_id] == [b'{"b": 1.50, "a":1E2}', b'{"in":1.50}', "sha256:00"]


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": "\ud800"}, object()])
async def test_what_json_cannot_say_is_refused_before_anything_is_sent(gateway: FakeGateway, value: object) -> None:
    async with AsyncClient(gateway.target) as client:
        with pytest.raises(FlowspanError) as caught:
            await client.submit(FLOW_ID, [1, value])
    assert caught.value.reason is Reason.INVALID_VALUE and not caught.value.from_peer
    assert not gateway.received


async def test_options_reach_the_gateway_and_unknown_ones_are_refused(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        await client.submit(
            FLOW_ID,
            [1],
            max_concurrency=3,
            overrides={"steps": {"a": 1.0}},
            variables={"v": 2},
            label="nightly",
            metadata={"team": "x"},
            item_labels=["one"],
            deadline_s=1.5,
            detached=True,
            request_id="mine",
        )
        with pytest.raises(TypeError, match="'max_concurency'"):
            await client.submit(FLOW_ID, [1], max_concurency=3)  # type: ignore[call-arg]
        with pytest.raises(InvalidArgumentError, match="one value per item"):
            await client.submit(FLOW_ID, "text")
    options = pb.SubmitRunRequest.FromString(gateway.received["SubmitRun"][0]).options
    assert options.max_concurrency == 3 and options.overrides.json == b'{"steps":{"a":1.0}}'
    assert options.variables.json == b'{"v":2}' and options.flow_label == "nightly" and options.metadata == {"team": "x"}
    assert list(options.item_labels) == ["one"] and options.deadline.ToMilliseconds() == 1500
    assert options.detached and options.request_id == "mine"


@pytest.mark.parametrize("took_effect", [False, True])
async def test_a_submit_is_repeated_with_the_same_bytes_and_makes_one_run(gateway: FakeGateway, took_effect: bool) -> None:
    gateway.failing["SubmitRun"] = [(UnavailableError("starting"), took_effect), (UnavailableError("starting"), took_effect)]
    async with AsyncClient(gateway.target, retry=QUICK) as client:
        status = await client.submit(FLOW_ID, [1, 2], metadata={chr(97 + i): "x" for i in range(20)})
    calls = gateway.received["SubmitRun"]
    assert len(calls) == 3 and len(set(calls)) == 1
    assert len(gateway.runs) == 1 and status.run_id in gateway.runs
    assert pb.SubmitRunRequest.FromString(calls[0]).options.request_id


async def test_run_repeats_its_submit_and_resumes_its_watch(gateway: FakeGateway) -> None:
    gateway.failing["SubmitAndWatchRun"] = [(UnavailableError("gone"), True), (UnavailableError("gone"), False)]
    gateway.cuts = [1, 1, 0]
    async with AsyncClient(gateway.target, retry=QUICK) as client:
        status = await client.run(FLOW_ID, list(range(9)), item_labels=[f"item {i}" for i in range(9)])
    assert status.status is RunStatusCode.SUCCESS and status.results is not None
    assert [(item.item_index, item.value, item.item_label) for item in status.results] == [(i, i, f"item {i}") for i in range(9)]
    assert len(gateway.received["SubmitAndWatchRun"]) == 3 and len(set(gateway.received["SubmitAndWatchRun"])) == 1
    assert len(gateway.runs) == 1 and gateway.received["WatchRun"]


async def test_after_two_retries_the_error_is_the_caller_s(gateway: FakeGateway) -> None:
    gateway.failing["SubmitRun"] = [(UnavailableError("starting"), False)] * 5
    async with AsyncClient(gateway.target, retry=QUICK) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.submit(FLOW_ID, [1])
    assert caught.value.from_peer and len(gateway.received["SubmitRun"]) == 3


@pytest.mark.parametrize(
    ("error", "kind", "calls"),
    [
        (OverloadedError("busy", retryAfterMs=5), OverloadedError, 3),
        (OverloadedError("busy"), OverloadedError, 1),
        (ConflictError("another request"), ConflictError, 1),
        (StorageError("full", reason=Reason.STORAGE_FULL), StorageError, 1),
        (InvalidArgumentError("no", field="inputs"), InvalidArgumentError, 1),
        (FlowspanError("bug"), FlowspanError, 1),
    ],
)
async def test_only_what_may_pass_is_repeated(
    gateway: FakeGateway, error: FlowspanError, kind: type[FlowspanError], calls: int
) -> None:
    gateway.failing["SubmitRun"] = [(error, False)] * 5
    async with AsyncClient(gateway.target, retry=QUICK) as client:
        with pytest.raises(kind) as caught:
            await client.submit(FLOW_ID, [1])
    assert caught.value.reason is error.reason and caught.value.details == error.details and caught.value.from_peer
    assert len(gateway.received["SubmitRun"]) == calls


async def test_every_unary_call_has_a_deadline(gateway: FakeGateway) -> None:
    gateway.hold_s = 1.0
    async with AsyncClient(gateway.target, timeout_s=0.1, retry=QUICK) as client:
        begun = time.monotonic()
        with pytest.raises(FlowspanError) as caught:
            await client.get("run")
        assert time.monotonic() - begun < 0.9
    assert caught.value.reason is Reason.TIMEOUT and not caught.value.from_peer


async def test_a_gateway_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async with AsyncClient(f"unix:{tmp_path}/nobody.sock", retry=QUICK) as client:
        with pytest.raises(UnavailableError) as caught:
            await client.health()
    assert not caught.value.from_peer


async def test_the_token_goes_with_every_call(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target, token="secret") as client:
        status = await client.run(FLOW_ID, [1])
        await client.get(status.run_id)
        await client.raw.runs.GetRun(pb.GetRunRequest(run_id=status.run_id), timeout=5)
        await client.submit(FLOW_ID, iter([1]))
    assert {method for method, _ in gateway.metadata} == {"SubmitAndWatchRun", "GetRun", "SubmitRunStream"}
    assert all(metadata["authorization"] == "Bearer secret" for _, metadata in gateway.metadata)


async def test_many_inputs_and_iterators_are_streamed_in_order(gateway: FakeGateway) -> None:
    async def one_by_one() -> AsyncIterator[int]:
        for value in range(20):
            yield value

    async with AsyncClient(gateway.target) as client:
        for inputs, count in ((list(range(12_000)), 12_000), (iter(range(3_000)), 3_000), (one_by_one(), 20)):
            status = await client.submit(FLOW_ID, inputs)
            assert status.items.total == count
            results = [item.value async for item in client.watch(status.run_id)]
            assert results == list(range(count))
    assert len(gateway.received["SubmitRunStream"]) > 3 and "SubmitRun" not in gateway.received


async def test_a_streamed_submit_of_a_list_is_repeated_and_of_an_iterator_is_not(gateway: FakeGateway) -> None:
    gateway.failing["SubmitRunStream"] = [(UnavailableError("gone"), True)]
    async with AsyncClient(gateway.target, retry=QUICK) as client:
        status = await client.submit(FLOW_ID, list(range(6_000)))
        assert status.items.total == 6_000 and len(gateway.runs) == 1
        gateway.failing["SubmitRunStream"] = [(UnavailableError("gone"), False)]
        with pytest.raises(UnavailableError):
            await client.submit(FLOW_ID, iter([1]))


def test_a_call_that_breaks_or_is_dropped_by_a_stopping_gateway_may_be_tried_again() -> None:
    """gRPC shows these as INTERNAL and CANCELLED without a word from the gateway."""
    nothing = grpc.aio.Metadata()
    cut = error_from_rpc(grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, nothing, nothing, "Internal error from Core"))
    assert (cut.reason, cut.retryable) == (Reason.UNAVAILABLE, True)
    dropped = error_from_rpc(grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, nothing, nothing, "CANCELLED"))
    assert (dropped.reason, dropped.retryable) == (Reason.UNAVAILABLE, True)
    other = error_from_rpc(grpc.aio.AioRpcError(grpc.StatusCode.INTERNAL, nothing, nothing, "a bug"))
    assert not other.retryable


async def test_an_input_that_fails_in_the_middle_of_a_stream_submits_nothing(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        with pytest.raises(FlowspanError) as caught:
            await client.submit(FLOW_ID, iter([1, 2, float("nan")]))
        assert caught.value.reason is Reason.INVALID_VALUE
    assert not gateway.runs


@pytest.mark.parametrize("order", [ResultOrder.BY_INDEX, ResultOrder.BY_COMPLETION, "byCompletion"])
async def test_results_that_did_not_fit_are_fetched_in_pages(gateway: FakeGateway, order: ResultOrder | str) -> None:
    gateway.results_fit = False
    completion = [3, 1, 2, 0, *range(4, 20)]
    gateway.runs["run"] = log_of("run", [b"%d" % i for i in range(20)], completion, [5])
    async with AsyncClient(gateway.target) as client:
        status = await client.get("run", include_results=True, order=order)
        expected = list(range(20)) if order == ResultOrder.BY_INDEX else completion
        assert [item.item_index for item in status.results or ()] == expected and status.results_omitted is None
        gateway.get_sees_rows = 3  # what came since is not in this status
        partial = await client.get("run", include_results=True, order=order)
        assert partial.items.success == len(partial.results or ()) == 13


async def test_lists_page_by_themselves(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        for label in ("a", "b", "a", "a"):
            await client.submit(FLOW_ID, list(range(15)), label=label)
        assert [run.flow_label async for run in client.list(statuses=["success", RunStatusCode.FAILED])] == ["a", "b", "a", "a"]
        assert len([run async for run in client.list(label="a")]) == 3
        assert [item.item_index async for item in client.items("run-1")] == list(range(15))
    with pytest.raises(InvalidArgumentError, match="done"):
        client.list(statuses=["done"])


async def test_blobs_of_any_size_and_type_come_back(gateway: FakeGateway) -> None:
    big = bytes(range(256)) * 20_000
    async with AsyncClient(gateway.target) as client:
        assert await client.get_blob(await client.put_blob({"n": 10**30, "f": 1.0})) == {"n": 10**30, "f": 1.0}
        assert await client.get_blob(await client.put_blob(b"\x00raw")) == b"\x00raw"
        assert await client.get_blob(await client.put_blob(big)) == big
        as_flow = await client.put_blob(RawJson(b'{"steps": []}'), "flow")
        assert await client.get_blob_bytes(as_flow) == b'{"steps": []}'
        with pytest.raises(NotFoundError) as caught:
            await client.get_blob("sha256:none")
        assert caught.value.reason is Reason.BLOB_NOT_FOUND
        with pytest.raises(InvalidArgumentError):
            await client.put_blob(1, "text")


async def test_a_flow_is_given_as_id_document_or_file(gateway: FakeGateway, tmp_path: Path) -> None:
    document = {"name": "double", "steps": [{"id": "a", "n": 1.0}]}
    path = tmp_path / "flow.yaml"
    path.write_text("steps: []\n")
    async with AsyncClient(gateway.target) as client:
        flow_id = await client.store_flow(document)
        flow = await client.get_flow(flow_id)
        assert exactly(flow.document) == exactly(document)
        assert [summary.flow_id async for summary in client.list_flows()] == [flow_id]
        await client.submit(document, [1])
        await client.submit(path, [1])
        await client.submit(str(path), [1])
        assert (await client.check_flow(b"steps: []"))[0].level == "warning"
        with pytest.raises(InvalidArgumentError, match="neither a flow id"):
            await client.submit("sha256:abc", [1])
    assert len(gateway.received["SubmitRun"]) == 3


async def test_runs_are_cancelled_retried_and_deleted(gateway: FakeGateway) -> None:
    gateway.failing["RetryRun"] = [(UnavailableError("gone"), True)]
    async with AsyncClient(gateway.target, retry=QUICK) as client:
        run_id = (await client.submit(FLOW_ID, [1])).run_id
        assert (await client.cancel(run_id, "enough")).run_id == run_id
        await client.retry(run_id, [0], max_concurrency=2)
        gateway.failing["DeleteRun"] = [(UnavailableError("gone"), False)]
        with pytest.raises(UnavailableError):
            await client.delete(run_id)
        await client.delete(run_id)
    first, second = (pb.RetryRunRequest.FromString(data) for data in gateway.received["RetryRun"])
    assert first == second and first.request_id and list(first.item_indexes) == [0] and first.max_concurrency == 2
    assert not gateway.runs


async def test_the_gateway_says_what_it_offers(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        assert await client.health()
        offered = await client.components()
    assert offered.components[0].path == "/python/double" and offered.components[0].input_schema == {"type": "number"}
    assert offered.components[0].output_schema is None and offered.plugins[0].health == "backingOff"


async def test_a_closed_client_says_so(gateway: FakeGateway) -> None:
    client = AsyncClient(gateway.target)
    await client.health()
    await client.aclose()
    await client.aclose()
    with pytest.raises(FlowspanError) as caught:
        async with asyncio.timeout(5):
            await client.watch("run").next_batch()
    assert caught.value.reason is Reason.REQUEST_CANCELLED
