"""Who owns a data directory: one process at a time, by a lock that the system drops when the process dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import weakref
from pathlib import Path

from flowspan.errors import PreconditionError

PRIVATE_FILE_MODE = 0o600
PRIVATE_DIRECTORY_MODE = 0o700


class DirectoryLock:
    """An exclusive lock on a file in the directory. The file's text (pid, host) is for the refused one's message."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self) -> None:
        """Take the lock or refuse at once.

        Raises:
            PreconditionError: another store has the directory.
        """
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _read_owner(fd)
            os.close(fd)
            pid, host = owner.get("pid", "unknown"), owner.get("host", "unknown")
            raise PreconditionError(
                f"{self._path.parent} is in use by process {pid} on host {host}; stop it, or choose another directory",
                pid=pid,
                host=host,
            ) from error
        except OSError:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        self._fd = fd
        _HELD.add(self)

    def release(self) -> None:
        """Harmless if repeated."""
        _HELD.discard(self)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def forget_after_fork(self) -> None:
        """In a forked child: drop the inherited descriptor, so that the parent's death alone frees the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


_HELD: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


def _drop_inherited_locks() -> None:
    for lock in list(_HELD):
        lock.forget_after_fork()


os.register_at_fork(after_in_child=_drop_inherited_locks)


def _read_owner(fd: int) -> dict[str, object]:
    try:
        owner = json.loads(os.pread(fd, 4096, 0))
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}
