"""Large rows in files below `rows/`: one file for the log of a run and one for a set of inputs, appended to and never rewritten.

A row of 1 MB in the database is written twice, page by page, and read as a chain of pages: 3 ms of the writer's time, in a file
0.6 ms (measured). The row's own place in the database keeps a reference. The bytes are synchronised before the transaction that
refers to them is committed: a crash leaves at worst bytes that no row names, never a row without its bytes.

A file goes with its owner. Keys of owners are never used twice once they were committed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from flowspan.errors import DataLossError
from runtime_core.stores.sqlite.blob_files import sync_directory
from runtime_core.stores.sqlite.commit_views import Row
from runtime_core.stores.sqlite.ownership import PRIVATE_DIRECTORY_MODE, PRIVATE_FILE_MODE

LARGE_ROW_BYTES: Final = 256 * 1024
"""Up to here a row stands in the database: a commit of its own file would take longer than its pages. Rows of many small items
are smaller."""
MAX_OPEN_FILES: Final = 64
"""Of runs that write large rows at the same time."""

CACHED_LOG_BYTES: Final = 32 * 1024 * 1024
"""Of each log, for watchers that are behind. What is older, and inputs that were read, leave the page cache: others need it more,
and on a virtual machine pages cost less when they are used again (0.35 CPU-ms per MB) than when they are new (1.2)."""

OwnerKind = Literal["log", "inputs"]

_REFERENCE: Final = struct.Struct("<IQQ")
"""Zero, offset, length. No row begins with four zeros: one of a log begins with a tag, one of inputs with its number of items."""
_NO_TAG: Final = 0


class RowFiles:
    """The files. One instance per connection; methods block, and are called in that connection's thread."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open: dict[Path, _RowFile] = {}
        self._unsynced: dict[_RowFile, OwnerKind] = {}

    def prepare(self) -> None:
        """Make the directory."""
        self.directory.mkdir(mode=PRIVATE_DIRECTORY_MODE, exist_ok=True)

    def keep(self, kind: OwnerKind, rows: Sequence[Row]) -> Sequence[Row]:
        """Rows to be inserted (owner's key first, data last), the large ones with references in place of their data.

        What was written is durable after `sync`, which comes before the commit.

        Raises:
            OSError: the disk is full, or broken. Nothing that was referred to before is changed.
        """
        if not any(len(row[-1]) > LARGE_ROW_BYTES for row in rows):  # type: ignore[arg-type]
            return rows
        kept: list[Row] = []
        for row in rows:
            data: Any = row[-1]
            if len(data) > LARGE_ROW_BYTES:
                file = self._file(self._path(kind, row[0]))
                self._unsynced[file] = kind
                row = (*row[:-1], file.append(data))
            kept.append(row)
        return kept

    def sync(self) -> None:
        """Make durable what was written since the last time.

        Raises:
            OSError: the disk is full, or broken.
        """
        if not self._unsynced:
            return
        for file, kind in self._unsynced.items():
            file.sync()
            if kind == "log":
                file.forget_before(CACHED_LOG_BYTES)
        self._unsynced.clear()
        while len(self._open) > MAX_OPEN_FILES:
            self._open.pop(next(iter(self._open))).close()

    def data(self, kind: OwnerKind, owner: int, stored: bytes) -> bytes | None:
        """The data of a row as it was stored; None if the owner's file is not there: then the owner was deleted meanwhile.

        Raises:
            DataLossError: the file is shorter than the row says.
        """
        if not _is_reference(stored):
            return stored
        _, offset, size = _REFERENCE.unpack(stored)
        path = self._path(kind, owner)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            data = os.pread(fd, size, offset)
            if kind == "inputs":  # of which most are read once
                _forget(fd, offset, size)
        finally:
            os.close(fd)
        if len(data) != size:
            raise DataLossError(f"{path.name} in {self.directory} lacks bytes {offset} to {offset + size}; restore a backup")
        return data

    @staticmethod
    def size(stored: bytes) -> int:
        """How long the data of a row is, as it was stored."""
        return _REFERENCE.unpack(stored)[2] if _is_reference(stored) else len(stored)

    def remove(self, kind: OwnerKind, owner: int) -> None:
        """Unlink the file of an owner that was deleted, if it had one."""
        path = self._path(kind, owner)
        file = self._open.pop(path, None)
        if file is not None:
            self._unsynced.pop(file, None)
            file.close()
        path.unlink(missing_ok=True)

    def close(self) -> None:
        """Harmless if repeated."""
        for file in self._open.values():
            file.close()
        self._open.clear()
        self._unsynced.clear()

    def _path(self, kind: OwnerKind, owner: object) -> Path:
        return self.directory / f"{kind}-{owner}"

    def _file(self, path: Path) -> _RowFile:
        file = self._open.pop(path, None) or _RowFile(path)
        self._open[path] = file  # the one used last stands last
        return file


class _RowFile:
    """A file that is appended to. What a failed write left behind the end is overwritten."""

    __slots__ = ("_fd", "_forgotten", "_is_new", "_path", "_size")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE_MODE)
        self._size = os.fstat(self._fd).st_size
        self._is_new = self._size == 0
        self._forgotten = self._size

    def append(self, data: bytes) -> bytes:
        """Write, not durably yet; the reference."""
        view = memoryview(data)
        offset = self._size
        while view:
            written = os.pwrite(self._fd, view, offset)
            view = view[written:]
            offset += written
        reference = _REFERENCE.pack(_NO_TAG, self._size, len(data))
        self._size = offset
        return reference

    def sync(self) -> None:
        os.fdatasync(self._fd)
        if self._is_new:
            sync_directory(self._path.parent)
            self._is_new = False

    def forget_before(self, kept_bytes: int) -> None:
        """Let the page cache keep so much of the end, of what was written here and synchronised."""
        end = self._size - kept_bytes
        if end > self._forgotten:
            _forget(self._fd, self._forgotten, end - self._forgotten)
            self._forgotten = end

    def close(self) -> None:
        os.close(self._fd)


def _is_reference(stored: bytes) -> bool:
    return len(stored) == _REFERENCE.size and stored.startswith(b"\0\0\0\0")


def _forget(fd: int, offset: int, size: int) -> None:
    """Only advice, and not known everywhere."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, offset, size, os.POSIX_FADV_DONTNEED)
