"""How many bytes all streams together may have under way to their readers."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from gateway.grpc_server.limits import WRITE_BUDGET_BYTES, WRITE_STALL_S


class WriteShare:
    """What one write holds of the budget."""

    __slots__ = ("is_stalled", "since_s", "size")

    def __init__(self, size: int, since_s: float) -> None:
        self.size: Final = size
        self.since_s: Final = since_s
        self.is_stalled = False


class WriteBudget:
    """Bounds the bytes of messages that were handed to gRPC and not yet taken by their readers.

    A reader that does not read must not hold up the others, so a write that lasts longer than `stall_s` stops counting:
    it costs the memory of its one message, and the number of streams bounds those. Whoever waits is served in turn.

    Args:
        max_bytes: a single message larger than this still goes out, alone.
        stall_s: seconds after which a write counts as stalled.
    """

    def __init__(self, max_bytes: int = WRITE_BUDGET_BYTES, stall_s: float = WRITE_STALL_S) -> None:
        self._max_bytes: Final = max_bytes
        self._stall_s: Final = stall_s
        self._active: Final[dict[WriteShare, None]] = {}  # oldest first
        self._active_bytes = 0
        self._stalled_bytes = 0
        self._waiters: Final[deque[tuple[int, asyncio.Future[WriteShare]]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def active_bytes(self) -> int:
        """Bytes under way to readers that read."""
        return self._active_bytes

    @property
    def stalled_bytes(self) -> int:
        """Bytes under way to readers that do not read."""
        return self._stalled_bytes

    def take_at_once(self, size: int) -> WriteShare | None:
        """As `take`, if nobody has to wait: the usual case, without a coroutine."""
        if self._waiters or not self._fits(size):
            return None
        return self._grant(size, asyncio.get_running_loop())

    async def take(self, size: int) -> WriteShare:
        """Wait until `size` bytes may be written. Every share must be given back."""
        loop = asyncio.get_running_loop()
        if self._waiters or not self._fits(size):
            self._write_off_stalled(loop.time())
            self._wake(loop)
        if not self._waiters and self._fits(size):
            return self._grant(size, loop)
        turn: asyncio.Future[WriteShare] = loop.create_future()
        entry = (size, turn)
        self._waiters.append(entry)
        self._set_timer(loop)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiters.remove(entry)
                self._wake(loop)
            else:  # cancelled in the same step in which the share was granted
                self.give_back(turn.result())
            raise

    def give_back(self, share: WriteShare) -> None:
        """The write is over, well or badly."""
        if share.is_stalled:
            self._stalled_bytes -= share.size
            return
        del self._active[share]
        self._active_bytes -= share.size
        self._wake(asyncio.get_running_loop())

    def _fits(self, size: int) -> bool:
        return not self._active or self._active_bytes + size <= self._max_bytes

    def _grant(self, size: int, loop: asyncio.AbstractEventLoop) -> WriteShare:
        share = WriteShare(size, loop.time())
        self._active[share] = None
        self._active_bytes += size
        return share

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Grant shares to those who wait, in turn, as long as they fit."""
        while self._waiters and self._fits(self._waiters[0][0]):
            size, turn = self._waiters[0]
            if turn.cancelled():  # it takes itself out when its task runs
                return
            self._waiters.popleft()
            turn.set_result(self._grant(size, loop))

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        """While somebody waits, one timer looks for writes that have stalled."""
        if self._timer is None and self._waiters and self._active:
            oldest = next(iter(self._active))
            self._timer = loop.call_at(oldest.since_s + self._stall_s, self._on_timer, loop)

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._write_off_stalled(loop.time())
        self._wake(loop)
        self._set_timer(loop)

    def _write_off_stalled(self, now_s: float) -> None:
        while self._active:
            oldest = next(iter(self._active))
            # A timer may come a clock tick early.
            if now_s - oldest.since_s < self._stall_s - 0.001:
                return
            del self._active[oldest]
            oldest.is_stalled = True
            self._active_bytes -= oldest.size
            self._stalled_bytes += oldest.size
