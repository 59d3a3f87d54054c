"""Executions that end early."""

from __future__ import annotations

import json

import pytest

from tests.components.conftest import Spawn
from tests.components.played_gateway import execute_params, run_status

HOLD = """
began = []
release = threading.Event()
@server.component
def hold(input, ctx):
    began.append(input)
    deadline = time.monotonic() + 5
    while not release.is_set() and not ctx.cancelled and time.monotonic() < deadline: time.sleep(0.001)
    return ctx.cancelled
@server.component(inline=True)
def free(input): release.set()
@server.component(inline=True)
def which_began(input): return list(began)
@server.component
async def sleep(input):
    began.append(input)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        began.append("cancelled")
        raise
@server.component
async def wait_for_run(input, ctx):
    return (await ctx.get_run("run-1", wait=True)).items.success
@server.component
def block_for_run(input, ctx):
    return ctx.get_run("run-1", wait=True).items.success
@server.component
async def slow_then_wait(input, ctx):
    await ctx.get_run("run-1", wait=True)
    await asyncio.sleep(30)
"""


def test_what_was_dropped_never_begins_and_what_runs_is_told(spawn: Spawn, loop: str) -> None:
    gateway = spawn(HOLD, loop=loop, capacity=2).initialize()
    ids = [gateway.execute("/hold", n) for n in range(6)]
    while len(gateway.output("/which_began", None)) < 2:
        pass
    cancel = gateway.request("$/cancel", {"ids": [*ids, 999]})
    answer = gateway.answer_to(cancel)["result"]
    assert sorted(answer["dropped"]) == ids[2:]
    assert sorted(answer["running"]) == ids[:2]
    order = [json.loads(line).get("id") for line in gateway.lines]
    assert all(order.index(dropped) < order.index(cancel) for dropped in answer["dropped"])
    assert all(gateway.answer_to(request_id)["error"]["code"] == -32800 for request_id in ids[2:])
    assert all(gateway.answer_to(request_id)["result"]["output"] is True for request_id in ids[:2])
    assert sorted(gateway.output("/which_began", None)) == [0, 1]


def test_executions_cancelled_in_the_same_read_never_begin(spawn: Spawn, loop: str) -> None:
    gateway = spawn(HOLD, loop=loop).initialize()
    lines = [
        {"jsonrpc": "2.0", "id": 100 + n, "method": "components/execute", "params": execute_params(name, n)}
        for n, name in enumerate(("/sleep", "/hold"))
    ]
    lines.append({"jsonrpc": "2.0", "id": 102, "method": "$/cancel", "params": {"ids": [100, 101]}})
    gateway.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    assert gateway.answer_to(102)["result"] == {"dropped": [100, 101], "running": []}
    assert gateway.output("/which_began", None) == []


@pytest.mark.parametrize("how", ["$/cancel", "$/cancelRequest"])
def test_a_running_async_component_is_cancelled(spawn: Spawn, how: str) -> None:
    gateway = spawn(HOLD).initialize()
    request_id = gateway.execute("/sleep", "s")
    while gateway.output("/which_began", None) != ["s"]:
        pass
    if how == "$/cancel":
        assert gateway.call("$/cancel", {"ids": [request_id]}) == {"dropped": [], "running": [request_id]}
    else:
        gateway.send({"method": how, "params": {"id": request_id}})
    assert gateway.answer_to(request_id)["error"]["code"] == -32800
    assert gateway.output("/which_began", None) == ["s", "cancelled"]


@pytest.mark.parametrize("component", ["/wait_for_run", "/block_for_run"])
def test_cancel_ends_a_wait_and_tells_the_gateway(spawn: Spawn, component: str) -> None:
    gateway = spawn(HOLD).initialize()
    request_id = gateway.execute(component, None)
    asked = gateway.next_request("runs/get")
    assert gateway.call("$/cancel", {"ids": [request_id]})["running"] == [request_id]
    assert gateway.answer_to(request_id)["error"]["code"] == -32800
    assert gateway.next_notification("$/cancelRequest")["params"] == {"id": asked["id"]}


@pytest.mark.parametrize("component", ["/hold", "/sleep"])
def test_an_execution_times_out_from_its_pick_up(spawn: Spawn, loop: str, component: str) -> None:
    gateway = spawn(HOLD, loop=loop).initialize()
    answer = gateway.answer_to(gateway.execute(component, 1, timeoutMs=30))
    assert answer["error"]["code"] == -32006
    assert gateway.output("/which_began", None)[0] == 1


