"""What docs/protocol/runs-methods.md says about runs/submit and runs/get, sentence by sentence, and our additions."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from flowspan.errors import FlowspanError
from flowspan.view.events import ItemCompleted, Outcome, RunCompleted, RunStatusCode
from gateway.methods.context import RequestContext
from gateway.methods.table import MethodTable
from runtime_core.api import RuntimeApi
from tests.methods.fake_api import FLOW_ID, FakeApi, FakeContext

PROCESSED = b'{"processed":true}'
ANALYZED = b'{"analyzed":true}'
INPUTS = [{"user_id": "user1", "action": "process"}, {"user_id": "user2", "action": "analyze"}]


async def ask(api: FakeApi, method: str, params: dict[str, Any], context: FakeContext | None = None) -> Any:
    served: RuntimeApi = api  # type: ignore[assignment]  # a fake of what is used here
    asks: RequestContext = context or FakeContext()
    async with asyncio.timeout(5):
        return msgspec.json.decode(await MethodTable(lambda: served).handle(asks, method, msgspec.json.encode(params)))


def example_result() -> dict[str, Any]:
    """The contract's response example, with times as precise as ours."""
    return {
        "runId": "550e8400-e29b-41d4-a716-446655440000",
        "flowId": FLOW_ID,
        "flowName": "Data Processing Workflow",
        "status": "success",
        "items": {"total": 2, "pending": 0, "running": 0, "success": 2, "failed": 0, "cancelled": 0},
        "createdAt": "2025-01-15T10:30:00.000Z",
        "completedAt": "2025-01-15T10:30:02.000Z",
        "results": [
            {
                "itemIndex": 0,
                "result": {"outcome": "success", "value": {"processed": True}},
                "completedAt": "2025-01-15T10:30:01.000Z",
            },
            {
                "itemIndex": 1,
                "result": {"outcome": "success", "value": {"analyzed": True}},
                "completedAt": "2025-01-15T10:30:02.000Z",
            },
        ],
        "asOfSeq": 5,
        "effectiveMaxConcurrency": 10,
    }


async def test_submit_with_wait_returns_the_run_status_with_results() -> None:
    api = FakeApi([PROCESSED, ANALYZED])
    params = {"flowId": FLOW_ID, "inputs": INPUTS, "wait": True, "maxConcurrency": 10}
    assert await ask(api, "runs/submit", params) == example_result()
    (command,) = api.submitted
    assert [msgspec.json.decode(value) for value in command.inputs] == INPUTS
    assert (command.max_concurrency, command.namespace, command.task_token) == (10, "tenant", "token")


async def test_get_with_wait_and_results_returns_the_same() -> None:
    api = FakeApi()
    run = api.add_run(2)
    run.finish(PROCESSED, ANALYZED)
    params = {"runId": run.description.run_id, "wait": True, "includeResults": True, "resultOrder": "byIndex"}
    assert await ask(api, "runs/get", params) == example_result()


async def test_submit_without_wait_answers_at_once_and_without_results() -> None:
    answer = await ask(FakeApi(), "runs/submit", {"flowId": FLOW_ID, "inputs": INPUTS})
    assert answer["status"] == "running"
    assert "results" not in answer and "completedAt" not in answer


async def test_submit_with_wait_answers_only_when_the_last_item_has_ended() -> None:
    api, context = FakeApi(), FakeContext()
    waiting = asyncio.create_task(ask(api, "runs/submit", {"flowId": FLOW_ID, "inputs": INPUTS, "wait": True}, context))
    await api.new_run.wait()
    (run,) = api.runs.values()
    run.tell(ItemCompleted(1, Outcome.SUCCESS, ANALYZED), after_s=1)
    await asyncio.sleep(0)
    assert not waiting.done() and context.open_waits == 1
    run.tell(ItemCompleted(0, Outcome.FAILED, b'{"code":"TIMEOUT","message":"late"}'), after_s=2)
    run.tell(RunCompleted(RunStatusCode.FAILED), after_s=2)
    answer = await waiting
    assert [result["itemIndex"] for result in answer["results"]] == [0, 1]
    assert answer["results"][0]["result"] == {"outcome": "failed", "error": {"code": "TIMEOUT", "message": "late"}}
    assert answer["status"] == "failed"
    assert context.open_waits == 0


