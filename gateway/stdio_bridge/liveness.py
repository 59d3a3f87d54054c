"""Whether a process is still worth talking with: looked at each second, without a timer per call. Has no task and no clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

MAX_PINGS_UNANSWERED: Final = 3
"""A process that hangs in an item is found by the item's time-out; this finds one that hangs in itself."""


class WatchedPipe(Protocol):
    """The process as far as it is watched (`ComponentProcess`)."""

    @property
    def is_running(self) -> bool: ...
    @property
    def stdin_is_open(self) -> bool: ...
    @property
    def stalled_since(self) -> float | None: ...


class Liveness:
    """Signs of life of one process. Times are the loop's.

    Args:
        pipe: its process.
        stall_s: how long its stdin may take nothing, or a line of its stdout stay unfinished.
        ping_s: between two pings.
        send_ping: asks it to answer; whatever it answers ends in `on_pong`.
    """

    def __init__(self, pipe: WatchedPipe, stall_s: float, ping_s: float, send_ping: Callable[[], None]) -> None:
        self._pipe = pipe
        self._stall_s = stall_s
        self._ping_s = ping_s
        self._send_ping = send_ping
        self._partial_since: float | None = None
        self._saw_closed_stdin = False
        self._unanswered = 0
        self._pinged_at = 0.0

    def on_read(self, partial_bytes: int, now: float) -> None:
        """Something came; `partial_bytes` of it are a line that has not ended."""
        self._partial_since = now if partial_bytes else None

    def on_pong(self) -> None:
        """A ping was answered, in whatever way."""
        self._unanswered = 0

    def find_fault(self, now: float, *, answers_pings: bool) -> str | None:
        """Why the process is to be ended, or None. Sends a ping if one is due."""
        since = self._pipe.stalled_since
        if since is not None and now - since > self._stall_s:
            return f"it has not read its stdin for {self._stall_s:g} s"
        if not self._pipe.stdin_is_open and self._pipe.is_running:
            # An exit closes stdin too, a moment before it is seen.
            if self._saw_closed_stdin:
                return "it closed its stdin"
            self._saw_closed_stdin = True
        elif self._partial_since is not None and now - self._partial_since > self._stall_s:
            return f"it left a line on its stdout unfinished for {self._stall_s:g} s"
        elif answers_pings and now - self._pinged_at >= self._ping_s:
            if self._unanswered >= MAX_PINGS_UNANSWERED:
                return f"it answered none of {MAX_PINGS_UNANSWERED} pings, {self._ping_s:g} s apart"
            self._pinged_at = now
            self._unanswered += 1
            self._send_ping()
        return None
