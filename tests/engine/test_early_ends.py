"""Items that end while steps of them, which nothing needs any more, are under way: what becomes of these."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from flowspan.errors import FlowErrorCode, FlowspanError, Reason
from flowspan.view.events import AttemptEnded, ItemCompleted, Outcome, RunStatusCode, StepCompleted
from flowspan.view.status import RunStatus
from runtime_core.calls import CallAnswer, CallFailure, ComponentCall
from runtime_core.limits import Limits
from runtime_core.ports import ExistingRun, NewRun
from runtime_core.stores.sqlite import SqliteStore
from tests.engine.house import ONE_STEP, House, house
from tests.engine.test_crashes import GONE, numbers
from tests.engine.test_faults import at_rest

BROKEN = CallFailure(FlowErrorCode.COMPONENT_FAILED, "broken")
LATER = CallFailure(FlowErrorCode.RESOURCE_UNAVAILABLE, "not now", retry_after_s=30.0)


def flow_of(*steps: str, output: Any = None, **fields: dict[str, Any]) -> bytes:
    """Steps `/p/<id>`, all in the output unless it is given; `fields`: more of a step, by its id."""
    made = [{"id": one, "component": f"/p/{one}", "input": {"$input": "$"}} | fields.get(one, {}) for one in steps]
    return json.dumps({"steps": made, "output": output or [{"$step": one} for one in steps]}).encode()


PAIR = flow_of("bad", "slow")


def answering(**answers: CallAnswer) -> Any:
    """Steps that are not named hang."""

    def behave(call: ComponentCall) -> CallAnswer | None:
        return answers.get(call.template.step_id)

    return behave


def open_call(h: House, step_id: str, run: RunStatus | None = None) -> ComponentCall:
    (call,) = (
        call
        for call in h.server.open.values()
        if call.template.step_id == step_id and (run is None or call.template.run_id == run.run_id)
    )
    return call


def break_all(h: House) -> None:
    """Every open call of step `bad` fails."""
    for call in list(h.server.open.values()):
        if call.template.step_id == "bad":
            h.server.answer(call, BROKEN)


async def is_open(h: House, *step_ids: str) -> None:
    await h.wait_until(lambda: {call.template.step_id for call in h.server.open.values()} == set(step_ids))


async def test_an_item_ends_at_once_although_a_sibling_hangs_which_is_cancelled_at_its_server() -> None:
    async with house(answering()) as h:
        run = await h.submit(await h.flow(PAIR), numbers(3))
        await h.wait_until(lambda: len(h.server.open) == 6)
        break_all(h)
        fold = await h.follow(run.run_id)
        assert (fold.status, fold.counts().failed) == (RunStatusCode.FAILED, 3)
        await h.wait_until(lambda: len(h.server.cancelled) == 3)
        assert {(call.item_index, call.template.step_id) for call in h.server.cancelled} == {(n, "slow") for n in range(3)}
        for call in list(h.server.open.values()):
            h.server.answer(call, CallFailure(FlowErrorCode.CANCELLED, "cancelled"))
        await h.wait_until(lambda: not h.server.open)
        at_rest(h)


@pytest.mark.parametrize("late", [b'"late"', BROKEN, CallFailure(FlowErrorCode.UNREACHABLE, "gone"), LATER])
async def test_a_late_answer_changes_nothing_and_is_not_repeated(late: CallAnswer) -> None:
    flow = flow_of("bad", "slow", "other", output=[{"$step": "bad"}, {"$step": "slow"}])
    async with house(answering()) as h:
        run = await h.submit(await h.flow(flow), [b"1"])
        await is_open(h, "bad", "slow")
        break_all(h)
        await h.follow(run.run_id)
        h.server.answer(open_call(h, "slow"), late)
        await h.wait_until(lambda: not h.server.open)
        events = [event for segment in await h.log(run.run_id) for event in segment.events]
        steps = [event for event in events if isinstance(event, StepCompleted | AttemptEnded)]
        assert steps == [StepCompleted(0, 0, Outcome.FAILED, BROKEN.payload())]
        assert sum(isinstance(event, ItemCompleted) for event in events) == 1
        assert len(h.server.seen) == 2
        at_rest(h)


async def test_a_late_answer_while_others_run_changes_nothing() -> None:
    async with house(answering()) as h:
        run = await h.submit(await h.flow(PAIR), numbers(2))
        await h.wait_until(lambda: len(h.server.open) == 4)
        calls = {(call.item_index, call.template.step_id): call for call in h.server.open.values()}
        h.server.answer(calls[0, "bad"], BROKEN)
        await h.wait_until(lambda: h.server.cancelled == [calls[0, "slow"]])
        h.server.answer(calls[0, "slow"], b'"late"')
        h.server.answer(calls[1, "slow"], b"2")
        h.server.answer(calls[1, "bad"], b"1")
        fold = await h.follow(run.run_id)
        assert (fold.counts().success, fold.counts().failed) == (1, 1)
        events = [event for segment in await h.log(run.run_id) for event in segment.events]
        steps = [(event.item_index, event.step_index) for event in events if isinstance(event, StepCompleted)]
        assert steps == [(0, 0), (1, 1)]  # the failure that ended item 0, and the step before the one that ended item 1


async def test_an_ended_item_keeps_its_place_until_what_it_left_behind_is_over() -> None:
    """The run's limit holds at its servers, too."""
    async with house(answering()) as h:
        run = await h.submit(await h.flow(PAIR), numbers(4), max_concurrency=2)
        for done in (0, 2):
            await h.wait_until(lambda: len(h.server.open) == 4)
            break_all(h)
            await h.wait_until(lambda done=done: len(h.server.cancelled) == done + 2)  # type: ignore[misc]
            status = await h.runtime.get_run(run.run_id, max_bytes=1 << 20)
            assert (status.items.failed, status.items.running) == (done + 2, 0)
            assert {call.item_index for call in h.server.open.values()} == {done, done + 1}
            for call in list(h.server.open.values()):
                h.server.answer(call, CallFailure(FlowErrorCode.CANCELLED, "cancelled"))
        assert (await h.follow(run.run_id)).counts().failed == 4