async def test_the_execution_has_its_slot_again_before_the_answer_goes_out() -> None:
    api = FakeApi([PROCESSED, ANALYZED])
    api.slots.clear()
    waiting = asyncio.create_task(ask(api, "runs/submit", {"flowId": FLOW_ID, "inputs": INPUTS, "wait": True, "taskToken": "t"}))
    async with asyncio.timeout(5):
        while ("slot", "t") not in api.noted:
            await asyncio.sleep(0)
    assert not waiting.done()
    api.slots.set()
    await waiting
    assert api.noted[-1] == ("closed", "t")


async def test_a_wait_that_times_out_answers_the_status_as_it_stands_with_finished_items_and_waits_for_no_slot() -> None:
    api = FakeApi()
    api.slots.clear()
    params = {"flowId": FLOW_ID, "inputs": INPUTS, "wait": True, "timeoutSecs": 0.05, "task_token": "t"}
    waiting = asyncio.create_task(ask(api, "runs/submit", params))
    await api.new_run.wait()
    next(iter(api.runs.values())).tell(ItemCompleted(1, Outcome.SUCCESS, ANALYZED), after_s=1)
    answer = await waiting
    assert answer["status"] == "running"
    assert [result["itemIndex"] for result in answer["results"]] == [1]
    assert answer["items"] == {"total": 2, "pending": 0, "running": 1, "success": 1, "failed": 0, "cancelled": 0}
    assert ("slot", "t") not in api.noted


@pytest.mark.parametrize(
    ("params", "has_results"),
    [
        ({}, False),
        ({"includeResults": True}, True),
        ({"include_results": True}, True),
        ({"includeResults": False}, False),
        ({"includeResults": None}, False),
        ({"wait": True}, True),
        ({"wait": True, "includeResults": None}, True),
        ({"wait": True, "includeResults": False}, False),
    ],
)
async def test_get_includes_results_if_asked_or_if_a_wait_does_not_forbid_it(params: dict[str, Any], has_results: bool) -> None:
    api = FakeApi()
    run = api.add_run(1)
    run.finish(PROCESSED)
    answer = await ask(api, "runs/get", {"run_id": run.description.run_id, **params})
    assert ("results" in answer) is has_results


@pytest.mark.parametrize(
    ("order", "indexes"),
    [("byIndex", [0, 1]), ("by_index", [0, 1]), (None, [0, 1]), ("byCompletion", [1, 0]), ("by_completion", [1, 0])],
)
async def test_results_come_in_the_order_asked_for(order: str | None, indexes: list[int]) -> None:
    api = FakeApi()
    run = api.add_run(2)
    run.tell(
        ItemCompleted(1, Outcome.SUCCESS, b"1"), ItemCompleted(0, Outcome.SUCCESS, b"0"), RunCompleted(RunStatusCode.SUCCESS)
    )
    answer = await ask(api, "runs/get", {"runId": run.description.run_id, "includeResults": True, "resultOrder": order})
    assert [result["itemIndex"] for result in answer["results"]] == indexes


async def test_all_that_a_submit_may_say_reaches_the_core() -> None:
    api = FakeApi()
    params = {
        "flow_id": FLOW_ID.removeprefix("sha256:"),
        "inputs": [None, 12345678901234567890123],
        "overrides": {"steps": {}},
        "variables": {"a": 1},
        "flowLabel": "label",
        "metadata": {"k": "v"},
        "item_labels": ["a", "b"],
        "deadline_secs": 60,
        "detached": True,
        "requestId": "once",
        "taskToken": "t",
        "observability": {"trace_id": "x", "traceparent": "00-a-b-01"},
        "somethingElse": 1,
    }
    await ask(api, "runs/submit", params)
    (command,) = api.submitted
    assert command == msgspec.structs.replace(
        command,
        flow_id=FLOW_ID,
        inputs=[b"null", b"12345678901234567890123"],
        overrides=b'{"steps":{}}',
        variables=b'{"a":1}',
        flow_label="label",
        metadata={"k": "v"},
        item_labels=["a", "b"],
        deadline_s=60,
        detached=True,
        request_id="once",
        task_token="t",
        traceparent="00-a-b-01",
    )


