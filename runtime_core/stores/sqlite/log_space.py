"""Room in the write-ahead log's file, made before it is needed.

A commit that lengthens the file makes its file system write down where the new blocks are as well: half as long again, and
half as much work, as one that overwrites. SQLite takes zeros behind its frames for what a former round has left.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

RESERVED_BYTES: Final = 8 * 1024 * 1024
"""Twice what is written between two checkpoints of a store that has pauses."""
SLICE_BYTES: Final = 1024 * 1024
"""Some milliseconds of the disk: as long may a commit that comes just then have to wait."""


class LogSpace:
    """The file of the write-ahead log. Used in the writer's thread, between transactions."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._is_done = False

    @property
    def wants_rest(self) -> bool:
        """Whether there is less room than there should be."""
        return not self._is_done

    def size_bytes(self) -> int:
        """0 if there is no file."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def lengthen(self) -> None:
        """Add a slice, durably. Without room on the disk the file stays as it is, and nothing is tried again."""
        size = self.size_bytes()
        if not 0 < size < RESERVED_BYTES:
            self._is_done = True
            return
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self._is_done = True
            return
        try:
            # Written, not only claimed: blocks that hold nothing yet cost a commit as much as new ones.
            wanted = min(SLICE_BYTES, RESERVED_BYTES - size)
            self._is_done = os.pwrite(fd, bytes(wanted), size) < wanted
            os.fdatasync(fd)
        except OSError:
            self._is_done = True
            os.ftruncate(fd, size)
        finally:
            os.close(fd)
