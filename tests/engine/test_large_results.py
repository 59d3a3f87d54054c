"""Large results: a watcher at the log's end is served from memory, and no run that has ended keeps them there."""

from __future__ import annotations

import pytest

from flowspan.view.events import RunStatusCode
from runtime_core.engine.open_run import OpenRun
from runtime_core.limits import TAIL_BYTES, TAIL_LARGE_BYTES
from runtime_core.ports import LogRow
from tests.engine.house import ONE_STEP, house

MB = 1_000_000


async def test_a_watcher_at_the_end_reads_no_large_result_from_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as h:
        read: list[LogRow] = []
        read_rows = h.store.read_rows

        async def record(run_key: int, after_seq: int, max_bytes: int) -> list[LogRow]:
            rows = await read_rows(run_key, after_seq, max_bytes)
            read.extend(rows)
            return rows

        monkeypatch.setattr(h.store, "read_rows", record)
        run = await h.submit(await h.flow(ONE_STEP), [b"1" * MB] * 40, max_concurrency=4)
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.SUCCESS
        # What was there when the watcher came, and what the end of the run took out of memory.
        assert sum(len(row.data) for row in read) <= 8 * MB


async def test_large_results_stay_in_memory_up_to_a_bound_and_not_beyond_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    ended: list[OpenRun] = []
    on_durable, forget = OpenRun.on_durable, OpenRun.forget_large_rows

    def measured(run: OpenRun, note: object) -> None:
        on_durable(run, note)  # type: ignore[arg-type]
        kept.append(sum(len(row.data) for row in run.tail))

    def forgotten(run: OpenRun) -> None:
        forget(run)
        ended.append(run)

    monkeypatch.setattr(OpenRun, "on_durable", measured)
    monkeypatch.setattr(OpenRun, "forget_large_rows", forgotten)
    async with house() as h:
        run = await h.submit(await h.flow(ONE_STEP), [b"1" * MB] * 40, max_concurrency=4)
        await h.follow(run.run_id)
    assert 4 * MB < max(kept) <= TAIL_LARGE_BYTES
    assert [sum(len(row.data) for row in one.tail) <= TAIL_BYTES for one in ended] == [True]
