"""What a run does, from submit to its last event, in the real engine over a store in memory."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter

import pytest

from flowspan.errors import ConflictError, FlowErrorCode, FlowspanError, InvalidArgumentError, NotFoundError, OverloadedError
from flowspan.view.events import ItemCompleted, ItemsStarted, Outcome, RunAccepted, RunCompleted, RunStatusCode, StepCompleted
from flowspan.view.fold import RunFold
from flowspan.view.status import ResultOrder
from runtime_core.calls import CallFailure, ComponentCall
from runtime_core.limits import Limits
from tests.engine.house import ONE_STEP, house

MB = 1 << 20


def numbers(count: int) -> list[bytes]:
    return [b"%d" % one for one in range(count)]


async def test_a_run_ends_with_every_result_once_and_in_index_order_on_request() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(1000), max_concurrency=7)
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.SUCCESS
        assert sorted(result.item_index for result in fold.results) == list(range(1000))
        status = await h.runtime.get_run(run.run_id, order=ResultOrder.BY_INDEX, max_bytes=MB)
        assert status.results is not None
        assert [(result.item_index, result.payload) for result in status.results] == list(enumerate(numbers(1000)))
        assert h.server.most_open <= 7


async def test_the_log_is_gapless_and_its_terminal_event_is_last_and_once() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(300), max_concurrency=32)
        await h.follow(run.run_id)
        segments = await h.log(run.run_id)
        events = [event for segment in segments for event in segment.events]
        assert next(segment.first_seq for segment in segments) == 1
        for before, after in itertools.pairwise(segments):
            assert after.first_seq == before.last_seq + 1
        assert isinstance(events[0], RunAccepted)
        assert [type(event) for event in events].count(RunCompleted) == 1
        assert isinstance(events[-1], RunCompleted)
        assert sum(event.count for event in events if isinstance(event, ItemsStarted)) == 300
        assert Counter(event.item_index for event in events if isinstance(event, ItemCompleted)) == Counter(range(300))


async def test_a_claim_is_durable_before_its_request_goes_out() -> None:
    seen: list[tuple[int, int]] = []
    async with house() as h:

        def check(call: ComponentCall) -> bytes:
            run = call.owner.run
            seen.append((call.item_index, run.committed.started))
            return b"0"

        h.server.behave = check
        run = await h.submit(await h.flow(ONE_STEP), numbers(200), max_concurrency=5)
        await h.follow(run.run_id)
    assert len(seen) == 200
    assert all(item_index < started for item_index, started in seen)


async def test_submit_answers_running_once_its_first_claims_are_durable_and_pending_while_limits_keep_all_waiting() -> None:
    async with house(lambda call: None, capacity=1) as h:
        flow_id = await h.flow(ONE_STEP)
        first = await h.submit(flow_id, numbers(3))
        second = await h.submit(flow_id, numbers(3))
        assert (first.status, first.items.running, first.items.pending) == (RunStatusCode.RUNNING, 1, 2)
        assert (second.status, second.items.pending) == (RunStatusCode.PENDING, 3)


async def test_a_run_of_no_items_succeeds_at_once() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), [])
        assert run.status is RunStatusCode.SUCCESS
        assert run.items.total == 0
        assert (await h.follow(run.run_id)).status is RunStatusCode.SUCCESS


async def test_a_flow_without_components_needs_no_server() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(b'{"output":{"got":{"$input":"$.x"}}}'), [b'{"x":%d}' % n for n in range(5000)])
        fold = await h.follow(run.run_id)
        assert fold.counts().success == 5000
        assert fold.snapshot(order=ResultOrder.BY_INDEX).results[7].value == {"got": 7}  # type: ignore[index]


async def test_failed_items_fail_the_run_and_leave_the_others_alone() -> None:
    def behave(call: ComponentCall) -> bytes | CallFailure:
        if call.item_index % 10 == 3:
            return CallFailure(FlowErrorCode.COMPONENT_FAILED, "three")
        return call.input

    async with house(behave) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(100), max_concurrency=10)
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.FAILED
        assert (fold.counts().success, fold.counts().failed) == (90, 10)
        failed = next(result for result in fold.results if result.item_index == 13)
        assert failed.error is not None
        assert (failed.error.code, failed.error.message) == ("COMPONENT_FAILED", "three")


async def test_a_watcher_that_comes_back_with_its_cursor_sees_no_gap_and_no_repetition() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(500), max_concurrency=16)
        await h.follow(run.run_id)
        whole = await h.follow(run.run_id)
        for cursor in range(0, whole.through_seq + 1, 37):
            fold = RunFold()
            for segment in await h.log(run.run_id):
                if segment.first_seq <= cursor:
                    keep = segment.events[: cursor - segment.first_seq + 1]
                    fold.apply(type(segment)(segment.first_seq, segment.recorded_at_us, keep))
            assert fold.through_seq == cursor
            rest = await h.follow(run.run_id, cursor, fold)
            assert rest.snapshot(order=ResultOrder.BY_COMPLETION) == whole.snapshot(order=ResultOrder.BY_COMPLETION)


async def test_a_cursor_beyond_the_log_and_an_unknown_run_are_refused() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(1))
        fold = await h.follow(run.run_id)
        with pytest.raises(InvalidArgumentError, match="beyond the log"):
            await h.runtime.watch_run(run.run_id, after_seq=fold.through_seq + 1)
        with pytest.raises(NotFoundError):
            await h.runtime.watch_run("00000000-0000-7000-8000-000000000000")
        with pytest.raises(NotFoundError):
            await h.runtime.get_run(run.run_id, namespace="other", max_bytes=MB)


async def test_a_repeated_request_id_finds_its_run_and_a_different_request_is_refused() -> None:
    async with house() as h:
        flow_id = await h.flow(ONE_STEP)
        runs = await asyncio.gather(*(h.submit(flow_id, [b'{"a":1, "b":2}'], request_id="k") for _ in range(20)))
        assert len({run.run_id for run in runs}) == 1
        again = await h.submit(flow_id, [b'{"b":2,"a":1}'], request_id="k")  # the same value, written differently
        assert again.run_id == runs[0].run_id
        with pytest.raises(ConflictError):
            await h.submit(flow_id, [b'{"a":1,"b":3}'], request_id="k")
        with pytest.raises(ConflictError):
            await h.submit(flow_id, [b'{"a":1,"b":2}'], request_id="k", max_concurrency=3)


async def test_a_repeated_request_finds_its_run_even_where_a_new_one_would_be_refused() -> None:
    async with house(behave=lambda call: None, limits=Limits(open_runs=1)) as h:
        flow_id = await h.flow(ONE_STEP)
        run = await h.submit(flow_id, [b"1"], request_id="k")
        assert (await h.submit(flow_id, [b"1"], request_id="k")).run_id == run.run_id
        with pytest.raises(ConflictError):
            await h.submit(flow_id, [b"2"], request_id="k")
        with pytest.raises(OverloadedError, match="1 runs are open"):
            await h.submit(flow_id, [b"1"], request_id="other")


@pytest.mark.parametrize("limit", [0, -1])
async def test_max_concurrency_below_one_is_refused(limit: int) -> None:
    async with house() as h:
        with pytest.raises(InvalidArgumentError, match="maxConcurrency"):
            await h.submit(await h.flow(ONE_STEP), numbers(1), max_concurrency=limit)


async def test_max_concurrency_above_the_cap_is_clamped_and_said() -> None:
    async with house(limits=Limits(max_concurrency_cap=4)) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(50), max_concurrency=1000)
        assert run.description.max_concurrency == 4
        await h.follow(run.run_id)
        assert h.server.most_open <= 4


TWO_STEPS = json.dumps(
    {
        "steps": [
            {"id": "a", "component": "/p/a", "input": {"$input": "$"}},
            {"id": "b", "component": "/p/b", "input": {"$step": "a"}},
        ],
        "output": {"$step": "b"},
    }
).encode()


async def test_steps_of_an_item_are_journaled_only_when_there_is_more_than_one() -> None:
    async with house() as h:
        for document, expected in ((ONE_STEP, 0), (TWO_STEPS, 20)):
            run = await h.submit(await h.flow(document), numbers(20))
            await h.follow(run.run_id)
            events = [event for segment in await h.log(run.run_id) for event in segment.events]
            assert sum(isinstance(event, StepCompleted) for event in events) == expected


async def test_retries_are_counted_and_the_attempt_only_rises() -> None:
    document = json.dumps(
        {
            "steps": [
                {
                    "id": "a",
                    "component": "/p/a",
                    "input": {"$input": "$"},
                    "onError": {"action": "retry", "maxRetries": 2},
                }
            ],
            "output": {"$step": "a"},
        }
    ).encode()
    failures = {0: 2, 1: 5}

    def behave(call: ComponentCall) -> bytes | CallFailure:
        if failures.get(call.item_index, 0) >= call.attempt:
            return CallFailure(FlowErrorCode.COMPONENT_FAILED, "again")
        return b'"ok"'

    async with house(behave) as h:
        run = await h.submit(await h.flow(document), numbers(3))
        fold = await h.follow(run.run_id)
        assert (fold.counts().success, fold.counts().failed) == (2, 1)
        attempts = {item: [a for i, _, a in h.server.seen if i == item] for item in range(3)}
        assert attempts == {0: [1, 2, 3], 1: [1, 2, 3], 2: [1]}


async def test_transport_failures_are_always_retried() -> None:
    def behave(call: ComponentCall) -> bytes | CallFailure:
        return CallFailure(FlowErrorCode.UNREACHABLE, "gone") if call.attempt < 4 else b"1"

    async with house(behave) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(2))
        fold = await h.follow(run.run_id)
        assert fold.counts().success == 2


async def test_an_execution_that_does_not_answer_in_time_is_timed_out() -> None:
    document = b'{"steps":[{"id":"a","component":"/p/a","timeout":0.2,"retry":{"maxRetries":0}}],"output":{"$step":"a"}}'
    async with house(lambda call: None) as h:
        run = await h.submit(await h.flow(document), numbers(1))
        fold = await h.follow(run.run_id)
        assert fold.results[0].error is not None
        assert fold.results[0].error.code == "TIMEOUT"
        assert not h.server.open


async def test_a_path_that_leads_nowhere_fails_the_item_with_component_not_found() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(b'{"steps":[{"id":"a","component":"/q/a"}],"output":{"$step":"a"}}'), numbers(700))
        fold = await h.follow(run.run_id)
        assert fold.counts().failed == 700
        assert fold.results[0].error is not None
        assert fold.results[0].error.code == "COMPONENT_NOT_FOUND"


async def test_pages_by_index_and_by_completion_hold_every_result_once() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(95), max_concurrency=9)
        await h.follow(run.run_id)
        for order in ResultOrder:
            seen: list[int] = []
            token: str | None = None
            while True:
                page = await h.runtime.list_run_items(run.run_id, order=order, page_size=10, page_token=token, max_bytes=MB)
                assert len(page.items) <= 10
                seen += [item.item_index for item in page.items]
                token = page.next_page_token
                if token is None:
                    break
            assert sorted(seen) == list(range(95))
            if order is ResultOrder.BY_INDEX:
                assert seen == list(range(95))


async def test_results_that_do_not_fit_are_left_out_and_can_be_paged() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), [b'"' + b"x" * 1000 + b'"'] * 50)
        await h.follow(run.run_id)
        status = await h.runtime.get_run(run.run_id, order=ResultOrder.BY_INDEX, max_bytes=10_000)
        assert status.results is None
        assert status.results_omitted is not None
        assert status.results_omitted.count == 50
        seen: list[int] = []
        after = -1
        while len(seen) < 50:
            page = await h.runtime.get_run(
                run.run_id,
                order=ResultOrder.BY_INDEX,
                after_item_index=after if after >= 0 else None,
                limit=100,
                max_bytes=10_000,
            )
            assert page.results
            seen += [result.item_index for result in page.results]
            after = seen[-1]
        assert seen == list(range(50))


async def test_a_retry_runs_the_failed_items_and_the_merged_view_shows_the_newest_results() -> None:
    async with house(lambda call: CallFailure(FlowErrorCode.COMPONENT_FAILED, "no") if call.item_index % 2 else b"1") as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(6))
        await h.follow(run.run_id)
        h.server.behave = lambda call: b"2"
        retry = await h.runtime.retry_run(run.run_id)
        assert retry.description.source_run_id == run.run_id
        fold = await h.follow(retry.run_id)
        assert fold.counts().total == 3
        page = await h.runtime.list_run_items(retry.run_id, page_size=10, max_bytes=MB)
        assert [item.source_item_index for item in page.items] == [1, 3, 5]
        merged = await h.runtime.list_run_items(run.run_id, page_size=10, merged=True, max_bytes=MB)
        assert [item.payload for item in merged.items] == [b"1", b"2", b"1", b"2", b"1", b"2"]


async def test_a_deleted_run_is_gone_and_an_open_one_is_not_deleted() -> None:
    async with house() as h:
        flow_id = await h.flow(ONE_STEP)
        run = await h.submit(flow_id, numbers(2))
        await h.follow(run.run_id)
        await h.runtime.delete_run(run.run_id)
        with pytest.raises(NotFoundError):
            await h.runtime.get_run(run.run_id, max_bytes=MB)
        h.server.behave = lambda call: None
        other = await h.submit(flow_id, numbers(2))
        with pytest.raises(FlowspanError, match="has not ended"):
            await h.runtime.delete_run(other.run_id)


async def test_small_runs_do_not_wait_behind_a_large_one() -> None:
    async with house(capacity=4) as h:
        flow_id = await h.flow(ONE_STEP)
        large = await h.submit(flow_id, numbers(20_000), max_concurrency=1000)
        small = [await h.submit(flow_id, numbers(3)) for _ in range(10)]
        for run in small:
            assert (await h.follow(run.run_id)).status is RunStatusCode.SUCCESS
        status = await h.runtime.get_run(large.run_id, max_bytes=MB)
        assert status.items.pending > 10_000
        await h.runtime.cancel_run(large.run_id)


async def test_a_10000_item_run_shares_its_commits_and_rows() -> None:
    """The shape that speed rests on: work is done per batch, not per item."""
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(10_000), max_concurrency=256)
        await h.follow(run.run_id)
        rows = await h.log(run.run_id)
        assert len(rows) < 200


async def test_input_labels_come_back_with_results() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(3), item_labels=("x", "y", "z"))
        await h.follow(run.run_id)
        page = await h.runtime.list_run_items(run.run_id, page_size=10, max_bytes=MB)
        assert [item.item_label for item in page.items] == ["x", "y", "z"]


async def test_an_input_may_be_a_blob() -> None:
    async with house() as h:
        blob_id = await h.runtime.put_blob(b'{"big":true}')
        run = await h.submit(await h.flow(ONE_STEP), [b"1", blob_id.encode()], input_blobs=frozenset({1}))
        fold = await h.follow(run.run_id)
        assert fold.snapshot(order=ResultOrder.BY_INDEX).results[1].value == {"big": True}  # type: ignore[index]
        with pytest.raises(NotFoundError):
            await h.submit(await h.flow(ONE_STEP), [b"sha256:" + b"0" * 64], input_blobs=frozenset({0}))


async def test_a_flow_of_built_ins_alone_is_not_journaled() -> None:
    steps = [
        {"id": f"s{n}", "component": "/builtin/noop", "input": {"$input": "$"} if n == 0 else {"$step": f"s{n - 1}"}}
        for n in range(10)
    ]
    async with house() as h:
        run = await h.submit(await h.flow(json.dumps({"steps": steps, "output": {"$step": "s9"}}).encode()), numbers(100))
        fold = await h.follow(run.run_id)
        assert fold.counts().success == 100
        events = [event for segment in await h.log(run.run_id) for event in segment.events]
        assert not any(isinstance(event, StepCompleted) for event in events)


async def test_cancelled_outcomes_are_not_counted_as_failures() -> None:
    async with house(lambda call: None) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(30), max_concurrency=5)
        await h.wait_until(lambda: len(h.server.open) == 5)
        status, unconfirmed = await h.runtime.cancel_run(run.run_id, reason="enough")
        assert unconfirmed == 5
        assert (status.items.running, status.items.cancelled) == (5, 25)
        assert status.cancel_reason == "enough"
        for call in list(h.server.open.values()):
            h.server.answer(call, b"1")
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.CANCELLED
        assert fold.counts().cancelled == 30
        assert {result.outcome for result in fold.results} == {Outcome.CANCELLED}
        assert len(h.server.seen) == 5


async def test_a_result_that_no_message_takes_is_kept_as_a_blob_and_one_beyond_the_limit_fails_its_item() -> None:
    big, huge = b'"' + b"x" * 4_000_000 + b'"', b'"' + b"x" * 9_000_000 + b'"'
    async with house(limits=Limits(result_bytes=8 << 20)) as h:
        run = await h.submit(await h.flow(ONE_STEP), [b"1", big, huge])
        fold = await h.follow(run.run_id)
        small, large, failed = fold.snapshot(order=ResultOrder.BY_INDEX).results or ()
        assert small.payload == b"1"
        assert large.is_blob
        assert (await h.runtime.get_blob(large.payload.decode())).data == big
        assert failed.error is not None
        assert "at most 8388608" in failed.error.message


async def test_built_in_steps_are_journaled_beside_other_components() -> None:
    document = json.dumps(
        {
            "steps": [
                {"id": "n", "component": "/builtin/noop", "input": {"$input": "$"}},
                {"id": "a", "component": "/p/a", "input": {"$step": "n"}},
                {"id": "b", "component": "/p/b", "input": {"$step": "a"}},
            ],
            "output": {"$step": "b"},
        }
    ).encode()
    async with house() as h:
        run = await h.submit(await h.flow(document), numbers(50))
        fold = await h.follow(run.run_id)
        assert fold.counts().success == 50
        events = [event for segment in await h.log(run.run_id) for event in segment.events]
        assert {event.step_index for event in events if isinstance(event, StepCompleted)} == {0, 1}


async def test_the_reason_of_a_cancel_outlives_the_run() -> None:
    async with house(lambda call: None) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(3), max_concurrency=1)
        await h.wait_until(lambda: len(h.server.open) == 1)
        await h.runtime.cancel_run(run.run_id, reason="no longer needed")
        for call in list(h.server.open.values()):
            h.server.answer(call, b"1")
        await h.follow(run.run_id)
        assert (await h.runtime.get_run(run.run_id, max_bytes=MB)).cancel_reason == "no longer needed"
