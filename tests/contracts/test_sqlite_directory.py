"""The SQLite store's directory: who owns it, which version it has, what a killed process or a flipped bit leaves."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from flowspan.errors import DataLossError, PreconditionError, StorageError
from flowspan.view.events import RunStatusCode
from runtime_core.ports import InputChunk, RunFilter
from runtime_core.stores.page_token import encode_page_token
from runtime_core.stores.sqlite import SqliteStore
from runtime_core.stores.sqlite.database import DATABASE_NAME
from runtime_core.stores.sqlite.run_queries import page_query
from runtime_core.stores.sqlite.schema import MIGRATIONS, migrate

from .appending_child import row
from .store_harness import NS, Opened, RecordingHealth, blob_id_of, create, new_run

GOLDEN = Path(__file__).parent / "golden"
TESTS = Path(__file__).parent.parent


async def open_store(path: Path) -> Opened:
    store = SqliteStore(path)
    health = RecordingHealth()
    return Opened(store, health, await store.open(health))


def child_environment() -> dict[str, str]:
    """The environment of a child that imports what this process imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent), *sys.path))}


async def open_and_close(path: Path) -> None:
    opened = await open_store(path)
    await opened.store.close()


def blob_files(path: Path) -> list[Path]:
    return [file for file in (path / "blobs").rglob("*") if file.is_file()]


# --- ownership ---


async def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    first = await open_store(tmp_path)
    with pytest.raises(PreconditionError) as caught:
        await open_store(tmp_path)
    assert str(os.getpid()) in caught.value.message
    assert socket.gethostname() in caught.value.message
    await create(first.store, new_run("a"))
    await first.store.close()
    second = await open_store(tmp_path)
    assert second.epoch == first.epoch + 1
    await second.store.close()


FORKING = """
import os, sys
from pathlib import Path
from runtime_core.stores.sqlite.ownership import DirectoryLock
lock = DirectoryLock(Path(sys.argv[1]))
lock.acquire()
if os.fork() == 0:
    os.write(1, b"child\\n")
    os.read(0, 1)
os._exit(0)
"""


def test_a_forked_child_does_not_hold_the_directory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORKING, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment()) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert parent.stdout.readline() == b"child\n"
        parent.wait(5)
        asyncio.run(open_and_close(tmp_path))
        parent.stdin.close()  # the child ends, and with it the pipe
        assert parent.stdout.read() == b""


async def test_files_are_private(tmp_path: Path) -> None:
    opened = await open_store(tmp_path / "new")
    data = b"x" * 300_000
    await opened.store.put_blob(NS, blob_id_of(data), "binary", data)
    for file in (tmp_path / "new").rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600), file
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    await opened.store.close()


# --- versions and damage ---


async def test_a_newer_schema_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    await opened.store.close()
    db = apsw.Connection(str(tmp_path / DATABASE_NAME))
    db.execute("INSERT INTO schema_version VALUES (?)", (len(MIGRATIONS) + 1,))
    db.close()
    before = (tmp_path / DATABASE_NAME).read_bytes()
    with pytest.raises(PreconditionError) as caught:
        await open_store(tmp_path)
    assert caught.value.details["schemaVersion"] == len(MIGRATIONS) + 1
    assert (tmp_path / DATABASE_NAME).read_bytes() == before
    with pytest.raises(PreconditionError, match="schema version"):
        await open_store(tmp_path)  # and the lock was let go


async def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / DATABASE_NAME))
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    with pytest.raises(PreconditionError, match="not Flowspan's"):
        await open_store(tmp_path)


@pytest.mark.parametrize("damage", ["header", "truncated", "middle"])
async def test_a_damaged_database_is_refused(tmp_path: Path, damage: str) -> None:
    opened = await open_store(tmp_path)
    for i in range(50):
        await create(opened.store, new_run(f"r{i}"))
    await opened.store.close()
    path = tmp_path / DATABASE_NAME
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:100] = b"?" * 100
    elif damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[4096 : len(content) - 4096] = bytes(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StorageError) as caught:
        await open_store(tmp_path)
    assert str(path) in caught.value.message


async def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        await open_store(tmp_path / "file" / "store")


