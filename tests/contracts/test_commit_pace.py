"""Who commits: the loop while little is going on, else the thread; the order of writes is the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime_core.stores.sqlite import SqliteStore, commit_pace, log_space
from runtime_core.stores.sqlite.commit_pace import LATELY_S, MAX_LOOP_BYTES, PAUSE_S, SLOW_S, CommitPace
from runtime_core.stores.sqlite.writer import Writer

from .store_harness import Opened, RecordingHealth, create, new_run


@pytest.fixture
def by_thread(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many writes the thread has taken, commit by commit. No disk is slow here, and the log's file is not seen to."""
    monkeypatch.setattr(log_space, "RESERVED_BYTES", 0)
    monkeypatch.setattr(commit_pace, "SLOW_S", 60.0)
    taken: list[int] = []
    write = Writer._write

    def counted(self: Writer, db: object, writes: list[object]) -> None:
        taken.append(len(writes))
        write(self, db, writes)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "_write", counted)
    return taken


async def open_store(path: Path) -> Opened:
    store = SqliteStore(path)
    health = RecordingHealth()
    return Opened(store, health, await store.open(health))


async def test_what_one_run_writes_is_committed_without_the_thread(tmp_path: Path, by_thread: list[int]) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    by_thread.clear()
    alone = seq = 0
    while alone < 5:  # the thread may still be about what the opening has left to it
        assert seq < 1_000
        opened.append(key, 3 + seq)
        seq += 1
        await opened.health.settled(seq)
        alone = 0 if by_thread else alone + 1
        by_thread.clear()
    assert [len(commit) for commit in opened.health.commits] == [1] * seq
    await opened.store.close()


async def test_the_order_of_writes_holds_while_loop_and_thread_take_turns(tmp_path: Path, by_thread: list[int]) -> None:
    opened = await open_store(tmp_path)
    by_thread.clear()
    key = await create(opened.store, new_run("a"))
    made = []
    for seq in range(3, 60):
        large = seq % 7 == 0
        made.append(opened.append(key, seq, b"x" * (MAX_LOOP_BYTES + 1)) if large else opened.append(key, seq))
        if seq % 3 == 0:
            await asyncio.sleep(0)
    await opened.health.settled(len(made))
    assert opened.health.committed == made
    assert by_thread
    await opened.store.close()


async def test_what_several_runs_write_is_left_to_the_thread(tmp_path: Path, by_thread: list[int]) -> None:
    opened = await open_store(tmp_path)
    keys = [await create(opened.store, new_run(name)) for name in "ab"]
    by_thread.clear()
    opened.append(keys[0], 3)
    await opened.health.settled(1)
    assert by_thread == [1]
    await opened.store.close()


async def test_closing_commits_what_came_in_the_same_turn(tmp_path: Path) -> None:
    opened = await open_store(tmp_path)
    key = await create(opened.store, new_run("a"))
    made = opened.append(key, 3)
    await opened.store.close()
    assert opened.health.committed == [made]


def test_after_slow_commits_the_loop_makes_none_for_a_while() -> None:
    pace = CommitPace()
    pace.took(10 * SLOW_S, 0.0)
    assert pace.allows(1, 0, 0.0)  # a hiccup
    for _ in range(5):
        pace.took(2 * SLOW_S, 1.0)
    assert not pace.allows(1, 0, 1.0 + PAUSE_S / 2)
    assert pace.allows(1, 0, 1.0 + PAUSE_S)


def test_much_at_once_is_not_for_the_loop() -> None:
    pace = CommitPace()
    assert pace.allows(MAX_LOOP_BYTES, 1, 0.0)
    assert not pace.allows(MAX_LOOP_BYTES + 1, 1, 0.0)


def test_runs_count_until_they_end_or_fall_silent() -> None:
    pace = CommitPace()
    assert not pace.allows(1, 2, 0.0)
    pace.wrote(1, 0.0)
    assert pace.allows(1, 0, 0.1)
    assert not pace.allows(1, 1, 0.1)
    pace.wrote(2, 0.1)
    assert not pace.allows(1, 0, 0.1)
    pace.ended(1)
    assert pace.allows(1, 0, 0.1)
    pace.wrote(1, 0.2)
    assert not pace.allows(1, 0, 0.3)
    assert pace.allows(1, 0, LATELY_S + 0.1)
