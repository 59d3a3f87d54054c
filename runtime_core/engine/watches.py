"""Watchers: cursors into logs.

A watcher has no queue. At the log's end it is served from the rows that its run keeps in memory; behind that, from the
store. A slow one costs nothing but its cursor.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from flowspan.errors import NotFoundError, Reason, UnavailableError
from runtime_core.api import WatchBatch
from runtime_core.engine.audience import Audience
from runtime_core.engine.open_run import OpenRun
from runtime_core.limits import BATCH_BYTES
from runtime_core.ports import LogRow, SegmentCodec, Store

OPENED_AT_ONCE: Final = 64
"""Runs of a tree that are read ahead of what was handed out."""
KEPT_LOGS: Final = 256
KEPT_LOG_BYTES: Final = 16 * 1024
"""Of runs that ended lately: 4 MiB at most, and as many runs as are usually waited for at a time."""


class EndedLog:
    """The log of a run that has ended.

    Args:
        tail: its last rows, as far as they are in memory.
    """

    __slots__ = ("committed_seq", "run_id", "run_key", "tail")

    is_over = True

    def __init__(self, run_id: str, run_key: int, committed_seq: int, tail: Sequence[LogRow] = ()) -> None:
        self.run_id = run_id
        self.run_key = run_key
        self.committed_seq = committed_seq
        self.tail = tail


class EndedLately:
    """Logs of small runs that ended a moment ago: who waits for such a run often comes when it is over already."""

    def __init__(self) -> None:
        self._logs: dict[str, tuple[str, EndedLog]] = {}

    def __len__(self) -> int:
        return len(self._logs)

    def add(self, run: OpenRun) -> None:
        """Its terminal event is durable. Nothing but its rows is kept."""
        tail = run.tail
        if tail and tail[0].first_seq == 1 and sum([len(row.data) for row in tail]) <= KEPT_LOG_BYTES:
            self._logs[run.run_id] = (run.namespace, EndedLog(run.run_id, run.run_key, run.committed_seq, tuple(tail)))
            if len(self._logs) > KEPT_LOGS:
                del self._logs[next(iter(self._logs))]

    def find(self, namespace: str, run_id: str) -> EndedLog | None:
        found = self._logs.get(run_id)
        return found[1] if found is not None and found[0] == namespace else None

    def drop(self, run_id: str) -> None:
        """The run is being deleted."""
        self._logs.pop(run_id, None)


class RunWatcher:
    """A cursor into one run's log; implements `runtime_core.api.RunWatch`.

    Args:
        settle: with a task token: takes the execution's slot again. `release`: ends the execution's wait.
    """

    def __init__(
        self,
        log: OpenRun | EndedLog,
        audience: Audience,
        store: Store,
        codec: SegmentCodec,
        *,
        after_seq: int,
        results_only: bool,
        omit_payloads: bool,
        is_stopping: Callable[[], bool],
        on_closed: Callable[[RunWatcher], None],
        settle: Callable[[], asyncio.Future[None] | None] | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        self.cursor = after_seq
        self._log = log
        self._audience = audience
        self._store = store
        self._codec = codec
        self._filter = (results_only, omit_payloads) if results_only or omit_payloads else None
        self._is_stopping = is_stopping
        self._on_closed = on_closed
        self._settle = settle
        self._release = release
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        audience.enter()

    @property
    def run_id(self) -> str:
        return self._log.run_id

    @property
    def is_over(self) -> bool:
        """Everything up to the terminal event was handed out."""
        return _is_complete(self._log) and self.cursor >= self._log.committed_seq

    @property
    def has_news(self) -> bool:
        """There is something to see that was not handed out."""
        return self.cursor < self._audience.shown_seq

    async def next_batch(self) -> WatchBatch | None:
        """See `RunWatch.next_batch`."""
        while True:
            log = self._log
            if isinstance(log, OpenRun) and log.lost:
                raise UnavailableError(
                    f"another gateway owns run {log.run_id} now; resume from the cursor", afterSeq=self.cursor, retryAfterMs=1000
                )
            if self.cursor < self._audience.shown_seq:
                batch = self._audience.find(self.cursor, self._filter) or await self._read(log)
                self.cursor = batch.through_seq
                return batch
            if self.is_over or self._closed:
                return None
            if self._is_stopping():
                raise UnavailableError("the gateway is stopping; resume from the cursor", afterSeq=self.cursor, retryAfterMs=1000)
            await self._wait()

    async def wait_for_slot(self) -> None:
        """See `RunWatch.wait_for_slot`."""
        if self._settle is not None:
            future = self._settle()
            if future is not None:
                await future

    async def aclose(self) -> None:
        """See `RunWatch.aclose`."""
        if self._closed:
            return
        self._closed = True
        if self._release is not None:
            self._release()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._audience.leave()
        self._on_closed(self)

    def wake(self) -> None:
        """Look again (the gateway stops)."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        waiter = self._waiter = self._audience.waiter()
        try:
            await waiter
        finally:
            self._waiter = None
            self._audience.forget(waiter)

    async def _read(self, log: OpenRun | EndedLog) -> WatchBatch:
        """At least one row behind the cursor."""
        rows = await self._rows(log)
        # Rows of the store may be durable without having been shown yet.
        shown_seq = self._audience.shown_seq
        if rows[-1].last_seq > shown_seq:
            rows = [row for row in rows if row.last_seq <= shown_seq]
        through_seq = rows[-1].last_seq
        is_last = _is_complete(log) and through_seq >= log.committed_seq
        batch = WatchBatch([self._filtered(row) for row in rows], through_seq, log.run_id, is_last)
        self._audience.keep(self.cursor, self._filter, batch)
        return batch

    async def _rows(self, log: OpenRun | EndedLog) -> list[LogRow]:
        if log.tail and log.tail[0].first_seq <= self.cursor + 1:
            return _tail_rows(log.tail, self.cursor, self._audience.shown_seq)
        read = functools.partial(self._store.read_rows, log.run_key, self.cursor, BATCH_BYTES)
        rows = await self._audience.read_once(self.cursor, read)
        if not rows:
            raise NotFoundError(f"run {log.run_id} was deleted", reason=Reason.RUN_NOT_FOUND, runId=log.run_id)
        return rows

    def _filtered(self, row: LogRow) -> bytes:
        if self._filter is None:
            return row.data
        return self._codec.filter(row.data, results_only=self._filter[0], omit_payloads=self._filter[1])


