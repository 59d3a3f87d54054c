"""When the write-ahead log is carried over into the database. By hand, so that a commit does not pay for it under load."""

from __future__ import annotations

import logging
from typing import Final

import apsw

from runtime_core.stores.sqlite.log_space import LogSpace

_log = logging.getLogger(__name__)

IDLE_S: Final = 0.05
"""The writer rests this long before a checkpoint counts as free of charge."""
IDLE_BYTES: Final = 4 * 1024 * 1024
"""Below, a checkpoint's own synchronisation would cost more than it saves."""
FORCED_BYTES: Final = 64 * 1024 * 1024
"""Beyond, a checkpoint is made even under load; at 4 MiB it would cost 6 to 10 ms in every hundredth commit."""
BLOCKING_BYTES: Final = 2 * FORCED_BYTES
"""Beyond, the writer waits (briefly) for readers to let go, so that the log can start again from its beginning."""
BLOCKING_WAIT_MS: Final = 200
TRUNCATE_BYTES: Final = FORCED_BYTES
"""An idle store gives the disk back a log's file that is larger. Up to here it is kept: commits that overwrite are cheaper than
those that lengthen it (`log_space.py`)."""
ALARM_BYTES: Final = 1024 * 1024 * 1024


class CheckpointPolicy:
    """Watches the log's size. Its methods run in the writer's thread; its properties may be asked for in the loop's."""

    def __init__(self, db: apsw.Connection, space: LogSpace, busy_timeout_ms: int) -> None:
        self._db = db
        self._space = space
        self._busy_timeout_ms = busy_timeout_ms
        page_bytes: int = db.execute("PRAGMA page_size").get
        self._idle_pages = IDLE_BYTES // page_bytes
        self._forced_pages = FORCED_BYTES // page_bytes
        self._blocking_pages = BLOCKING_BYTES // page_bytes
        self._wal_pages = 0
        self._copied_pages = 0
        self._next_forced = self._forced_pages
        self._next_blocking = self._blocking_pages
        self._is_alarmed = False
        db.set_wal_hook(self._on_commit)

    def _on_commit(self, _db: apsw.Connection, _name: str, wal_pages: int) -> int:
        if wal_pages < self._wal_pages:  # the log started again from its beginning
            self._copied_pages = 0
            self._next_forced, self._next_blocking = self._forced_pages, self._blocking_pages
            self._is_alarmed = False
        self._wal_pages = wal_pages
        return apsw.SQLITE_OK

    @property
    def is_pressing(self) -> bool:
        """Whether the log is so large that a checkpoint is made even under load."""
        return self._wal_pages >= self._next_forced

    @property
    def wants_rest(self) -> bool:
        """Whether a pause would be used."""
        return self._is_due or self._space.wants_rest

    @property
    def _is_due(self) -> bool:
        return self._wal_pages - self._copied_pages >= self._idle_pages

    def under_load(self) -> None:
        """After a commit: act only if the log is large."""
        if not self.is_pressing:
            return
        if self._wal_pages >= self._next_blocking:
            self._next_blocking = self._wal_pages + self._forced_pages
            self._blocking(apsw.SQLITE_CHECKPOINT_RESTART)
            self._watch_size()
        else:
            self._passive()
        self._next_forced = max(self._forced_pages, self._wal_pages + self._forced_pages // 4)

    def at_rest(self) -> None:
        """In a pause: copy what there is, and give the file's space back if it is large; else make room."""
        if not self._is_due:
            self._space.lengthen()
            return
        if self._space.size_bytes() > TRUNCATE_BYTES:
            self._blocking(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        else:
            self._passive()
        # A reader may have held back the rest; it is copied by a later checkpoint, not by trying in a circle.
        self._copied_pages = self._wal_pages

    def at_end(self) -> None:
        """Before the connection closes."""
        self._blocking(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _passive(self) -> None:
        self._wal_pages, self._copied_pages = self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _blocking(self, mode: int) -> None:
        self._db.set_busy_timeout(BLOCKING_WAIT_MS)
        try:
            self._wal_pages, self._copied_pages = self._checkpoint(mode)
        finally:
            self._db.set_busy_timeout(self._busy_timeout_ms)

    def _checkpoint(self, mode: int) -> tuple[int, int]:
        try:
            pages, copied = self._db.wal_checkpoint(mode=mode)
        except (apsw.BusyError, apsw.LockedError, apsw.FullError):
            return self._wal_pages, self._copied_pages  # a long reader, or no room to grow the database: the log keeps it all
        return max(pages, 0), max(copied, 0)

    def _watch_size(self) -> None:
        size = self._space.size_bytes()
        if size > ALARM_BYTES and not self._is_alarmed:
            self._is_alarmed = True
            _log.warning("%s has grown to %d MiB: a foreign reader keeps the database open", self._space.name, size >> 20)