def test_waiting_for_a_thread_does_not_count_against_the_time_out(spawn: Spawn) -> None:
    gateway = spawn(HOLD, capacity=1).initialize()
    first = gateway.execute("/hold", 1)
    second = gateway.execute("/hold", 2, timeoutMs=80)
    while gateway.output("/which_began", None) != [1]:
        pass
    # Far more turns than the second one's time-out takes.
    for _ in range(300):
        gateway.call("ping")
    gateway.output("/free", None)
    assert gateway.answer_to(first)["result"]["output"] is False
    assert gateway.answer_to(second)["result"]["output"] is False


@pytest.mark.parametrize("component", ["/wait_for_run", "/block_for_run"])
def test_waiting_for_a_run_does_not_count_against_the_time_out(spawn: Spawn, component: str) -> None:
    gateway = spawn(HOLD).initialize()
    request_id = gateway.execute(component, None, timeoutMs=200)
    asked = gateway.next_request("runs/get")
    timed = gateway.execute("/sleep", None, timeoutMs=400)
    assert gateway.answer_to(timed)["error"]["code"] == -32006
    gateway.answer(asked, run_status("run-1", ["x"]))
    assert gateway.answer_to(request_id)["result"]["output"] == 1


def test_the_time_out_goes_on_after_a_wait(spawn: Spawn) -> None:
    gateway = spawn(HOLD).initialize()
    request_id = gateway.execute("/slow_then_wait", None, timeoutMs=100)
    gateway.answer(gateway.next_request("runs/get"), run_status("run-1", []))
    assert gateway.answer_to(request_id)["error"]["code"] == -32006


def test_an_execution_that_runs_for_long_is_reported_as_begun(spawn: Spawn) -> None:
    gateway = spawn(HOLD).initialize()
    request_id = gateway.execute("/sleep", None)
    gateway.output("/which_began", None)
    assert gateway.next_notification("$/started")["params"] == {"ids": [request_id]}


HANG = """
began = []
@server.component
def hang(input):
    began.append(input)
    time.sleep(3600)
@server.component(inline=True)
def which_began(input): return list(began)
"""


def test_threads_that_are_held_after_time_outs_make_it_ask_for_a_new_process_and_give_the_rest_back(
    spawn: Spawn, loop: str
) -> None:
    gateway = spawn(HANG, loop=loop, capacity=2)
    gateway.call("initialize", {"runtimeProtocolVersion": 1, "capabilities": {"drain": True}})
    held = [gateway.execute("/hang", n, timeoutMs=30) for n in range(2)]
    queued = [gateway.execute("/hang", n) for n in range(2, 5)]
    for request_id in held:
        assert gateway.answer_to(request_id)["error"]["code"] == -32006
    assert gateway.output("/which_began", None) == [0, 1]
    assert sorted(gateway.next_notification("$/drain")["params"]["ids"]) == queued
    late = [gateway.execute("/hang", n) for n in range(5, 7)]
    given_back: list[int] = []
    while len(given_back) < len(late):
        given_back += gateway.next_notification("$/drain")["params"]["ids"]
    assert given_back == late
    assert gateway.call("ping") == {}


def test_half_of_the_threads_may_be_held(spawn: Spawn) -> None:
    gateway = spawn(HANG, capacity=2)
    gateway.call("initialize", {"runtimeProtocolVersion": 1, "capabilities": {"drain": True}})
    assert gateway.answer_to(gateway.execute("/hang", 1, timeoutMs=30))["error"]["code"] == -32006
    running = gateway.execute("/hang", 2)
    # Reported after a second, as is whoever overruns.
    assert gateway.next_notification("$/started")["params"]["ids"] == [running]
    assert not [message for message in gateway.inbox if message.get("method") == "$/drain"]


def test_a_gateway_that_does_not_replace_processes_is_not_asked_to(spawn: Spawn) -> None:
    gateway = spawn(HANG, capacity=1).initialize()
    assert gateway.answer_to(gateway.execute("/hang", 1, timeoutMs=30))["error"]["code"] == -32006
    gateway.execute("/hang", 2)
    with pytest.raises(AssertionError, match="nothing fits"):
        gateway.take(lambda message: message.get("method") == "$/drain", wait_s=1.5)
