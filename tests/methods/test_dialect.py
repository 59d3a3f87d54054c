"""What the older SDKs are told, byte for byte, and the older methods."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from flowspan.errors import FlowErrorCode, LimitExceededError
from flowspan.view.events import ItemCompleted, Outcome, RunCancelRequested, RunCompleted, RunStatusCode
from flowspan.view.status import ItemCounts, ItemResult, RunDescription, RunStatus
from gateway.methods.dialect import blob_id_for, encode_flow_result, encode_status, full_blob_id
from tests.methods.fake_api import CREATED_US, FLOW_ID, FakeApi, FakeContext
from tests.methods.test_runs import ask, large_run

HEX = "ab" * 32
RUN_ID = "550e8400-e29b-41d4-a716-446655440000"


def status(code: RunStatusCode, counts: ItemCounts, *results: ItemResult) -> RunStatus:
    run = RunDescription(RUN_ID, FLOW_ID, counts.total, CREATED_US, 10, RUN_ID, "name")
    return RunStatus(run, code, counts, 7, CREATED_US + 5_000_000 if code.is_terminal else None, results=results or None)


def test_a_finished_run_is_told_in_the_words_of_the_older_sdks() -> None:
    run = status(
        RunStatusCode.FAILED,
        ItemCounts(4, 0, 0, 2, 1, 1),
        ItemResult(0, Outcome.SUCCESS, b'{"processed":true}', CREATED_US),
        ItemResult(1, Outcome.FAILED, b'{"code":"TIMEOUT","message":"m","data":{"a":1}}', CREATED_US),
        ItemResult(2, Outcome.SKIPPED, b'{"reason":"r"}', CREATED_US),
        ItemResult(3, Outcome.CANCELLED, b'{"code":"CANCELLED","message":"c"}', CREATED_US),
    )
    at = b'"completedAt":"2025-01-15T10:30:00.000Z"}'
    assert encode_status("stepflow", run) == (
        b'{"runId":"550e8400-e29b-41d4-a716-446655440000","flowId":"' + HEX.encode() + b'","flowName":"name","status":"failed",'
        b'"items":{"total":4,"completed":2,"running":0,"failed":1,"cancelled":1},'
        b'"createdAt":"2025-01-15T10:30:00.000Z","completedAt":"2025-01-15T10:30:05.000Z","results":['
        b'{"itemIndex":0,"status":"completed","result":{"outcome":"success","result":{"processed":true}},' + at + b","
        b'{"itemIndex":1,"status":"failed","result":{"outcome":"failed","error":{"code":-32006,"message":"m","data":{"a":1}}},'
        + at
        + b","
        b'{"itemIndex":2,"status":"completed","result":{"outcome":"success","result":null},' + at + b","
        b'{"itemIndex":3,"status":"cancelled","result":{"outcome":"failed","error":{"code":-32016,"message":"c"}},' + at + b"]}"
    )


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (RunStatusCode.PENDING, "running"),
        (RunStatusCode.RUNNING, "running"),
        (RunStatusCode.SUCCESS, "completed"),
        (RunStatusCode.FAILED, "failed"),
        (RunStatusCode.CANCELLED, "cancelled"),
    ],
)
def test_pending_counts_as_running_for_the_older_sdks(code: RunStatusCode, word: str) -> None:
    told = msgspec.json.decode(encode_status("stepflow", status(code, ItemCounts(5, 3, 2, 0, 0, 0))))
    assert told["status"] == word
    assert told["items"] == {"total": 5, "completed": 0, "running": 5, "failed": 0, "cancelled": 0}


@pytest.mark.parametrize("code", list(FlowErrorCode))
def test_every_error_code_has_a_number_for_the_older_sdks(code: FlowErrorCode) -> None:
    result = ItemResult(0, Outcome.FAILED, msgspec.json.encode({"code": code.value, "message": "m"}), 0)
    told = msgspec.json.decode(encode_flow_result("stepflow", result))["error"]["code"]
    assert isinstance(told, int) and -32700 <= told <= -32000


def test_ids_are_bare_for_the_older_sdks_and_read_in_both_forms() -> None:
    assert (blob_id_for("stepflow", FLOW_ID), blob_id_for("flowspan", FLOW_ID)) == (HEX, FLOW_ID)
    assert full_blob_id(HEX) == full_blob_id(FLOW_ID) == FLOW_ID
    assert full_blob_id("anything") == "anything"


async def test_an_older_server_gets_its_sub_run_in_its_dialect() -> None:
    params = {"flowId": HEX, "inputs": [1], "wait": True, "subflowKey": "k", "observability": {"span_id": "s"}}
    answer = await ask(FakeApi([b"2"]), "runs/submit", params, FakeContext("stepflow"))
    assert (answer["status"], answer["flowId"]) == ("completed", HEX)
    assert answer["results"][0]["result"] == {"outcome": "success", "result": 2}


async def test_results_that_do_not_fit_an_older_server_are_an_error_that_names_the_run() -> None:
    api = FakeApi()
    run_id = large_run(api, 80)
    with pytest.raises(LimitExceededError) as caught:
        await ask(api, "runs/get", {"runId": run_id, "includeResults": True}, FakeContext("stepflow", max_answer_bytes=65_536))
    assert caught.value.details["runId"] == run_id


async def test_blobs_of_an_older_server_have_bare_ids() -> None:
    answer = await ask(FakeApi(), "blobs/put", {"data": 1, "blob_type": "data"}, FakeContext("stepflow"))
    assert set(answer) == {"blob_id"} and len(answer["blob_id"]) == 64


async def test_evaluate_runs_one_input_through_a_stored_or_a_given_flow() -> None:
    api = FakeApi([b'{"y":2}'])
    context = FakeContext("stepflow")
    stored = await ask(api, "flows/evaluate", {"flow_id": HEX, "input": {"x": 1}}, context)
    given = await ask(api, "flows/evaluate", {"flow": {"steps": []}, "input": None}, context)
    assert stored == given == {"result": {"outcome": "success", "result": {"y": 2}}}
    assert [command.inputs for command in api.submitted] == [[b'{"x":1}'], [b"null"]]
    assert api.submitted[1].flow_id in api.blobs


async def test_evaluate_of_a_run_that_was_cancelled_before_it_began_is_a_failed_result() -> None:
    api = FakeApi()
    run_id_known = api.new_run

    async def cancel_it() -> None:
        await run_id_known.wait()
        next(iter(api.runs.values())).tell(RunCancelRequested("x"), RunCompleted(RunStatusCode.CANCELLED))

    answer, _ = await asyncio.gather(
        ask(api, "flows/evaluate", {"flow_id": HEX, "input": 1}, FakeContext("stepflow")), cancel_it()
    )
    assert answer["result"]["outcome"] == "failed"


async def test_a_batch_is_a_run_under_another_name() -> None:
    api = FakeApi()
    context = FakeContext("stepflow")
    batch = await ask(api, "flows/submit_batch", {"flow_id": HEX, "inputs": [1, 2], "max_concurrency": 3}, context)
    assert batch == {"batch_id": RUN_ID, "total_runs": 2}
    assert api.submitted[0].max_concurrency == 3
    open_batch = await ask(api, "flows/get_batch", {"batch_id": RUN_ID}, context)
    assert "outputs" not in open_batch and open_batch["details"]["running_runs"] == 2
    api.runs[RUN_ID].tell(ItemCompleted(1, Outcome.FAILED, b'{"code":"TIMEOUT","message":"m"}'))
    api.runs[RUN_ID].tell(ItemCompleted(0, Outcome.SUCCESS, b"1"), RunCompleted(RunStatusCode.FAILED), after_s=5)
    assert await ask(api, "flows/get_batch", {"batch_id": RUN_ID, "wait": True, "include_results": True}, context) == {
        "details": {
            "batch_id": RUN_ID,
            "flow_id": HEX,
            "flow_name": "Data Processing Workflow",
            "total_runs": 2,
            "status": "running",
            "created_at": "2025-01-15T10:30:00.000Z",
            "completed_at": "2025-01-15T10:30:05.000Z",
            "completed_runs": 1,
            "running_runs": 0,
            "failed_runs": 1,
            "cancelled_runs": 0,
            "paused_runs": 0,
        },
        "outputs": [
            {"batch_input_index": 0, "status": "completed", "result": {"outcome": "success", "result": 1}},
            {
                "batch_input_index": 1,
                "status": "failed",
                "result": {"outcome": "failed", "error": {"code": -32006, "message": "m"}},
            },
        ],
    }


async def test_metadata_of_a_flow_and_of_its_steps_can_be_read() -> None:
    api = FakeApi()
    flow = {"name": "n", "metadata": {"a": 1}, "steps": [{"id": "s", "component": "/x", "metadata": {"b": 2}}]}
    api.flows[FLOW_ID] = msgspec.json.encode(flow)
    context = FakeContext("stepflow")
    assert await ask(api, "flows/get_metadata", {"flow_id": HEX}, context) == {"flow_metadata": {"name": "n", "a": 1}}
    assert await ask(api, "flows/get_metadata", {"observability": {"flow_id": HEX}, "step_id": "s"}, context) == {
        "flow_metadata": {"name": "n", "a": 1},
        "step_metadata": {"b": 2},
    }


async def test_a_binary_blob_has_a_type_that_older_servers_can_decode() -> None:
    api = FakeApi()
    blob_id = await api.put_blob(b"\x00\xff", blob_type="binary")
    for dialect, told in (("stepflow", "data"), ("flowspan", "binary")):
        context = FakeContext("stepflow" if dialect == "stepflow" else "flowspan")
        assert await ask(api, "blobs/get", {"blob_id": blob_id}, context) == {"data": "AP8=", "blob_type": told}


async def test_the_older_methods_know_the_third_outcome() -> None:
    api = FakeApi()
    run = api.add_run(1)
    run.tell(ItemCompleted(0, Outcome.SKIPPED, b'{"reason":"r"}'), RunCompleted(RunStatusCode.SUCCESS))
    params = {"batch_id": run.description.run_id, "include_results": True}
    batch = await ask(api, "flows/get_batch", params, FakeContext("stepflow"))
    assert batch["outputs"][0]["result"] == {"outcome": "skipped", "reason": "r"}
    params = {"runId": run.description.run_id, "includeResults": True}
    newer = await ask(api, "runs/get", params, FakeContext("stepflow"))
    assert newer["results"][0]["result"] == {"outcome": "success", "result": None}


async def test_outputs_of_a_batch_that_do_not_fit_are_an_error_and_never_left_out() -> None:
    api = FakeApi()
    run_id = large_run(api, 80)
    for max_answer_bytes in (65_536, 90_000):  # by payloads alone, and only with what surrounds them
        with pytest.raises(LimitExceededError) as caught:
            await ask(
                api,
                "flows/get_batch",
                {"batch_id": run_id, "include_results": True},
                FakeContext("stepflow", max_answer_bytes=max_answer_bytes),
            )
        assert caught.value.details["runId"] == run_id
