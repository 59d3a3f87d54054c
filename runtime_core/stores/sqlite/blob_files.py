"""Large blobs as files below `blobs/`: written whole under a unique name before any row names them.

A file's name is never used twice, so a deletion can unlink exactly the file that its row named, whatever is put meanwhile.
A crash leaves at worst a file without a row, never a row without a file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Final

from runtime_core.stores.sqlite.ownership import PRIVATE_DIRECTORY_MODE, PRIVATE_FILE_MODE

INLINE_BYTES: Final = 256 * 1024
"""Blobs up to this size stand in the database: one commit instead of two synchronisations and a directory entry."""
_STAGING: Final = "staging"


class BlobFiles:
    """The directory of blob files. Methods block; they are called in threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._staging = directory / _STAGING

    def prepare(self) -> None:
        """Make the directories; drop what a former process had not finished."""
        self.directory.mkdir(mode=PRIVATE_DIRECTORY_MODE, exist_ok=True)
        self._staging.mkdir(mode=PRIVATE_DIRECTORY_MODE, exist_ok=True)
        for leftover in self._staging.iterdir():
            leftover.unlink()
        sync_directory(self.directory)

    def path(self, file_name: str) -> Path:
        """Where a file of a blob is. `file_name`: from `publish`, kept in the row."""
        return self.directory / file_name[:2] / file_name[2:4] / file_name

    def create(self) -> StagedFile:
        """A new file that nobody sees."""
        return StagedFile(self._staging / token_hex(16))

    def write(self, data: bytes) -> tuple[str, bytes]:
        """Write and publish a blob's bytes: (file name, SHA-256)."""
        staged = self.create()
        try:
            staged.write(data)
            return self.publish(staged), staged.digest()
        finally:
            staged.discard()

    def publish(self, staged: StagedFile) -> str:
        """Give a staged file its place, durably, and return its name."""
        staged.sync()
        file_name = f"{staged.digest().hex()}.{token_hex(8)}"
        path = self.path(file_name)
        self._make_parents(path)
        os.rename(staged.path, path)
        sync_directory(path.parent)
        return file_name

    def _make_parents(self, path: Path) -> None:
        for directory in (path.parent.parent, path.parent):
            with suppress(FileExistsError):
                directory.mkdir(mode=PRIVATE_DIRECTORY_MODE)
            # Even if another thread made it: that one may not have come to this line yet.
            sync_directory(directory.parent)


class StagedFile:
    """A file that is being written; hashed on the way. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._hash = sha256()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE_MODE)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self._hash.update(data)
        self.size += len(data)

    def read(self) -> bytes:
        """All that was written.

        Raises:
            OSError: the file gives back less.
        """
        data = read_exactly(self._fd, self.size)
        if len(data) != self.size:
            raise OSError(f"{self.path.name} is {len(data)} bytes long after {self.size} were written")
        return data

    def digest(self) -> bytes:
        return self._hash.digest()

    def sync(self) -> None:
        os.fsync(self._fd)

    def discard(self) -> None:
        """Close; unlink unless it was published. Harmless if repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self.path.unlink(missing_ok=True)


def read_exactly(fd: int, size: int) -> bytes:
    """`size` bytes from the start of a file; fewer if it is shorter."""
    parts: list[bytes] = []
    offset = 0
    while offset < size and (part := os.pread(fd, min(size - offset, 1 << 24), offset)):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def read_file(path: Path) -> bytes | None:
    """A published file's bytes; None if there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def sync_directory(path: Path) -> None:
    """Make entries of a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
