"""A blob that arrives in chunks, as a staged file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from flowspan.errors import PreconditionError
from runtime_core.stores.sqlite.blob_files import INLINE_BYTES, BlobFiles, StagedFile
from runtime_core.stores.sqlite.blob_rows import NewContent, inline_content
from runtime_core.stores.sqlite.faults import translate

T = TypeVar("T")
StoreContent = Callable[[str, str, str, NewContent, Path | None], Awaitable[None]]
"""Queues the row's commit (namespace, blob id, blob type, content, its file) or raises; what it returns waits for it."""


class SqliteBlobWriter:
    """See `runtime_core.ports.BlobWriter`. The file is made with the first chunk; all of its work is done in threads.

    One call at a time. A call that is cancelled ends the blob: what its thread still does is waited for by `abort`.
    """

    def __init__(self, pool: Executor, files: BlobFiles, store_content: StoreContent) -> None:
        self._pool = pool
        self._files = files
        self._store_content = store_content
        self._staged: StagedFile | None = None
        self._working: asyncio.Future[Any] | None = None
        self._published: Path | None = None
        self._is_over = False

    async def write(self, chunk: bytes) -> None:
        await self._in_thread(lambda: self._open().write(chunk))

    async def read_back(self) -> bytes:
        return await self._in_thread(lambda: self._open().read())

    @property
    def sha256_hex(self) -> str:
        return _EMPTY_SHA256 if self._staged is None else self._staged.digest().hex()

    @property
    def size(self) -> int:
        return 0 if self._staged is None else self._staged.size

    async def commit(self, namespace: str, blob_id: str, blob_type: str) -> None:
        """Make the blob durable and visible.

        Raises:
            DataLossError: binary, and `blob_id` is not the hash of the bytes.
            StorageError: see `Store`.
        """
        content = await self._in_thread(self._publish)
        self._is_over = True
        committed = self._store_content(namespace, blob_id, blob_type, content, self._published)
        self._published = None  # from here on the store's writer looks after the file
        await committed

    async def abort(self) -> None:
        """Drop what was written. Harmless if repeated, or after `commit`."""
        self._is_over = True
        if self._working is not None:
            await asyncio.wait([self._working])
        if self._staged is not None:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._discard, self._staged)

    def _discard(self, staged: StagedFile) -> None:
        staged.discard()
        if self._published is not None:  # the commit was cancelled between the file and its row
            self._published.unlink(missing_ok=True)
            self._published = None

    def _open(self) -> StagedFile:
        if self._staged is None:
            self._staged = self._files.create()
        return self._staged

    def _publish(self) -> NewContent:
        staged = self._open()
        try:
            if staged.size <= INLINE_BYTES:
                return inline_content(staged.read())
            file_name = self._files.publish(staged)
            self._published = self._files.path(file_name)
            return NewContent(staged.digest(), staged.size, file_name=file_name)
        finally:
            staged.discard()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._is_over:
            raise PreconditionError("the blob was committed or given up before; begin a new one")
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        self._working = future
        try:
            return await asyncio.shield(future)
        except OSError as error:
            raise translate(error) from error
        finally:
            if future.done():
                self._working = None


_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