def _is_complete(log: OpenRun | EndedLog) -> bool:
    """The terminal event is durable."""
    return log.is_over if isinstance(log, EndedLog) else log.committed.status.is_terminal


def _tail_rows(tail: Sequence[LogRow], after_seq: int, through_seq: int) -> list[LogRow]:
    """Rows in memory behind the cursor up to `through_seq`, as many as fit one message."""
    rows: list[LogRow] = []
    size = 0
    # From the end: a watcher at the end, the usual one, looks at the last rows only.
    newest: list[LogRow] = []
    for row in reversed(tail):
        if row.last_seq <= after_seq:
            break
        if row.last_seq <= through_seq:
            newest.append(row)
    for row in reversed(newest):
        if rows and size + len(row.data) > BATCH_BYTES:
            break
        rows.append(row)
        size += len(row.data)
    return rows


class TreeWatcher:
    """Cursors into the logs of a run and of all its sub-runs; implements `runtime_core.api.RunWatch`.

    Each batch is of one run. It is over when the root run and every sub-run that was ever known have been handed out.

    Args:
        open_watch: opens a cursor into one run of the tree.
        members: ids of the runs of the tree that are known now, the root first. Asked once; later ones come by `on_admitted`.
    """

    def __init__(
        self,
        root_run_id: str,
        cursors: dict[str, int],
        open_watch: Callable[[str, int], Awaitable[RunWatcher]],
        members: Callable[[], Awaitable[Sequence[str]]],
        root: RunWatcher,
        on_closed: Callable[[TreeWatcher], None],
    ) -> None:
        self._cursors = cursors
        self._open_watch = open_watch
        self._members = members
        self._on_closed = on_closed
        self._watchers: dict[str, RunWatcher] = {root_run_id: root}
        self._tasks: dict[str, asyncio.Task[WatchBatch | None]] = {}
        self._known: set[str] = {root_run_id}
        self._is_listed = self._has_begun = False
        self._ready: deque[str] = deque()  # whose task is done
        self._to_open: deque[str] = deque()
        self._admitted: list[tuple[str, str | None]] = []
        self._news = asyncio.Event()
        self._root_run_id = root_run_id

    def on_admitted(self, run_id: str, parent_run_id: str | None) -> None:
        """A run came into being, perhaps below this one."""
        self._admitted.append((run_id, parent_run_id))
        self._news.set()

    async def next_batch(self) -> WatchBatch | None:
        """See `RunWatch.next_batch`; `through_seq` is the cursor of `run_id`."""
        while True:
            await self._discover()
            while self._ready:
                run_id = self._ready.popleft()
                batch = self._result(run_id, self._tasks.pop(run_id))
                self._has_begun = True
                if batch is not None:
                    self._follow(run_id)
                    return WatchBatch(batch.rows, batch.through_seq, run_id, is_last=False)
                if run_id != self._root_run_id:
                    await self._watchers.pop(run_id).aclose()
            if self._to_open and self._has_begun:
                await asyncio.sleep(0)  # those that were opened may have something by now
            elif self._tasks:
                await self._news.wait()
            elif not self._admitted:
                return None

    async def wait_for_slot(self) -> None:
        await self._watchers[self._root_run_id].wait_for_slot()

    async def aclose(self) -> None:
        self._on_closed(self)
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        self._tasks.clear()
        for watcher in self._watchers.values():
            await watcher.aclose()

    def _result(self, run_id: str, task: asyncio.Task[WatchBatch | None]) -> WatchBatch | None:
        try:
            return task.result()
        except NotFoundError:
            if run_id == self._root_run_id:
                raise
            return None  # a sub-run that was deleted: there is no more to tell

    async def _discover(self) -> None:
        """Follow what is new in the tree."""
        if not self._is_listed:
            self._to_open += [run_id for run_id in await self._members() if run_id not in self._known]
            self._known.update(self._to_open)
            self._is_listed = True
            # Who is told of a sub-run has heard of the run at the top.
            self._has_begun = not self._watchers[self._root_run_id].has_news
            self._follow(self._root_run_id)
        self._news.clear()
        admitted, self._admitted = self._admitted, []
        for run_id, parent_run_id in admitted:
            if parent_run_id in self._known and run_id not in self._known:
                self._known.add(run_id)
                self._to_open.append(run_id)
        if not self._has_begun:
            return
        # A few at a time: each reads ahead.
        for _ in range(OPENED_AT_ONCE - len(self._ready)):
            if not self._to_open:
                break
            run_id = self._to_open[0]
            try:
                self._watchers[run_id] = await self._open_watch(run_id, self._cursors.get(run_id, 0))
                self._follow(run_id)
            except NotFoundError:
                self._known.discard(run_id)  # deleted by now
            self._to_open.popleft()

    def _follow(self, run_id: str) -> None:
        task = self._tasks[run_id] = asyncio.ensure_future(self._watchers[run_id].next_batch())
        task.add_done_callback(lambda done: self._on_done(run_id, done))

    def _on_done(self, run_id: str, task: asyncio.Task[WatchBatch | None]) -> None:
        if self._tasks.get(run_id) is task:
            self._ready.append(run_id)
            self._news.set()