async def test_a_call_that_heeds_no_cancel_gives_its_slot_and_place_back_at_its_time_out() -> None:
    async with house(answering(), capacity=2, limits=Limits(call_timeout_s=0.05)) as h:
        run = await h.submit(await h.flow(PAIR), numbers(3), max_concurrency=1)
        for _ in range(3):
            await is_open(h, "bad", "slow")
            break_all(h)
            await is_open(h, "slow")
        fold = await h.follow(run.run_id)
        assert (fold.counts().failed, [attempt for _, _, attempt in h.server.seen]) == (3, [1] * 6)
        await h.wait_until(lambda: not h.server.open)
        at_rest(h)


async def test_a_queued_call_of_an_ended_item_does_not_go_out_and_holds_nobody_up() -> None:
    async with house(answering(), capacity=1) as h:
        run = await h.submit(await h.flow(PAIR), [b"1"])
        await is_open(h, "bad")
        other = await h.submit(await h.flow(ONE_STEP), [b"2"])
        h.server.behave = lambda call: b"0"
        h.server.answer(open_call(h, "bad"), BROKEN)
        assert (await h.follow(run.run_id)).counts().failed == 1
        assert (await h.follow(other.run_id)).counts().success == 1
        assert [step for _, step, _ in h.server.seen] == ["bad", "a"]
        assert not h.server.cancelled
        at_rest(h)


async def test_a_step_that_became_ready_in_the_same_breath_does_not_go_out() -> None:
    flow = flow_of("bad", "first", "then", then={"input": {"$step": "first"}})
    async with house(answering()) as h:
        run = await h.submit(await h.flow(flow), [b"1"])
        await is_open(h, "bad", "first")
        calls = [open_call(h, "first"), open_call(h, "bad")]
        h.server.answer(calls[0], b"1")
        h.server.answer(calls[1], BROKEN)
        await h.follow(run.run_id)
        assert {step for _, step, _ in h.server.seen} == {"bad", "first"}
        at_rest(h)


async def test_a_retry_in_back_off_does_not_go_out_after_its_item_s_end() -> None:
    flow = flow_of("bad", "slow", slow={"onError": {"action": "retry"}})
    later = CallFailure(FlowErrorCode.COMPONENT_FAILED, "not now", retry_after_s=0.05)
    async with house(answering(slow=later)) as h:
        run = await h.submit(await h.flow(flow), [b"1"])
        await is_open(h, "bad")
        h.server.answer(open_call(h, "bad"), BROKEN)
        await h.follow(run.run_id)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        h.runtime.dispatcher.after(0.3, lambda: over.set_result(None))
        await over
        assert h.server.seen == [(0, "bad", 1), (0, "slow", 1)]
        at_rest(h)


