"""Rows too large for a page stand in files of their run: written once, read back whole, gone with their run."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import apsw
import pytest

from flowspan.errors import DataLossError, NotFoundError
from runtime_core.ports import InputChunk
from runtime_core.stores.sqlite.database import DATABASE_NAME
from runtime_core.stores.sqlite.row_files import LARGE_ROW_BYTES

from .store_harness import NS, create, new_run
from .test_sqlite_directory import open_store

LARGE = os.urandom(LARGE_ROW_BYTES + 1)


def row_files(path: Path) -> list[str]:
    return sorted(file.name for file in (path / "rows").iterdir())


def stored_bytes(path: Path, table: str) -> int:
    db = apsw.Connection(str(path / DATABASE_NAME))
    try:
        return int(db.execute(f"SELECT coalesce(sum(length(data)), 0) FROM {table}").get)
    finally:
        db.close()


async def test_large_rows_are_read_back_as_they_were_written_also_by_the_next_process(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    inputs = [LARGE, b"1", b"x" * LARGE_ROW_BYTES]
    key = await create(opened.store, new_run("a", chunks=[InputChunk(0, inputs)]))
    rows = [b"small", LARGE, b"x" * (2 * LARGE_ROW_BYTES), b"small again"]
    for position, data in enumerate(rows):
        opened.append(key, 3 + position, data)
    await opened.health.settled(len(rows))
    for _ in range(2):
        store = opened.store
        assert [row.data for row in await store.read_rows(key, 2, 1 << 30)] == rows
        assert [row.data for row in await store.read_rows_with(key, [4, 5])] == rows[1:3]
        for index, value in enumerate(inputs):
            chunk = await store.read_inputs(key, index)
            assert chunk.inputs[index - chunk.first_item] == value
        await store.close()
        opened = await open_store(tmp_path)
    assert stored_bytes(tmp_path, "log_row") < 1000
    assert row_files(tmp_path) == ["inputs-1", f"log-{key}"]
    await opened.store.close()


async def test_a_large_row_is_written_once(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    for number in range(8):
        opened.append(key, 3 + number, LARGE)
    await opened.health.settled(8)
    assert (tmp_path / "rows" / f"log-{key}").stat().st_size == 8 * len(LARGE)
    await opened.store.close()
    assert (tmp_path / DATABASE_NAME).stat().st_size < LARGE_ROW_BYTES + 200_000


async def test_rows_of_many_small_items_make_no_file(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a", total=5000, chunks=[InputChunk(0, [b"x" * 100] * 5000)]))
    opened.append(key, 3, b"x" * LARGE_ROW_BYTES)
    await opened.health.settled(1)
    assert row_files(tmp_path) == []
    await opened.store.close()


async def test_files_go_with_their_runs_and_shared_inputs_with_the_last(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    first = await create(opened.store, new_run("a", chunks=[InputChunk(0, [LARGE] * 3)]))
    second = await create(opened.store, new_run("b", chunks=[], source_run_id="a"))
    opened.append(first, 3, LARGE)
    await opened.health.settled(1)
    await opened.store.delete_runs(NS, [first])
    async with asyncio.timeout(5):
        while row_files(tmp_path) != ["inputs-1"]:
            await asyncio.sleep(0.01)
    assert await opened.store.read_rows(first, 0, 1 << 30) == []
    assert (await opened.store.read_inputs(second, 2)).inputs == [LARGE]
    await opened.store.delete_runs(NS, [second])
    async with asyncio.timeout(5):
        while row_files(tmp_path):
            await asyncio.sleep(0.01)
    with pytest.raises(NotFoundError):
        await opened.store.read_inputs(second, 2)
    await opened.store.close()


@pytest.mark.parametrize("is_cut", [True, False])
async def test_a_file_that_lacks_rows_is_data_loss(tmp_path: Path, is_cut: bool) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a", chunks=[InputChunk(0, [LARGE])]))
    opened.append(key, 3, LARGE)
    await opened.health.settled(1)
    for file in (tmp_path / "rows").iterdir():
        if is_cut:
            os.truncate(file, 1000)
        else:
            file.unlink()
    with pytest.raises(DataLossError):
        await opened.store.read_rows(key, 0, 1 << 30)
    with pytest.raises(DataLossError):
        await opened.store.read_rows_with(key, [3])
    with pytest.raises(DataLossError):
        await opened.store.read_inputs(key, 0)
    await opened.store.close()


async def test_large_rows_that_find_no_room_are_written_when_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    write = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if len(data) > LARGE_ROW_BYTES // 2:
            return write(fd, data[: LARGE_ROW_BYTES // 2], offset)
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "pwrite", full)
    opened.append(key, 3, LARGE)
    while not opened.health.full:
        await opened.health.news()
    monkeypatch.setattr(os, "pwrite", write)
    opened.append(key, 4, LARGE[::-1])
    await opened.health.settled(2)
    while len(opened.health.full) < 2:
        await opened.health.news()
    assert opened.health.full == [True, False]
    assert [row.data for row in await opened.store.read_rows(key, 2, 1 << 30)] == [LARGE, LARGE[::-1]]
    await opened.store.close()


async def test_a_large_row_that_cannot_be_synchronised_is_never_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))

    def broken(_fd: int) -> None:
        raise OSError(errno.EIO, "the disk lies")

    monkeypatch.setattr(os, "fdatasync", broken)
    opened.append(key, 3, LARGE)
    while not opened.health.failures:
        await opened.health.news()
    assert opened.health.committed == []
    await opened.store.close()


async def test_a_large_row_is_synchronised_before_its_transaction_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    seen: list[tuple[str, int]] = []
    synchronise = os.fdatasync

    def record(fd: int) -> None:
        seen.append((Path(os.readlink(f"/proc/self/fd/{fd}")).name, len(opened.health.committed)))
        synchronise(fd)

    monkeypatch.setattr(os, "fdatasync", record)
    opened.append(key, 3, LARGE)
    await opened.health.settled(1)
    assert (f"log-{key}", 0) in seen
    await opened.store.close()


async def test_the_large_rows_of_a_commit_are_synchronised_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    synchronised: list[str] = []
    synchronise = os.fdatasync

    def record(fd: int) -> None:
        synchronised.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name)
        synchronise(fd)

    monkeypatch.setattr(os, "fdatasync", record)
    for number in range(12):
        opened.append(key, 3 + number, LARGE)
    await opened.health.settled(12)
    assert 1 <= synchronised.count(f"log-{key}") <= len(opened.health.commits)
    assert len(opened.health.commits) < 12
    await opened.store.close()
