"""So many in a second, and no more: keeps what is told about the work small beside the work. No clock."""

from __future__ import annotations


class SecondBudget:
    """Allows `per_second` of something in each second of the caller's clock.

    Attributes:
        refused: how many were not allowed, since the start.
    """

    __slots__ = ("_began_s", "_left", "_per_second", "refused")

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._began_s = float("-inf")
        self._left = 0
        self.refused = 0

    def take(self, now_s: float) -> bool:
        """Whether one more is allowed. `now_s`: monotonic seconds."""
        if now_s - self._began_s >= 1.0:
            self._began_s = now_s
            self._left = self._per_second
        if self._left == 0:
            self.refused += 1
            return False
        self._left -= 1
        return True
