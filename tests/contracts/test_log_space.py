"""Room in the write-ahead log's file: made in pauses, bounded, kept, and nothing to the database that is read from it."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest

from runtime_core.stores.sqlite import SqliteStore
from runtime_core.stores.sqlite.database import DATABASE_NAME
from runtime_core.stores.sqlite.log_space import RESERVED_BYTES, LogSpace

from .store_harness import Opened, RecordingHealth, create, new_run


async def open_store(path: Path) -> Opened:
    health = RecordingHealth()
    store = SqliteStore(path)
    return Opened(store, health, await store.open(health))


def reserved(space: LogSpace) -> int:
    """How often it was lengthened until it had enough."""
    slices = 0
    while space.wants_rest:
        space.lengthen()
        slices += 1
        assert slices < 100
    return slices


def test_a_log_is_lengthened_in_slices_up_to_a_bound_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "wal"
    path.write_bytes(b"frames")
    space = LogSpace(path)
    reserved(space)
    data = path.read_bytes()
    assert len(data) == RESERVED_BYTES
    assert data[:6] == b"frames" and not any(data[6:])


@pytest.mark.parametrize("content", [None, b"", bytes(RESERVED_BYTES)], ids=["no file", "empty", "long enough"])
def test_where_there_is_nothing_to_lengthen_nothing_is_done_and_nothing_asked_again(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "wal"
    if content is not None:
        path.write_bytes(content)
    space = LogSpace(path)
    assert reserved(space) == 1
    assert space.size_bytes() == len(content or b"")


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wal"
    path.write_bytes(b"frames")

    def full(fd: int, data: bytes, offset: int) -> int:
        os.write(fd, b"x")  # whatever came as far as the disk
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("runtime_core.stores.sqlite.log_space.os.pwrite", full)
    space = LogSpace(path)
    assert reserved(space) == 1
    assert space.size_bytes() == 6


async def test_a_store_at_rest_makes_room_and_what_is_written_into_it_survives(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    wal = tmp_path / f"{DATABASE_NAME}-wal"
    deadline_s = time.monotonic() + 10
    while wal.stat().st_size < RESERVED_BYTES:
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.01)
    for number in range(20):
        opened.append(key, 3 + number, b"%d" % number)
        await opened.health.settled(number + 1)
    assert wal.stat().st_size == RESERVED_BYTES, "rows are written where there was room"
    # A crash now: another process finds the rows behind which there are only zeros.
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (DATABASE_NAME, wal.name):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    found = await open_store(copy)
    rows = await found.store.read_rows(key, 2, 1 << 20)
    assert [row.data for row in rows] == [b"%d" % number for number in range(20)]
    await found.store.close()
    await opened.store.close()
