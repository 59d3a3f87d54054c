"""Components that wait for sub-runs: slots are lent, circles are refused, children are found again."""

from __future__ import annotations

import asyncio

import pytest

from flowspan.errors import RecursionLimitError
from flowspan.view.events import RunStatusCode
from runtime_core.api import SubmitRun
from runtime_core.calls import ComponentCall
from tests.engine.house import ONE_STEP, House, house
from tests.engine.test_crashes import GONE


class Nesting:
    """Plays a component that submits a sub-run with input - 1 and waits for it, until the input is 0."""

    def __init__(self) -> None:
        self.h: House
        self.flow_id = ""
        self.tasks: set[asyncio.Task[None]] = set()
        self.errors: list[BaseException] = []

    def behave(self, call: ComponentCall) -> bytes | None:
        if call.input == b"0":
            return b"0"
        task = asyncio.get_running_loop().create_task(self.nest(call))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return None

    async def nest(self, call: ComponentCall) -> None:
        runtime = self.h.runtime
        token = runtime.naming.task_token(call.number)
        try:
            run = await runtime.submit_run(
                SubmitRun(self.flow_id, [b"%d" % (int(call.input) - 1)], max_concurrency=1, task_token=token)
            )
            watch = await runtime.watch_run(run.run_id, task_token=token)
            try:
                while await watch.next_batch() is not None:
                    pass
                await watch.wait_for_slot()
            finally:
                await watch.aclose()
            self.h.server.answer(call, call.input)
        except BaseException as error:
            self.errors.append(error)
            raise


@pytest.mark.parametrize("depth", [1, 8, 15])
async def test_a_chain_of_waits_finishes_with_one_slot(depth: int) -> None:
    nesting = Nesting()
    async with house(nesting.behave, capacity=1) as h:
        nesting.h = h
        nesting.flow_id = await h.flow(ONE_STEP)
        run = await h.submit(nesting.flow_id, [b"%d" % depth], max_concurrency=1)
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.SUCCESS
        assert h.server.most_open <= 1
        assert not h.server.open
        assert len(h.runtime.dispatcher.parking) == 0


async def test_300_components_that_wait_for_sub_runs_of_the_same_server_finish() -> None:
    nesting = Nesting()
    async with house(nesting.behave, capacity=4) as h:
        nesting.h = h
        nesting.flow_id = await h.flow(ONE_STEP)
        run = await h.submit(nesting.flow_id, [b"1"] * 300, max_concurrency=300)
        fold = await h.follow(run.run_id)
        assert fold.counts().success == 300
        assert h.server.most_open <= 4


async def test_sub_runs_nest_at_most_sixteen_deep() -> None:
    nesting = Nesting()
    async with house(nesting.behave) as h:
        nesting.h = h
        nesting.flow_id = await h.flow(ONE_STEP)
        await h.submit(nesting.flow_id, [b"16"])
        await h.wait_until(lambda: bool(nesting.errors))
        assert isinstance(nesting.errors[0], RecursionLimitError)
        for task in list(nesting.tasks):
            task.cancel()
        await asyncio.gather(*nesting.tasks, return_exceptions=True)


async def test_a_wait_for_the_own_run_is_refused_at_once() -> None:
    async with house(lambda call: None) as h:
        run = await h.submit(await h.flow(ONE_STEP), [b"1"])
        await h.wait_until(lambda: len(h.server.open) == 1)
        (call,) = h.server.open.values()
        with pytest.raises(RecursionLimitError, match="wait for each other"):
            await h.runtime.watch_run(run.run_id, task_token=h.runtime.naming.task_token(call.number))


async def test_two_runs_that_would_wait_for_each_other_are_refused() -> None:
    async with house(lambda call: None) as h:
        flow_id = await h.flow(ONE_STEP)
        a = await h.submit(flow_id, [b"1"])
        b = await h.submit(flow_id, [b"1"])
        await h.wait_until(lambda: len(h.server.open) == 2)
        tokens = {call.template.run_id: h.runtime.naming.task_token(call.number) for call in h.server.open.values()}
        watch = await h.runtime.watch_run(b.run_id, task_token=tokens[a.run_id])
        with pytest.raises(RecursionLimitError):
            await h.runtime.watch_run(a.run_id, task_token=tokens[b.run_id])
        await watch.aclose()
        again = await h.runtime.watch_run(a.run_id, task_token=tokens[b.run_id])
        await again.aclose()


async def test_a_repeated_attempt_finds_the_sub_run_of_the_former_one() -> None:
    async with house(lambda call: None) as h:
        flow_id = await h.flow(ONE_STEP)
        await h.submit(flow_id, [b"1"])
        await h.wait_until(lambda: len(h.server.open) == 1)
        (call,) = h.server.open.values()
        token = h.runtime.naming.task_token(call.number)
        children = [await h.submit(flow_id, [b"7"], task_token=token) for _ in range(2)]
        assert children[0].run_id != children[1].run_id
        assert children[0].description.parent_run_id == call.template.run_id
        h.server.crash(GONE)
        await h.wait_until(lambda: any(one.template.run_id == call.template.run_id for one in h.server.open.values()))
        again = next(one for one in h.server.open.values() if one.template.run_id == call.template.run_id)
        assert again.attempt == 2
        token = h.runtime.naming.task_token(again.number)
        found = [await h.submit(flow_id, [b"7"], task_token=token) for _ in range(2)]
        assert [run.run_id for run in found] == [run.run_id for run in children]


async def test_a_cancel_goes_down_to_sub_runs_but_not_to_detached_ones() -> None:
    async with house(lambda call: None) as h:
        flow_id = await h.flow(ONE_STEP)
        parent = await h.submit(flow_id, [b"1"])
        await h.wait_until(lambda: len(h.server.open) == 1)
        (call,) = h.server.open.values()
        token = h.runtime.naming.task_token(call.number)
        child = await h.submit(flow_id, [b"2"], task_token=token)
        detached = await h.submit(flow_id, [b"3"], task_token=token, detached=True)
        await h.runtime.cancel_run(parent.run_id)
        statuses = {run.run_id: await h.runtime.get_run(run.run_id, max_bytes=1 << 20) for run in (child, detached)}
        assert statuses[child.run_id].cancel_reason is not None
        assert statuses[detached.run_id].cancel_reason is None


async def test_a_crash_under_waiting_parents_finds_the_child_and_lets_the_parents_go_on() -> None:
    """Parents that are parked are no suspects: the child that kills the server is found, they get its failure."""
    nesting = Nesting()
    crashes = 0
    async with house(nesting.behave) as h:
        nesting.h = h

        def behave(call: ComponentCall) -> bytes | None:
            nonlocal crashes
            if call.input == b"0":
                crashes += 1
                asyncio.get_running_loop().call_soon(h.server.crash, GONE)
                return None
            return nesting.behave(call)

        h.server.behave = behave
        nesting.flow_id = await h.flow(ONE_STEP)
        run = await h.submit(nesting.flow_id, [b"2"] * 5, max_concurrency=5)
        fold = await h.follow(run.run_id)
        assert fold.counts().success == 5
        assert crashes >= 15
        for task in list(nesting.tasks):
            task.cancel()
        await asyncio.gather(*nesting.tasks, return_exceptions=True)
