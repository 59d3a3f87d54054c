"""Those who follow one run: what they get is made once for all of them, and a crowd is served in rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from runtime_core.api import WatchBatch
from runtime_core.ports import LogRow

Filter = tuple[bool, bool]
"""(results only, without payloads)."""

CROWD: Final = 4
"""So many watchers of a run are served at once, whatever it costs; more of them in rounds."""

ROUND_S: Final = 0.0004
"""Time between two rounds, for each watcher. One message costs the loop some 60 us, small or of 100 kB, so a crowd takes
about a sixth of it whatever its size. Measured with 100 watchers: rounds of 10, 20, 40 and 80 ms leave a run 0.35, 0.6, 0.75
and 0.77 of its rate."""

MAX_ROUND_S: Final = 0.2
"""No watcher sees anything later than this after it is durable."""

KEPT_BYTES: Final = 2 << 20
"""Of batches behind the log's end, for watchers that fell behind together or read an old run together."""


class Audience:
    """The watchers of one run's log.

    Args:
        shown_seq: the log's durable end.
        on_empty: the last watcher has left.

    Attributes:
        shown_seq: what watchers may have by now. It trails what is durable only while a round is due, and never once the
            log is complete: so all who keep up stand at the same place and get the same batch.
        batches_made: for all watchers together; counted so that tests can tell who shares.
    """

    __slots__ = (
        "_at_end",
        "_durable_seq",
        "_kept",
        "_kept_bytes",
        "_next_round_s",
        "_on_empty",
        "_reads",
        "_timer",
        "_waiters",
        "batches_made",
        "shown_seq",
        "size",
    )

    def __init__(self, shown_seq: int, on_empty: Callable[[], object]) -> None:
        self.shown_seq = shown_seq
        self.size = 0
        self.batches_made = 0
        self._durable_seq = shown_seq
        self._on_empty = on_empty
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._next_round_s = 0.0
        self._timer: asyncio.Handle | None = None
        self._at_end: dict[tuple[int, Filter | None], WatchBatch] = {}
        self._kept: dict[tuple[int, Filter | None], tuple[WatchBatch, int]] = {}
        self._kept_bytes = 0
        self._reads: dict[int, asyncio.Task[list[LogRow]]] = {}

    def enter(self) -> None:
        self.size += 1

    def leave(self) -> None:
        self.size -= 1
        if self.size == 0:
            self._stop_timer()
            for task in self._reads.values():
                task.cancel()
            self._on_empty()

    # --- the end of the log

    def on_durable(self, durable_seq: int, *, at_once: bool) -> None:
        """The log has grown, or is complete or lost (`at_once`)."""
        self._durable_seq = durable_seq
        if at_once or self.size <= CROWD:
            self._stop_timer()
            self._show()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            wait_s = self._next_round_s - loop.time()
            # Even if a round is due, not at once: several rows become durable together.
            self._timer = loop.call_later(wait_s, self._begin_round) if wait_s > 0 else loop.call_soon(self._begin_round)

    def _begin_round(self) -> None:
        self._timer = None
        self._next_round_s = asyncio.get_running_loop().time() + min(self.size * ROUND_S, MAX_ROUND_S)
        self._show()

    def _show(self) -> None:
        self.shown_seq = self._durable_seq
        self._at_end.clear()
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def waiter(self) -> asyncio.Future[None]:
        """Done when there is more to see; to be given to `forget` afterwards. One for each who waits: to cancel the wait of
        one must not end that of others."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        return waiter

    def forget(self, waiter: asyncio.Future[None]) -> None:
        self._waiters.pop(waiter, None)

    # --- what is shared

    def find(self, cursor: int, shape: Filter | None) -> WatchBatch | None:
        """The batch that somebody with this cursor and these wishes has had already."""
        key = (cursor, shape)
        batch = self._at_end.get(key)
        if batch is not None:
            return batch
        kept = self._kept.get(key)
        return None if kept is None else kept[0]

    def keep(self, cursor: int, shape: Filter | None, batch: WatchBatch) -> None:
        """For the others who come to this cursor, if there are any."""
        self.batches_made += 1
        if self.size < 2:
            return
        key = (cursor, shape)
        if batch.through_seq >= self.shown_seq:
            self._at_end[key] = batch
            return
        size = sum(map(len, batch.rows))
        self._kept_bytes += size
        self._kept[key] = (batch, size)
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            self._kept_bytes -= self._kept.pop(oldest)[1]

    async def read_once(self, cursor: int, read: Callable[[], Awaitable[list[LogRow]]]) -> list[LogRow]:
        """Rows from the store: one read for all who ask for the same ones meanwhile."""
        if self.size < 2:
            return await read()
        task = self._reads.get(cursor)
        if task is None:
            task = self._reads[cursor] = asyncio.ensure_future(read())
            task.add_done_callback(lambda done: self._on_read(cursor, done))
        # Whoever leaves must not end the read of the others; the last one to leave does.
        return await asyncio.shield(task)

    def _on_read(self, cursor: int, task: asyncio.Task[list[LogRow]]) -> None:
        self._reads.pop(cursor, None)
        if not task.cancelled():
            task.exception()  # all who asked may be gone: an error that nobody hears is no news
