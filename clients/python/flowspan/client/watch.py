"""Following a run: each result once, in order, over any number of lost connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import cast

import msgspec

from flowspan.client.channel import Connection
from flowspan.client.resuming import Message, ResumingStream, StreamCall
from flowspan.errors import FlowspanError, InvalidArgumentError
from flowspan.protobuf.segments import decode_segments
from flowspan.v1.run_service_pb2 import (
    GetRunRequest,
    SubmitAndWatchRunRequest,
    SubmitAndWatchRunResponse,
    WatchOptions,
    WatchRunRequest,
)
from flowspan.view.events import ItemCompleted, RunStatusCode
from flowspan.view.fold import RunFold
from flowspan.view.status import ItemResult, ResultOrder, RunStatus

ReadBlob = Callable[[str], Awaitable[bytes]]


class Watch:
    """The results of a run as they become durable: an async iterator of `ItemResult` that ends with the run.

    A lost connection is taken up again from the last cursor; what was handed out is not handed out again. Not to be shared
    between tasks. `async with` (or `aclose`) ends it early; the run goes on.

    Args:
        run_id: the run, or None with `submission`.
        after_seq: the cursor; 0: from the beginning.
        order: `byCompletion` (the order of the log) or `byIndex` (a result waits for those before it).
        submission: a request that submits the run as well; its bytes are repeated until the run is known.
    """

    def __init__(
        self,
        connection: Connection,
        read_blob: ReadBlob,
        run_id: str | None,
        *,
        after_seq: int = 0,
        order: ResultOrder | str | None = None,
        submission: SubmitAndWatchRunRequest | None = None,
        options: WatchOptions | None = None,
    ) -> None:
        self._by_index = order is not None and ResultOrder(order) is ResultOrder.BY_INDEX
        if self._by_index and after_seq:
            raise InvalidArgumentError("a watch by index begins at after_seq 0; use items(after_item_index=...)", field="order")
        self._connection = connection
        self._read_blob = read_blob
        self._run_id = run_id
        self._submission = None if submission is None else submission.SerializeToString()
        self._options = options
        self._fold = RunFold(keep_results=False)
        self._fold.through_seq = after_seq
        self._stream = ResumingStream(
            connection, self._open, lambda: self._run_id is not None, self._is_behind_the_end, self._located
        )
        self._unread: list[tuple[int, ItemResult]] = []  # payloads are still in blobs
        self._held: dict[int, tuple[int, ItemResult]] = {}  # by index: results that wait for one before them
        self._next_index = 0
        self._ready: list[tuple[int, ItemResult]] = []
        self._given = 0

    @property
    def run_id(self) -> str | None:
        """The run; None until the gateway has accepted it."""
        return self._run_id

    @property
    def status(self) -> RunStatus | None:
        """The run as of what was received, without results. None before event 1, so always for a watch with `after_seq`."""
        return None if self._fold.description is None else self._fold.snapshot()

    @property
    def cursor(self) -> int:
        """Give this as `after_seq` to another watch: it hands out everything that this one has not."""
        if not self._by_index:
            pending = self._ready[self._given : self._given + 1] or self._unread[:1]
        else:
            pending = [*self._ready[self._given :], *self._unread, *self._held.values()]
        return min((seq for seq, _ in pending), default=self._fold.through_seq + 1) - 1

    @property
    def is_over(self) -> bool:
        """The run has ended and every result was handed out."""
        return self._has_ended and not self.has_ready and not self._unread

    @property
    def _has_ended(self) -> bool:
        return self._stream.has_ended or self._fold.is_terminal

    @property
    def has_ready(self) -> bool:
        return self._given < len(self._ready)

    def take(self) -> ItemResult:
        """The next result, if `has_ready`."""
        result = self._ready[self._given][1]
        self._given += 1
        return result

    def take_all(self) -> Sequence[ItemResult]:
        """All results that are at hand."""
        batch = [result for _, result in self._ready[self._given :]]
        self._given = len(self._ready)
        return batch

    async def next_batch(self) -> Sequence[ItemResult]:
        """Whatever has come since the last batch, at least one result; empty when the run is over."""
        while not self.has_ready and not self.is_over:
            await self.fill()
        return self.take_all()

    async def batches(self) -> AsyncIterator[Sequence[ItemResult]]:
        """Results in batches, for consumers in a hurry."""
        while batch := await self.next_batch():
            yield batch

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> ItemResult:
        while not self.has_ready:
            if self.is_over:
                raise StopAsyncIteration
            await self.fill()
        return self.take()

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream. Harmless if repeated; the watch could even go on afterwards."""
        self._stream.hang_up()

    async def fill(self) -> None:
        """Receive one message and make its results ready. To be called when none is; safe to cancel.

        Raises:
            FlowspanError: the watch cannot go on. `details` has `runId` and `afterSeq`, the cursor to resume from.
        """
        if not self._unread:
            if self._has_ended:
                return
            message = await self._stream.receive()
            if message is None:
                return
            self._take_in(message)
        for position, (seq, result) in enumerate(self._unread):
            if result.is_blob:
                payload = await self._read_blob(result.payload.decode("ascii"))
                self._unread[position] = (seq, msgspec.structs.replace(result, payload=payload, is_blob=False))
        fresh, self._unread = self._unread, []
        self._ready, self._given = self._in_order(fresh) if self._by_index else fresh, 0

    def _in_order(self, fresh: list[tuple[int, ItemResult]]) -> list[tuple[int, ItemResult]]:
        held = self._held
        for entry in fresh:
            held[entry[1].item_index] = entry
        ready = []
        while self._next_index in held:
            ready.append(held.pop(self._next_index))
            self._next_index += 1
        if self._fold.is_terminal:  # items that a cancel kept from starting leave holes
            ready += [held[index] for index in sorted(held)]
            held.clear()
        return ready

    def _take_in(self, message: Message) -> None:
        if isinstance(message, SubmitAndWatchRunResponse) and message.HasField("run"):
            self._run_id = message.run.run_id
        fold = self._fold
        for segment in decode_segments(message):
            after_seq = fold.through_seq
            try:
                results = fold.apply(segment)
            except ValueError as error:
                self._stream.hang_up()
                raise self._located(FlowspanError(f"the gateway sent a broken log: {error}", from_peer=True)) from error
            if results:
                seqs = [
                    seq
                    for seq, event in enumerate(segment.events, segment.first_seq)
                    if type(event) is ItemCompleted and seq > after_seq
                ]
                self._unread += zip(seqs, results, strict=True)
        fold.through_seq = max(fold.through_seq, message.through_seq)
        if fold.is_terminal:
            self._stream.hang_up()

    async def _is_behind_the_end(self) -> bool:
        """Whether the log ends at the cursor: a watch that begins there gets no event at all, not even the last."""
        if self._run_id is None:
            return False
        answer = await self._connection.unary(self._connection.stubs.runs.GetRun, GetRunRequest(run_id=self._run_id))
        return RunStatusCode(answer.run.status).is_terminal and answer.run.as_of_seq <= self._fold.through_seq

    def _open(self) -> StreamCall:
        stubs = self._connection.watch_stubs
        if self._run_id is None:
            call = stubs.runs.SubmitAndWatchRun(cast(SubmitAndWatchRunRequest, self._submission))
        else:
            request = WatchRunRequest(run_id=self._run_id, after_seq=self._fold.through_seq, options=self._options)
            call = stubs.runs.WatchRun(request)  # type: ignore[assignment]
        return cast(StreamCall, call)

    def _located(self, error: FlowspanError) -> FlowspanError:
        error.details.setdefault("afterSeq", self.cursor)
        if self._run_id is not None:
            error.details.setdefault("runId", self._run_id)
        return error
