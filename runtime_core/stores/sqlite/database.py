"""Opening a data directory: own it, check it, bring it up to date, start a new incarnation. Runs in the writer's thread."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Final

import apsw

from flowspan.errors import PreconditionError, StorageError
from runtime_core.stores.sqlite import schema
from runtime_core.stores.sqlite.blob_files import BlobFiles, sync_directory
from runtime_core.stores.sqlite.checkpoints import CheckpointPolicy
from runtime_core.stores.sqlite.commit_views import open_views
from runtime_core.stores.sqlite.connection import BUSY_TIMEOUT_MS, StoreConnection, open_for_check, open_writer
from runtime_core.stores.sqlite.log_space import LogSpace
from runtime_core.stores.sqlite.ownership import PRIVATE_DIRECTORY_MODE, PRIVATE_FILE_MODE, DirectoryLock
from runtime_core.stores.sqlite.runs import discard_all_stages

DATABASE_NAME: Final = "flowspan.db"
LOCK_NAME: Final = "lock"
BLOBS_NAME: Final = "blobs"

MIN_SQLITE: Final = (3, 51, 3)
"""Below, a write-ahead log that is restarted under load can lose a commit."""
CHECK_BUDGET_S: Final = 1.0
"""How long the check at the start may take; a database that is larger is checked as far as it comes."""
_PROGRESS_STEPS: Final = 20_000


class DataDirectory:
    """A directory with the database, the blob files and the lock file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / DATABASE_NAME
        self.blob_files = BlobFiles(path / BLOBS_NAME)
        self._lock = DirectoryLock(path / LOCK_NAME)

    def open(self) -> tuple[StoreConnection, CheckpointPolicy, int]:
        """The writer's connection, its checkpoints and this incarnation's epoch.

        Raises:
            PreconditionError: another process owns the directory; the schema is newer; the file is not Flowspan's.
            StorageError: the database is damaged, or the directory cannot be used.
        """
        _refuse_old_sqlite()
        try:
            self.path.mkdir(mode=PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)
            self._lock.acquire()
            version = self._look()
            db = open_writer(self.database)
        except (OSError, apsw.Error) as error:
            raise _unusable(self.database, error) from error
        try:
            schema.migrate(db, version)
            _quick_check(db)
            open_views(db)
            epoch = _begin_incarnation(db)
            self.blob_files.prepare()
            db.row_files.prepare()
            sync_directory(self.path)
            sync_directory(self.path.parent)
            return db, CheckpointPolicy(db, LogSpace(Path(f"{self.database}-wal")), BUSY_TIMEOUT_MS), epoch
        except BaseException as error:
            db.close()
            if isinstance(error, (OSError, apsw.Error)):
                raise _unusable(self.database, error) from error
            raise

    def release(self) -> None:
        """Give the directory free. Harmless if repeated or if it was never taken."""
        self._lock.release()

    def _look(self) -> int:
        """The schema's version, found without writing; makes an empty file where there is none."""
        if not self.database.exists():
            # Made here for its mode: the log's files inherit it.
            os.close(os.open(self.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE))
            return 0
        db = open_for_check(self.database)
        try:
            version = schema.schema_version(db)
        finally:
            db.close()
        schema.refuse_newer(version, self.database)
        return version


def _begin_incarnation(db: apsw.Connection) -> int:
    db.execute("BEGIN IMMEDIATE")
    try:
        epoch: int = db.execute(
            "UPDATE incarnation SET epoch = epoch + 1, pid = ?, host = ? RETURNING epoch", (os.getpid(), socket.gethostname())
        ).get
        discard_all_stages(db)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    return epoch


def _quick_check(db: apsw.Connection) -> None:
    deadline_s = time.monotonic() + CHECK_BUDGET_S
    db.set_progress_handler(lambda: time.monotonic() > deadline_s, _PROGRESS_STEPS)
    try:
        answer = db.execute("PRAGMA quick_check(1)").get
    except apsw.InterruptError:
        return
    finally:
        db.set_progress_handler(None)
    if answer != "ok":
        raise apsw.CorruptError(str(answer))


def _refuse_old_sqlite() -> None:
    version = tuple(map(int, apsw.sqlite_lib_version().split(".")))
    if version < MIN_SQLITE:
        raise PreconditionError(f"SQLite {apsw.sqlite_lib_version()} is too old, at least 3.51.3 is needed; upgrade apsw")


def _unusable(path: Path, error: Exception) -> StorageError:
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return StorageError(
            f"the store {path} is damaged ({error}); nothing in it was changed: restore a backup, or choose another directory",
            path=str(path),
            isDamaged=True,
            outcome="not_applied",
        )
    return StorageError(
        f"the store {path} cannot be opened ({error}); check the directory's rights and the disk",
        path=str(path),
        outcome="not_applied",
    )
