from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowspan.client import AsyncClient, RetryPolicy
from flowspan.errors import FlowspanError, InvalidArgumentError, NotFoundError, Reason, RequestCancelledError, UnavailableError
from flowspan.view.events import ItemCompleted, Outcome, RunCompleted, RunStatusCode
from tests.client.conftest import QUICK
from tests.client.fake_gateway import FakeGateway, FakeRun, log_of, rows_of

PROMPT = RetryPolicy(first_delay_s=0.001, longest_delay_s=0.002, give_up_after_s=1.0)


def run_of(count: int, order: list[int] | None = None, per_row: tuple[int, ...] = (3,), run_id: str = "run") -> FakeRun:
    return log_of(run_id, [b"%d" % index for index in range(count)], order or list(range(count)), per_row)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_cut_at_any_position_makes_a_gap_or_a_repetition(gateway: FakeGateway, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 12), "items")
    order = list(range(count))
    random.Random(data.draw(st.integers(0, 99), "completion order")).shuffle(order)
    run = run_of(count, order, tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3), "events per row")))
    run.per_message = data.draw(st.integers(1, 3), "rows per message")
    run.cuts = data.draw(st.lists(st.integers(0, 3), max_size=6), "messages until each cut")
    run.ends_cleanly = data.draw(st.booleans(), "streams end without an error")
    by_index = data.draw(st.booleans(), "by index")
    gateway.runs["run"] = run
    async with AsyncClient(gateway.target, retry=PROMPT) as client:
        watch = client.watch("run", order="byIndex" if by_index else "byCompletion")
        seen = [item.item_index async for item in watch]
        assert seen == (sorted(order) if by_index else order)
        assert watch.status is not None and watch.status.status is RunStatusCode.SUCCESS
        assert watch.status.items.success == count
        assert watch.cursor == watch.status.as_of_seq == count + 3
        assert run.watched_after == sorted(run.watched_after)


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_another_watch_takes_up_where_the_cursor_of_the_first_stands(gateway: FakeGateway, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(8)), "completion order")
    run = run_of(8, order, tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3), "events per row")))
    gateway.runs["run"] = run
    taken = data.draw(st.integers(0, 8), "taken by the first")
    by_index = data.draw(st.booleans(), "first one by index")
    async with AsyncClient(gateway.target, retry=PROMPT) as client:
        first: list[int] = []
        async with client.watch("run", order="byIndex" if by_index else None) as watch:
            while len(first) < taken:
                first.append((await anext(watch)).item_index)
            cursor = watch.cursor
        rest = [item.item_index async for item in client.watch("run", after_seq=cursor)]
    if by_index:
        # What was handed out ahead of a held-back result may come again; nothing is missing.
        assert set(first) | set(rest) == set(range(8))
    else:
        assert first + rest == list(order)


async def test_results_arrive_while_the_run_still_runs(gateway: FakeGateway) -> None:
    run = gateway.runs["run"] = run_of(4, per_row=(1,))
    whole = list(run.rows)
    run.rows[:] = whole[:4]
    async with AsyncClient(gateway.target, retry=QUICK) as client:
        watch = client.watch("run")
        async with asyncio.timeout(5):
            assert [(await anext(watch)).value, (await anext(watch)).value] == [0, 1]
            assert watch.status is not None and watch.status.items.running == 2
            assert not watch.is_over
            run.rows += whole[4:]
            assert [item.value async for item in watch] == [2, 3]
        assert watch.is_over


async def test_a_reader_that_stops_waiting_loses_nothing(gateway: FakeGateway) -> None:
    run = gateway.runs["run"] = run_of(6, per_row=(1,))
    whole = list(run.rows)
    run.rows[:] = whole[:2]
    async with AsyncClient(gateway.target, retry=QUICK) as client:
        watch = client.watch("run")
        seen: list[int] = []
        for row in [None, *whole[2:]]:
            run.rows += [row] if row is not None else []
            try:
                async with asyncio.timeout(0.03):
                    while True:
                        seen.append((await anext(watch)).item_index)
            except (TimeoutError, StopAsyncIteration):
                pass
        async with asyncio.timeout(5):
            seen += [item.item_index async for item in watch]
    assert seen == list(range(6))


async def test_a_watch_goes_on_when_the_gateway_was_restarted(tmp_path: Path) -> None:
    gateway = FakeGateway(f"unix:{tmp_path}/gateway.sock")
    run = gateway.runs["run"] = run_of(30, per_row=(1,))
    whole = list(run.rows)
    run.rows[:] = whole[:12]
    gateway.start()
    try:
        async with AsyncClient(gateway.target, retry=QUICK) as client:
            watch = client.watch("run")
            seen = [(await anext(watch)).item_index for _ in range(10)]
            await asyncio.to_thread(gateway.stop)
            run.rows[:] = whole
            await asyncio.to_thread(gateway.start)
            async with asyncio.timeout(5):
                seen += [item.item_index async for item in watch]
        assert seen == list(range(30))
        assert run.watched_after[0] == 0 and run.watched_after[-1] == 12
    finally:
        gateway.stop()