async def test_a_lost_wal_index_is_made_again(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    await create(opened.store, new_run("a"))
    image = tmp_path / "image"
    image.mkdir()
    for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal"):
        (image / name).write_bytes((tmp_path / name).read_bytes())
    await opened.store.close()
    again = await open_store(image)
    assert await again.store.find_run(NS, "a") is not None
    await again.store.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
async def test_a_database_of_every_released_version_is_opened(tmp_path: Path, version: int) -> None:
    """`golden/v<n>.sql` is what release `n` left: a released migration never changes, and every later one reads it."""
    db = apsw.Connection(str(tmp_path / DATABASE_NAME))
    db.execute((GOLDEN / f"v{version}.sql").read_text())
    db.close()
    opened = await open_store(tmp_path)
    (record,) = await opened.store.open_runs()
    assert (record.run_id, record.next_seq, record.settings) == ("golden", 3, b'{"golden":true}')
    assert [row.data for row in await opened.store.read_rows(record.run_key, 0, 1000)] == [b"first"]
    assert (await opened.store.read_inputs(record.run_key, 0)).inputs == [b"10", b"11", b"12"]
    blob = await opened.store.get_blob(NS, blob_id_of(b"{}"))
    assert blob is not None
    opened.append(record.run_key, 3, epoch=record.epoch)
    await opened.health.settled(1)
    assert opened.health.fenced == []
    await opened.store.close()
    migrated = _schema(tmp_path / DATABASE_NAME)
    fresh = await open_store(tmp_path / "fresh")
    await fresh.store.close()
    assert migrated == _schema(tmp_path / "fresh" / DATABASE_NAME)


def _schema(path: Path) -> list[tuple[object, ...]]:
    db = apsw.Connection(str(path))
    try:
        return db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
    finally:
        db.close()


async def test_a_terminal_run_cannot_be_changed_even_by_hand(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    db = apsw.Connection(str(tmp_path / DATABASE_NAME))
    db.execute("UPDATE run SET status = 3, completed_at_us = 1, counts = '{}' WHERE run_key = ?", (key,))
    db.execute("UPDATE log_head SET is_open = 0")
    for statement in ("UPDATE run SET status = 2", "UPDATE log_head SET next_seq = 99"):
        with pytest.raises(apsw.ConstraintError):
            db.execute(statement)
    db.close()
    await opened.store.close()


# --- space and plans ---


@pytest.mark.parametrize(
    "wanted",
    [
        RunFilter(NS),
        RunFilter(NS, statuses=(RunStatusCode.RUNNING,)),
        RunFilter(NS, statuses=(RunStatusCode.SUCCESS, RunStatusCode.FAILED)),
        RunFilter(NS, flow_id="f", statuses=(RunStatusCode.SUCCESS, RunStatusCode.FAILED)),
        RunFilter(NS, flow_label="l"),
        RunFilter(NS, parent_run_id="p"),
        RunFilter(NS, root_run_id="r", statuses=(RunStatusCode.SUCCESS,)),
        RunFilter(NS, metadata={"a": "1", "b": "2"}),
        RunFilter(NS, created_from_us=1, created_before_us=2),
    ],
)
@pytest.mark.parametrize("after", [None, encode_page_token(7)])
def test_a_page_of_runs_is_read_in_the_order_of_an_index_never_sorted(wanted: RunFilter, after: str | None) -> None:
    """With millions of runs a sort would read them all for every page."""
    db = apsw.Connection(":memory:")
    migrate(db, 0)
    sql, bindings = page_query(wanted, 100, after)
    plan = [step[3] for step in db.execute(f"EXPLAIN QUERY PLAN {sql}", bindings)]
    assert "SEARCH run USING INDEX" in plan[0]
    assert not [step for step in plan if "ORDER BY" in step or step.startswith("SCAN")]


async def test_deleted_runs_give_their_rows_back(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    keys = []
    for name in "ab":
        key = await create(opened.store, new_run(name, total=5000, chunks=[InputChunk(0, [b"x" * 100] * 5000)]))
        keys.append(key)
        for number in range(300):
            opened.append(key, 3 + number, b"x" * 50_000)
        await opened.health.settled(300 * len(keys))
    await opened.store.delete_runs(NS, keys[:1])
    await opened.store.close()
    again = await open_store(tmp_path)  # what the closing left is collected now
    await again.store.discard_stage("none")
    async with asyncio.timeout(5):
        while _count(tmp_path, "garbage"):
            await asyncio.sleep(0.01)
    assert _count(tmp_path, f"log_row WHERE run_key = {keys[0]}") == 0
    assert _count(tmp_path, "input_set") == 1
    assert len(await again.store.read_rows(keys[1], 0, 1 << 30)) > 1
    await again.store.close()


async def test_staged_inputs_of_a_former_process_are_swept(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    await opened.store.stage_inputs("s", [InputChunk(0, [b"x" * 1000] * 1000)])
    await opened.store.close()
    again = await open_store(tmp_path)
    async with asyncio.timeout(5):
        while _count(tmp_path, "garbage"):
            await asyncio.sleep(0.01)
    assert (_count(tmp_path, "input_chunk"), _count(tmp_path, "input_set")) == (0, 0)
    await again.store.close()


def _count(path: Path, table: str) -> int:
    db = apsw.Connection(str(path / DATABASE_NAME))
    try:
        return int(db.execute(f"SELECT count(*) FROM {table}").get)
    finally:
        db.close()


# --- blobs ---


@pytest.mark.parametrize("blob_type", ["binary", "data"])
async def test_a_flipped_bit_in_a_blob_file_is_data_loss(tmp_path: Path, blob_type: str) -> None:
    opened = await open_store(tmp_path)
    data = b'"' + b"x" * 300_000 + b'"'
    blob_id = blob_id_of(data)
    await opened.store.put_blob(NS, blob_id, blob_type, data)
    assert await opened.store.get_blob(NS, blob_id) is not None
    (file,) = blob_files(tmp_path)
    content = bytearray(file.read_bytes())
    content[150_000] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataLossError):
        await opened.store.get_blob(NS, blob_id)
    with pytest.raises(DataLossError):
        await opened.store.list_blobs(NS, blob_type, limit=1, after=None)
    file.write_bytes(content[:1000])
    with pytest.raises(DataLossError):
        await opened.store.get_blob(NS, blob_id)
    file.unlink()
    with pytest.raises(DataLossError, match="lost its file"):
        await opened.store.get_blob(NS, blob_id)
    await opened.store.close()


async def test_a_flipped_bit_in_an_inline_blob_is_data_loss(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    blob_id = blob_id_of(b"{}")
    await opened.store.put_blob(NS, blob_id, "data", b"{}")
    db = apsw.Connection(str(tmp_path / DATABASE_NAME))
    db.execute("UPDATE blob_content SET data = x'7b7c'")
    db.close()
    with pytest.raises(DataLossError):
        await opened.store.get_blob(NS, blob_id)
    await opened.store.close()


async def test_blob_files_come_and_go_with_their_blobs(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    data = b"x" * 300_000
    blob_id = blob_id_of(data)
    await asyncio.gather(*(opened.store.put_blob(namespace, blob_id, "binary", data) for namespace in ("a", "b", "a")))
    assert len(blob_files(tmp_path)) == 1
    with pytest.raises(DataLossError):
        await opened.store.put_blob("a", blob_id_of(b""), "binary", data + b"y")
    assert len(blob_files(tmp_path)) == 1
    await opened.store.delete_blob("a", blob_id)
    assert len(blob_files(tmp_path)) == 1
    await opened.store.delete_blob("b", blob_id)
    assert blob_files(tmp_path) == []
    await opened.store.close()


async def test_an_unfinished_blob_of_a_former_process_is_swept(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    writer = opened.store.begin_blob()
    await writer.write(b"x" * 1000)
    assert len(blob_files(tmp_path)) == 1
    await opened.store.close()
    again = await open_store(tmp_path)
    assert blob_files(tmp_path) == []
    await again.store.close()


async def test_a_cancelled_blob_leaves_no_file_once_it_is_aborted(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    for steps in range(6):
        task = asyncio.ensure_future(opened.store.put_blob(NS, blob_id_of(b"x" * 300_000), "binary", b"x" * 300_000))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await create(opened.store, new_run(f"r{steps}"))
        is_there = await opened.store.delete_blob(NS, blob_id_of(b"x" * 300_000))
        assert blob_files(tmp_path) == [], f"cancelled after {steps} steps; the blob was {'there' if is_there else 'not there'}"
    await opened.store.close()


async def test_a_blob_file_is_synchronised_before_its_row_and_its_name_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        real_fsync(fd)

    def rename(source: Path, target: Path) -> None:
        done.append("rename")
        real_rename(source, target)

    opened = await open_store(tmp_path)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    data = b"x" * 300_000
    await opened.store.put_blob(NS, blob_id_of(data), "binary", data)
    assert done[0] == "file"
    assert done[-2:] == ["rename", "directory"]
    await opened.store.close()


# --- kill -9 ---


@pytest.mark.parametrize("seed", range(20))
async def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "contracts.appending_child", str(tmp_path), stdout=asyncio.subprocess.PIPE, cwd=TESTS,
        env=child_environment(),
    )  # fmt: skip
    assert child.stdout is not None
    wanted_lines = rng.randrange(1, 600)
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            while len(lines) < wanted_lines:
                line = await child.stdout.readline()
                assert line, "the child ended by itself"
                lines.append(line)
    finally:
        child.send_signal(signal.SIGKILL)
        rest = await child.stdout.read()
        await child.wait()
    lines += rest.splitlines(keepends=True)
    words = [line.split() for line in lines if line.endswith(b"\n")]
    acknowledged: dict[int, int] = {}
    for word in words:
        if word[0] == b"ack":
            acknowledged[int(word[1])] = int(word[2])

    opened = await open_store(tmp_path)
    for record in await opened.store.open_runs():
        assert record.next_seq > acknowledged.get(record.run_key, 0), f"seed {seed}: acknowledged rows are lost"
        rows = await opened.store.read_rows(record.run_key, 0, 1 << 30)
        content = b"".join(stored.data for stored in rows)
        assert content == b"first" + b"".join(row(record.run_key, seq) for seq in range(3, record.next_seq)), f"seed {seed}"
    for word in words:
        if word[0] == b"blob":
            assert await opened.store.get_blob(NS, word[1].decode()) is not None, f"seed {seed}"
        elif word[0] == b"gone":
            assert await opened.store.read_rows(int(word[1]), 0, 1000) == [], f"seed {seed}"
    await opened.store.close()
    db = apsw.Connection(str(tmp_path / DATABASE_NAME))
    assert db.execute("PRAGMA integrity_check").get == "ok"
    db.close()
