"""Following a run from inside a component: item results as they complete."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from flowspan.components.run_api import RunApi
from flowspan.components.run_calls import WatchOwner
from flowspan.errors import FlowspanError, Reason
from flowspan.jsonrpc import RequestId
from flowspan.view.status import ItemResult, RunStatus
from flowspan.view.wire import item_result_from_wire, run_status_from_wire

MAX_HELD_ITEMS: Final = 10_000
MAX_HELD_BYTES: Final = 16 * 1024 * 1024
"""A reader that is this far behind makes the watch pause: it is cancelled and opened again behind its cursor."""


class RunEvents(msgspec.Struct, rename="camel"):
    """The parameters of `runs/event`."""

    watch_id: RequestId
    cursor: int
    items: list[msgspec.Raw] = []


class Watches:
    """The open watches of a connection, by the id of their request."""

    def __init__(self) -> None:
        self._by_id: dict[RequestId, RunWatch] = {}
        self._decoder = msgspec.json.Decoder(RunEvents)

    def add(self, watch_id: RequestId, watch: RunWatch) -> None:
        self._by_id[watch_id] = watch

    def remove(self, watch_id: RequestId) -> None:
        self._by_id.pop(watch_id, None)

    def take(self, params: bytes) -> None:
        """A `runs/event`. One of a watch that is no more is dropped; so is one that cannot be read."""
        try:
            events = self._decoder.decode(params)
        except msgspec.DecodeError:
            return
        watch = self._by_id.get(events.watch_id)
        if watch is None:
            return
        try:
            watch.take(events)
        except FlowspanError as error:
            watch.fail(error)


class RunWatch:
    """An async iterator of item results in the order of the run's log; ends when the run is terminal.

    Attributes:
        cursor: the last event that was taken in; `watch_run(after_seq=...)` goes on behind it.
        status: the run's status once it is terminal, else None.
    """

    def __init__(self, api: RunApi, watches: Watches, run_id: str, after_seq: int, owner: WatchOwner) -> None:
        self.run_id = run_id
        self.cursor = after_seq
        self.status: RunStatus | None = None
        self._api = api
        self._watches = watches
        self._owner = owner
        self._held: deque[ItemResult] = deque()
        self._held_bytes = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[RunStatus] | None = None
        self._watch_id: RequestId | None = None
        self._paused = False
        self._closed = False
        self._error: FlowspanError | None = None

    def __aiter__(self) -> RunWatch:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    async def __anext__(self) -> ItemResult:
        while not self._held:
            if self._error is not None:
                await self.aclose()
                raise self._error
            if self.status is not None or self._closed:
                await self.aclose()
                raise StopAsyncIteration
            await self._wait_for_news()
        result = self._held.popleft()
        self._held_bytes -= len(result.payload)
        return result

    async def aclose(self) -> None:
        """Stop watching; harmless when it is over."""
        task = self.cancel()
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    def cancel(self) -> asyncio.Task[RunStatus] | None:
        """Stop watching without waiting for it; what is left to end, if anything. On the loop's thread."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    def fail(self, error: FlowspanError) -> None:
        """The reader gets what is held, then this error."""
        self._error = error
        self._news.set()

    def take(self, events: RunEvents) -> None:
        """Results that arrived for this watch."""
        for item in events.items:
            result = item_result_from_wire(bytes(item))
            self._held.append(result)
            self._held_bytes += len(result.payload)
        self.cursor = max(self.cursor, events.cursor)
        self._news.set()
        if (len(self._held) > MAX_HELD_ITEMS or self._held_bytes > MAX_HELD_BYTES) and not self._paused:
            self._paused = True
            self._api.outgoing.notify("$/cancelRequest", {"id": self._watch_id})

    async def _wait_for_news(self) -> None:
        if self._task is None:
            self._paused = False
            self._task = asyncio.get_running_loop().create_task(self._follow())
            self._owner.adopt(self._task)
            self._task.add_done_callback(lambda _task: self._news.set())
        if not self._task.done():
            await self._news.wait()
            self._news.clear()
        if self._task is not None and self._task.done() and not self._held:
            task, self._task = self._task, None
            try:
                self.status = task.result()
            except FlowspanError as error:
                # Our own pause: the reader has caught up, so the loop above opens the watch again.
                if not (self._paused and error.reason is Reason.REQUEST_CANCELLED):
                    raise

    async def _follow(self) -> RunStatus:
        members: dict[str, Any] = {"runId": self.run_id, "afterSeq": self.cursor, **self._api.identity.members()}
        self._owner.begin_wait()
        try:
            answer = await self._api.outgoing.request(
                "runs/watch", msgspec.json.encode(members), timeout_s=None, open_ended=True, on_id=self._register
            )
            return run_status_from_wire(answer)
        finally:
            self._owner.end_wait()
            if self._watch_id is not None:
                self._watches.remove(self._watch_id)

    def _register(self, watch_id: RequestId) -> None:
        if self._watch_id is not None:
            self._watches.remove(self._watch_id)
        self._watch_id = watch_id
        self._watches.add(watch_id, self)
