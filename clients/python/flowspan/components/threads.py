"""Threads for sync components.

There is one queue; a thread takes one call at a time from it, so that no call waits behind another that blocks. One thread
works until it is seen to block: small pure functions are executed back to back without contention for the interpreter, and
components that block get as many threads as there are calls within a few milliseconds.

Answers are flushed by the thread that made them: when the queue is empty, when enough have piled up, and ahead of a wait.
What a thread leaves unflushed because it went on to a call that blocks, the loop's timer flushes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from flowspan.components.executions import Execution

RAMP_INTERVAL_S: Final = 0.001
"""How long queued calls wait before more threads are put to work; their number doubles with each interval."""
FLUSH_ANSWERS: Final = 32
"""The gateway works on so many answers while the next ones are made."""
BUSY_SHARE: Final = 0.6
"""From this share of one processor on, a process whose threads take calls is busy; more threads would only contend."""
STUCK_S: Final = 0.010
"""A busy process whose threads take no call for so long computes without the interpreter: more threads help after all."""
IDLE_S: Final = 10.0
"""A thread without work ends after so long."""


class SyncPool:
    """Runs executions on at most `capacity` threads, those that wait for the gateway not counted.

    Args:
        run: executes one call and keeps its answer; called on a pool thread, must not raise.
        flush: sends the answers that were kept; called on any thread, must not raise.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        capacity: int,
        run: Callable[[Execution], None],
        flush: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._capacity = capacity
        self._run = run
        self._flush = flush
        self._lock = threading.Lock()
        self._work_came = threading.Condition(self._lock)
        self._queue: deque[Execution] = deque()
        self._threads = 0
        self._idle = 0
        self._parked = 0
        self._closed = False
        self._ramp: asyncio.TimerHandle | None = None
        self._step = 1
        self._taken = 0
        self._seen = (0, 0.0, 0.0)  # Calls taken, wall and processor time at the last look.
        self._stuck_at = (0, 0.0)  # The calls taken, and since when there were no more.
        self._names = 0

    def submit(self, executions: Sequence[Execution]) -> None:
        """Queue calls. On the loop's thread."""
        with self._lock:
            self._queue.extend(executions)
            busy = self._threads - self._idle - self._parked
            if busy <= 0:
                self._put_to_work(1)
        if self._ramp is None:
            self._step = 1
            self._seen = (self._taken, time.monotonic(), time.process_time())
            self._stuck_at = (self._taken, self._seen[1])
            self._ramp = self._loop.call_later(RAMP_INTERVAL_S, self._on_ramp)

    def withdraw(self, executions: Sequence[Execution]) -> list[Execution]:
        """Take back those that no thread has begun; they never will be. On the loop's thread."""
        wanted = {id(execution) for execution in executions}
        with self._lock:
            held = [execution for execution in self._queue if id(execution) in wanted]
            if held:
                self._queue = deque(execution for execution in self._queue if id(execution) not in wanted)
        return held

    def withdraw_all(self) -> list[Execution]:
        """Take back all that no thread has begun. On the loop's thread."""
        with self._lock:
            held = list(self._queue)
            self._queue.clear()
        return held

    @contextmanager
    def parked(self) -> Iterator[None]:
        """On a pool thread, around a wait: another thread may take its place."""
        self._flush()
        with self._lock:
            self._parked += 1
            if self._queue:
                self._put_to_work(1)
        try:
            yield
        finally:
            with self._lock:
                self._parked -= 1

    def close(self) -> None:
        """Threads without work end; those that run component code are left to end with the process."""
        if self._ramp is not None:
            self._ramp.cancel()
            self._ramp = None
        with self._lock:
            self._closed = True
            self._queue.clear()
            self._work_came.notify_all()

    @property
    def threads(self) -> int:
        """How many there are now."""
        return self._threads

    def _on_ramp(self) -> None:
        self._ramp = None
        # Even if the queue is empty by now: a thread may have gone on to a call that blocks.
        self._flush()
        with self._lock:
            waiting = len(self._queue)
            if waiting == 0 or self._closed:
                return
            if self._seems_blocked():
                self._put_to_work(min(waiting, self._step))
                self._step *= 2
        self._ramp = self._loop.call_later(RAMP_INTERVAL_S, self._on_ramp)

    def _seems_blocked(self) -> bool:
        """Whether, since the last look, the process had little to do, or no call was taken for long."""
        taken, wall_s, cpu_s = self._seen
        now_s, used_s = time.monotonic(), time.process_time()
        self._seen = (self._taken, now_s, used_s)
        if self._taken != self._stuck_at[0]:
            self._stuck_at = (self._taken, now_s)
        elif now_s - self._stuck_at[1] >= STUCK_S:
            self._stuck_at = (self._taken, now_s)
            return True
        if self._taken - taken >= len(self._queue):
            return False  # At this pace the queue is empty at the next look.
        return used_s - cpu_s < BUSY_SHARE * (now_s - wall_s)

    def _put_to_work(self, count: int) -> None:
        """Wake idle threads, then start new ones, `count` in all if the capacity allows. With the lock held."""
        woken = min(count, self._idle)
        if woken:
            self._work_came.notify(woken)
        for _ in range(min(count - woken, self._capacity + self._parked - self._threads)):
            self._threads += 1
            self._names += 1
            # Daemons: a component that hangs must not keep the process alive once its gateway is gone.
            threading.Thread(target=self._work, name=f"component-{self._names}", daemon=True).start()

    def _work(self) -> None:
        unflushed = 0
        while True:
            if unflushed and (unflushed >= FLUSH_ANSWERS or not self._queue):
                self._flush()
                unflushed = 0
            execution = self._next_call(wait=not unflushed)
            if execution is not None:
                self._run(execution)
                unflushed += 1
            elif not unflushed:
                return

    def _next_call(self, wait: bool) -> Execution | None:
        """None if there is none; with `wait` the thread is then counted off and has to end."""
        with self._lock:
            while not self._queue:
                if not wait:
                    return None
                if self._closed or not self._wait_for_work():
                    self._threads -= 1
                    return None
            execution = self._queue.popleft()
            self._taken += 1
            execution.began_s = time.monotonic()
            return execution

    def _wait_for_work(self) -> bool:
        """False if none came. With the lock held, which is released meanwhile."""
        if self._threads - self._parked > self._capacity:
            return False
        self._idle += 1
        try:
            return self._work_came.wait(IDLE_S) or bool(self._queue)
        finally:
            self._idle -= 1
