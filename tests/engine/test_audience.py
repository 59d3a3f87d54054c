"""Many watchers of one run: each sees all of it, and what they see is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from flowspan.errors import NotFoundError
from flowspan.view.fold import RunFold
from flowspan.view.status import ResultOrder
from runtime_core.api import RunWatch
from runtime_core.engine.audience import CROWD, KEPT_BYTES, MAX_ROUND_S, ROUND_S, Audience
from runtime_core.ports import LogRow
from runtime_core.stores.memory import MemoryStore
from tests.engine.house import ONE_STEP, house
from tests.sim.virtual_loop import VirtualLoop


def in_made_up_time(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(scene())
    finally:
        loop.close()


def audience_of(size: int) -> Audience:
    audience = Audience(0, lambda: None)
    for _ in range(size):
        audience.enter()
    return audience


def test_few_watchers_see_at_once_what_is_durable() -> None:
    async def scene() -> None:
        audience = audience_of(CROWD)
        waiters = [audience.waiter() for _ in range(CROWD)]
        audience.on_durable(7, at_once=False)
        assert audience.shown_seq == 7
        assert all(waiter.done() for waiter in waiters)

    in_made_up_time(scene)


def test_a_crowd_sees_the_first_rows_in_the_same_turn_and_the_next_after_a_round() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        audience = audience_of(100)
        audience.on_durable(1, at_once=False)
        audience.on_durable(2, at_once=False)
        await audience.waiter()
        assert (audience.shown_seq, loop.time()) == (2, 0.0)
        audience.on_durable(3, at_once=False)
        waiting = audience.waiter()
        await asyncio.sleep(99 * ROUND_S)
        audience.on_durable(4, at_once=False)
        assert not waiting.done()
        await waiting
        assert audience.shown_seq == 4
        assert loop.time() == pytest.approx(100 * ROUND_S)

    in_made_up_time(scene)


def test_a_round_is_short_for_a_crowd_of_any_size() -> None:
    async def scene() -> None:
        audience = audience_of(100_000)
        audience.on_durable(1, at_once=False)
        await audience.waiter()
        audience.on_durable(2, at_once=False)
        await audience.waiter()
        assert asyncio.get_running_loop().time() == pytest.approx(MAX_ROUND_S)

    in_made_up_time(scene)


def test_the_end_of_a_run_waits_for_no_round() -> None:
    async def scene() -> None:
        audience = audience_of(100)
        audience.on_durable(1, at_once=False)
        await audience.waiter()
        audience.on_durable(2, at_once=False)
        audience.on_durable(3, at_once=True)
        assert (audience.shown_seq, asyncio.get_running_loop().time()) == (3, 0.0)

    in_made_up_time(scene)


@pytest.mark.parametrize("watchers", [2, CROWD, CROWD + 1, 40])
async def test_all_watchers_see_all_events(watchers: int) -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), [b"%d" % n for n in range(2_000)], max_concurrency=64)
        folds: Sequence[RunFold] = await asyncio.gather(*[h.follow(run.run_id) for _ in range(watchers)])
    seen = [fold.snapshot(order=ResultOrder.BY_COMPLETION) for fold in folds]
    assert seen == [seen[0]] * watchers
    assert (seen[0].items.success, len(folds[0].results)) == (2_000, 2_000)


async def test_batches_are_made_per_run_and_not_per_watcher() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), [b"%d" % n for n in range(5_000)], max_concurrency=64)
        watches = [await h.runtime.watch_run(run.run_id, results_only=number % 2 == 1) for number in range(50)]
        audience = h.runtime.open_runs[run.run_id].audience
        assert audience is not None
        handed_out = 0

        async def read(watch: Any) -> None:
            nonlocal handed_out
            while await watch.next_batch() is not None:
                handed_out += 1
            await watch.aclose()

        await asyncio.gather(*[read(watch) for watch in watches])
    # Two kinds of watchers, who all keep up.
    assert audience.batches_made * 25 == handed_out
    assert audience.size == 0


class CountingStore(MemoryStore):
    """Counts reads of logs, each of which takes a turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []

    async def read_rows(self, run_key: int, after_seq: int, max_bytes: int) -> list[LogRow]:
        self.reads.append(after_seq)
        await asyncio.sleep(0)
        return await super().read_rows(run_key, after_seq, max_bytes)


async def test_watchers_of_an_old_run_share_its_reads() -> None:
    store = CountingStore()
    async with house(store=store) as h:
        flow_id = await h.flow(ONE_STEP)
        run = await h.submit(flow_id, [b'"%s"' % (b"x" * 1_000) for _ in range(4_000)], max_concurrency=256)
        await h.follow(run.run_id)
        store.reads.clear()
        watches = [await h.runtime.watch_run(run.run_id) for _ in range(20)]

        async def bytes_of(watch: Any) -> int:
            total = 0
            while (batch := await watch.next_batch()) is not None:
                total += sum(map(len, batch.rows))
            await watch.aclose()
            return total

        totals = await asyncio.gather(*[bytes_of(watch) for watch in watches])
        assert min(totals) == max(totals) > KEPT_BYTES
        assert sorted(store.reads) == sorted(set(store.reads)), "each part was read once"


async def test_who_leaves_does_not_end_the_read_of_the_others() -> None:
    store = CountingStore()
    async with house(store=store) as h:
        run = await h.submit(await h.flow(ONE_STEP), [b'"%s"' % (b"x" * 1_000) for _ in range(100)])
        await h.follow(run.run_id)
        first, second = [await h.runtime.watch_run(run.run_id) for _ in range(2)]
        leaving = asyncio.ensure_future(first.next_batch())
        staying = asyncio.ensure_future(second.next_batch())
        await asyncio.sleep(0)
        leaving.cancel()
        batch = await staying
        assert batch is not None and batch.is_last
        for watch in (first, second):
            await watch.aclose()


async def read_to_end(watch: RunWatch) -> None:
    while await watch.next_batch() is not None:
        pass


async def test_a_run_deleted_under_several_watchers_ends_them_all() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), [b'"%s"' % (b"x" * 1_000) for _ in range(2_000)], max_concurrency=256)
        await h.follow(run.run_id)
        watches = [await h.runtime.watch_run(run.run_id) for _ in range(3)]
        for watch in watches:
            await watch.next_batch()
        await h.runtime.delete_run(run.run_id)
        for watch in watches:
            with pytest.raises(NotFoundError):
                await read_to_end(watch)
            await watch.aclose()
