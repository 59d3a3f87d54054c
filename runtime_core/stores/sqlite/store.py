"""The SQLite store: `runtime_core.ports.Store` over one data directory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from flowspan.errors import DataLossError, UnavailableError
from runtime_core.ports import (
    Append,
    BlobWriter,
    ExistingRun,
    InputChunk,
    LogRow,
    NewRun,
    RunFilter,
    RunRecord,
    StoredBlob,
    StoreHealth,
)
from runtime_core.stores.blob_types import verify_content
from runtime_core.stores.sqlite import appends as log
from runtime_core.stores.sqlite import blob_rows, run_queries, runs
from runtime_core.stores.sqlite.blob_files import INLINE_BYTES, read_file
from runtime_core.stores.sqlite.blob_rows import BlobRow, NewContent
from runtime_core.stores.sqlite.blob_writer import SqliteBlobWriter
from runtime_core.stores.sqlite.connection import StoreConnection
from runtime_core.stores.sqlite.database import DataDirectory
from runtime_core.stores.sqlite.faults import Fault, classify, failed_store, translate
from runtime_core.stores.sqlite.reader import ReaderPool
from runtime_core.stores.sqlite.writer import Transaction, WriteCall, Writer
from runtime_core.stores.statistics import StoreStatistics

BLOB_THREADS: Final = 2
"""Hashing and writing large files; apart from the readers, so that these stay quick."""
DELETED_PER_COMMIT: Final = 100
"""Runs that one transaction of a deletion makes invisible."""

T = TypeVar("T")


class SqliteStore:
    """Durable state in a directory: `flowspan.db`, `blobs/`, `lock`. Belongs to the event loop that opens it.

    Args:
        path: the directory; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._directory = DataDirectory(path)
        self._files = self._directory.blob_files
        self._writer: Writer | None = None
        self._readers: ReaderPool | None = None
        self._blob_pool: ThreadPoolExecutor | None = None
        self._health: StoreHealth | None = None
        self._failure: BaseException | None = None
        self._epoch = 0
        self._pid = 0

    async def open(self, health: StoreHealth) -> int:
        if self._writer is not None:
            raise UnavailableError("the store is open already")
        self._health = health
        self._failure = None
        self._pid = os.getpid()
        writer = Writer(asyncio.get_running_loop(), _FailureNoticed(self, health), self._directory.open, self._directory.release)
        writer.start()
        try:
            self._epoch = await asyncio.shield(writer.ready)
        except BaseException:
            writer.stop()  # cancelled: whatever the thread opens meanwhile, it closes again
            writer.ready.add_done_callback(_retrieve)
            raise
        self._writer = writer
        self._readers = ReaderPool(self._directory.database)
        self._blob_pool = ThreadPoolExecutor(BLOB_THREADS, thread_name_prefix="flowspan-store-blob")
        writer.submit(_garbage_call())
        return self._epoch

    async def close(self) -> None:
        writer, readers, blob_pool = self._writer, self._readers, self._blob_pool
        if writer is None or readers is None or blob_pool is None:
            return
        self._writer = self._readers = self._blob_pool = None
        # The readers go first: the writer's last checkpoint then finds nobody in its way.
        await readers.close()
        await asyncio.get_running_loop().run_in_executor(None, blob_pool.shutdown)
        writer.stop()
        await asyncio.shield(writer.ended)

    def statistics(self) -> StoreStatistics:
        """Counters of the writer; zeros while the store is closed."""
        return StoreStatistics(0, 0, 0, 0) if self._writer is None else self._writer.statistics()

    # --- writes ------------------------------------------------------------------------------------------------------

    def append(self, appends: Sequence[Append]) -> None:
        self._usable_writer().submit(list(appends))

    def create_run(self, run: NewRun) -> Awaitable[int | ExistingRun]:
        size = len(run.description) + len(run.settings) + sum(len(value) for chunk in run.chunks for value in chunk.inputs)
        new_run = run if runs.is_plain(run) else None
        return self._write(lambda tx: runs.create_run(tx.db, run, tx.epoch), size_bytes=size, new_run=new_run)

    async def adopt_run(self, record: RunRecord, epoch: int) -> bool:
        return await self._write(lambda tx: runs.adopt_run(tx.db, record, epoch))

    async def stage_inputs(self, stage_id: str, chunks: Sequence[InputChunk]) -> None:
        size = sum(len(value) for chunk in chunks for value in chunk.inputs)
        await self._write(lambda tx: runs.stage_inputs(tx.db, stage_id, chunks), size_bytes=size)

    async def discard_stage(self, stage_id: str) -> None:
        await self._write(lambda tx: runs.discard_stage(tx.db, stage_id), then=_collect_next)

    async def delete_runs(self, namespace: str, run_keys: Sequence[int]) -> None:
        for start in range(0, len(run_keys), DELETED_PER_COMMIT):
            part = run_keys[start : start + DELETED_PER_COMMIT]
            await self._write(partial(_delete_runs, namespace=namespace, run_keys=part), then=_collect_next)

    def put_blob(self, namespace: str, blob_id: str, blob_type: str, data: bytes) -> Awaitable[None]:
        if len(data) > INLINE_BYTES:
            return self._put_large(namespace, blob_id, blob_type, data)
        return self._write(
            lambda tx: self._put(tx, namespace, blob_id, blob_type, blob_rows.inline_content(data)), size_bytes=len(data)
        )

    async def _put_large(self, namespace: str, blob_id: str, blob_type: str, data: bytes) -> None:
        writer = self.begin_blob()
        try:
            await writer.write(data)
            await writer.commit(namespace, blob_id, blob_type)
        finally:
            await writer.abort()

    def begin_blob(self) -> BlobWriter:
        self._usable_writer()
        if self._blob_pool is None:
            raise UnavailableError("the store is closed")
        return SqliteBlobWriter(self._blob_pool, self._files, self._store_content)

    def _store_content(
        self, namespace: str, blob_id: str, blob_type: str, content: NewContent, file: Path | None
    ) -> Awaitable[None]:
        size = 0 if content.data is None else content.size_bytes
        return self._write(lambda tx: self._put(tx, namespace, blob_id, blob_type, content), size_bytes=size, file=file)

    def _put(self, tx: Transaction, namespace: str, blob_id: str, blob_type: str, content: NewContent) -> None:
        blob_rows.put_blob(tx.db, tx.doomed_files, self._files.path, namespace, blob_id, blob_type, content)

    def delete_blob(self, namespace: str, blob_id: str) -> Awaitable[bool]:
        return self._write(lambda tx: blob_rows.delete_blob(tx.db, tx.doomed_files, self._files.path, namespace, blob_id))

    def _write(
        self,
        apply: Callable[[Transaction], T],
        *,
        size_bytes: int = 0,
        file: Path | None = None,
        then: Callable[[Any], WriteCall | None] | None = None,
        new_run: NewRun | None = None,
    ) -> Awaitable[T]:
        """Queue a write; its place in the order is that of this call."""
        writer = self._usable_writer()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        writer.submit(WriteCall(apply, future, size_bytes=size_bytes, file=file, then=then, new_run=new_run))
        return future

    def _usable_writer(self) -> Writer:
        writer = self._writer
        if writer is None:
            raise UnavailableError("the store is closed")
        if self._failure is not None:
            raise failed_store(self._failure)
        if os.getpid() != self._pid:
            raise UnavailableError("the store belongs to the process that opened it, not to a fork of it")
        return writer

    # --- reads -------------------------------------------------------------------------------------------------------

    async def get_blob(self, namespace: str, blob_id: str) -> StoredBlob | None:
        missing: BlobRow | None = None
        while True:
            found = await self._read(lambda db: _verified_if_inline(blob_rows.find_blob(db, namespace, blob_id)))
            if not isinstance(found, BlobRow):
                return found
            # A file may be deleted between the two looks: then its row has gone as well, or names another file.
            if found == missing:
                raise DataLossError(f"blob {blob_id} has lost its file", blobId=blob_id)
            blob = await self._load(found)
            if blob is not None:
                return blob
            missing = found

    async def blob_info(self, namespace: str, blob_id: str) -> tuple[str, int] | None:
        return await self._read(lambda db: blob_rows.blob_info(db, namespace, blob_id))

    async def list_blobs(
        self, namespace: str, blob_type: str, *, limit: int, after: str | None
    ) -> tuple[list[StoredBlob], str | None]:
        def query(db: apsw.Connection) -> tuple[list[StoredBlob | BlobRow | None], str | None]:
            rows, next_token = blob_rows.list_blobs(db, namespace, blob_type, limit, after)
            return [_verified_if_inline(row) for row in rows], next_token

        found, next_token = await self._read(query)
        blobs = [await self.get_blob(namespace, blob.blob_id) if isinstance(blob, BlobRow) else blob for blob in found]
        return [blob for blob in blobs if blob is not None], next_token

    async def _load(self, row: BlobRow) -> StoredBlob | None:
        """Verified bytes of a row that names a file; None if the file is not there."""
        pool = self._blob_pool
        if pool is None or row.file_name is None:
            raise UnavailableError("the store is closed")
        path = self._files.path(row.file_name)
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, _load_file, row, path)
        except OSError as error:
            raise DataLossError(f"blob {row.blob_id} cannot be read: {error}", blobId=row.blob_id) from error

    async def find_run(self, namespace: str, run_id: str) -> RunRecord | None:
        return await self._read(lambda db: run_queries.find_run(db, namespace, run_id))

    async def find_request(self, namespace: str, request_key: str) -> ExistingRun | None:
        return await self._read(lambda db: runs.find_request(db, namespace, request_key))

    async def list_runs(self, run_filter: RunFilter, *, limit: int, after: str | None) -> tuple[list[RunRecord], str | None]:
        return await self._read(lambda db: run_queries.list_runs(db, run_filter, limit, after))

    async def open_runs(self) -> list[RunRecord]:
        return await self._read(run_queries.open_runs)

    async def child_runs(self, namespace: str, run_id: str) -> list[RunRecord]:
        return await self._read(lambda db: run_queries.child_runs(db, namespace, run_id))

    async def read_rows(self, run_key: int, after_seq: int, max_bytes: int) -> list[LogRow]:
        return await self._read(lambda db: log.read_rows(db, run_key, after_seq, max_bytes))

    async def read_rows_with(self, run_key: int, seqs: Sequence[int]) -> list[LogRow]:
        return await self._read(lambda db: log.read_rows_with(db, run_key, seqs))

    async def read_inputs(self, run_key: int, item_index: int) -> InputChunk:
        return await self._read(lambda db: run_queries.read_inputs(db, run_key, item_index))

    async def read_item_index(self, run_key: int) -> bytes | None:
        return await self._read(lambda db: run_queries.read_item_index(db, run_key))

    async def _read(self, query: Callable[[StoreConnection], T]) -> T:
        readers = self._readers
        if readers is None:
            raise UnavailableError("the store is closed")
        try:
            return await readers.run(query)
        except apsw.Error as error:
            if classify(error) is Fault.BROKEN:
                self._notice_failure(error)
            raise translate(error) from error

    def _notice_failure(self, error: BaseException) -> None:
        """A disk that cannot be read cannot be trusted with writes either."""
        if self._failure is None:
            self._failure = error
            if self._health is not None:
                self._health.on_failed(error)


