"""Connections to the database: the writer's and the readers', with the settings that the promises rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from runtime_core.stores.sqlite.row_files import RowFiles

ROWS_NAME: Final = "rows"
BUSY_TIMEOUT_MS: Final = 5_000
"""Only a foreign process (a shell, a backup) can hold a lock: our own writer is one, and readers do not block in WAL."""
JOURNAL_SIZE_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What is kept of the write-ahead log's file when it starts again from its beginning."""
_WRITER_CACHE_KIB: Final = 16 * 1024
_READER_CACHE_KIB: Final = 8 * 1024

_SHARED_PRAGMAS: Final = """
PRAGMA foreign_keys = ON;
PRAGMA trusted_schema = OFF;
PRAGMA cell_size_check = ON;
PRAGMA mmap_size = 0;
PRAGMA temp_store = MEMORY;
"""


class StoreConnection(apsw.Connection):
    """A connection, and the files beside the database that hold its large rows."""

    row_files: RowFiles

    def close(self, force: bool = False) -> None:
        self.row_files.close()
        super().close(force)


def _open(path: Path, flags: int) -> StoreConnection:
    db = StoreConnection(str(path), flags=flags)
    db.row_files = RowFiles(path.parent / ROWS_NAME)
    db.set_busy_timeout(BUSY_TIMEOUT_MS)
    db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    return db


def open_for_check(path: Path) -> StoreConnection:
    """A connection that changes nothing, not even by being closed: to look before the first write."""
    db = _open(path, apsw.SQLITE_OPEN_READWRITE)
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.execute("PRAGMA query_only = ON")
    return db


def open_writer(path: Path) -> StoreConnection:
    """The one connection that writes. Checkpoints are made by hand (`checkpoints.py`)."""
    db = _open(path, apsw.SQLITE_OPEN_READWRITE)
    # The change to WAL is the one transaction with a rollback journal. EXTRA makes that journal's removal durable: if it came
    # back after a power cut, it would take the database, and with it everything acknowledged since, back to nothing.
    db.execute("PRAGMA synchronous = EXTRA")
    mode = db.execute("PRAGMA journal_mode = WAL").get
    if mode != "wal":
        db.close()
        raise apsw.CantOpenError(f"the file system of {path} does not allow write-ahead logging (journal mode {mode})")
    db.execute(_SHARED_PRAGMAS)
    db.execute(
        f"PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -{_WRITER_CACHE_KIB};"
        f"PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT_BYTES}"
    )
    return db


def open_reader(path: Path) -> StoreConnection:
    """A connection that cannot write."""
    db = _open(path, apsw.SQLITE_OPEN_READWRITE)
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.execute(_SHARED_PRAGMAS)
    db.execute(f"PRAGMA query_only = ON; PRAGMA cache_size = -{_READER_CACHE_KIB}")
    return db