async def test_labels_come_back_with_the_results_of_a_waiting_submit() -> None:
    params = {"flowId": FLOW_ID, "inputs": [1, 2], "wait": True, "itemLabels": ["one", "two"]}
    answer = await ask(FakeApi([b"1", b"2"]), "runs/submit", params)
    assert [result["itemLabel"] for result in answer["results"]] == ["one", "two"]


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("runs/submit", {"flowId": FLOW_ID}, "inputs"),
        ("runs/submit", {"inputs": []}, "flowId"),
        ("runs/submit", {"flowId": FLOW_ID, "inputs": {}}, "inputs"),
        ("runs/submit", {"flowId": FLOW_ID, "inputs": [], "maxConcurrency": 0}, "maxConcurrency"),
        ("runs/submit", {"flowId": FLOW_ID, "inputs": [], "max_concurrency": -1}, "maxConcurrency"),
        ("runs/submit", {"flowId": FLOW_ID, "inputs": [], "maxConcurrency": 1.5}, "maxConcurrency"),
        ("runs/submit", {"flowId": FLOW_ID, "inputs": [], "maxConcurrency": "10"}, "maxConcurrency"),
        ("runs/submit", {"flowId": FLOW_ID, "inputs": [], "overrides": [1]}, "overrides"),
        ("runs/submit", {"flowId": FLOW_ID, "inputs": [], "timeoutSecs": 1e12}, "timeoutSecs"),
        ("runs/get", {}, "runId"),
        ("runs/get", {"runId": "r", "resultOrder": "sideways"}, "resultOrder"),
        ("runs/get", {"runId": "r", "wait": "yes"}, "wait"),
        ("blobs/put", {}, "data"),
        ("blobs/put", {"data": 1, "blob_type": "odd"}, "blobType"),
        ("blobs/put", {"data": "not base64!", "blob_type": "binary"}, "data"),
        ("flows/evaluate", {"input": 1}, "flowId"),
    ],
)
async def test_wrong_params_are_refused_by_name(method: str, params: dict[str, Any], field: str) -> None:
    with pytest.raises(FlowspanError) as caught:
        await ask(FakeApi(), method, params)
    assert caught.value.row.jsonrpc == -32602
    assert caught.value.details["field"] == field


async def test_inputs_beyond_the_limits_are_refused_with_the_figures() -> None:
    with pytest.raises(FlowspanError) as many:
        await ask(FakeApi(), "runs/submit", {"flowId": FLOW_ID, "inputs": [1] * 100_001})
    assert many.value.details == {"limit": "inputs", "max": 100_000, "actual": 100_001}
    with pytest.raises(FlowspanError) as large:
        await ask(FakeApi(), "runs/submit", {"flowId": FLOW_ID, "inputs": ["x" * 1_048_576]})
    assert large.value.details["limit"] == "input"


async def test_an_unknown_run_an_unknown_method_and_a_stale_token_have_their_codes() -> None:
    for method, params, code in (
        ("runs/get", {"runId": "nowhere"}, -32012),
        ("runs/watch", {"runId": "nowhere"}, -32012),
        ("runs/delete", {}, -32601),
        ("runs/get", {"runId": "r", "taskToken": "stale"}, -32007),
        ("blobs/get", {"blobId": "sha256:00"}, -32008),
    ):
        with pytest.raises(FlowspanError) as caught:
            await ask(FakeApi(), method, params)
        assert caught.value.row.jsonrpc == code


# -- answers that do not fit -------------------------------------------------------------------------------------------------


