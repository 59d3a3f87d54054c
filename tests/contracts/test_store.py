"""The store contract for each store, and its properties over generated histories."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime_core.ports import Append, RunFilter, Store
from runtime_core.stores.memory import MemoryStore
from runtime_core.stores.sqlite import SqliteStore

from .blob_contract import BlobContract
from .store_contract import StoreContract
from .store_harness import NS, Opened, RecordingHealth, create, new_run, run_end

STORES: Final[dict[str, Callable[[Path], Store]]] = {
    "memory": lambda _path: MemoryStore(),
    "sqlite": SqliteStore,
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path / "store")


@pytest.fixture
async def opened(store: Store) -> AsyncIterator[Opened]:
    health = RecordingHealth()
    epoch = await store.open(health)
    try:
        yield Opened(store, health, epoch)
    finally:
        await store.close()
    assert health.failures == []


class TestRunsAndLog(StoreContract):
    """Runs, logs, inputs, request keys, life."""


class TestBlobs(BlobContract):
    """Blobs."""


LABELS = st.sampled_from([None, "x", "y"])


def test_pages_of_any_size_join_to_the_whole_list(store: Store) -> None:
    """Whatever the filter and the page size: no run twice, none left out, newest first."""
    with asyncio.Runner() as runner:
        runner.run(store.open(RecordingHealth()))
        for i in range(30):
            run = new_run(
                f"r{i}",
                created_at_us=i * 7 % 30,
                flow_label=[None, "x", "y"][i % 3],
                metadata={"m": str(i % 2)},
                end=run_end() if i % 5 == 0 else None,
            )
            runner.run(create(store, run))

        @settings(max_examples=60, deadline=None)
        @given(
            size=st.integers(1, 12), label=LABELS, name=st.sampled_from([None, "0", "1"]), start=st.none() | st.integers(0, 30)
        )
        def check(size: int, label: str | None, name: str | None, start: int | None) -> None:
            wanted = RunFilter(NS, flow_label=label, metadata={} if name is None else {"m": name}, created_from_us=start)
            whole, token = runner.run(store.list_runs(wanted, limit=100, after=None))
            assert token is None
            joined = []
            while True:
                page, token = runner.run(store.list_runs(wanted, limit=size, after=token))
                joined += page
                if token is None:
                    break
                assert len(page) == size
            assert joined == whole
            assert [
                f"r{i}"
                for i in reversed(range(30))
                if label in (None, [None, "x", "y"][i % 3]) and name in (None, str(i % 2)) and i * 7 % 30 >= (start or 0)
            ] == [record.run_id for record in whole]

        check()
        runner.run(store.close())


def test_any_cursor_and_page_size_reads_the_log_without_gap_or_repetition(store: Store) -> None:
    """The log is the concatenation of the appends, however they were batched and however it is read."""
    with asyncio.Runner() as runner:
        health = RecordingHealth()
        epoch = runner.run(store.open(health))
        number = 0

        @settings(max_examples=25, deadline=None)
        @given(
            batches=st.lists(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 40_000)), min_size=1, max_size=6), max_size=6),
            max_bytes=st.integers(1, 200_000),
            data=st.data(),
        )
        def check(batches: list[list[tuple[int, int]]], max_bytes: int, data: st.DataObject) -> None:
            nonlocal number
            number += 1
            key = runner.run(create(store, new_run(f"r{number}")))
            seq = 3
            appended = []
            before = len(health.committed)
            for batch in batches:
                made = []
                for count, size in batch:
                    made.append(Append(key, epoch, seq, seq + count - 1, seq.to_bytes(4, "big") * size))
                    seq += count
                store.append(made)
                appended += made
            runner.run(health.settled(before + len(appended)))
            cursor = data.draw(st.integers(0, seq - 1))
            rows = []
            position = cursor
            while page := runner.run(store.read_rows(key, position, max_bytes)):
                assert len(page) == 1 or sum(len(row.data) for row in page) <= max_bytes
                rows += page
                position = page[-1].last_seq
            assert position == seq - 1
            assert all(earlier.last_seq + 1 == later.first_seq for earlier, later in pairwise(rows))
            whole = b"first" + b"".join(append.row for append in appended)
            assert whole.endswith(b"".join(row.data for row in rows))
            assert not rows or rows[0].first_seq <= cursor + 1 <= rows[0].last_seq

        check()
        runner.run(store.close())