async def test_a_suspect_of_a_crash_is_not_tried_after_its_item_s_end_and_holds_nobody_back() -> None:
    """Both steps were with the server that died; the first of them is tried alone and fails."""
    async with house(answering()) as h:
        run = await h.submit(await h.flow(PAIR), [b"1"])
        await is_open(h, "bad", "slow")
        h.server.crash(GONE)
        await is_open(h, "bad")
        h.server.answer(open_call(h, "bad"), BROKEN)
        await h.follow(run.run_id)
        h.server.behave = lambda call: b"0"
        other = await h.submit(await h.flow(ONE_STEP), [b"2"])
        assert (await h.follow(other.run_id)).counts().success == 1
        assert [step for _, step, _ in h.server.seen if step != "a"] == ["bad", "slow", "bad"]
        at_rest(h)


async def test_a_crash_after_the_item_s_end_repeats_nothing() -> None:
    async with house(answering()) as h:
        run = await h.submit(await h.flow(PAIR), [b"1"])
        await is_open(h, "bad", "slow")
        break_all(h)
        await h.follow(run.run_id)
        h.server.crash(GONE)
        await h.wait_until(lambda: not h.runtime.dispatcher.calls)
        assert len(h.server.seen) == 2
        at_rest(h)


async def test_a_must_execute_step_keeps_its_item_open_and_is_not_cancelled() -> None:
    async with house(answering(bad=BROKEN)) as h:
        flow = flow_of("bad", "slow", "must", output=[{"$step": "bad"}, {"$step": "slow"}], must={"mustExecute": True})
        run = await h.submit(await h.flow(flow), [b"1"])
        await is_open(h, "slow", "must")
        h.server.answer(open_call(h, "must"), b"3")
        fold = await h.follow(run.run_id)
        assert fold.results[0].error is not None
        assert fold.results[0].error.message == "broken"
        await h.wait_until(lambda: [call.template.step_id for call in h.server.cancelled] == ["slow"])


BIG = CallFailure(FlowErrorCode.COMPONENT_FAILED, "big", b'"' + b"x" * (4 << 20) + b'"')
"""A failure that no message takes: its item ends when a blob holds it."""


def hold_blobs(h: House) -> asyncio.Event:
    """No blob is stored before the event."""
    put, may_store = h.store.put_blob, asyncio.Event()

    async def held(namespace: str, blob_id: str, blob_type: str, data: bytes) -> None:
        await may_store.wait()
        await put(namespace, blob_id, blob_type, data)

    h.store.put_blob = held  # type: ignore[method-assign]
    return may_store


async def test_a_large_failure_ends_what_still_runs_and_what_answers_until_it_is_stored_changes_nothing() -> None:
    flow = flow_of("bad", "slow", slow={"onError": {"action": "retry"}})
    async with house(answering(), limits=Limits(result_bytes=8 << 20)) as h:
        run = await h.submit(await h.flow(flow), numbers(2), max_concurrency=1)
        may_store = hold_blobs(h)
        await is_open(h, "bad", "slow")
        slow = open_call(h, "slow")
        h.server.answer(open_call(h, "bad"), BIG)
        await h.wait_until(lambda: h.server.cancelled == [slow])
        h.server.answer(slow, BROKEN)
        await h.wait_until(lambda: not h.runtime.dispatcher.calls)
        status = await h.runtime.get_run(run.run_id, max_bytes=1 << 20)
        assert (status.items.running, status.items.failed, len(h.server.seen)) == (1, 0, 2)
        may_store.set()
        await is_open(h, "bad", "slow")
        break_all(h)
        h.server.answer(open_call(h, "slow"), b"1")
        fold = await h.follow(run.run_id)
        assert (fold.counts().failed, len(h.server.seen)) == (2, 4)
        await h.wait_until(lambda: not h.server.open)
        at_rest(h)


async def test_a_cancel_while_a_large_failure_is_stored_ends_its_item_as_cancelled() -> None:
    async with house(answering(), limits=Limits(cancel_grace_s=0.05, result_bytes=8 << 20)) as h:
        run = await h.submit(await h.flow(PAIR), numbers(2))
        may_store = hold_blobs(h)
        await h.wait_until(lambda: len(h.server.open) == 4)
        first = next(call for call in h.server.open.values() if call.template.step_id == "bad")
        h.server.answer(first, BIG)
        await h.wait_until(lambda: len(h.server.cancelled) == 1)
        await h.runtime.cancel_run(run.run_id)
        fold = await h.follow(run.run_id)
        assert (fold.status, fold.counts().cancelled) == (RunStatusCode.CANCELLED, 2)
        may_store.set()
        await h.wait_until(lambda: not h.runtime._storing)
        at_rest(h)


