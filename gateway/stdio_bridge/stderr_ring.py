"""What a component server writes to stderr: kept for the crash report, passed to the log at a bounded rate. No I/O, no clock.

The cost per chunk is bounded whatever the content: once the second's lines are used up, further lines are only counted.
"""

from __future__ import annotations

import re
from typing import Final

MAX_RING_BYTES: Final = 64 * 1024
"""Kept for crash reports (promises: go-plugin keeps as much)."""
MAX_LINE_BYTES: Final = 8 * 1024
"""A longer line is cut; the rest up to the newline is dropped from the log."""
MAX_LINES_PER_S: Final = 100
"""Lines that reach the log in one second; others are counted."""

# Everything that moves a cursor, changes a colour, ends a line or reorders text in a terminal or a log viewer.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _as_escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable(data: bytes) -> str:
    """`data` as one line of text: bytes that are not UTF-8 and control characters other than tab become visible escapes."""
    return _UNPRINTABLE.sub(_as_escape, data.decode("utf-8", "backslashreplace"))


class StderrRing:
    """The last bytes of one stream, and its lines at a bounded rate."""

    def __init__(
        self,
        *,
        max_ring_bytes: int = MAX_RING_BYTES,
        max_line_bytes: int = MAX_LINE_BYTES,
        max_lines_per_s: int = MAX_LINES_PER_S,
    ) -> None:
        self._max_ring_bytes = max_ring_bytes
        self._max_line_bytes = max_line_bytes
        self._max_lines_per_s = max_lines_per_s
        self._ring = bytearray()
        self._line = bytearray()
        self._line_is_cut = False
        self._second_began_at = float("-inf")
        self._lines_left = 0
        self._suppressed_lines = 0

    def feed(self, data: bytes, now: float) -> list[str]:
        """Take what was read; lines for the log, without their line ends, at most `max_lines_per_s` in each second.

        Args:
            data: any cut of the stream.
            now: monotonic seconds.
        """
        self._ring += data[-self._max_ring_bytes :]
        if len(self._ring) > 2 * self._max_ring_bytes:
            del self._ring[: -self._max_ring_bytes]
        if now - self._second_began_at >= 1.0:
            self._second_began_at = now
            self._lines_left = self._max_lines_per_s
        lines: list[str] = []
        start = 0
        while self._lines_left:
            end = data.find(b"\n", start)
            if end < 0:
                self._add_to_line(data[start : start + self._max_line_bytes + 1])
                return lines
            self._add_to_line(data[start : min(end, start + self._max_line_bytes + 1)])
            lines.append(self._take_line())
            self._lines_left -= 1
            start = end + 1
        self._suppress(data, start)
        return lines

    def take_suppressed(self) -> int:
        """How many lines were left out of the log since the last call."""
        count, self._suppressed_lines = self._suppressed_lines, 0
        return count

    def take_rest(self) -> str | None:
        """The last line, which has no line end, once the stream is over; None if there is none."""
        return self._take_line() if self._line else None

    def tail(self, max_bytes: int) -> str:
        """The last `max_bytes` of the stream as printable lines, from a line start where one is near."""
        if max_bytes <= 0:
            return ""
        data = bytes(self._ring[-max_bytes:])
        if len(self._ring) > max_bytes:
            # Starts in the middle of a line, maybe of a character: prefer the next line, if that leaves anything.
            _, _, whole_lines = data.partition(b"\n")
            data = whole_lines or data
        return "\n".join(printable(line.removesuffix(b"\r")) for line in data.split(b"\n")).strip("\n")

    def _add_to_line(self, piece: bytes) -> None:
        room = self._max_line_bytes - len(self._line)
        if len(piece) > room:
            self._line_is_cut = True
        self._line += piece[: max(room, 0)]

    def _take_line(self) -> str:
        text = printable(bytes(self._line.removesuffix(b"\r"))) + ("…" if self._line_is_cut else "")
        self._line.clear()
        self._line_is_cut = False
        return text

    def _suppress(self, data: bytes, start: int) -> None:
        count = data.count(b"\n", start)
        self._suppressed_lines += count
        if count:
            self._line.clear()
            self._line_is_cut = False
            start = data.rfind(b"\n") + 1
        self._add_to_line(data[start : start + self._max_line_bytes + 1])
