"""How much nonsense a peer may send before it is given up: counts in a sliding window, with the time passed in."""

from __future__ import annotations

from collections import deque
from typing import Final

VIOLATION_LIMIT: Final = 10
VIOLATION_WINDOW_S: Final = 60.0
NOISE_LIMIT_LINES: Final = 1_000
NOISE_LIMIT_BYTES: Final = 1024 * 1024
NOISE_WINDOW_S: Final = 60.0
_NOISE_SLOTS: Final = 60
"""Noise is summed per second, so that the meter's memory does not follow the peer's output."""


class ViolationMeter:
    """True once `limit` violations fell within `window_s` seconds."""

    __slots__ = ("_limit", "_times", "_window_s")

    def __init__(self, limit: int = VIOLATION_LIMIT, window_s: float = VIOLATION_WINDOW_S) -> None:
        self._limit = limit
        self._window_s = window_s
        self._times: deque[float] = deque(maxlen=limit)

    def add(self, now: float, count: int = 1) -> bool:
        """Count `count` violations at `now` (monotonic seconds); whether the peer is to be given up."""
        for _ in range(min(count, self._limit)):
            self._times.append(now)
        return len(self._times) == self._limit and now - self._times[0] <= self._window_s


class NoiseMeter:
    """True once more than `max_lines` lines or `max_bytes` bytes of noise fell within `window_s` seconds."""

    __slots__ = ("_bytes", "_lines", "_max_bytes", "_max_lines", "_slot_s", "_slots", "_window_s")

    def __init__(
        self, max_lines: int = NOISE_LIMIT_LINES, max_bytes: int = NOISE_LIMIT_BYTES, window_s: float = NOISE_WINDOW_S
    ) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._window_s = window_s
        self._slot_s = window_s / _NOISE_SLOTS
        self._slots: deque[tuple[int, int, int]] = deque()  # (slot number, lines, bytes), oldest first
        self._lines = 0
        self._bytes = 0

    def add(self, now: float, lines: int, size_bytes: int) -> bool:
        """Count noise at `now` (monotonic seconds); whether the peer is to be given up."""
        slot = int(now / self._slot_s)
        while self._slots and self._slots[0][0] <= slot - _NOISE_SLOTS:
            _, old_lines, old_bytes = self._slots.popleft()
            self._lines -= old_lines
            self._bytes -= old_bytes
        if self._slots and self._slots[-1][0] == slot:
            _, slot_lines, slot_bytes = self._slots.pop()
            self._slots.append((slot, slot_lines + lines, slot_bytes + size_bytes))
        else:
            self._slots.append((slot, lines, size_bytes))
        self._lines += lines
        self._bytes += size_bytes
        return self._lines > self._max_lines or self._bytes > self._max_bytes
