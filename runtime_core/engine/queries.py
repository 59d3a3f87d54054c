"""Reading runs: states, lists, results in order and in pages. Only what is durable."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from flowspan.errors import FlowspanError, InvalidArgumentError, NotFoundError, PreconditionError, Reason, UnavailableError
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.status import ItemResult, ResultOrder, RunDescription, RunProgress, RunStatus
from runtime_core.api import ItemPage, RunPage
from runtime_core.engine.open_runs import OpenRuns
from runtime_core.engine.paging import decode_token, encode_token
from runtime_core.engine.reads import ITEM_OVERHEAD_BYTES, ResultReader, read_status
from runtime_core.engine.settings import RunSettings
from runtime_core.model.ids import parse_run_id
from runtime_core.model.item_index import open_index
from runtime_core.ports import RunFilter, RunRecord, SegmentCodec, Store


class Queries:
    """The reading calls of `runtime_core.api.RuntimeApi`."""

    def __init__(self, store: Store, codec: SegmentCodec, runs: OpenRuns) -> None:
        self._store = store
        self._codec = codec
        self._runs = runs

    async def get_status(self, namespace: str, run_id: str) -> RunStatus:
        """Status without results of an open or ended run."""
        run = self._runs.find(namespace, run_id)
        if run is not None:
            return self._runs.status_of(run)
        return await self.status(await self.record(namespace, run_id))

    async def get_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        order: ResultOrder | None = None,
        after_item_index: int | None = None,
        limit: int | None = None,
        max_bytes: int,
    ) -> RunStatus:
        if limit is not None and limit < 1:
            raise InvalidArgumentError("limit must be at least 1", field="limit")
        run_id = parse_run_id(run_id)
        if order is None:
            return await self.get_status(namespace, run_id)
        status, reader = await self._reader(namespace, run_id)
        return await reader.fill(status, order, after_item_index, limit, max_bytes)

    async def list_runs(self, run_filter: RunFilter, *, page_size: int, page_token: str | None) -> RunPage:
        statuses = set(run_filter.statuses)
        stored = msgspec.structs.replace(run_filter, statuses=tuple(sorted(_stored_statuses(statuses))))
        records, token = await self._store.list_runs(stored, limit=page_size, after=page_token)
        runs: list[RunStatus] = []
        for record in records:
            status = await self.status(record)
            if not statuses or status.status in statuses:
                runs.append(status)
        return RunPage(runs, token)

    async def list_run_items(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        order: ResultOrder = ResultOrder.BY_INDEX,
        outcomes: frozenset[Outcome] = frozenset(),
        page_size: int,
        page_token: str | None = None,
        after_item_index: int | None = None,
        merged: bool = False,
        max_bytes: int,
    ) -> ItemPage:
        run_id = parse_run_id(run_id)
        _, reader = await self._reader(namespace, run_id)
        if order is ResultOrder.BY_COMPLETION:
            if merged or after_item_index is not None:
                raise InvalidArgumentError("merged and afterItemIndex need the order by index", field="resultOrder")
            return await _page_by_completion(reader, outcomes, page_size, page_token, max_bytes)
        after = decode_token(page_token, "i") if page_token else after_item_index
        newer = await self._newer_results(namespace, run_id) if merged else {}
        items: list[ItemResult] = []
        room = max_bytes
        async for result in reader.by_index(after, frozenset() if merged else outcomes):
            shown = newer.get(result.item_index, result)
            if outcomes and shown.outcome not in outcomes:
                continue
            room -= len(shown.payload) + ITEM_OVERHEAD_BYTES
            if items and (len(items) == page_size or room < 0):
                return ItemPage(items, encode_token("i", items[-1].item_index))
            items.append(shown)
        return ItemPage(items, None)

    async def status(self, record: RunRecord) -> RunStatus:
        """Status without results of what was read from the store. Meanwhile the run may have ended, or only begun."""
        run = self._runs.by_id.get(record.run_id)
        if run is None and not record.status.is_terminal:
            record = await self._store.find_run(record.namespace, record.run_id) or record
            run = self._runs.by_id.get(record.run_id)
        if run is not None:
            return self._runs.status_of(run)
        description = msgspec.json.decode(record.description, type=RunDescription)
        if record.counts is not None:
            return RunStatus(
                description, record.status, record.counts, record.next_seq - 1, record.completed_at_us, record.cancel_reason
            )
        # It is being accepted just now, or another gateway has it, or its recovery failed: what its log says.
        status = await read_status(self._store, self._codec, record)
        why = self._runs.not_recovered.get(record.run_id)
        return status if why is None else replace(status, progress=RunProgress(0.0, None, (why.message,)))

    async def record(self, namespace: str, run_id: str) -> RunRecord:
        record = await self._store.find_run(namespace, run_id)
        if record is None:
            raise NotFoundError(f"no run {run_id}", reason=Reason.RUN_NOT_FOUND, runId=run_id)
        return record

    async def ended(self, namespace: str, run_id: str) -> RunRecord:
        record = await self.record(namespace, run_id)
        if run_id in self._runs.by_id or not record.status.is_terminal:
            raise PreconditionError(f"run {run_id} has not ended; cancel it or wait for its end", runId=run_id)
        return record

    async def _reader(self, namespace: str, run_id: str) -> tuple[RunStatus, ResultReader]:
        run = self._runs.find(namespace, run_id)
        if run is not None:
            index = run.machine.index()
            reader = ResultReader(self._store, self._codec, run.run_key, run.committed.seq, index, run.settings)
            return self._runs.status_of(run), reader
        record = await self.record(namespace, run_id)
        refuse_not_ended(record, self._runs)
        index = open_index(await self._store.read_item_index(record.run_key) or b"")
        settings = msgspec.json.decode(record.settings, type=RunSettings)
        reader = ResultReader(self._store, self._codec, record.run_key, record.next_seq - 1, index, settings)
        return await self.status(record), reader

    async def _newer_results(self, namespace: str, run_id: str) -> dict[int, ItemResult]:
        """The newest result of each item of a run among the runs that retry it."""
        newest: dict[int, ItemResult] = {}
        retries: list[RunRecord] = []
        token: str | None = None
        while True:
            page, token = await self._store.list_runs(RunFilter(namespace, source_run_id=run_id), limit=1000, after=token)
            retries += page
            if token is None:
                break
        for record in reversed(retries):
            _, reader = await self._reader(namespace, record.run_id)
            async for result in reader.by_index(None):
                if result.source_item_index is not None:
                    newest[result.source_item_index] = msgspec.structs.replace(result, item_index=result.source_item_index)
        return newest


async def _page_by_completion(
    reader: ResultReader, outcomes: frozenset[Outcome], page_size: int, page_token: str | None, max_bytes: int
) -> ItemPage:
    items: list[ItemResult] = []
    room = max_bytes
    last_seq = 0
    async for seq, result in reader.by_completion(decode_token(page_token, "c") if page_token else 0, outcomes):
        room -= len(result.payload) + ITEM_OVERHEAD_BYTES
        if items and (len(items) == page_size or room < 0):
            return ItemPage(items, encode_token("c", last_seq))
        items.append(result)
        last_seq = seq
    return ItemPage(items, None)


def refuse_not_ended(record: RunRecord, runs: OpenRuns) -> None:
    """Raise unless the run has ended: it waits for something that was missing at the start, it is being accepted just now,
    or it is not this gateway that runs it."""
    if not record.status.is_terminal:
        why = runs.not_recovered.get(record.run_id)
        if why is not None:
            raise FlowspanError(why.message, reason=why.reason, runId=record.run_id)
        raise UnavailableError(f"run {record.run_id} is not open in this gateway", runId=record.run_id, retryAfterMs=500)


def _stored_statuses(statuses: set[RunStatusCode]) -> set[RunStatusCode]:
    """The store knows open runs as RUNNING only."""
    return {RunStatusCode.RUNNING if status is RunStatusCode.PENDING else status for status in statuses}
