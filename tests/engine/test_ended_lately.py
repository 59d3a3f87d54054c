"""Runs that ended a moment ago: who comes late is served from memory, within bounds, and never what was deleted."""

from __future__ import annotations

import pytest

from flowspan.errors import NotFoundError
from flowspan.view.events import RunStatusCode
from runtime_core.engine.watches import KEPT_LOG_BYTES, KEPT_LOGS
from runtime_core.stores.memory import MemoryStore
from tests.engine.house import ONE_STEP, house


class CountingStore(MemoryStore):
    reads = 0

    async def find_run(self, namespace, run_id):  # type: ignore[no-untyped-def]
        self.reads += 1
        return await super().find_run(namespace, run_id)

    async def read_rows(self, run_key, after_seq, max_bytes):  # type: ignore[no-untyped-def]
        self.reads += 1
        return await super().read_rows(run_key, after_seq, max_bytes)


async def test_who_watches_a_run_that_has_just_ended_does_not_wait_for_the_store() -> None:
    store = CountingStore()
    async with house(store=store) as h:
        run = await h.submit(await h.flow(ONE_STEP), [b"1", b"2"])
        whole = await h.follow(run.run_id)
        await h.wait_until(lambda: not h.runtime.open_runs)
        store.reads = 0
        again = await h.follow(run.run_id)
        assert (again.status, again.results, store.reads) == (RunStatusCode.SUCCESS, whole.results, 0)
        rest = await h.runtime.watch_run(run.run_id, after_seq=again.through_seq)
        assert await rest.next_batch() is None
        with pytest.raises(NotFoundError):
            await h.runtime.watch_run(run.run_id, namespace="other")


async def test_a_deleted_run_is_not_shown_however_lately_it_ended() -> None:
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), [b"1"])
        await h.follow(run.run_id)
        await h.wait_until(lambda: not h.runtime.open_runs)
        await h.runtime.delete_run(run.run_id)
        with pytest.raises(NotFoundError):
            await h.runtime.watch_run(run.run_id)


async def test_few_logs_are_kept_and_only_small_ones() -> None:
    async with house() as h:
        flow_id = await h.flow(ONE_STEP)
        large = await h.submit(flow_id, [b'"%b"' % (b"x" * KEPT_LOG_BYTES)])
        assert (await h.follow(large.run_id)).status is RunStatusCode.SUCCESS
        await h.wait_until(lambda: not h.runtime.open_runs)
        kept = h.runtime.watching.ended_lately
        assert len(kept) == 0
        for _ in range(KEPT_LOGS + 5):
            last = await h.submit(flow_id, [b"1"])
            await h.follow(last.run_id)
        await h.wait_until(lambda: not h.runtime.open_runs)
        assert len(kept) == KEPT_LOGS
        assert kept.find("default", last.run_id) is not None
        assert (await h.follow(large.run_id)).results[0].payload == b'"%b"' % (b"x" * KEPT_LOG_BYTES)
