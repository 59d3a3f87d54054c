"""What a small run costs is little and shared: counted, not timed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from flowspan.view.events import RunStatusCode
from runtime_core.api import SubmitRun
from runtime_core.calls import ComponentCall
from runtime_core.engine.entropy import Entropy
from tests.engine.house import ONE_STEP, PlayedServer, echo, house


async def test_a_submit_that_waits_for_its_commit_only_has_no_task_of_its_own() -> None:
    async with house() as h:
        flow_id = await h.flow(ONE_STEP)
        await h.follow((await h.submit(flow_id, [b"1"])).run_id)  # the flow is compiled
        loop = asyncio.get_running_loop()
        made: list[str] = []

        def noted(on: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
            made.append(repr(work))
            return asyncio.Task(work, loop=on, **options)

        loop.set_task_factory(noted)  # type: ignore[arg-type]
        try:
            run = await h.submit(flow_id, [b"1"], request_id="r")
        finally:
            loop.set_task_factory(None)
        assert made == []
        assert (await h.follow(run.run_id)).status is RunStatusCode.SUCCESS


async def test_the_first_calls_of_all_runs_of_a_commit_go_out_in_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    start = PlayedServer.start

    def noted(self: PlayedServer, calls: Sequence[ComponentCall]) -> None:
        batches.append(len(calls))
        start(self, calls)

    monkeypatch.setattr(PlayedServer, "start", noted)
    async with house(echo) as h:
        flow_id = await h.flow(ONE_STEP)
        await h.follow((await h.submit(flow_id, [b"1"])).run_id)
        batches.clear()
        runs = await asyncio.gather(*[h.submit(flow_id, [b"1", b"2"]) for _ in range(20)])
        for run in runs:
            assert (await h.follow(run.run_id)).status is RunStatusCode.SUCCESS
        assert batches == [40]


async def test_a_caller_that_goes_away_during_the_commit_leaves_a_whole_run() -> None:
    async with house(echo) as h:
        flow_id = await h.flow(ONE_STEP)
        await h.follow((await h.submit(flow_id, [b"1"])).run_id)
        caller = asyncio.create_task(h.submit(flow_id, [b"1"], request_id="r"))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        again = await h.runtime.submit_run(SubmitRun(flow_id, [b"1"], request_id="r"))
        assert (await h.follow(again.run_id)).status is RunStatusCode.SUCCESS
        assert len(h.server.seen) == 2  # the run before, and this one


def test_random_bytes_are_handed_out_once() -> None:
    take = Entropy().take
    taken = [take(10) for _ in range(2_000)]
    assert {len(one) for one in taken} == {10} and len(set(taken)) == len(taken)
