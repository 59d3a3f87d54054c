"""Runs and blobs from inside a component: what is asked, what comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowspan.components import ComponentContext, ComponentServer
from flowspan.components.outgoing import WINDOW
from flowspan.errors import FlowspanError
from flowspan.idempotency import idempotency_token
from flowspan.view.status import ItemResult
from tests.components.memory_pair import MemoryPair
from tests.components.played_gateway import execute_params, item, run_status

server = ComponentServer()
FLOW_ID = "sha256:" + "0" * 64


@server.component
async def submit(input: dict[str, Any], ctx: ComponentContext) -> Any:
    return await ctx.submit_run(**input)


@server.component
async def get(input: dict[str, Any], ctx: ComponentContext) -> Any:
    return [result.value for result in (await ctx.get_run(**input)).results or ()]


@server.component
async def blobs(input: Any, ctx: ComponentContext) -> Any:
    blob_id = await ctx.put_blob(b"\x00\xff" if input == "bytes" else input)
    read = await ctx.get_blob(blob_id)
    return read.hex() if isinstance(read, bytes) else read


@server.component
async def many(input: int, ctx: ComponentContext) -> int:
    return len(await asyncio.gather(*(ctx.get_blob(str(n)) for n in range(input))))


@server.component
async def facts(input: Any, ctx: ComponentContext) -> Any:
    names = (
        "attempt",
        "idempotency_token",
        "task_token",
        "run_id",
        "flow_id",
        "step_id",
        "item_index",
        "traceparent",
        "cancelled",
    )
    return {name: getattr(ctx, name) for name in names}


@server.component
async def progress(input: list[float], ctx: ComponentContext) -> None:
    for fraction in input:
        ctx.report_progress(fraction, "going")


@server.component
async def watch(input: int, ctx: ComponentContext) -> Any:
    following = ctx.watch_run("run-1", after_seq=input)
    results: list[ItemResult] = [result async for result in following]
    assert following.status is not None
    return {
        "values": [result.value for result in results],
        "cursor": following.cursor,
        "status": following.status.status.wire_name,
    }


@server.component
async def watch_first(input: Any, ctx: ComponentContext) -> Any:
    async for result in ctx.watch_run("run-1"):
        return result
    return None


@server.component
def watch_blocking(input: Any, ctx: Any) -> Any:
    return [result.value for result in ctx.watch_run("run-1")]


async def test_submit_sends_the_contracts_parameters_and_returns_the_contracts_status() -> None:
    pair = MemoryPair(server)
    request_id = pair.execute("/submit", {"flow_id": FLOW_ID, "inputs": [{"a": 1}], "wait": True, "max_concurrency": 10})
    asked = await pair.next("runs/submit")
    observability = execute_params("/submit", None)["observability"]
    assert asked["params"] == {
        "flowId": FLOW_ID,
        "inputs": [{"a": 1}],
        "wait": True,
        "maxConcurrency": 10,
        "taskToken": "task-1",
        "observability": observability,
    }
    status = run_status("run-1", [{"big": 10**30, "float": 1.0}])
    pair.answer(asked, status)
    output = (await pair.answer_to(request_id))["result"]["output"]
    assert {name: output[name] for name in status} == status
    pair.close()


async def test_every_option_of_submit_travels_under_its_name() -> None:
    pair = MemoryPair(server)
    options = {
        "flow_id": FLOW_ID, "inputs": [], "overrides": {"s": {"input": 1}}, "variables": {"v": 1}, "flow_label": "l",
        "metadata": {"k": "v"}, "item_labels": [], "deadline_s": 5.5, "timeout_s": 2.0, "detached": True, "request_id": "r",
    }  # fmt: skip
    pair.execute("/submit", options)
    params = (await pair.next("runs/submit"))["params"]
    for name in ("taskToken", "observability"):
        del params[name]
    assert params == {
        "flowId": FLOW_ID, "inputs": [], "overrides": {"s": {"input": 1}}, "variables": {"v": 1}, "flowLabel": "l",
        "metadata": {"k": "v"}, "itemLabels": [], "deadlineSecs": 5.5, "timeoutSecs": 2.0, "detached": True, "requestId": "r",
    }  # fmt: skip
    pair.close()


@pytest.mark.parametrize(
    ("arguments", "params"),
    [
        ({}, {}),
        ({"wait": True}, {"wait": True}),
        ({"wait": True, "include_results": False}, {"wait": True, "includeResults": False}),
        ({"include_results": True, "result_order": "byCompletion"}, {"includeResults": True, "resultOrder": "byCompletion"}),
    ],
)
async def test_get_says_only_what_the_caller_said(arguments: dict[str, Any], params: dict[str, Any]) -> None:
    pair = MemoryPair(server)
    pair.execute("/get", {"run_id": "run-1", **arguments})
    asked = (await pair.next("runs/get"))["params"]
    expected = {"runId": "run-1", "resultOrder": "byIndex", **params}
    assert {name: value for name, value in asked.items() if name not in ("taskToken", "observability")} == expected
    pair.close()


@pytest.mark.parametrize(("order", "values"), [("byIndex", [10, 11, 12]), ("byCompletion", [12, 11, 10])])
async def test_omitted_results_are_read_in_pages(order: str, values: list[int]) -> None:
    pair = MemoryPair(server)
    request_id = pair.execute("/get", {"run_id": "run-1", "wait": True, "result_order": order})
    status = run_status("run-1", [10, 11, 12])
    results = status.pop("results")
    for n, result in enumerate(results):
        result["completedAt"] = f"2025-01-15T10:30:0{9 - n}Z"
    omitted = {"count": 3, "bytes": 300, "limit": 100, "next": 0}
    pair.answer(await pair.next("runs/get"), {**status, "resultsOmitted": omitted})
    page = await pair.next("runs/get")
    assert (page["params"]["afterItemIndex"], page["params"]["limit"]) == (-1, 3)
    pair.answer(page, {**status, "results": results[:2], "resultsOmitted": {**omitted, "count": 1, "next": 2}})
    page = await pair.next("runs/get")
    assert page["params"]["afterItemIndex"] == 1
    pair.answer(page, {**status, "results": results[2:]})
    assert (await pair.answer_to(request_id))["result"]["output"] == values
    pair.close()


async def test_blobs_hold_values_and_bytes() -> None:
    pair = MemoryPair(server)
    for value, data, blob_type, output in (({"n": 1}, {"n": 1}, "data", {"n": 1}), ("bytes", "AP8=", "binary", "00ff")):
        request_id = pair.execute("/blobs", value)
        put = await pair.next("blobs/put")
        assert (put["params"]["data"], put["params"]["blob_type"]) == (data, blob_type)
        pair.answer(put, {"blob_id": "sha256:1"})
        got = await pair.next("blobs/get")
        assert got["params"]["blob_id"] == "sha256:1"
        pair.answer(got, {"data": data, "blob_type": blob_type})
        assert (await pair.answer_to(request_id))["result"]["output"] == output
    pair.close()


async def test_no_more_than_the_window_is_asked_at_once() -> None:
    pair = MemoryPair(server)
    request_id = pair.execute("/many", WINDOW + 5)
    asked = [await pair.next("blobs/get") for _ in range(WINDOW)]
    await asyncio.sleep(0)
    assert pair.inbox == []
    for request in asked:
        pair.answer(request, {"data": 1, "blob_type": "data"})
    for _ in range(5):
        pair.answer(await pair.next("blobs/get"), {"data": 1, "blob_type": "data"})
    assert (await pair.answer_to(request_id))["result"]["output"] == WINDOW + 5
    pair.close()


async def test_an_overloaded_gateway_is_asked_again_after_its_hint() -> None:
    pair = MemoryPair(server)
    request_id = pair.execute("/get", {"run_id": "run-1", "include_results": True})
    for _ in range(2):
        pair.refuse(await pair.next("runs/get"), -32014, "too much", reason="OVERLOADED", retryAfterMs=1)
    pair.answer(await pair.next("runs/get"), run_status("run-1", [5]))
    assert (await pair.answer_to(request_id))["result"]["output"] == [5]
    pair.close()


async def test_a_context_derives_the_token_that_it_is_not_sent() -> None:
    pair = MemoryPair(server)
    output = await pair.output("/facts", None, itemIndex=4, idempotencyToken=None)
    assert output["idempotency_token"] == idempotency_token(output["run_id"], 4, "only")
    assert len(output["idempotency_token"]) == 26


async def test_a_context_knows_its_execution() -> None:
    pair = MemoryPair(server)
    output = await pair.output("/facts", None, attempt=3, itemIndex=4)
    observability = execute_params("/facts", None)["observability"]
    assert output == {
        "attempt": 3,
        "idempotency_token": "abcdefghijklmnopqrstuvwxyz",
        "task_token": "task-1",
        "run_id": observability["run_id"],
        "flow_id": observability["flow_id"],
        "step_id": "only",
        "item_index": 4,
        "traceparent": observability["traceparent"],
        "cancelled": False,
    }
    pair.receive({"id": "bare", "method": "components/execute", "params": {"component": "facts", "input": None, "attempt": None}})
    assert (await pair.answer_to("bare"))["result"]["output"]["attempt"] == 1
    pair.close()


async def test_progress_is_told_but_not_more_often_than_anyone_can_see() -> None:
    pair = MemoryPair(server)
    request_id = pair.execute("/progress", [0.1, 0.2, 0.3, 1])
    await pair.answer_to(request_id)
    told = [message["params"] for message in pair.inbox if message["method"] == "$/progress"]
    common = {"id": request_id, "taskToken": "task-1", "message": "going"}
    assert told == [{**common, "fraction": 0.1}, {**common, "fraction": 1}]
    pair.close()


def _event(watch: dict[str, Any], cursor: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"method": "runs/event", "params": {"watchId": watch["id"], "runId": "run-1", "cursor": cursor, "items": list(items)}}


@pytest.mark.parametrize("component", ["/watch", "/watch_blocking"])
async def test_a_watch_yields_results_in_the_order_they_arrive(component: str) -> None:
    pair = MemoryPair(server)
    request_id = pair.execute(component, 7)
    asked = await pair.next("runs/watch")
    assert asked["params"]["runId"] == "run-1"
    assert asked["params"]["afterSeq"] == (7 if component == "/watch" else 0)
    assert asked["params"]["taskToken"] == "task-1"
    pair.receive(_event(asked, 9, item(1, "b")), _event(asked, 12, item(0, "a"), item(2, "c")))
    pair.answer(asked, run_status("run-1", [1, 2, 3]) | {"results": None})
    output = (await pair.answer_to(request_id))["result"]["output"]
    assert output == (
        {"values": ["b", "a", "c"], "cursor": 12, "status": "success"} if component == "/watch" else ["b", "a", "c"]
    )
    pair.close()


async def test_a_watch_that_nobody_reads_on_is_closed_with_its_execution() -> None:
    pair = MemoryPair(server)
    request_id = pair.execute("/watch_first", None)
    asked = await pair.next("runs/watch")
    pair.receive(_event(asked, 3, item(5, {"n": 1})))
    assert (await pair.answer_to(request_id))["result"]["output"] == item(5, {"n": 1})
    assert (await pair.next("$/cancelRequest"))["params"] == {"id": asked["id"]}
    pair.close()


async def test_a_watch_pauses_while_its_reader_is_far_behind_and_goes_on_at_its_cursor() -> None:
    pair = MemoryPair(server)
    request_id = pair.execute("/watch", 0)
    asked = await pair.next("runs/watch")
    pair.receive(_event(asked, 10_002, *(item(n, n) for n in range(10_001))))
    assert (await pair.next("$/cancelRequest"))["params"] == {"id": asked["id"]}
    pair.receive(_event(asked, 10_003, item(10_001, "between")))
    pair.refuse(asked, -32800, "cancelled", reason="REQUEST_CANCELLED")
    again = await pair.next("runs/watch")
    assert again["params"]["afterSeq"] == 10_003
    pair.receive(_event(again, 10_004, item(10_002, "last")))
    pair.answer(again, run_status("run-1", []))
    output = (await pair.answer_to(request_id))["result"]["output"]
    assert output["values"] == [*range(10_001), "between", "last"]
    pair.close()


async def test_a_gateway_that_goes_away_fails_every_open_call() -> None:
    pair = MemoryPair(server)
    caught: list[FlowspanError] = []
    local = ComponentServer()

    @local.component
    async def waits(input: Any, ctx: ComponentContext) -> None:
        try:
            await asyncio.shield(ctx.get_run("run-1", wait=True))
        except asyncio.CancelledError:
            caught.append(FlowspanError("cancelled"))
            raise

    pair = MemoryPair(local)
    pair.execute("/waits", None)
    await pair.next("runs/get")
    pair.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert caught