async def test_bulk_readers_get_whole_messages(gateway: FakeGateway) -> None:
    run = gateway.runs["run"] = run_of(40, per_row=(10,))
    run.cuts = [2, 1]
    async with AsyncClient(gateway.target, retry=QUICK) as client:
        batches = [[item.item_index for item in batch] async for batch in client.watch("run").batches()]
    assert [index for batch in batches for index in batch] == list(range(40))
    assert len(batches) <= 5


async def test_by_index_the_holes_of_a_cancelled_run_hold_nothing_back(gateway: FakeGateway) -> None:
    run = run_of(5)
    head = run.segments()[0].events[:2]
    events = [*head, *(ItemCompleted(i, Outcome.CANCELLED, b"") for i in (3, 1)), RunCompleted(RunStatusCode.CANCELLED)]
    run.rows = rows_of([event for event in events if event is not None], (2,))
    gateway.runs["run"] = run
    async with AsyncClient(gateway.target) as client:
        items = [item async for item in client.watch("run", order="byIndex")]
    assert [item.item_index for item in items] == [1, 3]
    result = items[0].result
    assert result.outcome == "failed" and result.error is not None and result.error.code == "CANCELLED"


async def test_by_index_does_not_begin_in_the_middle(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        with pytest.raises(InvalidArgumentError, match="after_item_index"):
            client.watch("run", after_seq=3, order="byIndex")


async def test_a_watch_gives_up_after_a_time_without_progress(gateway: FakeGateway) -> None:
    gateway.runs["run"] = run_of(3, per_row=(3,))
    gateway.runs["run"].cuts = [1] + [0] * 1000
    policy = RetryPolicy(first_delay_s=0.01, longest_delay_s=0.02, give_up_after_s=0.3)
    async with AsyncClient(gateway.target, retry=policy) as client, asyncio.timeout(5):
        watch = client.watch("run")
        assert (await anext(watch)).item_index == 0
        with pytest.raises(UnavailableError) as caught:
            await anext(watch)
        assert caught.value.details["afterSeq"] == 3 and caught.value.details["runId"] == "run"
        assert not caught.value.from_peer
        # Whoever asks again gets the rest.
        gateway.runs["run"].cuts.clear()
        assert [item.item_index async for item in watch] == [1, 2]


async def test_a_run_that_does_not_exist_is_an_error_at_once(gateway: FakeGateway) -> None:
    async with AsyncClient(gateway.target) as client:
        with pytest.raises(NotFoundError) as caught:
            await anext(client.watch("nothing"))
        assert caught.value.reason is Reason.RUN_NOT_FOUND and caught.value.from_peer


async def test_a_log_with_a_gap_is_refused(gateway: FakeGateway) -> None:
    run = gateway.runs["run"] = run_of(6, per_row=(2,))
    del run.rows[2]
    async with AsyncClient(gateway.target) as client:
        with pytest.raises(FlowspanError, match="gap"):
            async for _ in client.watch("run"):
                pass


async def test_a_result_that_is_kept_in_a_blob_is_read(gateway: FakeGateway) -> None:
    blob_id = gateway._put(1, b'{"big": 1.0}')
    run = run_of(1)
    head = run.segments()[0].events[:2]
    events = [*head, ItemCompleted(0, Outcome.SUCCESS, blob_id.encode(), True), RunCompleted(RunStatusCode.SUCCESS)]
    run.rows = rows_of([event for event in events if event is not None], (4,))
    gateway.runs["run"] = run
    async with AsyncClient(gateway.target) as client:
        (item,) = [item async for item in client.watch("run")]
        assert item.payload == b'{"big": 1.0}' and not item.is_blob
        status = await client.get("run", include_results=True)
        assert status.results is not None and status.results[0].value == {"big": 1.0}


async def test_closing_the_client_ends_its_watches(gateway: FakeGateway) -> None:
    run = gateway.runs["run"] = run_of(3, per_row=(2,))
    del run.rows[1:]
    client = AsyncClient(gateway.target)
    watching = asyncio.ensure_future(anext(client.watch("run")))
    async with asyncio.timeout(5):
        while not run.watched_after:
            await asyncio.sleep(0.005)
        await client.aclose()
        with pytest.raises(RequestCancelledError):
            await watching


async def test_waiting_is_bounded_by_the_caller_only(gateway: FakeGateway) -> None:
    run = gateway.runs["run"] = run_of(3, per_row=(1,))
    whole = list(run.rows)
    run.rows[:] = whole[:3]
    async with AsyncClient(gateway.target, retry=QUICK) as client, asyncio.timeout(5):
        status = await client.wait("run", timeout_s=0.1)
        assert status.status is RunStatusCode.RUNNING and status.items.success == 1
        waiting = asyncio.ensure_future(client.wait("run"))
        while len(run.watched_after) < 2:
            await asyncio.sleep(0.005)
        run.rows[:] = whole
        assert (await waiting).status is RunStatusCode.SUCCESS
        assert run.watched_after == [3, 3]
