"""The SQLite store on a disk that fills up, fails, or loses power."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import apsw
import pytest

from flowspan.errors import OverloadedError, Reason, StorageError
from runtime_core.ports import Append
from runtime_core.stores.sqlite import SqliteStore, connection, writer
from runtime_core.stores.sqlite.database import DATABASE_NAME

from .disk import FaultyDisk, power_cut
from .store_harness import NS, Opened, RecordingHealth, blob_id_of, create, new_run


async def open_store(path: Path) -> Opened:
    store = SqliteStore(path)
    health = RecordingHealth()
    return Opened(store, health, await store.open(health))


async def test_on_a_full_disk_calls_are_refused_and_rows_are_kept_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.02)
    with FaultyDisk() as disk:
        opened = await open_store(tmp_path)
        key = await create(opened.store, new_run("a"))
        disk.write_error = apsw.FullError
        made = [opened.append(key, seq) for seq in range(3, 6)]
        while opened.health.full != [True]:
            await opened.health.news()
        with pytest.raises(StorageError) as caught:
            await opened.store.create_run(new_run("b"))
        assert (caught.value.reason, caught.value.details["outcome"]) == (Reason.STORAGE_FULL, "not_applied")
        with pytest.raises(StorageError):
            await opened.store.put_blob(NS, blob_id_of(b"x"), "binary", b"x")
        made += [opened.append(key, seq) for seq in range(6, 9)]
        assert opened.health.commits == []
        assert await opened.store.find_run(NS, "b") is None
        disk.write_error = None
        await opened.health.settled(len(made))
        while opened.health.full != [True, False]:
            await opened.health.news()
        assert (opened.health.committed, opened.health.fenced, opened.health.failures) == (made, [], [])
        await create(opened.store, new_run("b"))
        await opened.store.close()


async def test_a_submit_that_finds_no_room_leaves_the_rows_beside_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database limited in pages: the large submit does not fit, the small rows of the same commit do."""
    original = connection._open

    def limited(path: Path, flags: int) -> apsw.Connection:
        db = original(path, flags)
        db.execute("PRAGMA max_page_count = 300")
        return db

    monkeypatch.setattr(connection, "_open", limited)
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    submit = asyncio.ensure_future(opened.store.create_run(new_run("b", settings=b"x" * 2_000_000)))
    await asyncio.sleep(0)
    made = opened.append(key, 3)
    await opened.health.settled(1)
    with pytest.raises(StorageError) as caught:
        await submit
    assert caught.value.reason is Reason.STORAGE_FULL
    assert (opened.health.committed, opened.health.full) == ([made], [])
    await create(opened.store, new_run("c"))
    await opened.store.close()


