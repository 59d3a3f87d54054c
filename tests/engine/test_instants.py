"""Steps that take no time are done where they become ready, without a call; what they do not answer goes out as one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowspan.view.events import Outcome, StepCompleted
from runtime_core.builtins.in_process import InProcessServer
from runtime_core.calls import ComponentCall
from runtime_core.engine.step_site import InstantSteps
from tests.engine.house import House, house


def chain(*components: str) -> bytes:
    """Steps s0, s1, ... each of which takes the output of the one before."""
    steps = [
        {"id": f"s{n}", "component": component, "input": {"$step": f"s{n - 1}"} if n else {"$input": "$"}}
        for n, component in enumerate(components)
    ]
    return json.dumps({"name": "chain", "steps": steps, "output": {"$step": f"s{len(steps) - 1}"}}).encode()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Components of the calls that reached the built-ins' server."""
    seen: list[str] = []
    start = InProcessServer.start

    def counted(self: InProcessServer, calls: list[ComponentCall]) -> None:
        seen.extend(call.template.component for call in calls)
        start(self, calls)

    monkeypatch.setattr(InProcessServer, "start", counted)
    return seen


async def results(here: House, document: bytes, inputs: list[bytes], **options: Any) -> dict[int, tuple[Outcome, Any]]:
    run = await here.submit(await here.runtime.put_blob(document, blob_type="flow"), inputs, **options)
    fold = await here.follow(run.run_id)
    return {one.item_index: (one.outcome, json.loads(one.payload)) for one in fold.results}


async def test_a_chain_of_instant_steps_makes_no_calls_at_all(started: list[str]) -> None:
    async with house() as here:
        found = await results(here, chain(*["/builtin/noop"] * 10), [b"%d" % n for n in range(300)], max_concurrency=7)
    assert found == {n: (Outcome.SUCCESS, n) for n in range(300)}
    assert started == []


async def test_a_longer_chain_than_a_turn_may_do_goes_on_as_calls(started: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InstantSteps, "PER_TURN", 10)
    async with house() as here:
        found = await results(here, chain(*["/builtin/noop"] * 25), [b"1", b"2", b"3"])
    assert found == {0: (Outcome.SUCCESS, 1), 1: (Outcome.SUCCESS, 2), 2: (Outcome.SUCCESS, 3)}
    assert started


async def test_what_an_instant_step_refuses_fails_as_a_call_would(started: list[str]) -> None:
    async with house() as here:
        found = await results(here, chain("/builtin/create_messages", "/builtin/noop"), [b'{"user_prompt":"x"}', b"{}"])
    assert found[0][0] is Outcome.SUCCESS
    assert found[1][0] is Outcome.FAILED
    assert found[1][1]["code"] == "INVALID_INPUT"
    assert started == ["/create_messages"]


async def test_between_steps_of_component_servers_instant_steps_are_journaled_as_ever(started: list[str]) -> None:
    async with house() as here:
        run = await here.submit(
            await here.runtime.put_blob(chain("/p/a", "/builtin/noop", "/p/b", "/builtin/noop"), blob_type="flow"), [b"7"]
        )
        fold = await here.follow(run.run_id)
        assert [json.loads(one.payload) for one in fold.results] == [7]
        events = [event for segment in await here.log(run.run_id) for event in segment.events]
        assert [event.step_index for event in events if isinstance(event, StepCompleted)] == [0, 1, 2]
    assert started == []


async def test_who_looks_on_at_calls_sees_instant_steps_as_well(started: list[str]) -> None:
    seen: list[str] = []
    async with house() as here:
        here.runtime.dispatcher.on_calls_ended = lambda ended: seen.extend(call.template.step_id for call, _ in ended)
        await results(here, chain("/builtin/noop", "/builtin/noop"), [b"1"])
    assert seen == ["s0", "s1"]
    assert started == ["/noop", "/noop"]
