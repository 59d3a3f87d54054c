"""Reads: a few threads with a connection each, that cannot write and never keep a transaction open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from runtime_core.stores.sqlite.connection import StoreConnection, open_reader

READER_THREADS: Final = 2
"""Reads are short; more threads would only take turns at the interpreter lock."""

T = TypeVar("T")


class ReaderPool:
    """Runs functions with a connection in a reader's thread. A cancelled caller leaves the thread to finish by itself."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[StoreConnection] = []
        self._pool = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="flowspan-store-reader")

    async def run(self, query: Callable[[StoreConnection], T]) -> T:
        """The result of `query`, called with this thread's connection."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._call, query)

    def _call(self, query: Callable[[StoreConnection], T]) -> T:
        db: StoreConnection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = open_reader(self._path)
            with self._lock:
                self._connections.append(db)
        return query(db)

    async def close(self) -> None:
        """Wait for reads that run (they are short), then close the connections."""
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for db in self._connections:
            db.close()
        self._connections.clear()
