"""How long a write to a reader may take. One timer for all writes: a timer each cost more than the rest of a small write."""

from __future__ import annotations

import asyncio
from typing import Final


class WriteUnderWay:
    """One write, by the task that waits for it."""

    __slots__ = ("cancels_before", "is_late", "since_s", "task")

    def __init__(self, task: asyncio.Task[object], since_s: float) -> None:
        self.task: Final = task
        self.since_s: Final = since_s
        self.cancels_before: Final = task.cancelling()
        self.is_late = False

    def has_passed(self) -> bool:
        """To be asked once, when the write was cancelled: it was the deadline and nobody else who cancelled it."""
        return self.is_late and self.task.uncancel() <= self.cancels_before


class WriteDeadlines:
    """Cancels writes that take longer than `timeout_s`. Each write is ended by the task that began it."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s: Final = timeout_s
        self._under_way: Final[dict[WriteUnderWay, None]] = {}  # oldest first
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> WriteUnderWay:
        """The running task begins a write now."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        write = WriteUnderWay(task, loop.time())
        self._under_way[write] = None
        if self._timer is None:
            self._timer = loop.call_later(self.timeout_s, self._on_timer, loop)
        return write

    def end(self, write: WriteUnderWay) -> None:
        """It is over, well or badly."""
        self._under_way.pop(write, None)

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        latest_s = loop.time() - self.timeout_s + 0.001  # a timer may come a clock tick early
        while self._under_way:
            write = next(iter(self._under_way))
            if write.since_s > latest_s:
                self._timer = loop.call_at(write.since_s + self.timeout_s, self._on_timer, loop)
                return
            del self._under_way[write]
            write.is_late = True
            write.task.cancel()
