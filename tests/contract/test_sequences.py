"""The page's two sequence diagrams, arrow by arrow."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.contract.raw import Asking, Message, open_execution
from tests.contract.requirements import requirement
from tests.contract.shapes import check_status


async def _parent_yields(a: Asking, output: object) -> None:
    """The asking execution is still open: it can be answered, and its run ends with that."""
    await a.output(a.execute, output)
    fold = await a.h.follow(a.parent_run_id)
    assert fold.results[0].value == output


@requirement(
    "overview.during-execution",
    "submit.direction",
    "submit.sequence.execution-in-progress",
    "submit.sequence.request",
    "submit.sequence.flow-from-blob-store",
    "submit.sequence.executes-inputs",
    "submit.sequence.answers-with-results",
    "submit.sequence.results-in-component",
    "submit.param.wait",
)
@pytest.mark.parametrize("snake", [False, True])
async def test_a_waiting_submit_runs_its_items_in_the_very_process_that_asks(tmp_path: Path, snake: bool) -> None:
    async with open_execution(tmp_path) as a:
        put = await a.ask("blobs/put", {"data": {"steps": [], "output": {"doubled": {"$input": "$.n"}}}, "blob_type": "flow"})
        direct = await a.ask("runs/submit", {"flowId": put["blob_id"], "inputs": [{"n": 5}], "wait": True})
        assert direct["results"][0]["result"] == {"outcome": "success", "value": {"doubled": 5}}
        request_id = await a.begin(
            "runs/submit", {"flow_id" if snake else "flowId": await a.child_flow(), "inputs": [7, 8], "wait": True}
        )
        executes = [await a.next_execute() for _ in range(2)]
        assert [one["params"]["input"] for one in executes] == [7, 8]
        await a.output(executes[1], "second")
        # Not before the end: the answer to another request comes first, whatever time passes.
        assert (await a.ask("runs/get", {"runId": executes[0]["params"]["observability"]["run_id"]}))["status"] == "running"
        await a.output(executes[0], "first")
        answer = check_status(await a.result_of(request_id))
        assert answer["status"] == "success"
        assert [item["result"]["value"] for item in answer["results"]] == ["first", "second"]
        await _parent_yields(a, [item["result"]["value"] for item in answer["results"]])


@requirement(
    "get.direction",
    "poll.sequence.execution-in-progress",
    "poll.sequence.submit",
    "poll.sequence.starts",
    "poll.sequence.answers-running",
    "poll.sequence.other-work",
    "poll.sequence.get",
    "poll.sequence.waits-for-completion",
    "poll.sequence.answers-with-results",
    "submit.param.wait",
    "get.param.wait",
)
async def test_submit_and_poll(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = check_status(await a.submit([1, 2, 3], wait=False))
        assert run["status"] == "running"
        assert "results" not in run
        assert run["items"]["running"] == 3
        executes = [await a.next_execute() for _ in range(3)]
        # Other work: the server does as it likes meanwhile.
        assert "blob_id" in await a.ask("blobs/put", {"data": 1, "blob_type": "data"})
        request_id = await a.begin("runs/get", {"run_id": run["runId"], "wait": True})
        for execute in executes[:2]:
            await a.output(execute, execute["params"]["input"])
        assert (await a.get(run["runId"]))["status"] == "running"
        await a.output(executes[2], 3)
        done = check_status(await a.result_of(request_id))
        assert done["status"] == "success"
        assert [item["result"]["value"] for item in done["results"]] == [1, 2, 3]
        await _parent_yields(a, "done")


@requirement("poll.sequence.answers-with-results", "get.param.includeResults")
async def test_a_wait_has_results_unless_they_are_declined(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = await a.submit([1])
        await a.serve(1)
        assert "results" in await a.get(run["runId"], wait=True)
        assert "results" in await a.get(run["runId"], wait=True, includeResults=None)
        assert "results" in await a.get(run["runId"], wait=True, includeResults=True)
        assert "results" in await a.get(run["runId"], wait=False, includeResults=True)
        assert "results" not in await a.get(run["runId"], wait=True, includeResults=False)
        assert "results" not in await a.get(run["runId"], wait=False)
        assert "results" not in await a.get(run["runId"])


@requirement("submit.sequence.executes-inputs")
async def test_many_submits_of_one_execution_run_side_by_side(tmp_path: Path) -> None:
    async with open_execution(tmp_path, capabilities={"capacity": 1}) as a:
        flow_id = await a.child_flow()
        ids = [await a.begin("runs/submit", {"flowId": flow_id, "inputs": [n], "wait": True}) for n in range(20)]
        executes: list[Message] = await a.serve(20)
        assert sorted(one["params"]["input"] for one in executes) == list(range(20))
        answers = await asyncio.gather(*(a.result_of(one) for one in ids[:1]))
        answers += [await a.result_of(one) for one in ids[1:]]
        assert [one["results"][0]["result"]["value"] for one in answers] == list(range(20))
