"""Waiting built-ins when things end early: cancels, time-outs, restarts. Nothing is left over and nothing is done twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from flowspan.view.events import AttemptEnded, RunStatusCode, StepCompleted
from flowspan.view.status import RunStatus
from runtime_core.calls import ComponentCall
from runtime_core.ports import RunFilter
from runtime_core.stores.sqlite import SqliteStore
from tests.built_ins.flows import ECHO, builtin, encoded, results, run
from tests.built_ins.test_sub_runs import COMPONENT, COUNTDOWN
from tests.engine.house import House, house

EVAL = builtin("eval", input={"flow": {"$literal": COMPONENT}, "input": {"$input": "$"}})


async def all_runs(h: House) -> Sequence[RunStatus]:
    return (await h.runtime.list_runs(RunFilter("default"), page_size=1000, page_token=None)).runs


@pytest.mark.parametrize(
    "document",
    [
        EVAL,
        builtin("map", input={"workflow": {"$literal": COMPONENT}, "items": [1, 2], "max_concurrency": 1}),
        builtin("iterate", input={"flow": {"$literal": COUNTDOWN}, "initial_input": 3}),
    ],
)
async def test_a_cancel_of_the_parent_cancels_the_sub_runs_and_ends_the_built_in(document: dict[str, Any]) -> None:
    async with house(lambda call: None) as h:
        parent = await h.submit(await h.flow(encoded(document)), [b"1"])
        await h.wait_until(lambda: len(h.server.open) == 1)
        await h.runtime.cancel_run(parent.run_id, reason="enough")
        for one in list(h.server.open.values()):
            h.server.answer(one, b"1")
        fold = await h.follow(parent.run_id)
        assert fold.status is RunStatusCode.CANCELLED
        await h.wait_until(lambda: not h.runtime.open_runs)
        assert {one.status for one in await all_runs(h)} == {RunStatusCode.CANCELLED}
        await h.wait_until(lambda: h.builtins.open_tasks == 0)
        assert h.runtime.open_watches == 0
        assert len(h.runtime.dispatcher.parking) == 0
        assert h.builtins.in_flight == 0


async def test_a_time_out_of_the_step_does_not_count_the_wait() -> None:
    async with house(lambda call: None) as h:
        document = builtin("eval", input={"flow": {"$literal": COMPONENT}, "input": {"$input": "$"}}, timeout=0.3)
        parent = await h.submit(await h.flow(encoded(document)), [b"1"])
        await h.wait_until(lambda: len(h.server.open) == 1)
        await asyncio.sleep(0.8)  # longer than the time-out and a sweep: what is tested is that nothing happens
        [open_call] = h.server.open.values()
        h.server.answer(open_call, b"5")
        fold = await h.follow(parent.run_id)
        assert results(fold)[0].value["result"] == {"outcome": "success", "value": 5}
        assert len(await all_runs(h)) == 2


async def test_waiting_asks_for_nothing_until_the_sub_run_has_news(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()

    async with house(lambda call: None) as h:
        for name in ("submit_run", "watch_run", "get_run", "list_run_items"):

            def counting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
                async def counted(*args: Any, **options: Any) -> Any:
                    asked[name] += 1
                    return await method(*args, **options)

                return counted

            monkeypatch.setattr(h.runtime, name, counting(name, getattr(h.runtime, name)))
        parent = await h.submit(await h.flow(encoded(EVAL)), [b"1", b"2", b"3"])
        await h.wait_until(lambda: len(h.runtime.dispatcher.parking) == 3)
        for _ in range(100):  # what parking them set in motion comes to rest
            await asyncio.sleep(0)
        turns = 0
        turn = h.runtime.dispatcher.turn

        def counted_turn() -> None:
            nonlocal turns
            turns += 1
            turn()

        monkeypatch.setattr(h.runtime.dispatcher, "turn", counted_turn)
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert turns == 0
        assert asked == {"submit_run": 4, "watch_run": 3}
        for one in list(h.server.open.values()):
            h.server.answer(one, b"1")
        assert (await h.follow(parent.run_id)).counts().success == 3
        assert asked == {"submit_run": 4, "watch_run": 4}


async def test_a_repeated_eval_and_map_find_their_sub_runs_after_a_restart(tmp_path: Path) -> None:
    document = {
        "steps": [
            {"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": COMPONENT}, "input": {"$input": "$"}}},
            {
                "id": "m",
                "component": "/builtin/map",
                "input": {"workflow": {"$literal": COMPONENT}, "items": [10, 20], "max_concurrency": 2},
            },
        ],
        "output": {"e": {"$step": "e"}, "m": {"$step": "m"}},
    }
    async with house(lambda call: b"1" if call.input == b"10" else None, store=SqliteStore(tmp_path)) as h:
        parent = await h.submit(await h.flow(encoded(document)), [b"1", b"2"])
        under_way = [b"1", b"2", b"20", b"20"]  # the other item of each map is done
        await h.wait_until(lambda: sorted(one.input for one in h.server.open.values()) == under_way)
        ids = {one.run_id for one in await all_runs(h)}
    async with house(lambda call: b"7", store=SqliteStore(tmp_path)) as h:
        fold = await h.follow(parent.run_id)
        assert fold.status is RunStatusCode.SUCCESS, [one.error for one in results(fold)]
        assert {one.run_id for one in await all_runs(h)} == ids
        assert len(h.server.seen) == 4
        events = [event for one in ids for segment in await h.log(one) for event in segment.events]
        assert not any(isinstance(event, AttemptEnded) for event in events)  # they found their sub-runs at the first try
        value = results(fold)[0].value
        assert value["e"]["run_id"] in ids
        assert value["m"]["results"] == [{"outcome": "success", "value": 1}, {"outcome": "success", "value": 7}]


async def test_a_repeated_iterate_goes_on_where_it_was_and_runs_no_iteration_again(tmp_path: Path) -> None:
    inputs: list[bytes] = []

    def behave(call: ComponentCall) -> bytes | None:
        inputs.append(call.input)
        left = json.loads(call.input)
        if left == 5 and len(inputs) == 6:
            return None  # the sixth iteration is under way when the gateway dies
        return encoded({"next": left - 1} if left else {"result": "done"})

    document = builtin("iterate", input={"flow": {"$literal": COUNTDOWN}, "initial_input": {"$input": "$"}})
    async with house(behave, store=SqliteStore(tmp_path)) as h:
        parent = await h.submit(await h.flow(encoded(document)), [b"10"])
        await h.wait_until(lambda: len(inputs) == 6)
    async with house(behave, store=SqliteStore(tmp_path)) as h:
        fold = await h.follow(parent.run_id)
        assert results(fold)[0].value == {"result": "done", "iterations": 11, "terminated": True}
        assert Counter(inputs) == {b"%d" % n: 2 if n == 5 else 1 for n in range(11)}
        assert len(await all_runs(h)) == 12


async def test_steps_that_ran_sub_runs_are_journaled_so_that_a_restart_does_not_look_for_them() -> None:
    document = {
        "steps": [
            {"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": ECHO}, "input": 1}},
            {"id": "n", "component": "/builtin/noop", "input": {"$step": "e"}},
        ],
        "output": {"$step": "n"},
    }
    async with house() as h:
        fold = await run(h, document, None)
        events = [event for segment in await h.log(fold.snapshot().description.run_id) for event in segment.events]
        assert {event.step_index for event in events if isinstance(event, StepCompleted)} == {0}
