"""Sync components: side by side, and waiting by the hundred."""

from __future__ import annotations

from tests.components.conftest import Spawn
from tests.components.played_gateway import run_status

SOURCE = """
barrier = threading.Barrier(50)
@server.component
def meet(input): return barrier.wait(5) >= 0
@server.component
def nested(input, ctx):
    status = ctx.submit_run("sha256:" + "0" * 64, [input], wait=True)
    return status.results[0].value
@server.component
def leaf(input): return input * 2
@server.component
def boom(input): sys.exit(3)
"""


def test_sync_components_that_block_run_side_by_side(spawn: Spawn, loop: str) -> None:
    gateway = spawn(SOURCE, loop=loop).initialize()
    ids = [gateway.execute("/meet", n) for n in range(50)]
    assert all(gateway.answer_to(request_id)["result"]["output"] is True for request_id in ids)


def test_300_blocking_waits_on_capacity_1_leave_room_for_their_own_sub_runs(spawn: Spawn, loop: str) -> None:
    gateway = spawn(SOURCE, loop=loop, capacity=1).initialize()
    parents = [gateway.execute("/nested", n) for n in range(300)]
    submits = [gateway.next_request("runs/submit") for _ in parents]
    assert all(submit["params"]["taskToken"] == "task-1" and submit["params"]["wait"] is True for submit in submits)
    for submit in submits:
        # All of them still wait: the sub-run is executed by the very process that waits for it.
        doubled = gateway.output("/leaf", submit["params"]["inputs"][0])
        gateway.answer(submit, run_status("run-1", [doubled]))
    assert [gateway.answer_to(request_id)["result"]["output"] for request_id in parents] == [2 * n for n in range(300)]


def test_sys_exit_in_a_component_fails_its_item_only(spawn: Spawn) -> None:
    gateway = spawn(SOURCE).initialize()
    error = gateway.answer_to(gateway.execute("/boom", 1))["error"]
    assert error["code"] == -32004
    assert error["data"]["type"] == "SystemExit"
    assert gateway.output("/leaf", 4) == 8


def test_every_execution_is_answered_once_however_it_ends(spawn: Spawn, loop: str) -> None:
    """Threads finish executions while the loop cancels them and their time runs out."""
    source = """
@server.component
def quick(input):
    if input % 3 == 0: time.sleep(0.002)
    return input
"""
    gateway = spawn(source, loop=loop, capacity=64).initialize()
    ids = []
    for n in range(1500):
        ids.append(gateway.execute("/quick", n, timeoutMs=2 if n % 5 == 0 else 10_000))
        if n % 50 == 49:
            gateway.request("$/cancel", {"ids": ids[-40:-20]})
            gateway.send({"method": "$/cancelRequest", "params": {"id": ids[-5]}})
    answers = [gateway.answer_to(request_id) for request_id in ids]
    for n, answer in enumerate(answers):
        assert answer["result"]["output"] == n if "result" in answer else answer["error"]["code"] in (-32800, -32006)
    gateway.call("ping")
    assert not [message for message in gateway.inbox if message.get("id") in set(ids)]
    assert sum("error" in answer for answer in answers) > 0
