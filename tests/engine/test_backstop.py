"""Time-outs that the component server keeps: the engine's own deadline is a backstop from when an execution has begun."""

from __future__ import annotations

from math import inf

import pytest

from runtime_core.calls import ComponentCall
from runtime_core.engine import dispatcher
from tests.engine.house import House, house

BRIEF = b'{"steps":[{"id":"a","component":"/p/a","timeout":0.1,"retry":{"maxRetries":0}}],"output":{"$step":"a"}}'
SLACK_S = 0.1


@pytest.fixture(autouse=True)
def quick_backstop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "BACKSTOP_SLACK_S", SLACK_S)


async def _time_out_another(h: House, flow_id: str) -> None:
    """Let an execution whose time the engine keeps begin and time out: whatever was sent before it would have been next."""
    h.server.keeps_timeouts = False
    run = await h.submit(flow_id, [b'"other"'])
    error = (await h.follow(run.run_id)).results[0].error
    assert error is not None and error.code == "TIMEOUT"


async def test_an_execution_that_waits_in_its_server_for_longer_than_its_time_out_is_not_timed_out() -> None:
    async with house(lambda call: None) as h:
        flow_id = await h.flow(BRIEF)
        h.server.keeps_timeouts = True
        run = await h.submit(flow_id, [b'"waits"'])
        await h.wait_until(lambda: len(h.server.open) == 1)
        (call,) = h.server.open.values()
        await _time_out_another(h, flow_id)
        assert list(h.server.open) == [call.number]
        h.server.answer(call, b'"done"')
        assert (await h.follow(run.run_id)).counts().success == 1


async def test_an_execution_that_began_and_never_ends_is_timed_out_by_the_backstop() -> None:
    async with house(lambda call: None) as h:
        h.server.keeps_timeouts = True
        run = await h.submit(await h.flow(BRIEF), [b"1"])
        await h.wait_until(lambda: len(h.server.open) == 1)
        (call,) = h.server.open.values()
        assert call.deadline_s == inf
        h.runtime.dispatcher.on_started([call])
        first = call.deadline_s
        h.runtime.dispatcher.on_started([call])
        assert call.deadline_s == first, "a server that repeats itself puts its time-outs off"
        error = (await h.follow(run.run_id)).results[0].error
        assert error is not None and error.code == "TIMEOUT"
        assert not h.server.open


async def test_a_notice_about_an_execution_that_has_ended_changes_nothing() -> None:
    seen: list[ComponentCall] = []

    def behave(call: ComponentCall) -> bytes:
        seen.append(call)
        return call.input

    async with house(behave) as h:
        h.server.keeps_timeouts = True
        run = await h.submit(await h.flow(BRIEF), [b"1"])
        await h.follow(run.run_id)
        h.runtime.dispatcher.on_started(seen)
        assert seen[0].deadline_s == inf


async def test_a_server_that_keeps_no_time_outs_has_them_counted_from_the_send() -> None:
    async with house(lambda call: None) as h:
        run = await h.submit(await h.flow(BRIEF), [b"1"])
        await h.wait_until(lambda: len(h.server.open) == 1)
        (call,) = h.server.open.values()
        sent = call.deadline_s
        assert sent < inf
        h.runtime.dispatcher.on_started([call])
        assert call.deadline_s == sent
        assert (await h.follow(run.run_id)).counts().failed == 1