def large_run(api: FakeApi, count: int = 20) -> str:
    run = api.add_run(count)
    run.finish(*[b'"%s"' % (b"x" * 1000)] * count)
    return run.description.run_id


@pytest.mark.parametrize("method", ["runs/get", "runs/submit"])
async def test_results_that_do_not_fit_are_left_out_and_counted(method: str) -> None:
    api = FakeApi([b'"%s"' % (b"x" * 1000)] * 20)
    params: dict[str, Any] = {"flowId": FLOW_ID, "inputs": [1] * 20, "wait": True}
    if method == "runs/get":
        params = {"runId": large_run(api), "includeResults": True}
    answer = await ask(api, method, params, FakeContext(max_answer_bytes=10_000))
    assert "results" not in answer
    assert (answer["resultsOmitted"]["count"], answer["resultsOmitted"]["next"]) == (20, 0)
    assert answer["resultsOmitted"]["bytes"] == 20 * 1002


async def test_paging_gives_every_result_once_and_no_answer_exceeds_the_line() -> None:
    api = FakeApi()
    run_id = large_run(api)
    seen: list[int] = []
    after = -1
    for _ in range(20):
        context = FakeContext(max_answer_bytes=10_000)
        served: RuntimeApi = api  # type: ignore[assignment]
        raw = await MethodTable(lambda served=served: served).handle(  # type: ignore[misc]
            context, "runs/get", msgspec.json.encode({"runId": run_id, "includeResults": True, "afterItemIndex": after})
        )
        assert len(raw) <= 10_000
        page = msgspec.json.decode(raw)
        seen += [result["itemIndex"] for result in page["results"]]
        if "resultsOmitted" not in page:
            break
        after = page["resultsOmitted"]["next"] - 1
    assert seen == list(range(20))


async def test_a_page_of_a_given_length_has_that_length() -> None:
    api = FakeApi()
    answer = await ask(api, "runs/get", {"runId": large_run(api), "includeResults": True, "afterItemIndex": 4, "limit": 3})
    assert [result["itemIndex"] for result in answer["results"]] == [5, 6, 7]


async def test_a_page_from_the_beginning_is_asked_as_a_page() -> None:
    api = FakeApi()
    run_id = large_run(api)
    await ask(api, "runs/get", {"runId": run_id, "includeResults": True, "afterItemIndex": -1})
    await ask(api, "runs/get", {"runId": run_id, "includeResults": True})
    assert [after for name, *_, after, _ in api.noted if name == "get"] == [-1, None]


async def test_more_values_than_a_reader_accepts_are_left_out_too() -> None:
    api = FakeApi()
    run = api.add_run(3)
    run.finish(*[b"[" + b"1," * 99_999 + b"1]"] * 3)
    answer = await ask(api, "runs/get", {"runId": run.description.run_id, "includeResults": True})
    assert answer["resultsOmitted"]["count"] == 3


async def test_values_kept_in_blobs_come_as_values_where_they_fit() -> None:
    api = FakeApi()
    small, large = await api.put_blob(b'{"v":1}'), await api.put_blob(b'"%s"' % (b"x" * 20_000))
    run = api.add_run(2)
    run.tell(ItemCompleted(0, Outcome.SUCCESS, small.encode(), True), ItemCompleted(1, Outcome.SUCCESS, large.encode(), True))
    run.tell(RunCompleted(RunStatusCode.SUCCESS))
    params = {"runId": run.description.run_id, "includeResults": True}
    answer = await ask(api, "runs/get", params, FakeContext(max_answer_bytes=10_000))
    assert [result["result"] for result in answer["results"]] == [
        {"outcome": "success", "value": {"v": 1}},
        {"outcome": "success", "blobId": large},
    ]


# -- watch and cancel --------------------------------------------------------------------------------------------------------