async def test_an_item_that_ended_early_is_not_run_again_by_the_next_gateway(tmp_path: Path) -> None:
    flow = flow_of("bad", "slow")
    store = SqliteStore(tmp_path / "store")
    async with house(answering(), store=store) as h:
        run = await h.submit(await h.flow(flow), numbers(2))
        await h.wait_until(lambda: len(h.server.open) == 4)
        h.server.answer(next(call for call in h.server.open.values() if call.item_index == 0), BROKEN)
        await h.wait_until(lambda: len(h.server.cancelled) == 1)
        await h.wait_until(lambda: h.runtime.open_runs[run.run_id].committed.failed == 1)
    async with house(answering(bad=BROKEN), store=SqliteStore(tmp_path / "store")) as h:
        fold = await h.follow(run.run_id)
        assert fold.counts().failed == 2
        assert sorted(h.server.seen) == [(1, "bad", 2), (1, "slow", 2)]


async def test_the_next_gateway_ends_an_item_at_once_whose_decisive_failure_is_in_the_log(tmp_path: Path) -> None:
    """A must-execute step keeps the item open; the gateway dies; the failed step is not called again."""
    flow = flow_of("bad", "slow", "must", output=[{"$step": "bad"}, {"$step": "slow"}], must={"mustExecute": True})
    async with house(answering(bad=BROKEN), store=SqliteStore(tmp_path / "store")) as h:
        run = await h.submit(await h.flow(flow), [b"1"])
        await is_open(h, "slow", "must")
        await h.wait_until(lambda: h.runtime.open_runs[run.run_id].committed.seq >= 3)
    async with house(answering(must=b"1"), store=SqliteStore(tmp_path / "store")) as h:
        fold = await h.follow(run.run_id)
        assert fold.counts().failed == 1
        assert sorted(h.server.seen) == [(0, "must", 2), (0, "slow", 2)]


# Sub-runs


async def cancelled_of(h: House, runs: dict[str, RunStatus]) -> set[str]:
    statuses = {name: await h.runtime.get_run(run.run_id, max_bytes=1 << 20) for name, run in runs.items()}
    return {name for name, status in statuses.items() if status.cancel_reason is not None}


FAMILY = flow_of("bad", "slow", "must", output=[{"$step": "bad"}, {"$step": "slow"}], must={"mustExecute": True})


def token(h: House, call: ComponentCall) -> str:
    return h.runtime.naming.task_token(call.number)


async def test_sub_runs_of_an_abandoned_execution_are_cancelled_and_no_others() -> None:
    async with house(answering()) as h:
        run = await h.submit(await h.flow(FAMILY), [b"1"])
        await is_open(h, "bad", "slow", "must")
        child = await h.flow(ONE_STEP)
        calls = {call.template.step_id: call for call in h.server.open.values()}
        runs = {step: await h.submit(child, [b"2"], task_token=token(h, call)) for step, call in calls.items()}
        runs["detached"] = await h.submit(child, [b"3"], task_token=token(h, calls["slow"]), detached=True)
        await h.wait_until(lambda: len(h.server.open) == 7)
        runs["grandchild"] = await h.submit(child, [b"4"], task_token=token(h, open_call(h, "a", runs["slow"])))
        h.server.answer(calls["bad"], BROKEN)
        h.server.answer(calls["must"], b"1")
        await h.follow(run.run_id)
        await h.wait_until(lambda: len(h.server.cancelled) == 3)
        assert await cancelled_of(h, runs) == {"slow", "grandchild"}
        for call in list(h.server.open.values()):
            h.server.answer(call, b"0")
        for one in runs.values():
            await h.follow(one.run_id)
        at_rest(h)


async def test_a_sub_run_moves_up_with_the_execution_that_it_comes_from() -> None:
    """The run in between has ended."""
    async with house(answering()) as h:
        run = await h.submit(await h.flow(PAIR), [b"1"])
        await is_open(h, "bad", "slow")
        child = await h.flow(ONE_STEP)
        between = await h.submit(child, [b"2"], task_token=token(h, open_call(h, "slow")))
        await is_open(h, "bad", "slow", "a")
        below = await h.submit(child, [b"3"], task_token=token(h, open_call(h, "a", between)))
        h.server.answer(open_call(h, "a", between), b"0")
        await h.follow(between.run_id)
        break_all(h)
        await h.follow(run.run_id)
        await h.wait_until(lambda: any(call.template.run_id == below.run_id for call in h.server.cancelled))
        assert await cancelled_of(h, {"between": between, "below": below}) == {"below"}


