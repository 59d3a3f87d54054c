"""How fast a run goes: a rate over the last seconds, from looks at its count. Not durable, and never a promise."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 5.0


class RateMeter:
    """Items per second over the last `WINDOW_S` seconds, as far as somebody looked."""

    __slots__ = ("_looks",)

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def rate(self, ended: int, now_s: float) -> float:
        """`ended`: items that have ended by now. 0.0 at the first look."""
        looks = self._looks
        if not looks or now_s - looks[-1][0] >= 0.05:
            looks.append((now_s, ended))
        while len(looks) > 2 and now_s - looks[1][0] > WINDOW_S:
            looks.popleft()
        first_s, first = looks[0]
        return (ended - first) / (now_s - first_s) if now_s > first_s else 0.0
