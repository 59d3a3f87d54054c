"""RunStatus: each field in each state of a run, also over a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from runtime_core.stores.sqlite import SqliteStore
from tests.contract.raw import CHILD_NAME, Asking, Message, open_execution
from tests.contract.requirements import requirement
from tests.contract.shapes import BLOB_ID, UUID, check_status, time_of


def _counts(status: Message) -> tuple[int, ...]:
    """pending, running, success, failed, cancelled."""
    items = check_status(status)["items"]
    return (items["pending"], items["running"], items["success"], items["failed"], items["cancelled"])


@requirement("status.status", "status.items", "status.completedAt", "status.results", "status.absent-not-null")
async def test_a_run_of_one_lane_through_all_its_counts(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = check_status(await a.submit([0, 1, 2], maxConcurrency=1))
        assert (run["status"], _counts(run)) == ("running", (2, 1, 0, 0, 0))
        assert "completedAt" not in run
        await a.output(await a.next_execute(), "fine")
        execute = await a.next_execute()
        now = await a.get(run["runId"], includeResults=True)
        assert (now["status"], _counts(now)) == ("running", (1, 1, 1, 0, 0))
        assert [item["itemIndex"] for item in now["results"]] == [0]
        await a.fail(execute, -32602, "not this one")
        execute = await a.next_execute()
        now = await a.get(run["runId"], includeResults=True)
        assert (now["status"], _counts(now)) == ("running", (0, 1, 1, 1, 0))
        await a.output(execute, None)
        end = await a.get(run["runId"], wait=True)
        assert (end["status"], _counts(end)) == ("failed", (0, 0, 2, 1, 0))
        assert [item["result"]["outcome"] for item in end["results"]] == ["success", "failed", "success"]
        assert end["results"][1]["result"]["error"]["code"] == "INVALID_INPUT"
        assert "not this one" in end["results"][1]["result"]["error"]["message"]
        assert end["results"][2]["result"] == {"outcome": "success", "value": None}


@requirement("status.status", "status.items")
async def test_a_run_is_pending_while_limits_keep_all_its_items_waiting(tmp_path: Path) -> None:
    async with open_execution(tmp_path, capabilities={"capacity": 2}) as a:
        first = await a.submit([0])
        assert first["status"] == "running"
        waiting = check_status(await a.submit([1, 2]))
        assert (waiting["status"], _counts(waiting)) == ("pending", (2, 0, 0, 0, 0))
        assert check_status(await a.get(waiting["runId"]))["status"] == "pending"
        await a.serve(3)
        assert (await a.get(waiting["runId"], wait=True))["status"] == "success"


@requirement("status.status", "status.items", "status.results", "status.extra-members")
async def test_a_cancelled_run_is_cancelled_for_good(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = await a.submit([0, 1, 2, 3], maxConcurrency=2)
        executes = [await a.next_execute() for _ in range(2)]
        await a.output(executes[0], "done")
        executes[0] = await a.next_execute()
        request_id = await a.begin("runs/cancel", {"runId": run["runId"], "reason": "enough"})
        for execute in executes:
            # Told, and answered late: expected, and of no consequence any more.
            told = await a.peer.expect(method="$/cancelRequest")
            assert told["params"]["id"] in [one["id"] for one in executes]
            await a.output(execute, "late")
        await a.result_of(request_id)
        end = await a.get(run["runId"], wait=True)
        assert (end["status"], _counts(end)) == ("cancelled", (0, 0, 1, 0, 3))
        assert end["cancelReason"] == "enough"
        assert [item["itemIndex"] for item in end["results"]] == [0, 1, 2]
        assert end["results"][0]["result"] == {"outcome": "success", "value": "done"}
        for item in end["results"][1:]:
            assert (item["result"]["outcome"], item["result"]["error"]["code"]) == ("failed", "CANCELLED")
        again = await a.ask("runs/cancel", {"runId": run["runId"]})
        assert again["status"] == "cancelled"


@requirement("status.runId", "status.flowId", "status.flowName", "status.flowLabel", "status.createdAt", "submit.ours.flowLabel")
async def test_names_ids_and_times(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        before = asyncio.get_running_loop().time()
        flow_id = await a.child_flow()
        run = check_status(await a.ask("runs/submit", {"flowId": flow_id, "inputs": [], "flowLabel": "Lauf №1 \U0001f680"}))
        assert UUID.fullmatch(run["runId"])
        assert BLOB_ID.fullmatch(run["flowId"])
        assert (run["flowId"], run["flowName"], run["flowLabel"]) == (flow_id, CHILD_NAME, "Lauf №1 \U0001f680")
        later = await a.get(run["runId"])
        assert (later["createdAt"], later["flowLabel"]) == (run["createdAt"], run["flowLabel"])
        assert "flowLabel" not in await a.submit([])
        blob = await a.ask("blobs/put", {"data": {"steps": [], "output": 1}, "blob_type": "flow"})
        nameless = check_status(await a.ask("runs/submit", {"flowId": blob["blob_id"], "inputs": []}))
        assert "flowName" not in nameless
        spent_s = (time_of(nameless["createdAt"]) - time_of(run["createdAt"])).total_seconds()
        assert 0 <= spent_s <= asyncio.get_running_loop().time() - before
        assert len({run["runId"], nameless["runId"], a.parent_run_id}) == 3


@requirement("status.completedAt", "status.createdAt")
async def test_the_run_is_completed_with_its_last_item(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = await a.submit([0, 1])
        await a.serve(2)
        end = await a.get(run["runId"], wait=True)
        times = [time_of(item["completedAt"]) for item in end["results"]]
        assert time_of(end["createdAt"]) <= min(times) <= max(times) == time_of(end["completedAt"])
        assert (await a.get(run["runId"]))["completedAt"] == end["completedAt"]


@requirement("status.results", "status.status")
async def test_a_skipped_item_is_a_success_without_value(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        flow: dict[str, Any] = {"steps": [{"id": "a", "component": "/raw/child", "input": 1, "onError": {"action": "skip"}}]}
        blob = await a.ask("blobs/put", {"data": {**flow, "output": {"$step": "a"}}, "blob_type": "flow"})
        request_id = await a.begin("runs/submit", {"flowId": blob["blob_id"], "inputs": [0], "wait": True})
        await a.fail(await a.next_execute())
        end = check_status(await a.result_of(request_id))
        assert (end["status"], _counts(end)) == ("success", (0, 0, 1, 0, 0))
        assert end["results"][0]["result"]["outcome"] == "skipped"


@requirement("status.status", "status.results", "status.completedAt")
async def test_what_was_told_is_told_again_by_the_next_gateway(tmp_path: Path) -> None:
    async def outcomes(a: Asking, run_ids: list[str]) -> list[Message]:
        return [check_status(await a.get(one, includeResults=True, resultOrder="byCompletion")) for one in run_ids]

    async with open_execution(tmp_path, store=SqliteStore(tmp_path / "data")) as a:
        done = await a.submit([{"n": 1.0}, 2**53 + 1])
        await a.serve(2)
        await a.get(done["runId"], wait=True)
        cancelled = await a.submit([1], maxConcurrency=1)
        execute = await a.next_execute()
        request_id = await a.begin("runs/cancel", {"runId": cancelled["runId"]})
        await a.peer.expect(method="$/cancelRequest")
        await a.output(execute, "late")
        await a.result_of(request_id)
        await a.get(cancelled["runId"], wait=True)
        run_ids = [done["runId"], cancelled["runId"]]
        told = await outcomes(a, run_ids)
    async with open_execution(tmp_path, store=SqliteStore(tmp_path / "data")) as a:
        assert await outcomes(a, run_ids) == told
        assert [one["status"] for one in told] == ["success", "cancelled"]