async def test_a_sub_run_that_a_repeated_execution_has_found_again_is_cancelled(tmp_path: Path) -> None:
    async with house(answering(), store=SqliteStore(tmp_path / "store")) as h:
        run = await h.submit(await h.flow(PAIR), [b"1"])
        await is_open(h, "bad", "slow")
        child = await h.flow(ONE_STEP)
        first = await h.submit(child, [b"2"], task_token=token(h, open_call(h, "slow")))
        unclaimed = await h.submit(child, [b"3"], task_token=token(h, open_call(h, "slow")))
    async with house(answering(), store=SqliteStore(tmp_path / "store")) as h:
        await is_open(h, "bad", "slow", "a")
        again = await h.submit(child, [b"2"], task_token=token(h, open_call(h, "slow")))
        assert again.run_id == first.run_id
        break_all(h)
        await h.follow(run.run_id)
        await h.wait_until(lambda: any(call.template.run_id == first.run_id for call in h.server.cancelled))
        # Nobody knows any more whose the other one is.
        assert await cancelled_of(h, {"first": first, "unclaimed": unclaimed}) == {"first"}


async def test_a_sub_run_that_two_executions_have_submitted_outlives_the_end_of_one() -> None:
    async with house(answering()) as h:
        run = await h.submit(await h.flow(PAIR), numbers(2))
        await h.wait_until(lambda: len(h.server.open) == 4)
        calls = [call for call in h.server.open.values() if call.template.step_id == "slow"]
        child = await h.flow(ONE_STEP)
        shared, same = [await h.submit(child, [b"2"], task_token=token(h, call), request_id="r") for call in calls]
        assert shared.run_id == same.run_id
        h.server.answer(next(call for call in h.server.open.values() if call.template.step_id == "bad"), BROKEN)
        await h.wait_until(lambda: len(h.server.cancelled) == 1)
        assert not await cancelled_of(h, {"shared": shared})
        await h.runtime.cancel_run(run.run_id)


async def test_an_abandoned_execution_gets_no_more_sub_runs_but_detached_ones() -> None:
    async with house(answering()) as h:
        run = await h.submit(await h.flow(PAIR), [b"1"])
        await is_open(h, "bad", "slow")
        slow = open_call(h, "slow")
        break_all(h)
        await h.follow(run.run_id)
        child = await h.flow(ONE_STEP)
        with pytest.raises(FlowspanError, match="has ended without this execution") as refused:
            await h.submit(child, [b"2"], task_token=token(h, slow))
        assert refused.value.reason is Reason.CANCELLED
        assert (await h.submit(child, [b"2"], task_token=token(h, slow), detached=True)).status is RunStatusCode.RUNNING


async def test_a_sub_run_that_is_being_submitted_when_its_execution_is_abandoned_is_cancelled() -> None:
    async with house(answering()) as h:
        await h.submit(await h.flow(PAIR), [b"1"])
        await is_open(h, "bad", "slow")
        slow, child = open_call(h, "slow"), await h.flow(ONE_STEP)
        create = h.store.create_run

        async def create_while_the_item_ends(run: NewRun) -> int | ExistingRun:
            break_all(h)
            await h.wait_until(lambda: bool(h.server.cancelled))
            h.server.answer(slow, BROKEN)
            await h.wait_until(lambda: slow.number not in h.runtime.dispatcher.calls)
            return await create(run)

        h.store.create_run = create_while_the_item_ends  # type: ignore[method-assign]
        born = await h.submit(child, [b"2"], task_token=token(h, slow))
        fold = await h.follow(born.run_id)
        assert fold.status is RunStatusCode.CANCELLED
        assert [step for _, step, _ in h.server.seen] == ["bad", "slow"]
        at_rest(h)


@pytest.mark.parametrize("built_in", ["eval", "map", "iterate"])
async def test_a_built_in_that_waits_for_a_sub_run_ends_with_its_item(built_in: str) -> None:
    inner = json.loads(ONE_STEP)
    given = {
        "eval": {"flow": {"$literal": inner}, "input": 1},
        "map": {"workflow": {"$literal": inner}, "items": [1, 2]},
        "iterate": {"flow": {"$literal": inner}, "initial_input": 1},
    }[built_in]
    flow = flow_of("bad", "slow", slow={"component": f"/builtin/{built_in}", "input": given})
    async with house(answering()) as h:
        run = await h.submit(await h.flow(flow), [b"1"])
        await is_open(h, "bad", "a")
        inside = list(h.server.open.values())[1:]
        break_all(h)
        await h.follow(run.run_id)
        await h.wait_until(lambda: len(h.server.cancelled) == len(inside))
        for call in inside:
            h.server.answer(call, b"0")
        await h.wait_until(lambda: not h.runtime.open_runs and not h.runtime.dispatcher.calls and not h.builtins.open_tasks)
        at_rest(h)
