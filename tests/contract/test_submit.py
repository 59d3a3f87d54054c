"""runs/submit: every parameter, its default, its bounds, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contract.raw import Message, open_execution
from tests.contract.requirements import requirement
from tests.contract.shapes import check_status

INVALID: Final = -32602
NOT_FOUND: Final = -32012
WRONG_TYPES: Final[dict[str, list[Any]]] = {
    "flowId": [1, True, [], {}, ""],
    "inputs": [3, "text", {}, True],
    "wait": [0, 1, "true", [], {}],
    "maxConcurrency": [0, -1, 1.5, 0.5, "10", True, [], {}, -1.0, 1e-3],
    "overrides": [1, "x", True, []],
    "variables": [1, "x", True, []],
    "timeoutSecs": [-1, "1", [], 1e300],
    "deadlineSecs": [-1, 0, "1", {}],
    "metadata": [1, "x", [], {"a": 1}],
    "itemLabels": ["x", {}, [1], ["only one of two"]],
    "flowLabel": [1, [], "x" * 1025],
    "requestId": [1, {}, "", "x" * 1025],
    "detached": [1, "x"],
}


def _is_refusal(error: Message, field: str) -> bool:
    assert error.keys() == {"code", "message", "data"}
    assert error["code"] == INVALID, error
    assert error["data"]["reason"] == "INVALID_ARGUMENT"
    assert error["data"]["domain"] == "flowspan"
    return field in error["message"] and error["data"]["field"].startswith(field)


@requirement(
    "submit.param.flowId", "submit.param.inputs", "submit.param.wait", "submit.param.maxConcurrency", "submit.param.overrides"
)
async def test_what_has_the_wrong_type_or_range_is_refused_by_name(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        good = {"flowId": await a.child_flow(), "inputs": [1, 2]}
        for field, values in WRONG_TYPES.items():
            for value in values:
                assert _is_refusal(await a.refused("runs/submit", {**good, field: value}), field), (field, value)
        for field in good:
            assert _is_refusal(await a.refused("runs/submit", {k: v for k, v in good.items() if k != field}), field)
            assert _is_refusal(await a.refused("runs/submit", {**good, field: None}), field)
        # Nothing of this was started, and the server is still served.
        await a.begin("runs/submit", {**good, "inputs": ["next"]})
        assert (await a.next_execute())["params"]["input"] == "next"


@requirement("submit.flow-must-be-stored", "submit.param.flowId")
async def test_what_is_no_stored_flow_is_refused(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        unknown = await a.refused("runs/submit", {"flowId": "sha256:" + "0" * 64, "inputs": []})
        assert (unknown["code"], unknown["data"]["reason"]) == (NOT_FOUND, "FLOW_NOT_FOUND")
        for text in ("abc", "sha256:abc", "sha256:" + "A" * 64, "md5:" + "0" * 64):
            assert _is_refusal(await a.refused("runs/submit", {"flowId": text, "inputs": []}), "flowId")
        binary = await a.ask("blobs/put", {"data": "AAECAw==", "blob_type": "binary"})
        error = await a.refused("runs/submit", {"flowId": binary["blob_id"], "inputs": []})
        assert error["code"] == INVALID
        for document in (
            [1],
            "text",
            {"steps": [{"id": "a"}]},
            {"steps": [{"id": "a", "component": "/x"}], "output": {"$step": "b"}},
        ):
            blob = await a.ask("blobs/put", {"data": document, "blob_type": "data"})
            error = await a.refused("runs/submit", {"flowId": blob["blob_id"], "inputs": []})
            assert (error["code"], error["data"]["reason"]) == (INVALID, "FLOW_INVALID")
            assert error["data"]["diagnostics"]
            assert all({"code", "message"} <= one.keys() for one in error["data"]["diagnostics"])


@requirement("submit.flow-must-be-stored", "submit.param.flowId")
async def test_the_type_of_the_blob_is_a_hint_and_the_prefix_of_its_id_too(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        blob = await a.ask("blobs/put", {"data": {"steps": [], "output": 7}, "blob_type": "data"})
        for flow_id in (blob["blob_id"], blob["blob_id"].removeprefix("sha256:")):
            run = check_status(await a.ask("runs/submit", {"flowId": flow_id, "inputs": [0], "wait": True}))
            assert run["flowId"] == blob["blob_id"]
            assert run["results"][0]["result"]["value"] == 7


@requirement("submit.param.inputs")
async def test_one_item_per_input_whatever_the_input_is(tmp_path: Path) -> None:
    values: list[Any] = [None, True, 0, -0.0, 1.0, 2**53 + 1, 10**30, "", "\u2028\x00", [], {}, {"": [None]}, [[1], [2]]]
    async with open_execution(tmp_path) as a:
        empty = check_status(await a.submit([], wait=True))
        assert (empty["status"], empty["items"]["total"], empty["results"]) == ("success", 0, [])
        assert "completedAt" in check_status(await a.submit([]))
        request_id = await a.begin(
            "runs/submit", {"flowId": await a.child_flow(), "inputs": values, "wait": True, "maxConcurrency": 100}
        )
        executes = await a.serve(len(values))
        assert json.dumps([one["params"]["input"] for one in executes]) == json.dumps(values)
        run = check_status(await a.result_of(request_id))
        assert json.dumps([item["result"]["value"] for item in run["results"]]) == json.dumps(values)


@requirement("submit.param.wait", "params.null-is-absent")
async def test_without_wait_the_answer_does_not_wait(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        for params in ({}, {"wait": False}, {"wait": None}):
            run = check_status(await a.submit([1], **params))
            assert run["status"] == "running"
            assert "results" not in run
            await a.serve(1)


@requirement("submit.param.maxConcurrency")
async def test_no_more_items_run_at_once_than_allowed_and_never_fewer(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        for given, effective in ((1, 1), (3, 3), (None, 10), (3.0, 3), (10**9, 1000), (10**30, 1000), (1e9, 1000)):
            run = check_status(await a.submit(list(range(24)), maxConcurrency=given))
            assert run["effectiveMaxConcurrency"] == effective
            at_once = min(effective, 24)
            assert (run["items"]["running"], run["items"]["pending"]) == (at_once, 24 - at_once)
            open_items = [await a.next_execute() for _ in range(at_once)]
            for done in range(24 - at_once):
                await a.output(open_items.pop(), done)
                open_items.append(await a.next_execute())
                now = await a.get(run["runId"])
                assert now["items"]["running"] == at_once, given
            for execute in open_items:
                await a.output(execute, 0)
            assert (await a.get(run["runId"], wait=True))["status"] == "success"


@requirement("submit.param.overrides")
async def test_overrides_change_the_flow_for_this_run_only(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        flow_id = await a.child_flow()
        changed = {"steps": {"a": {"value": {"input": "changed"}}}}
        for overrides, expected in ((changed, "changed"), ({}, 1), (None, 1)):
            params = {"flowId": flow_id, "inputs": [1], "wait": True, "overrides": overrides}
            request_id = await a.begin("runs/submit", params)
            (execute,) = await a.serve(1)
            assert execute["params"]["input"] == expected
            assert (await a.result_of(request_id))["flowId"] == flow_id
        wrongs: list[Message] = [{"steps": 4}, {"nope": {"value": {}}}]
        for wrong in wrongs:
            error = await a.refused("runs/submit", {"flowId": flow_id, "inputs": [1], "overrides": wrong})
            assert _is_refusal(error, "overrides")


@requirement("params.spelling", "params.unknown-members", "params.null-is-absent", "submit.ours.flowLabel", "submit.ours.more")
async def test_both_spellings_are_read_and_what_nobody_knows_is_ignored(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        flow_id = await a.child_flow()
        more = {"metadata": {"k": "v"}, "someday": {"deep": [1]}, "": 1, "überhaupt": None}
        camel = {"flowId": flow_id, "inputs": [1], "maxConcurrency": 2, "flowLabel": "mine", "itemLabels": ["one"], "wait": True}
        snake = {
            "flow_id": flow_id,
            "inputs": [1],
            "max_concurrency": 2,
            "flow_label": "mine",
            "item_labels": ["one"],
            "wait": True,
        }
        for params in ({**camel, **more}, {**snake, **more}, {**snake, **camel, "flow_id": "nonsense", **more}):
            request_id = await a.begin("runs/submit", params)
            await a.serve(1)
            run = check_status(await a.result_of(request_id))
            assert (run["effectiveMaxConcurrency"], run["flowLabel"], run["metadata"]) == (2, "mine", {"k": "v"})
            assert run["results"][0]["itemLabel"] == "one"
        every = [*WRONG_TYPES, "observability", "taskToken"]
        nulls = dict.fromkeys(set(every) - {"flowId", "inputs"})
        assert (await a.ask("runs/submit", {"flowId": flow_id, "inputs": [], **nulls}))["status"] == "success"


@requirement("submit.ours.more")
async def test_variables_reach_the_flow(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        flow = {"variables": {"who": {"type": "string"}}, "steps": [], "output": {"$variable": "who"}}
        blob = await a.ask("blobs/put", {"data": flow, "blob_type": "flow"})
        run = await a.ask("runs/submit", {"flowId": blob["blob_id"], "inputs": [0], "wait": True, "variables": {"who": "me"}})
        assert run["results"][0]["result"] == {"outcome": "success", "value": "me"}


@requirement("submit.ours.requestId")
async def test_a_repeated_request_id_is_the_first_run_and_another_request_a_conflict(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        flow_id = await a.child_flow()
        params = {"flowId": flow_id, "inputs": [{"a": 1, "b": 1.0}], "requestId": "key-1"}
        first = await a.ask("runs/submit", params)
        await a.serve(1)
        again = check_status(await a.ask("runs/submit", {**params, "wait": True}))
        assert again["runId"] == first["runId"]
        assert again["results"][0]["result"]["value"] == {"a": 1, "b": 1.0}
        spelt = b'{"request_id":"key-1", "inputs":[ {"b":1.0,"a":1} ],"flow_id":"%b"}' % flow_id.encode()
        assert (await a.ask("runs/submit", spelt))["runId"] == first["runId"]
        error = await a.refused("runs/submit", {**params, "inputs": [{"a": 1, "b": 1}]})
        assert (error["code"], error["data"]["reason"]) == (-32015, "IDEMPOTENCY_CONFLICT")
        assert error["data"]["runId"] == first["runId"]


@requirement("submit.ours.timeoutSecs")
@pytest.mark.parametrize("timeout", [0, 0.05])
async def test_a_wait_that_is_over_tells_how_far_the_run_is(tmp_path: Path, timeout: float) -> None:
    async with open_execution(tmp_path) as a:
        first = await a.submit([1, 2, 3], requestId="key")
        executes = [await a.next_execute() for _ in range(3)]
        await a.output(executes[1], "two")
        while (await a.get(first["runId"]))["items"]["success"] == 0:
            pass
        run = check_status(await a.submit([1, 2, 3], requestId="key", wait=True, timeoutSecs=timeout))
        assert (run["runId"], run["status"]) == (first["runId"], "running")
        assert [(item["itemIndex"], item["result"]["value"]) for item in run["results"]] == [(1, "two")]
        await a.output(executes[0], "one")
        await a.output(executes[2], "three")
        assert (await a.get(run["runId"], wait=True))["status"] == "success"
