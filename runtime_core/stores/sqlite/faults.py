"""What SQLite's and the file system's failures mean for the store: full, busy, broken, or a refused statement."""

from __future__ import annotations

import errno
from enum import Enum, auto
from typing import Final

import apsw

from flowspan.errors import FlowspanError, OverloadedError, Reason, StorageError

RETRY_S: Final = 1.0
"""How often rows that found no room are tried again."""

_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_BROKEN: Final = (
    apsw.IOError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.FormatError,
    apsw.InternalError,
    apsw.PermissionsError,
)


class Fault(Enum):
    """What a failure of SQLite means for the store."""

    FULL = auto()
    """No room. Nothing of the transaction was applied; later there may be room again."""
    BUSY = auto()
    """A foreign process holds the database's lock."""
    BROKEN = auto()
    """The disk or the file lies; nothing may be acknowledged any more."""
    REFUSED = auto()
    """One statement failed (a constraint, a bug); the others of the transaction stand."""


def classify(error: BaseException) -> Fault:
    """The kind of a failure in the writer or a reader."""
    if isinstance(error, apsw.FullError):
        return Fault.FULL
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return Fault.BUSY
    if isinstance(error, apsw.IOError) and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        return Fault.FULL  # the wal-index could not grow: the same disk, before a byte of the log was written
    if isinstance(error, OSError):
        return Fault.FULL if error.errno in _FULL_ERRNOS else Fault.BROKEN
    return Fault.BROKEN if isinstance(error, _BROKEN) else Fault.REFUSED


def translate(error: BaseException) -> BaseException:
    """The error a caller sees. Flowspan's own errors and Python's are passed on."""
    if isinstance(error, FlowspanError) or not isinstance(error, (apsw.Error, OSError)):
        return error
    match classify(error):
        case Fault.FULL:
            translated: FlowspanError = StorageError(
                "the disk is full; nothing was applied: make room, then repeat", reason=Reason.STORAGE_FULL, outcome="not_applied"
            )
        case Fault.BUSY:
            translated = OverloadedError(
                "another process holds a lock on the database; nothing was applied",
                retryAfterMs=int(RETRY_S * 1000),
                outcome="not_applied",
            )
        case Fault.BROKEN:
            translated = StorageError(f"the store failed ({error}); check the disk, then restart", outcome="unknown")
        case Fault.REFUSED:
            translated = StorageError(f"the store refused a statement ({error}); nothing was applied", outcome="not_applied")
    translated.__cause__ = error
    return translated


def failed_store(cause: BaseException) -> StorageError:
    """What every write gets once the store cannot be trusted any more."""
    error = StorageError(f"the store has failed ({cause}); check the disk, then restart", outcome="unknown")
    error.__cause__ = cause
    return error
