"""Calls that end before their answer: cancels, time-outs, processes that are replaced."""

from __future__ import annotations

import signal

from flowspan.errors import FlowErrorCode
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import MIB, StdioPlugin
from runtime_core.calls import CallFailure
from tests.stdio_bridge.fakes import Bridge, calls
from tests.stdio_bridge.servers import server

QUICK = RestartLimits(first_backoff_s=0.01, max_backoff_s=0.02)


def failure(result: bytes | CallFailure) -> CallFailure:
    assert isinstance(result, CallFailure), result
    return result


async def test_a_cancel_is_confirmed_by_a_server_that_can_and_dropped_calls_end_as_cancelled() -> None:
    body = """
CAPABILITIES = {"cancelAck": True}
held = []
def execute(request, params): held.append(request)
def other(request):
    ids = request["params"]["ids"]
    for one in held:
        if one["id"] == ids[0]: fail(one, -32800, "dropped")
    answer(request, {"dropped": ids[:1], "running": ids[1:2]})
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        batch = calls(3)
        bridge.server.start(batch)
        assert await bridge.server.cancel(batch) == 1
        assert failure(bridge.sink.results[batch[0].number]).code is FlowErrorCode.CANCELLED
        assert bridge.server.statistics["in_flight"] == 2


async def test_a_cancel_without_an_answer_is_unconfirmed_after_its_bound() -> None:
    body = "CAPABILITIES = {'cancelAck': True}\ndef execute(request, params): pass\ndef other(request): pass"
    async with Bridge(StdioPlugin(server(body), cancel_ack_s=0.1)) as bridge:
        await bridge.up()
        batch = calls(2)
        bridge.server.start(batch)
        assert await bridge.server.cancel(batch) == 2


async def test_a_cancel_is_confirmed_by_the_end_of_the_process() -> None:
    body = """
CAPABILITIES = {"cancelAck": True}
def execute(request, params): pass
def other(request): os._exit(1)
"""
    async with Bridge(StdioPlugin(server(body), cancel_ack_s=5, restart=QUICK)) as bridge:
        await bridge.up()
        batch = calls(2)
        bridge.server.start(batch)
        assert await bridge.server.cancel(batch) == 0
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))


async def test_other_servers_are_notified_of_a_cancel_and_their_late_results_still_come() -> None:
    body = """
held = {}
def execute(request, params): held[request["id"]] = request
def notified(method, params):
    if method == "$/cancelRequest": answer(held[params["id"]], {"output": "late"})
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        batch = calls(2)
        bridge.server.start(batch)
        assert await bridge.server.cancel(batch) == 2
        await bridge.sink.until(lambda: len(bridge.sink.results) == 2)
        assert set(bridge.sink.results.values()) == {b'"late"'}


async def test_calls_that_were_not_written_are_cancelled_at_once() -> None:
    body = "def execute(request, params): time.sleep(60)"
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        batch = calls(40, data=b'"%s"' % (b"x" * (MIB // 4)))
        bridge.server.start(batch)
        unconfirmed = await bridge.server.cancel(batch)
        await bridge.sink.until(lambda: len(bridge.sink.results) + unconfirmed == len(batch))
        assert unconfirmed < len(batch)
        assert {failure(result).code for result in bridge.sink.results.values()} == {FlowErrorCode.CANCELLED}


async def test_after_a_time_out_another_process_takes_over_and_the_old_one_finishes_the_rest() -> None:
    body = """
held = []
def execute(request, params):
    if params["input"] == "hang": return
    if params["input"] == "slow": held.append(request)
    else: answer(request, {"output": ME})
def notified(method, params):
    if method == "$/cancelRequest": [answer(one, {"output": ME}) for one in held]
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        (first,) = await bridge.execute(calls(1))
        (hang,) = calls(1, data=b'"hang"')
        (slow,) = calls(1, data=b'"slow"')
        bridge.server.start([hang, slow])
        bridge.server.time_out([hang])
        assert bridge.server.free_slots() == 0
        await bridge.up()
        await bridge.sink.until(lambda: slow.number in bridge.sink.results)
        (second,) = await bridge.execute(calls(1))
        assert second != first
        await bridge.sink.until(lambda: bridge.server.statistics["processes"] == 1)
        assert hang.number not in bridge.sink.results
        assert not bridge.sink.crashes


async def test_a_replaced_process_that_does_not_finish_is_ended_and_reports_what_it_held() -> None:
    body = "def execute(request, params):\n    if params['input'] != 1: answer(request, {'output': 1})"
    async with Bridge(StdioPlugin(server(body), replace_grace_s=0.1)) as bridge:
        await bridge.up()
        hang, other = calls(2, data=b"1")
        bridge.server.start([hang, other])
        bridge.server.time_out([hang])
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        assert bridge.sink.crashes[0][0] == [other.number]


async def test_a_stopped_process_hangs_and_is_replaced() -> None:
    body = """
def execute(request, params):
    if params['input'] == 1: os.kill(os.getpid(), signal.SIGSTOP)
    answer(request, {'output': 1})
"""
    assert signal.SIGSTOP
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        hang = calls(1, data=b"1")
        bridge.server.start(hang)
        bridge.server.time_out(hang)
        await bridge.up()
        assert await bridge.execute(calls(1, data=b"2")) == [b"1"]


# -- slots -------------------------------------------------------------------------------------------------------------------
