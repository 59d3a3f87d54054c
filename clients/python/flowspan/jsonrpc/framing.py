"""Bytes of a pipe in, blocks of whole lines out.

A block is as many complete lines as a read brought, in one piece: splitting and decoding happen in bulk further on. What
is held between reads is at most one unfinished line within the limit. A line beyond the limit is skipped without being
kept, except for its beginning, from which the caller may tell whose message it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flowspan.jsonrpc.limits import DEFAULT_LIMITS, FrameLimits


@dataclass(frozen=True, slots=True)
class Block:
    """One or more complete lines; `data` ends with a newline."""

    data: bytes


@dataclass(frozen=True, slots=True)
class OversizedLine:
    """A line that was skipped. `head` is its beginning, `size_bytes` its whole length without the newline."""

    head: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class EndlessLine:
    """A line that did not end within the discard limit. Reported once; nothing after it is reported."""

    head: bytes
    size_bytes: int


_PART_BYTES: Final = 16 * 1024
"""Smaller pieces are gathered, so that a line has at most some thousand parts."""

Frame = Block | OversizedLine | EndlessLine


class LineFramer:
    """The framing of one direction of one pipe. Not reusable after `EndlessLine`."""

    __slots__ = ("_endless", "_head", "_held", "_limits", "_parts", "_parts_bytes", "_skipped_bytes")

    def __init__(self, limits: FrameLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        # One growing buffer, not a list of parts: a peer that writes byte by byte must not cost an object per byte.
        # Large pieces stand before it as they came, and are copied once, when their line ends.
        self._held = bytearray()
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._head = b""
        self._skipped_bytes = 0
        self._endless = False

    @property
    def partial_bytes(self) -> int:
        """Bytes of the line that has begun and not ended; 0 between lines. For stall detection."""
        return self._skipped_bytes or self._parts_bytes + len(self._held)

    @property
    def partial_line(self) -> bytes:
        """The beginning of the unfinished line (at most `sniff_bytes`), for a crash report."""
        if self._skipped_bytes:
            return self._head
        begin = b""
        for part in (*self._parts, self._held):
            begin += bytes(part[: self._limits.sniff_bytes - len(begin)])
            if len(begin) == self._limits.sniff_bytes:
                break
        return begin

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take the next bytes and return what they completed, in order. Never raises."""
        if self._endless or not chunk:
            return []
        end = chunk.rfind(b"\n") + 1
        max_line_bytes = self._limits.max_line_bytes
        if not self._skipped_bytes and self._parts_bytes + len(self._held) + len(chunk) <= max_line_bytes:
            # No line in here can be too long.
            if not end:
                self._hold(chunk)
                return []
            if self._parts or self._held:
                block = b"".join((*self._parts, self._held, chunk[:end]))
                self._parts, self._parts_bytes, self._held = [], 0, bytearray()
            else:
                block = chunk[:end]
            self._hold(chunk[end:])
            return [Block(block)]
        if self._parts:
            self._held = bytearray(b"".join((*self._parts, self._held)))
            self._parts, self._parts_bytes = [], 0
        return self._feed_lines(chunk)

    def _hold(self, piece: bytes) -> None:
        if len(piece) < _PART_BYTES:
            self._held += piece
            return
        if self._held:
            self._parts.append(bytes(self._held))
            self._parts_bytes += len(self._held)
            self._held = bytearray()
        self._parts.append(piece)
        self._parts_bytes += len(piece)

    def _feed_lines(self, chunk: bytes) -> list[Frame]:
        """Line by line, since one of them may be too long."""
        frames: list[Frame] = []
        whole: list[bytes] = []
        start = 0
        while not self._endless and start < len(chunk):
            end = chunk.find(b"\n", start) + 1
            piece = chunk[start : end or len(chunk)]
            start = end or len(chunk)
            if not self._take(piece):
                self._skip(piece, frames, whole)
            elif end:
                whole.append(bytes(self._held))
                self._held = bytearray()
        if whole:
            frames.append(Block(b"".join(whole)))
        return frames

    def _take(self, piece: bytes) -> bool:
        """Hold `piece` if the line stays within the limit."""
        ending = piece.endswith(b"\n")
        if self._skipped_bytes or len(self._held) + len(piece) - ending > self._limits.max_line_bytes:
            return False
        self._held += piece
        return True

    def _skip(self, piece: bytes, frames: list[Frame], whole: list[bytes]) -> None:
        if not self._skipped_bytes:
            # The line is longer than its limit by now, so the head is complete at once.
            sniff_bytes = min(self._limits.sniff_bytes, self._limits.max_line_bytes)
            self._head = bytes(self._held[:sniff_bytes]) + piece[: max(0, sniff_bytes - len(self._held))]
            self._skipped_bytes = len(self._held)
            self._held = bytearray()
        ending = piece.endswith(b"\n")
        self._skipped_bytes += len(piece) - ending
        too_much = self._skipped_bytes > self._limits.max_line_bytes + self._limits.max_discard_bytes
        if not ending and not too_much:
            return
        if whole:
            frames.append(Block(b"".join(whole)))
            whole.clear()
        head = self._head
        if too_much:
            self._endless = True
            # The figure must not depend on how the bytes were cut into reads.
            frames.append(EndlessLine(head, self._limits.max_line_bytes + self._limits.max_discard_bytes))
        else:
            frames.append(OversizedLine(head, self._skipped_bytes))
        self._head = b""
        self._skipped_bytes = 0
