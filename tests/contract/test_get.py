"""runs/get: every parameter, its default, its bounds, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.contract.raw import RUN_ID, open_execution
from tests.contract.requirements import requirement
from tests.contract.shapes import check_status

WRONG: Final[dict[str, list[Any]]] = {
    "runId": [1, True, [], {}, "", "nope", RUN_ID.replace("-", ""), RUN_ID + "0"],
    "wait": [0, "true", []],
    "includeResults": [0, 1, "yes", []],
    "resultOrder": ["byName", "", "BYINDEX", 1, True, []],
    "timeoutSecs": [-1, "1", 1e300],
    "afterItemIndex": ["0", 1.5, -2],
    "limit": [0, -1, "1"],
}


@requirement("get.param.runId", "get.param.wait", "get.param.includeResults", "get.param.resultOrder")
async def test_what_has_the_wrong_type_or_range_is_refused_by_name(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = await a.submit([])
        for field, values in WRONG.items():
            for value in values:
                error = await a.refused("runs/get", {"runId": run["runId"], field: value})
                assert (error["code"], error["data"]["reason"]) == (-32602, "INVALID_ARGUMENT"), (field, value, error)
                assert error["data"]["field"] == field
        for params in ({}, {"runId": None}):
            error = await a.refused("runs/get", params)
            assert (error["code"], error["data"]["field"]) == (-32602, "runId")


@requirement("get.param.runId")
async def test_an_unknown_run_is_not_found(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        for params in ({}, {"wait": True}, {"includeResults": True}, {"wait": True, "timeoutSecs": 1}):
            error = await a.refused("runs/get", {"runId": RUN_ID, **params})
            assert (error["code"], error["data"]["reason"]) == (-32012, "RUN_NOT_FOUND")
            assert error["data"]["runId"] == RUN_ID


@requirement("get.param.resultOrder", "get.param.includeResults", "params.spelling", "params.null-is-absent")
async def test_results_by_index_and_by_completion(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = await a.submit([0, 1, 2, 3])
        executes = [await a.next_execute() for _ in range(4)]
        order = [2, 0, 3, 1]
        for index in order:
            await a.output(executes[index], index)
            # The next one only once this one is told, so that the order of completion is this one.
            while len((await a.get(run["runId"], includeResults=True))["results"]) <= order.index(index):
                pass
        by_index = [None, "byIndex", "by_index"]
        by_completion = ["byCompletion", "by_completion"]
        for wanted, words in ((sorted(order), by_index), (order, by_completion)):
            for word in words:
                for name in ("resultOrder", "result_order"):
                    status = check_status(await a.get(run["runId"], include_results=True, **{name: word}))
                    assert [item["itemIndex"] for item in status["results"]] == wanted, word
                    assert [item["result"]["value"] for item in status["results"]] == wanted
        waited = await a.get(run["runId"], wait=True, resultOrder="byCompletion")
        assert [item["itemIndex"] for item in waited["results"]] == order
        default = await a.ask("runs/get", {"run_id": run["runId"], "includeResults": True})
        assert [item["itemIndex"] for item in default["results"]] == sorted(order)


@requirement("get.param.wait", "get.ours.timeoutSecs")
async def test_a_wait_that_is_over_tells_how_far_the_run_is(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = await a.submit([1, 2])
        executes = [await a.next_execute() for _ in range(2)]
        for timeout in (0, 0.05):
            status = check_status(await a.get(run["runId"], wait=True, timeoutSecs=timeout))
            assert (status["status"], status["results"]) == ("running", [])
        request_id = await a.begin("runs/get", {"runId": run["runId"], "wait": True, "timeout_secs": 60})
        for execute in executes:
            await a.output(execute, 0)
        assert (await a.result_of(request_id))["status"] == "success"


@requirement("get.ours.pages")
async def test_results_in_pages(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = await a.submit(list(range(7)))
        await a.serve(7)
        await a.get(run["runId"], wait=True)
        seen: list[int] = []
        after = -1
        while True:
            page = check_status(await a.get(run["runId"], includeResults=True, limit=3, afterItemIndex=after))
            if not page["results"]:
                break
            assert len(page["results"]) <= 3
            seen += [item["itemIndex"] for item in page["results"]]
            after = seen[-1]
        assert seen == list(range(7))


@requirement("get.param.runId", "overview.get")
async def test_any_run_of_the_namespace_can_be_read_its_own_included(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        own = check_status(await a.get(a.parent_run_id))
        assert (own["runId"], own["status"], own["items"]["running"]) == (a.parent_run_id, "running", 1)
        error = await a.refused("runs/get", {"runId": a.parent_run_id, "wait": True, "taskToken": a.token})
        assert (error["code"], error["data"]["reason"]) == (-32019, "RECURSION_LIMIT")
