"""What goes wrong around a run, and must not stop it, repeat it or leave something behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowspan.errors import FlowspanError, InvalidArgumentError, Reason, StorageError
from flowspan.view.events import RunStatusCode
from runtime_core.api import SubmitRun
from runtime_core.calls import ComponentCall
from runtime_core.engine.delays import DelayQueue
from runtime_core.engine.open_run import ItemExecution
from runtime_core.limits import Limits
from runtime_core.ports import ExistingRun, InputChunk, NewRun, RunFilter
from tests.engine.house import ONE_STEP, WAIT_S, House, house
from tests.engine.test_crashes import GONE, numbers

FULL = StorageError("the disk is full", reason=Reason.STORAGE_FULL, outcome="not_applied")
NO_STEPS = b'{"steps":[],"output":{"$input":"$"}}'


def hold(call: ComponentCall) -> None:
    return None


async def only_call(h: House, run_id: str) -> ComponentCall:
    found: list[ComponentCall] = []

    def is_there() -> bool:
        found[:] = [call for call in h.server.open.values() if call.template.run_id == run_id]
        return bool(found)

    await h.wait_until(is_there)
    return found[0]


def token(h: House, call: ComponentCall) -> str:
    return h.runtime.naming.task_token(call.number)


def at_rest(h: House) -> None:
    dispatcher = h.runtime.dispatcher
    assert not dispatcher.calls
    assert not h.runtime.open_runs
    assert not any(h.runtime.runs.statistics().values())
    for lane in dispatcher.lanes.values():
        assert (lane.reserved, lane.suspects_pending, len(lane.queue), len(lane.suspect_calls)) == (0, 0, 0, 0)
        assert lane.suspects.is_idle


async def test_a_second_cancel_is_answered_when_the_first_is_durable() -> None:
    async with house(hold) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(3))
        answers = await asyncio.gather(h.runtime.cancel_run(run.run_id), h.runtime.cancel_run(run.run_id))
        assert all(status.cancel_reason is not None for status, _ in answers)


async def test_a_sub_run_submitted_while_its_parent_is_cancelled_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(hold) as h:
        flow = await h.flow(ONE_STEP)
        parent = await h.submit(flow, [b"1"])
        call = await only_call(h, parent.run_id)
        create = h.store.create_run

        async def cancel_first(new: NewRun) -> int | ExistingRun:
            await h.runtime.cancel_run(parent.run_id)
            return await create(new)

        monkeypatch.setattr(h.store, "create_run", cancel_first)
        child = await h.submit(flow, numbers(3), task_token=token(h, call))
        fold = await h.follow(child.run_id)
        assert fold.status is RunStatusCode.CANCELLED
        assert all(seen.template.run_id != child.run_id for seen in h.server.open.values())
        h.server.answer(call, b"1")
        await h.follow(parent.run_id)
        at_rest(h)


async def test_a_cancel_reaches_sub_runs_whose_own_parent_has_ended() -> None:
    async with house(hold) as h:
        flow = await h.flow(ONE_STEP)
        top = await h.submit(flow, [b"1"])
        top_call = await only_call(h, top.run_id)
        middle = await h.submit(flow, [b"2"], task_token=token(h, top_call))
        middle_call = await only_call(h, middle.run_id)
        leaf = await h.submit(flow, [b"3"], task_token=token(h, middle_call))
        leaf_call = await only_call(h, leaf.run_id)
        h.server.answer(middle_call, b"2")
        await h.follow(middle.run_id)
        await h.runtime.cancel_run(top.run_id)
        h.server.answer(leaf_call, b"3")
        assert (await h.follow(leaf.run_id)).status is RunStatusCode.CANCELLED
        h.server.answer(top_call, b"1")
        await h.follow(top.run_id)
        at_rest(h)


async def test_suspects_of_a_server_that_cannot_start_again_fail_instead_of_waiting() -> None:
    async with house(hold) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(4), max_concurrency=4)
        await h.wait_until(lambda: len(h.server.open) == 4)
        h.server.is_up = False
        h.server.crash(GONE)
        await h.wait_until(lambda: len(h.runtime.dispatcher.lanes[h.server].suspect_calls) == 4)
        h.server.broken = GONE
        h.runtime.dispatcher.on_slots(h.server)
        assert (await h.follow(run.run_id)).status is RunStatusCode.FAILED
        at_rest(h)


async def test_a_call_of_a_cancelled_run_that_never_reached_a_process_does_not_hold_the_run() -> None:
    async with house(hold, limits=Limits(cancel_grace_s=1_000.0)) as h:
        run = await h.submit(await h.flow(ONE_STEP), [b"1"])
        call = await only_call(h, run.run_id)
        await h.runtime.cancel_run(run.run_id)
        h.server._forget(call)
        h.runtime.dispatcher.on_crash(h.server, (), [call], GONE)
        assert (await h.follow(run.run_id)).status is RunStatusCode.CANCELLED
        at_rest(h)


async def test_cancelled_suspects_hold_nobody_back() -> None:
    """Suspects wait for an instance that runs nothing; when their run is cancelled, new work goes on beside what runs."""
    async with house(hold, capacity=8) as h:
        flow = await h.flow(ONE_STEP)
        doomed = await h.submit(flow, numbers(2), max_concurrency=2)
        await h.wait_until(lambda: len(h.server.open) == 2)
        h.server.is_up = False
        h.server.crash(GONE)
        await h.wait_until(lambda: len(h.runtime.dispatcher.lanes[h.server].suspect_calls) == 2)
        await h.runtime.cancel_run(doomed.run_id)
        assert not h.runtime.dispatcher.lanes[h.server].holds_back
        h.server.is_up = True
        h.server.behave = lambda call: b"1"
        other = await h.submit(flow, [b"1"])
        assert (await h.follow(other.run_id)).status is RunStatusCode.SUCCESS
        assert (await h.follow(doomed.run_id)).status is RunStatusCode.CANCELLED
        at_rest(h)


async def test_a_large_result_waits_for_room_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(lambda call: b'"%s"' % (b"x" * 3_600_000), limits=Limits(result_bytes=4 << 20)) as h:
        flow = await h.flow(ONE_STEP)
        put, refusals = h.store.put_blob, [FULL]

        async def put_later(*args: Any) -> None:
            if refusals:
                raise refusals.pop()
            await put(*args)

        monkeypatch.setattr(h.store, "put_blob", put_later)
        run = await h.submit(flow, [b"1"])
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.SUCCESS
        assert fold.results[0].is_blob


async def test_inputs_that_cannot_be_read_for_a_moment_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as h:
        flow = await h.flow(ONE_STEP)
        read, refusals = h.store.read_inputs, [StorageError("busy", outcome="not_applied")]

        async def read_later(run_key: int, item_index: int) -> InputChunk:
            if refusals:
                raise refusals.pop()
            return await read(run_key, item_index)

        monkeypatch.setattr(h.store, "read_inputs", read_later)
        run = await h.submit(flow, numbers(5_000), max_concurrency=100)
        assert (await h.follow(run.run_id)).counts().success == 5_000


async def test_a_run_that_another_gateway_took_gives_back_its_slots_and_is_still_listed() -> None:
    async with house(hold) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(9), max_concurrency=2)
        await h.wait_until(lambda: len(h.server.open) == 2)
        h.store._runs[1].epoch += 1  # type: ignore[attr-defined]
        for call in list(h.server.open.values()):
            h.server.answer(call, b"1")
        await h.wait_until(lambda: not h.runtime.open_runs)
        await h.wait_until(lambda: h.runtime.dispatcher.lanes[h.server].reserved == 0)
        page = await h.runtime.list_runs(RunFilter("default"), page_size=10, page_token=None)
        assert [(one.run_id, one.items.running) for one in page.runs] == [(run.run_id, 2)]
        with pytest.raises(FlowspanError, match="not open in this gateway"):
            await h.runtime.cancel_run(run.run_id)
        at_rest(h)


async def test_a_tree_watch_tells_of_a_sub_run_while_its_parent_is_silent() -> None:
    async with house(hold) as h:
        flow = await h.flow(ONE_STEP)
        parent = await h.submit(flow, [b"1"])
        call = await only_call(h, parent.run_id)
        watch = await h.runtime.watch_run(parent.run_id, whole_tree=True)
        batch = await watch.next_batch()
        assert batch is not None
        assert batch.run_id == parent.run_id
        following = asyncio.ensure_future(watch.next_batch())
        child = await h.submit(flow, [b"2"], task_token=token(h, call))
        async with asyncio.timeout(WAIT_S):
            batch = await following
        assert batch is not None
        assert batch.run_id == child.run_id
        await watch.aclose()
        assert not h.runtime.watching._tree_watchers


async def test_an_error_of_our_own_at_one_item_fails_that_item_only(monkeypatch: pytest.MonkeyPatch) -> None:
    start = ItemExecution.start

    def start_most(self: ItemExecution) -> Any:
        if self.input == b"3":
            raise RuntimeError("a bug")
        return start(self)

    monkeypatch.setattr(ItemExecution, "start", start_most)
    built = ONE_STEP.replace(b'{"$input":"$"}', b'[{"$input":"$"}]')  # a plain item has no state that could fail
    async with house() as h:
        run = await h.submit(await h.flow(built), numbers(6), max_concurrency=2)
        fold = await h.follow(run.run_id)
        assert (fold.counts().success, fold.counts().failed) == (5, 1)
        at_rest(h)


async def test_a_large_result_of_a_flow_without_components_becomes_a_blob() -> None:
    async with house(limits=Limits(result_bytes=4 << 20)) as h:
        run = await h.submit(await h.flow(NO_STEPS), [b'"%s"' % (b"x" * 3_600_000), b"1"])
        fold = await h.follow(run.run_id)
        assert sorted(result.is_blob for result in fold.results) == [False, True]


async def test_an_execution_that_still_waits_for_another_run_does_not_take_its_slot() -> None:
    async with house(hold, capacity=2) as h:
        flow = await h.flow(ONE_STEP)
        parent = await h.submit(flow, [b"0"])
        call = await only_call(h, parent.run_id)
        first = await h.submit(flow, [b"1"], task_token=token(h, call))
        first_call = await only_call(h, first.run_id)
        second = await h.submit(flow, [b"2"])
        watches = [await h.runtime.watch_run(run.run_id, task_token=token(h, call)) for run in (first, second)]
        h.server.answer(first_call, b"1")
        await h.follow(first.run_id)
        await watches[0].wait_for_slot()
        assert call.number in h.server.parked
        await watches[0].aclose()
        assert call.number in h.server.parked
        await watches[1].aclose()
        assert call.number not in h.server.parked


async def test_a_tree_whose_root_has_ended_is_forgotten_with_its_last_run() -> None:
    async with house(hold) as h:
        flow = await h.flow(ONE_STEP)
        root = await h.submit(flow, [b"1"])
        root_call = await only_call(h, root.run_id)
        child = await h.submit(flow, [b"2"], task_token=token(h, root_call), detached=True)
        child_call = await only_call(h, child.run_id)
        h.server.answer(root_call, b"1")
        await h.follow(root.run_id)
        late = await h.submit(flow, [], task_token=token(h, child_call))
        assert late.status is RunStatusCode.SUCCESS
        h.server.answer(child_call, b"2")
        await h.follow(child.run_id)
        at_rest(h)


async def test_runs_of_unknown_components_leave_no_queue_behind() -> None:
    async with house() as h:
        flow = await h.flow(b'{"steps":[{"id":"a","component":"/nowhere/a","input":1}],"output":1}')
        for _ in range(5):
            await h.submit(flow, [])
        assert len(h.runtime.dispatcher.lanes) <= 1


async def test_a_sub_run_that_was_refused_is_the_same_when_it_is_submitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(hold) as h:
        flow = await h.flow(ONE_STEP)
        parent = await h.submit(flow, [b"1"])
        call = await only_call(h, parent.run_id)
        keys: list[str | None] = []
        create = h.store.create_run

        async def refuse_once(new: NewRun) -> int | ExistingRun:
            keys.append(new.request_key)
            if len(keys) == 1:
                raise FULL
            return await create(new)

        monkeypatch.setattr(h.store, "create_run", refuse_once)
        with pytest.raises(StorageError):
            await h.submit(flow, [b"2"], task_token=token(h, call))
        await h.submit(flow, [b"2"], task_token=token(h, call))
        assert keys[0] == keys[1]


@pytest.mark.parametrize("deadline_s", [float("inf"), 1e300, 0.0, -1.0, float("nan")])
async def test_a_deadline_that_is_no_time_is_refused(deadline_s: float) -> None:
    async with house() as h:
        flow = await h.flow(ONE_STEP)
        with pytest.raises(InvalidArgumentError, match="deadlineSecs"):
            await h.runtime.submit_run(SubmitRun(flow, [b"1"], deadline_s=deadline_s))


@pytest.mark.parametrize("where", ["on_committed", "_write"])
async def test_an_error_in_the_middle_of_a_turn_ends_the_process_instead_of_stopping_all_runs(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    async with house() as h:
        flow = await h.flow(ONE_STEP)
        fatal: list[BaseException] = []
        monkeypatch.setattr(h.runtime, "_on_fatal", fatal.append)

        def fail(*_: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr(h.runtime.dispatcher, where, fail)
        await h.submit(flow, numbers(20))
        await h.wait_until(lambda: bool(fatal))
        assert len(fatal) == 1
        with pytest.raises(StorageError):
            await h.submit(flow, numbers(1))


async def test_an_action_that_fails_when_it_is_due_does_not_take_the_later_ones_with_it() -> None:
    loop = asyncio.get_running_loop()
    told: list[str] = []
    loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
    delays = DelayQueue(loop)
    due = loop.create_future()

    def fail() -> None:
        raise RuntimeError("a bug")

    delays.after(0.0, fail)
    delays.after(0.001, lambda: due.set_result(None))
    async with asyncio.timeout(WAIT_S):
        await due
    assert told == ["a bug"]
    assert len(delays) == 0


async def test_of_two_waits_that_end_together_the_second_takes_the_slot() -> None:
    async with house(hold, capacity=1) as h:
        flow = await h.flow(ONE_STEP)
        parent = await h.submit(flow, [b"0"])
        call = await only_call(h, parent.run_id)
        other = await h.submit(flow, [b"1"])
        watches = [await h.runtime.watch_run(other.run_id, task_token=token(h, call)) for _ in range(2)]
        other_call = await only_call(h, other.run_id)
        await watches[0].wait_for_slot()  # its answer is not the last one
        second = asyncio.ensure_future(watches[1].wait_for_slot())
        await asyncio.sleep(0)
        assert not second.done()
        h.server.answer(other_call, b"1")
        async with asyncio.timeout(WAIT_S):
            await second
        assert call.number not in h.server.parked
        for watch in watches:
            await watch.aclose()
        assert len(h.runtime.dispatcher.parking) == 0
