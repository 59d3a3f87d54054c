"""Nothing is seen that a power cut could take back: the disk is looked at in the moment in which a result or a request is."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from flowspan.protobuf.segments import ProtobufSegmentCodec
from flowspan.view.events import ItemCompleted, ItemsStarted
from runtime_core.calls import CallAnswer, ComponentCall
from runtime_core.stores.sqlite import SqliteStore
from runtime_core.stores.sqlite.database import DATABASE_NAME
from tests.contracts.disk import FaultyDisk, power_cut
from tests.contracts.store_harness import NS, RecordingHealth
from tests.engine.house import ONE_STEP, house
from tests.engine.test_waits import Nesting

ITEMS = 40
AT_ONCE = 4
SYNC_S = 0.005
"""Long enough for whoever does not wait for a sync to be seen to be early."""


class _Sync(random.Random):
    """Draws the worst: of what was not synchronised, nothing is left."""

    def choice(self, options):  # type: ignore[no-untyped-def]
        return min(options)


async def log_on_disk(disk: FaultyDisk, moment: int, run_id: str, directory: Path) -> tuple[int, dict[int, bytes]]:
    """After a power cut at `moment`: how many items had been claimed, and the results by item."""
    power_cut(disk.ops, moment, directory, _Sync())
    store = SqliteStore(directory)
    await store.open(RecordingHealth())
    claimed, results = 0, {}
    record = await store.find_run(NS, run_id)
    if record is not None:
        for row in await store.read_rows(record.run_key, 0, 1 << 30):
            for segment in ProtobufSegmentCodec().decode(row.data):
                for event in segment.events:
                    if isinstance(event, ItemsStarted):
                        claimed = max(claimed, event.first_item + event.count)
                    elif isinstance(event, ItemCompleted):
                        results[event.item_index] = event.payload
    await store.close()
    return claimed, results


async def test_a_result_is_synchronised_to_disk_before_a_watcher_sees_it_and_a_claim_before_its_request(tmp_path: Path) -> None:
    sent: list[tuple[int, int]] = []
    seen: list[tuple[int, dict[int, bytes]]] = []
    with FaultyDisk(is_recording=True, sync_s=SYNC_S) as disk:

        def behave(call: ComponentCall) -> CallAnswer:
            sent.append((len(disk.ops), call.item_index))
            return b'"%d"' % call.item_index

        async with house(behave, store=SqliteStore(tmp_path / "store")) as h:
            run = await h.submit(await h.flow(ONE_STEP), [b"0"] * ITEMS, max_concurrency=AT_ONCE)
            watch = await h.runtime.watch_run(run.run_id)
            while (batch := await watch.next_batch()) is not None:
                moment = len(disk.ops)
                segments = [segment for row in batch.rows for segment in h.runtime.codec.decode(row)]
                events = [event for segment in segments for event in segment.events if isinstance(event, ItemCompleted)]
                seen.append((moment, {event.item_index: event.payload for event in events}))
            await watch.aclose()
            store_commits = h.store.statistics().commits  # type: ignore[attr-defined]

    shown = Counter(item for _, results in seen for item in results)
    assert shown == Counter(range(ITEMS)) and Counter(item for _, item in sent) == Counter(range(ITEMS))
    syncs = sum(op.kind == "sync" and op.name == f"{DATABASE_NAME}-wal" for op in disk.ops)
    assert syncs >= store_commits, "FULL: every commit is synchronised by itself"
    for number, (moment, results) in enumerate(seen):
        _, durable = await log_on_disk(disk, moment, run.run_id, tmp_path / f"seen{number}")
        assert results.items() <= durable.items()
    for number, (moment, item_index) in enumerate(sent[::5]):
        claimed, durable = await log_on_disk(disk, moment, run.run_id, tmp_path / f"sent{number}")
        assert item_index < claimed
        assert claimed - len(durable) <= AT_ONCE, "what a crash repeats is bounded"


async def test_items_share_commits_and_a_run_of_one_item_makes_two(tmp_path: Path) -> None:
    """Shape, not time: what came with one read from a component server is one commit, and so is what it starts."""
    store = SqliteStore(tmp_path / "store")
    async with house(store=store) as h:
        flow_id = await h.flow(ONE_STEP)

        async def commits(items: int, at_once: int) -> int:
            before = store.statistics().commits
            run = await h.submit(flow_id, [b"1"] * items, max_concurrency=at_once)
            await h.follow(run.run_id)
            return store.statistics().commits - before

        assert [await commits(1, 1) for _ in range(5)] == [2] * 5
        assert await commits(160, 16) <= 160 / 16 + 1
        assert await commits(16, 1) <= 16 + 1


async def test_sub_runs_of_many_items_share_commits_and_none_is_looked_up_before_it_is_made(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store")
    asked: list[str] = []
    find_request, find_run = store.find_request, store.find_run
    store.find_request = lambda *key: asked.append("request") or find_request(*key)  # type: ignore[method-assign, func-returns-value]
    store.find_run = lambda *key: asked.append("run") or find_run(*key)  # type: ignore[method-assign, func-returns-value]
    nesting = Nesting()
    async with house(nesting.behave, store=store) as h:
        nesting.h, nesting.flow_id = h, await h.flow(ONE_STEP)
        before = store.statistics()
        run = await h.submit(nesting.flow_id, [b"1"] * 64, max_concurrency=64, request_id="outer")
        await h.follow(run.run_id)
        after = store.statistics()
        assert after.calls - before.calls == 65, "one call makes a run with its claims"
        assert after.commits - before.commits <= 64, "64 sub-runs side by side; one after the other they make 128"
        assert asked == []
