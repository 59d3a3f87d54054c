"""Collecting the events of one read: answers in batches, floods of nonsense in few events."""

from __future__ import annotations

from typing import Final

from flowspan.jsonrpc.events import Answer, NoiseReceived, ProtocolViolation, ResponsesReceived, SessionEvent
from flowspan.jsonrpc.excerpt import printable

_MAX_VIOLATIONS_PER_READ: Final = 32
"""More than the meter allows in a minute; a read full of broken lines must not become that many objects and replies."""
_MAX_NOISE_CHARS: Final = 8 * 1024


class EventList:
    """Events in the order of their lines. `answers` is the batch that the next answer belongs to."""

    __slots__ = ("_events", "_noise", "_noise_chars", "_pending_bytes", "_pending_lines", "_unreported", "answers",
                 "noise_bytes", "noise_lines", "violations")  # fmt: skip

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.violations = 0
        self.noise_lines = 0
        self.noise_bytes = 0
        self._events: list[SessionEvent] = []
        self._noise: list[str] = []
        self._noise_chars = 0
        self._pending_lines = 0
        self._pending_bytes = 0
        self._unreported: dict[bool, tuple[ProtocolViolation, int]] = {}

    def add(self, event: SessionEvent) -> None:
        """Append anything but answers and noise."""
        if isinstance(event, ProtocolViolation):
            self.violations += 1
            if self.violations > _MAX_VIOLATIONS_PER_READ and not event.fatal:
                first, count = self._unreported.get(event.charged, (event, 0))
                self._unreported[event.charged] = (first, count + 1)
                return
        self._flush()
        self._events.append(event)

    def add_noise(self, line: bytes, size_bytes: int) -> None:
        """A line that is no message, without its ending, or only its beginning; `size_bytes` is the whole with the ending."""
        if self.answers:
            self._flush()
        self.noise_lines += 1
        self.noise_bytes += size_bytes
        self._pending_lines += 1
        self._pending_bytes += size_bytes
        room = _MAX_NOISE_CHARS - self._noise_chars
        if room > 0 and line:
            text = printable(line[: 4 * room].decode("utf-8", "backslashreplace"), room)
            self._noise.append(text)
            self._noise_chars += len(text) + 1

    def finish(self) -> list[SessionEvent]:
        """All events; the list is not to be used afterwards."""
        self._flush()
        for first, count in self._unreported.values():
            self._events.append(ProtocolViolation(first.kind, first.message, first.quoted, count=count, charged=first.charged))
        return self._events

    def _flush(self) -> None:
        # Noise flushes the answers before it, so what is still pending of it is older than the answers here.
        self._flush_noise()
        if self.answers:
            self._events.append(ResponsesReceived(self.answers))
            self.answers = []

    def _flush_noise(self) -> None:
        if self._pending_lines:
            self._events.append(NoiseReceived("\n".join(self._noise), self._pending_lines, self._pending_bytes))
            self._noise = []
            self._noise_chars = 0
            self._pending_lines = 0
            self._pending_bytes = 0
