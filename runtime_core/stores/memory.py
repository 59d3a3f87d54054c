"""A store in memory: the same rules and the same order of news as the durable ones, without a disk.

Writes are queued and applied together in a later turn of the loop, as a commit would: nobody sees them before.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

from flowspan.errors import NotFoundError, PreconditionError, Reason, StorageError, UnavailableError
from flowspan.view.events import RunStatusCode
from runtime_core.ports import (
    Append,
    BlobWriter,
    ExistingRun,
    InputChunk,
    LogRow,
    NewRun,
    RunEnd,
    RunFilter,
    RunRecord,
    StoredBlob,
    StoreHealth,
)
from runtime_core.stores.append_groups import group_appends
from runtime_core.stores.blob_types import BINARY, check_blob, merged_type, verify_content
from runtime_core.stores.page_token import decode_page_token, encode_page_token
from runtime_core.stores.statistics import StoreStatistics

T = TypeVar("T")


@dataclass(slots=True)
class _Inputs:
    """Chunks of one or more runs, by first item; `first_items` beside them to be searched."""

    chunks: list[InputChunk] = field(default_factory=list)
    first_items: list[int] = field(default_factory=list)

    def add(self, chunks: Sequence[InputChunk]) -> None:
        for chunk in chunks:
            if chunk.inputs:
                insort(self.first_items, chunk.first_item)
                kept = InputChunk(chunk.first_item, list(chunk.inputs), chunk.blob_refs)
                self.chunks.insert(bisect_left(self.first_items, chunk.first_item), kept)


@dataclass(slots=True)
class _Run:
    """A run with its log."""

    run_key: int
    new: NewRun
    inputs: _Inputs
    epoch: int
    next_seq: int
    rows: list[LogRow]
    last_seqs: list[int]
    end: RunEnd | None = None

    def record(self) -> RunRecord:
        new, end = self.new, self.end
        return RunRecord(
            self.run_key,
            new.namespace,
            new.run_id,
            self.epoch,
            self.next_seq,
            RunStatusCode.RUNNING if end is None else end.status,
            new.description,
            new.settings,
            None if end is None else end.counts,
            None if end is None else end.completed_at_us,
            None if end is None else end.cancel_reason,
        )

    def matches(self, wanted: RunFilter) -> bool:
        new = self.new
        status = RunStatusCode.RUNNING if self.end is None else self.end.status
        return (
            new.namespace == wanted.namespace
            and (not wanted.statuses or status in wanted.statuses)
            and wanted.flow_id in (None, new.flow_id)
            and wanted.flow_label in (None, new.flow_label)
            and wanted.parent_run_id in (None, new.parent_run_id)
            and wanted.root_run_id in (None, new.root_run_id)
            and (wanted.created_from_us is None or new.created_at_us >= wanted.created_from_us)
            and (wanted.created_before_us is None or new.created_at_us < wanted.created_before_us)
            and wanted.metadata.items() <= new.metadata.items()
        )


@dataclass(slots=True)
class _Request:
    existing: ExistingRun
    expires_at_us: int
    is_tombstone: bool = False


@dataclass(slots=True)
class _Blob:
    blob_key: int
    stored: StoredBlob
    raw_sha256: bytes


@dataclass(slots=True)
class _Call:
    apply: Callable[[], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class MemoryStore:
    """`runtime_core.ports.Store` in dicts. What is kept lives as long as this object, over `close` and `open`."""

    def __init__(self) -> None:
        self._health: StoreHealth | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._epoch = 0
        self._queue: list[list[Append] | _Call] = []
        self._runs: dict[int, _Run] = {}
        self._run_keys: dict[tuple[str, str], int] = {}
        self._last_run_key = 0
        self._stages: dict[str, _Inputs] = {}
        self._requests: dict[tuple[str, str], _Request] = {}
        self._blobs: dict[tuple[str, str], _Blob] = {}
        self._last_blob_key = 0
        self._commits = self._appends = self._rows = self._calls = 0

    async def open(self, health: StoreHealth) -> int:
        if self._health is not None:
            raise PreconditionError("the store is in use by another owner in this process")
        self._health = health
        self._loop = asyncio.get_running_loop()
        self._stages.clear()
        self._epoch += 1
        return self._epoch

    async def close(self) -> None:
        self._commit()
        self._health = self._loop = None

    def statistics(self) -> StoreStatistics:
        """Counters since this object was made."""
        return StoreStatistics(self._commits, self._appends, self._rows, self._calls)

    # --- writes ------------------------------------------------------------------------------------------------------

    def append(self, appends: Sequence[Append]) -> None:
        self._enqueue(list(appends))

    def create_run(self, run: NewRun) -> Awaitable[int | ExistingRun]:
        return self._write(lambda: self._create_run(run))

    def _create_run(self, new: NewRun) -> int | ExistingRun:
        request = None if new.request_key is None else (new.namespace, new.request_key)
        if request is not None and (known := self._requests.get(request)) is not None:
            if not (known.is_tombstone and known.expires_at_us <= new.created_at_us):
                return known.existing
            del self._requests[request]
        name = (new.namespace, new.run_id)
        if name in self._run_keys:
            raise StorageError(f"run {new.run_id} is there already; nothing was applied", outcome="not_applied")
        inputs = self._inputs_of(new)
        self._last_run_key += 1
        run_key = self._last_run_key
        first_row = LogRow(1, new.last_seq, new.first_row)
        self._runs[run_key] = _Run(run_key, new, inputs, self._epoch, new.last_seq + 1, [first_row], [new.last_seq], new.end)
        self._run_keys[name] = run_key
        if request is not None:
            self._requests[request] = _Request(ExistingRun(new.run_id, new.fingerprint), new.key_expires_us)
        return run_key

    def _inputs_of(self, new: NewRun) -> _Inputs:
        if new.stage_id is not None:
            staged = self._stages.pop(new.stage_id, None)
            if staged is None:
                raise PreconditionError(f"no inputs are staged under {new.stage_id!r}; stage them again", stageId=new.stage_id)
            return staged
        if not new.chunks and new.source_run_id is not None:
            source = self._run_keys.get((new.namespace, new.source_run_id))
            if source is None:
                raise NotFoundError(
                    f"run {new.source_run_id}, whose inputs are to be used, is not there any more",
                    reason=Reason.RUN_NOT_FOUND,
                    runId=new.source_run_id,
                )
            return self._runs[source].inputs
        inputs = _Inputs()
        inputs.add(new.chunks)
        return inputs

    async def adopt_run(self, record: RunRecord, epoch: int) -> bool:
        return await self._write(lambda: self._adopt_run(record, epoch))

    def _adopt_run(self, record: RunRecord, epoch: int) -> bool:
        run = self._runs.get(record.run_key)
        if run is None or run.end is not None or (run.epoch, run.next_seq) != (record.epoch, record.next_seq):
            return False
        run.epoch = epoch
        return True

    async def stage_inputs(self, stage_id: str, chunks: Sequence[InputChunk]) -> None:
        await self._write(lambda: self._stages.setdefault(stage_id, _Inputs()).add(chunks))

    async def discard_stage(self, stage_id: str) -> None:
        await self._write(lambda: self._stages.pop(stage_id, None))

    async def delete_runs(self, namespace: str, run_keys: Sequence[int]) -> None:
        await self._write(lambda: self._delete_runs(namespace, run_keys))

    def _delete_runs(self, namespace: str, run_keys: Sequence[int]) -> None:
        for run_key in run_keys:
            run = self._runs.get(run_key)
            if run is None or run.new.namespace != namespace:
                continue
            del self._runs[run_key]
            del self._run_keys[(namespace, run.new.run_id)]
            if run.new.request_key is not None:
                self._requests[(namespace, run.new.request_key)].is_tombstone = True

    def put_blob(self, namespace: str, blob_id: str, blob_type: str, data: bytes) -> Awaitable[None]:
        return self._write(lambda: self._put_blob(namespace, blob_id, blob_type, data))

    def _put_blob(self, namespace: str, blob_id: str, blob_type: str, data: bytes) -> None:
        raw_sha256 = sha256(data).digest()
        check_blob(blob_id, blob_type, raw_sha256)
        old = self._blobs.get((namespace, blob_id))
        if old is None:
            self._last_blob_key += 1
            self._blobs[(namespace, blob_id)] = _Blob(self._last_blob_key, StoredBlob(blob_id, blob_type, data), raw_sha256)
            return
        kept_type = merged_type(old.stored.blob_type, blob_type)
        if blob_type == BINARY:
            old.raw_sha256 = raw_sha256
        else:
            data = old.stored.data
        old.stored = StoredBlob(blob_id, kept_type, data)

    def begin_blob(self) -> BlobWriter:
        self._check_open()
        return _MemoryBlobWriter(self)

    def delete_blob(self, namespace: str, blob_id: str) -> Awaitable[bool]:
        return self._write(lambda: self._delete_blob(namespace, blob_id))

    def _delete_blob(self, namespace: str, blob_id: str) -> bool:
        if (namespace, blob_id) not in self._blobs:
            return False
        for run in self._runs.values():
            if run.new.namespace == namespace and run.new.flow_id == blob_id:
                user = run.new.run_id
                raise PreconditionError(
                    f"blob {blob_id} is the flow of run {user}; delete its runs first", blobId=blob_id, runId=user
                )
        del self._blobs[(namespace, blob_id)]
        return True

    def _write(self, apply: Callable[[], T]) -> Awaitable[T]:
        self._check_open()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enqueue(_Call(apply, future))
        return future

    def _check_open(self) -> None:
        if self._loop is None:
            raise UnavailableError("the store is closed")

    def _enqueue(self, write: list[Append] | _Call) -> None:
        self._check_open()
        self._queue.append(write)
        if len(self._queue) == 1 and self._loop is not None:
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        """Apply what is queued in its order, then tell."""
        queue, self._queue = self._queue, []
        if not queue or self._health is None:
            return
        committed: list[Append] = []
        fenced: list[Append] = []
        calls: list[_Call] = []
        pending: list[Append] = []
        for write in queue:
            if isinstance(write, _Call):
                self._apply_appends(pending, committed, fenced)
                pending = []
                try:
                    write.result = write.apply()
                except Exception as error:
                    write.error = error
                calls.append(write)
            else:
                pending += write
        self._apply_appends(pending, committed, fenced)
        self._commits += 1
        self._appends += len(committed)
        self._calls += len(calls)
        self._tell(self._health, committed, fenced, calls)

    def _tell(self, health: StoreHealth, committed: list[Append], fenced: list[Append], calls: list[_Call]) -> None:
        try:
            if committed:
                health.on_committed(committed)
            for append in fenced:
                health.on_fenced(append)
        finally:
            for call in calls:
                if call.future.done():
                    continue
                if call.error is not None:
                    call.future.set_exception(call.error)
                else:
                    call.future.set_result(call.result)

    def _apply_appends(self, appends: list[Append], committed: list[Append], fenced: list[Append]) -> None:
        lost_owners: set[tuple[int, int]] = set()
        lost_appends: set[int] = set()
        for group in group_appends(appends):
            run = self._runs.get(group.run_key)
            owner = (group.run_key, group.epoch)
            is_there = run is not None and run.end is None and (run.epoch, run.next_seq) == (group.epoch, group.first_seq)
            if run is None or not is_there or owner in lost_owners:
                lost_owners.add(owner)
                lost_appends.update(map(id, group.appends))
                continue
            run.next_seq = group.next_seq
            rows = list(group.rows())
            run.rows += rows
            run.last_seqs += [row.last_seq for row in rows]
            run.end = group.last.end
            self._rows += len(rows)
        committed += [append for append in appends if id(append) not in lost_appends]
        fenced += [append for append in appends if id(append) in lost_appends]

    # --- reads -------------------------------------------------------------------------------------------------------

    async def get_blob(self, namespace: str, blob_id: str) -> StoredBlob | None:
        self._check_open()
        blob = self._blobs.get((namespace, blob_id))
        if blob is None:
            return None
        verify_content(blob_id, blob.stored.data, blob.raw_sha256)
        return blob.stored

    async def blob_info(self, namespace: str, blob_id: str) -> tuple[str, int] | None:
        self._check_open()
        blob = self._blobs.get((namespace, blob_id))
        return None if blob is None else (blob.stored.blob_type, len(blob.stored.data))

    async def list_blobs(
        self, namespace: str, blob_type: str, *, limit: int, after: str | None
    ) -> tuple[list[StoredBlob], str | None]:
        self._check_open()
        before = None if after is None else decode_page_token(after)
        found = sorted(
            (
                (blob.blob_key, blob.stored)
                for (owner, _), blob in self._blobs.items()
                if owner == namespace and blob.stored.blob_type == blob_type and (before is None or blob.blob_key < before)
            ),
            key=lambda pair: -pair[0],
        )
        page = found[:limit]
        return [stored for _, stored in page], encode_page_token(page[-1][0]) if len(found) > limit else None

    async def find_run(self, namespace: str, run_id: str) -> RunRecord | None:
        self._check_open()
        run_key = self._run_keys.get((namespace, run_id))
        return None if run_key is None else self._runs[run_key].record()

    async def find_request(self, namespace: str, request_key: str) -> ExistingRun | None:
        self._check_open()
        request = self._requests.get((namespace, request_key))
        return None if request is None else request.existing

    async def list_runs(self, run_filter: RunFilter, *, limit: int, after: str | None) -> tuple[list[RunRecord], str | None]:
        self._check_open()
        before = self._last_run_key + 1 if after is None else decode_page_token(after)
        page: list[RunRecord] = []
        for run in reversed(self._runs.values()):
            if run.run_key < before and run.matches(run_filter):
                if len(page) == limit:
                    return page, encode_page_token(page[-1].run_key)
                page.append(run.record())
        return page, None

    async def open_runs(self) -> list[RunRecord]:
        return self._records(run for run in self._runs.values() if run.end is None)

    async def child_runs(self, namespace: str, run_id: str) -> list[RunRecord]:
        return self._records(
            run for run in self._runs.values() if (run.new.namespace, run.new.parent_run_id) == (namespace, run_id)
        )

    def _records(self, runs: Iterable[_Run]) -> list[RunRecord]:
        self._check_open()
        return [run.record() for run in runs]

    async def read_rows(self, run_key: int, after_seq: int, max_bytes: int) -> list[LogRow]:
        self._check_open()
        run = self._runs.get(run_key)
        if run is None:
            return []
        rows: list[LogRow] = []
        room = max_bytes
        for position in range(bisect_right(run.last_seqs, after_seq), len(run.rows)):
            row = run.rows[position]
            room -= len(row.data)
            if rows and room < 0:
                break
            rows.append(row)
        return rows

    async def read_rows_with(self, run_key: int, seqs: Sequence[int]) -> list[LogRow]:
        self._check_open()
        run = self._runs.get(run_key)
        if run is None:
            return []
        positions = dict.fromkeys(bisect_left(run.last_seqs, seq) for seq in seqs if seq > 0)
        return [run.rows[position] for position in positions if position < len(run.rows)]

    async def read_inputs(self, run_key: int, item_index: int) -> InputChunk:
        self._check_open()
        run = self._runs.get(run_key)
        if run is not None:
            position = bisect_right(run.inputs.first_items, item_index) - 1
            if position >= 0:
                chunk = run.inputs.chunks[position]
                if item_index < chunk.first_item + len(chunk.inputs):
                    return chunk
        raise NotFoundError(
            f"there is no input {item_index}: the run was deleted or has fewer items", reason=Reason.RUN_NOT_FOUND
        )

    async def read_item_index(self, run_key: int) -> bytes | None:
        self._check_open()
        run = self._runs.get(run_key)
        return None if run is None or run.end is None else run.end.item_index


class _MemoryBlobWriter:
    """See `runtime_core.ports.BlobWriter`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._parts: list[bytes] = []
        self._hash = sha256()
        self._size = 0
        self._is_over = False

    async def write(self, chunk: bytes) -> None:
        self._check()
        self._parts.append(chunk)
        self._hash.update(chunk)
        self._size += len(chunk)

    async def read_back(self) -> bytes:
        self._check()
        return b"".join(self._parts)

    @property
    def sha256_hex(self) -> str:
        return self._hash.hexdigest()

    @property
    def size(self) -> int:
        return self._size

    async def commit(self, namespace: str, blob_id: str, blob_type: str) -> None:
        data = await self.read_back()
        self._is_over = True
        await self._store.put_blob(namespace, blob_id, blob_type, data)

    async def abort(self) -> None:
        self._is_over = True
        self._parts.clear()

    def _check(self) -> None:
        if self._is_over:
            raise PreconditionError("the blob was committed or given up before; begin a new one")
