"""Random bytes, drawn from the operating system many at a time.

Each draw is a system call that hands the interpreter to another thread; beside a busy writer it takes 10 to 20 us (measured),
and a run needs three.
"""

from __future__ import annotations

import os
from typing import Final

_DRAWN_BYTES: Final = 4096


class Entropy:
    """Hands out each byte once. Of one process and one thread."""

    __slots__ = ("_at", "_drawn")

    def __init__(self) -> None:
        self._drawn = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """`count` random bytes, at most 4096."""
        end = self._at + count
        if end > len(self._drawn):
            self._drawn = os.urandom(_DRAWN_BYTES)
            self._at, end = 0, count
        taken = self._drawn[self._at : end]
        self._at = end
        return taken


random_bytes: Final = Entropy().take
