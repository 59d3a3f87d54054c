"""How many answers of a plugin fit its pipe at once, as far as earlier ones tell. Pure.

Servers of the older SDKs write without waiting for room: what does not fit the pipe at that moment is lost.
"""

from __future__ import annotations

from typing import Final

BURST_BYTES: Final = 768 * 1024
"""Of a pipe of 1 MiB; the rest is for what they ask meanwhile."""
MIN_CALLS: Final = 2
_FORGET: Final = 16
"""With each read a part of this size of what was known is forgotten: one large answer counts for some dozens of reads."""


class OutputSizes:
    """A slowly falling maximum, kept over restarts of the process."""

    __slots__ = ("usual_bytes",)

    def __init__(self) -> None:
        self.usual_bytes = 0

    def note(self, largest_bytes: int) -> None:
        """The largest answer of one read."""
        self.usual_bytes = max(largest_bytes, self.usual_bytes - self.usual_bytes // _FORGET)

    @property
    def calls_within_pipe(self) -> int:
        """Calls that may be answered at the same moment."""
        return max(MIN_CALLS, BURST_BYTES // max(1, self.usual_bytes))
