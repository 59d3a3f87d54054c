"""Cancel: nothing begins after its answer, those that run are told, and the status is final, over a restart as well."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from flowspan.view.events import RunStatusCode
from runtime_core.stores.sqlite import SqliteStore
from tests.contract.raw import open_execution
from tests.contract.requirements import requirement
from tests.contract.shapes import check_status
from tests.e2e.house import house, one_step, python_plugin

SERVERS = Path(__file__).parent / "servers.py"


def _begun_ns(ledger: Path) -> list[int]:
    return [int(line.split()[0]) for line in ledger.read_text().splitlines()] if ledger.exists() else []


@requirement("status.status", "status.items")
@pytest.mark.parametrize("component", ["slow", "slow_blocking", "quick"])
async def test_with_our_sdk_nothing_begins_in_component_code_after_the_answer(tmp_path: Path, component: str) -> None:
    ledger = tmp_path / "ledger"
    store = tmp_path / "data"
    async with house(python_plugin("py", SERVERS, "64", str(ledger)), store=SqliteStore(store)) as h:
        assert await h.gateway.wait_plugins(10)
        flow_id = await h.flow(one_step(f"/py/{component}"))
        run = await h.submit(flow_id, [b"%d" % n for n in range(20_000)], max_concurrency=256)
        async with asyncio.timeout(10):
            while len(_begun_ns(ledger)) < 32:
                await asyncio.sleep(0.002)
        _, unconfirmed = await h.api.cancel_run(run.run_id, reason="enough")
        answered_ns = time.monotonic_ns()
        assert unconfirmed == 0
        fold = await h.follow(run.run_id)
        end = await h.api.get_run(run.run_id, max_bytes=0)
        # A second run through the same process: whatever the cancelled one had left there would have begun by now.
        done = await h.run(one_step("/py/echo"), [b"1"] * 500, max_concurrency=256)
        assert done.status is RunStatusCode.SUCCESS
        begun = _begun_ns(ledger)
        assert max(begun) <= answered_ns
        assert (end.status, fold.status, end.cancel_reason) == (RunStatusCode.CANCELLED, RunStatusCode.CANCELLED, "enough")
        assert end.items.cancelled >= 20_000 - len(begun)
        assert end.items.success + end.items.cancelled == 20_000
    async with house(python_plugin("py", SERVERS, "64", str(ledger)), store=SqliteStore(store)) as h:
        assert await h.gateway.wait_plugins(10)
        assert (await h.run(one_step("/py/echo"), [b"1"])).status is RunStatusCode.SUCCESS
        assert await h.api.get_run(run.run_id, max_bytes=0) == end
        assert _begun_ns(ledger) == begun


@requirement("status.status", "status.items")
async def test_with_any_other_server_no_request_is_written_after_the_answer(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        run = await a.submit(list(range(1_000)), maxConcurrency=20)
        executes = [await a.next_execute() for _ in range(20)]
        for execute in executes[:10]:
            await a.output(execute, 0)
        request_id = await a.begin("runs/cancel", {"runId": run["runId"]})
        # The messages up to the answer may hold requests; those behind it none.
        asked, told = [one["id"] for one in executes], []
        while True:
            message = await a.peer.receive()
            if message.get("id") == request_id and "method" not in message:
                break
            if message.get("method") == "components/execute":
                asked.append(message["id"])
            elif message.get("method") == "$/cancelRequest":
                told.append(message["params"]["id"])
        answer = message["result"]
        assert (answer["status"], "unconfirmed" in answer) in {("cancelled", True), ("running", True)}
        for one in told:
            await a.peer.send_message({"jsonrpc": "2.0", "id": one, "error": {"code": -32800, "message": "cancelled"}})
        assert set(told) <= set(asked)
        assert len(told) == answer["unconfirmed"]
        end = check_status(await a.get(run["runId"], wait=True))
        assert end["status"] == "cancelled"
        assert end["items"]["success"] + end["items"]["cancelled"] == 1_000
        # A further run is served: what is asked next is its item and nothing of the cancelled run.
        await a.submit(["next"])
        assert (await a.next_execute())["params"]["input"] == "next"


@requirement("status.status", "submit.ours.parent")
async def test_sub_runs_are_cancelled_with_their_parent_unless_detached(tmp_path: Path) -> None:
    async with open_execution(tmp_path) as a:
        child = await a.submit([1], taskToken=a.token)
        detached = await a.submit([2], taskToken=a.token, detached=True)
        executes = [await a.next_execute() for _ in range(2)]
        cancelling = asyncio.ensure_future(a.h.api.cancel_run(a.parent_run_id))
        told = {(await a.peer.expect(method="$/cancelRequest"))["params"]["id"] for _ in range(2)}
        assert told == {a.execute["id"], executes[0]["id"]}
        for execute in (a.execute, *executes):
            await a.output(execute, "late")
        await cancelling
        assert (await a.h.follow(a.parent_run_id)).status is RunStatusCode.CANCELLED
        assert (await a.h.follow(child["runId"])).status is RunStatusCode.CANCELLED
        assert (await a.h.follow(detached["runId"])).status is RunStatusCode.SUCCESS