async def test_a_commit_that_fails_with_its_transaction_left_open_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite ends a transaction by itself when the disk is full, but not when it is locked out in the middle."""
    monkeypatch.setattr(writer, "RETRY_S", 0.02)
    with FaultyDisk() as disk:
        opened = await open_store(tmp_path)
        key = await create(opened.store, new_run("a"))
        disk.write_error = apsw.BusyError
        made = opened.append(key, 3)
        with pytest.raises(OverloadedError):
            await opened.store.create_run(new_run("b"))
        disk.write_error = None
        await opened.health.settled(1)
        assert (opened.health.committed, opened.health.failures) == ([made], [])
        await create(opened.store, new_run("b"))
        await opened.store.close()


async def test_rows_that_never_find_room_are_not_acknowledged_by_closing(tmp_path: Path) -> None:
    with FaultyDisk() as disk:
        opened = await open_store(tmp_path)
        key = await create(opened.store, new_run("a"))
        disk.write_error = apsw.FullError
        opened.append(key, 3)
        while opened.health.full != [True]:
            await opened.health.news()
        await opened.store.close()
        assert opened.health.commits == []
        disk.write_error = None
    again = await open_store(tmp_path)
    (record,) = await again.store.open_runs()
    assert record.next_seq == 3
    await again.store.close()


@pytest.mark.parametrize("fault", ["write_error", "sync_error"])
async def test_after_a_disk_error_nothing_is_acknowledged_any_more(tmp_path: Path, fault: str) -> None:
    with FaultyDisk() as disk:
        opened = await open_store(tmp_path)
        key = await create(opened.store, new_run("a"))
        setattr(disk, fault, apsw.IOError)
        opened.append(key, 3)
        submit = asyncio.ensure_future(opened.store.create_run(new_run("b")))
        while not opened.health.failures:
            await opened.health.news()
        with pytest.raises(StorageError) as caught:
            await submit
        assert (caught.value.reason, caught.value.details["outcome"]) == (Reason.STORAGE_FAILED, "unknown")
        setattr(disk, fault, None)
        with pytest.raises(StorageError):
            await opened.store.create_run(new_run("c"))
        with pytest.raises(StorageError):
            opened.append(key, 4)
        assert (opened.health.commits, len(opened.health.failures)) == ([], 1)
        await opened.store.close()
    again = await open_store(tmp_path)
    assert await again.store.find_run(NS, "a") is not None
    await again.store.close()


async def test_a_foreign_lock_refuses_calls_and_keeps_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 20)
    monkeypatch.setattr(writer, "RETRY_S", 0.02)
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    foreign = apsw.Connection(str(tmp_path / DATABASE_NAME))
    foreign.execute("BEGIN IMMEDIATE")
    made = opened.append(key, 3)
    with pytest.raises(OverloadedError):
        await opened.store.create_run(new_run("b"))
    assert len(await opened.store.read_rows(key, 0, 1000)) == 1
    foreign.execute("ROLLBACK")
    foreign.close()
    await opened.health.settled(1)
    assert opened.health.committed == [made]
    await opened.store.close()


async def test_the_write_ahead_log_stays_bounded_beside_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits are made small so that the figures of a long day pass in a second."""
    monkeypatch.setattr("runtime_core.stores.sqlite.checkpoints.FORCED_BYTES", 1 << 20)
    monkeypatch.setattr("runtime_core.stores.sqlite.checkpoints.BLOCKING_BYTES", 2 << 20)
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    is_over = asyncio.Event()

    async def read_on() -> None:
        position = 0
        while not is_over.is_set():
            rows = await opened.store.read_rows(key, position, 1 << 20)
            position = rows[-1].last_seq if rows else 0

    readers = [asyncio.ensure_future(read_on()) for _ in range(2)]
    largest = 0
    wal = tmp_path / f"{DATABASE_NAME}-wal"
    for number in range(400):
        opened.append(key, 3 + number, b"x" * 60_000)
        await opened.health.settled(number + 1)
        largest = max(largest, wal.stat().st_size)
    is_over.set()
    await asyncio.gather(*readers)
    await opened.store.close()
    assert largest < 8 * 1024 * 1024, "24 MiB were written; the limits are 1 and 2 MiB"


async def test_an_idle_store_carries_its_log_over_and_gives_the_space_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime_core.stores.sqlite.checkpoints.TRUNCATE_BYTES", 1024 * 1024)
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    opened.store.append([Append(key, opened.epoch, 3 + i, 3 + i, b"x" * 60_000) for i in range(100)])
    await opened.health.settled(100)
    wal = tmp_path / f"{DATABASE_NAME}-wal"
    deadline_s = time.monotonic() + 5
    while wal.stat().st_size > 0:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)
    await opened.store.close()


async def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of the disk as a cut at any moment may leave it: all acknowledged rows are there, and the log has no gap."""
    monkeypatch.setattr("runtime_core.stores.sqlite.checkpoints.FORCED_BYTES", 1 << 18)
    with FaultyDisk(is_recording=True) as disk:
        opened = await open_store(tmp_path / "original")
        key = await create(opened.store, new_run("a"))
        disk.acknowledge(2)
        for number in range(60):
            opened.append(key, 3 + number, b"%d;" % number * random.Random(number).randrange(1, 3000))
            await opened.health.settled(number + 1)
            disk.acknowledge(3 + number)
        await opened.store.close()
    first_ack = next(position for position, op in enumerate(disk.ops) if op.kind == "ack")
    for seed in range(60):
        rng = random.Random(seed)
        cut = rng.randrange(first_ack, len(disk.ops) + 1)
        image = tmp_path / f"image-{seed}"
        acknowledged = power_cut(disk.ops, cut, image, rng)
        revived = await open_store(image)
        (record,) = await revived.store.open_runs()
        rows = await revived.store.read_rows(record.run_key, 0, 1 << 30)
        await revived.store.close()
        assert record.next_seq > acknowledged, f"seed {seed}, cut at {cut}"
        assert [row.first_seq for row in rows] == [1] + [row.last_seq + 1 for row in rows[:-1]], f"seed {seed}, cut at {cut}"
        assert rows[-1].last_seq == record.next_seq - 1, f"seed {seed}, cut at {cut}"
