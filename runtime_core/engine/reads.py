"""Results of runs: in order, in pages, within what a wire takes. Reads only what is durable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final

from flowspan.errors import InvalidArgumentError
from flowspan.view.events import ItemCompleted, Outcome
from flowspan.view.fold import RunFold
from flowspan.view.status import ItemResult, ResultOrder, ResultsOmitted, RunStatus
from runtime_core.engine.settings import RunSettings
from runtime_core.limits import BATCH_BYTES
from runtime_core.model.item_index import ItemIndex
from runtime_core.ports import LogRow, RunRecord, SegmentCodec, Store

SLICE_ITEMS: Final = 2_000
"""Items looked up in one read of the store."""

ITEM_OVERHEAD_BYTES: Final = 128
"""What an item result takes on any wire beside its payload: keys, index, time."""

EVENTS_AFTER_CANCEL: Final = 64
"""A cancel is followed by the ends of the items that ran, by the run's end, and by this much of recoveries at most."""


async def read_status(store: Store, codec: SegmentCodec, record: RunRecord) -> RunStatus:
    """Status without results of a run that has not ended, from its log."""
    fold = RunFold(keep_results=False)
    while fold.through_seq < record.next_seq - 1:
        rows = await store.read_rows(record.run_key, fold.through_seq, BATCH_BYTES)
        if not rows:
            break
        for row in rows:
            fold.apply_all(codec.decode(row.data))
    return fold.snapshot()


class ResultReader:
    """Item results of one run as of `through_seq`.

    Args:
        index: where each item's result is in the log.
    """

    def __init__(
        self, store: Store, codec: SegmentCodec, run_key: int, through_seq: int, index: ItemIndex, settings: RunSettings
    ) -> None:
        self._store = store
        self._codec = codec
        self._run_key = run_key
        self._through_seq = through_seq
        self._index = index
        self._settings = settings

    async def by_index(
        self, after_item_index: int | None, outcomes: frozenset[Outcome] = frozenset()
    ) -> AsyncIterator[ItemResult]:
        """Results behind an item, in order of their index."""
        seqs, ended = self._index.seqs, self._index.outcomes
        wanted: list[int] = []
        first = 0 if after_item_index is None else after_item_index + 1
        for item_index in range(first, len(ended)):
            if 0 < seqs[item_index] <= self._through_seq and (not outcomes or ended[item_index] in outcomes):
                wanted.append(item_index)
                if len(wanted) == SLICE_ITEMS:
                    for result in await self._look_up(wanted):
                        yield result
                    wanted = []
        if wanted:
            for result in await self._look_up(wanted):
                yield result

    async def by_completion(
        self, after_seq: int, outcomes: frozenset[Outcome] = frozenset()
    ) -> AsyncIterator[tuple[int, ItemResult]]:
        """(sequence number, result), in the order of the log."""
        cursor = after_seq
        while cursor < self._through_seq:
            rows = await self._store.read_rows(self._run_key, cursor, BATCH_BYTES)
            if not rows:
                return
            for seq, result in self._results(rows):
                if cursor < seq <= self._through_seq and (not outcomes or result.outcome in outcomes):
                    yield seq, result
            cursor = rows[-1].last_seq

    async def _look_up(self, items: Sequence[int]) -> list[ItemResult]:
        seqs = sorted(self._index.seqs[item_index] for item_index in items)
        rows = await self._store.read_rows_with(self._run_key, seqs)
        wanted = set(items)
        found = [result for _, result in self._results(rows) if result.item_index in wanted]
        found.sort(key=lambda result: result.item_index)
        return found

    def _results(self, rows: Sequence[LogRow]) -> list[tuple[int, ItemResult]]:
        labels, sources = self._settings.item_labels, self._settings.source_items
        out: list[tuple[int, ItemResult]] = []
        for row in rows:
            for segment in self._codec.decode(row.data):
                for seq, event in enumerate(segment.events, segment.first_seq):
                    if type(event) is ItemCompleted:
                        index = event.item_index
                        out.append(
                            (
                                seq,
                                ItemResult(
                                    index,
                                    event.outcome,
                                    event.payload,
                                    segment.recorded_at_us,
                                    event.is_blob,
                                    labels[index] if labels else None,
                                    sources[index] if sources else None,
                                ),
                            )
                        )
        return out

    async def fill(
        self, status: RunStatus, order: ResultOrder, after_item_index: int | None, limit: int | None, max_bytes: int
    ) -> RunStatus:
        """The status with its results. Without paging they are whole or left out as a whole; a page holds what fits."""
        is_page = after_item_index is not None or limit is not None
        if is_page and order is ResultOrder.BY_COMPLETION:
            raise InvalidArgumentError("pages are by index; use ListRunItems for pages by completion", field="afterItemIndex")
        ended = status.items.success + status.items.failed + status.items.cancelled
        size = self._index.result_bytes + ended * ITEM_OVERHEAD_BYTES
        if not is_page and size > max_bytes:
            return replace(status, results_omitted=ResultsOmitted(ended, self._index.result_bytes, max_bytes, 0))
        results: list[ItemResult] = []
        if order is ResultOrder.BY_COMPLETION:
            async for _, result in self.by_completion(0):
                results.append(result)
            return replace(status, results=results)
        room = max_bytes
        async for result in self.by_index(after_item_index):
            if limit is not None and len(results) == limit:
                break
            room -= len(result.payload) + ITEM_OVERHEAD_BYTES
            if room < 0:
                omitted = ResultsOmitted(ended, self._index.result_bytes, max_bytes, result.item_index)
                return replace(status, results=results, results_omitted=omitted)
            results.append(result)
        return replace(status, results=results)