async def test_a_watch_tells_each_item_as_it_completes_and_ends_with_the_status() -> None:
    api, context = FakeApi(), FakeContext()
    run = api.add_run(2)
    watching = asyncio.create_task(ask(api, "runs/watch", {"runId": run.description.run_id, "taskToken": "t"}, context))
    run.tell(ItemCompleted(1, Outcome.SUCCESS, ANALYZED), after_s=1)
    async with asyncio.timeout(5):
        while not context.told:
            await asyncio.sleep(0)
    assert not watching.done() and context.open_waits == 1
    run.tell(ItemCompleted(0, Outcome.SUCCESS, PROCESSED), RunCompleted(RunStatusCode.SUCCESS), after_s=2)
    answer = await watching
    events = [params for method, params in context.told if method == "runs/event"]
    assert events == [
        {
            "watchId": "req-1",
            "runId": run.description.run_id,
            "cursor": cursor,
            "items": [
                {
                    "itemIndex": index,
                    "result": {"outcome": "success", "value": value},
                    "completedAt": f"2025-01-15T10:30:0{at}.000Z",
                }
            ],
        }
        for cursor, index, value, at in ((3, 1, {"analyzed": True}, 1), (4, 0, {"processed": True}, 2))
    ]
    assert answer["status"] == "success" and "results" not in answer
    assert ("slot", "t") in api.noted and api.noted[-2] == ("closed", "t")
    assert context.told[0] == ("writable", None)


async def test_a_resumed_watch_skips_what_lies_before_its_cursor_and_cuts_large_batches() -> None:
    api, context = FakeApi(), FakeContext(max_answer_bytes=4_000)
    run = api.add_run(4)
    run.tell(*[ItemCompleted(index, Outcome.SUCCESS, b'"%s"' % (b"x" * 900)) for index in range(4)])
    run.tell(RunCompleted(RunStatusCode.SUCCESS))
    await ask(api, "runs/watch", {"runId": run.description.run_id, "afterSeq": 3}, context)
    events = [params for method, params in context.told if method == "runs/event"]
    assert [([item["itemIndex"] for item in event["items"]], event["cursor"]) for event in events] == [([1, 2], 5), ([3], 6)]


async def test_cancel_answers_the_status_and_what_was_not_confirmed() -> None:
    api = FakeApi()
    run = api.add_run(2)
    answer = await ask(api, "runs/cancel", {"runId": run.description.run_id, "reason": "enough"})
    assert (answer["status"], answer["unconfirmed"], answer["cancelReason"]) == ("cancelled", 2, "enough")


# -- blobs -------------------------------------------------------------------------------------------------------------------


async def test_blobs_come_back_as_they_were_put() -> None:
    api = FakeApi()
    value = {"big": 2**80, "float": 1.0, "text": "ü"}
    put = await ask(api, "blobs/put", {"data": value, "blob_type": "data"})
    assert put["blob_id"].startswith("sha256:")
    for name in ("blob_id", "blobId"):
        assert await ask(api, "blobs/get", {name: put["blob_id"].removeprefix("sha256:")}) == {"data": value, "blob_type": "data"}


async def test_a_null_and_bytes_can_be_stored() -> None:
    api = FakeApi()
    null = await ask(api, "blobs/put", {"data": None})
    assert api.blobs[null["blob_id"]].data == b"null"
    binary = await ask(api, "blobs/put", {"data": "AAEC", "blobType": "binary"})
    assert api.blobs[binary["blob_id"]].data == b"\x00\x01\x02"
    assert await ask(api, "blobs/get", {"blob_id": binary["blob_id"]}) == {"data": "AAEC", "blob_type": "binary"}


async def test_what_callers_wrote_into_a_run_leaves_less_room_for_results() -> None:
    api = FakeApi()
    run = api.add_run(3, flow_name="\x01" * 600)
    run.finish(*[b'"%s"' % (b"x" * 1000)] * 3)
    context = FakeContext(max_answer_bytes=8_500)
    served: RuntimeApi = api  # type: ignore[assignment]
    params = msgspec.json.encode({"runId": run.description.run_id, "includeResults": True})
    raw = await MethodTable(lambda: served).handle(context, "runs/get", params)
    assert len(raw) <= 8_500
    assert msgspec.json.decode(raw)["resultsOmitted"]["count"] == 3