class _FailureNoticed:
    """Passes the writer's news on, and keeps its failure, so that it is told once."""

    def __init__(self, store: SqliteStore, health: StoreHealth) -> None:
        self._store = store
        self.on_committed = health.on_committed
        self.on_fenced = health.on_fenced
        self.on_full = health.on_full

    def on_failed(self, error: BaseException) -> None:
        self._store._notice_failure(error)


def _retrieve(future: asyncio.Future[int]) -> None:
    """Take note of a result that nobody waits for any more."""
    if not future.cancelled():
        future.exception()


def _delete_runs(tx: Transaction, *, namespace: str, run_keys: Sequence[int]) -> None:
    for run_key in run_keys:
        runs.delete_run(tx.db, namespace, run_key)


def _garbage_call() -> WriteCall:
    return WriteCall(lambda tx: runs.collect_garbage(tx.db), None, then=lambda more: _garbage_call() if more else None)


def _collect_next(_result: object) -> WriteCall:
    return _garbage_call()


def _verified_if_inline(row: BlobRow | None) -> StoredBlob | BlobRow | None:
    return row if row is None or row.data is None else _verified(row, row.data)


def _verified(row: BlobRow, data: bytes) -> StoredBlob:
    verify_content(row.blob_id, data, row.raw_sha256)
    return StoredBlob(row.blob_id, row.blob_type, data)


def _load_file(row: BlobRow, path: Path) -> StoredBlob | None:
    data = read_file(path)
    return None if data is None else _verified(row, data)
