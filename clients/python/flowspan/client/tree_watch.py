"""Following a run and all its sub-runs, at any depth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import cast

import msgspec

from flowspan.client.channel import Connection
from flowspan.client.resuming import Message, ResumingStream, StreamCall
from flowspan.errors import FlowspanError, NotFoundError
from flowspan.protobuf.segments import decode_segments
from flowspan.v1.run_service_pb2 import GetRunRequest, WatchOptions, WatchRunRequest
from flowspan.view.fold import RunFold
from flowspan.view.status import ItemResult, RunStatus

ReadBlob = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class TreeNews:
    """What has come of one run of the tree: where it stands, and the results that are new, which may be none."""

    status: RunStatus
    results: Sequence[ItemResult]


class TreeWatch:
    """A run and its sub-runs as they go on: an async iterator of `TreeNews`, over any number of lost connections.

    The news of one run come in its own order; runs come as the gateway has them, each first with its beginning. It ends when
    all have ended. Not to be shared between tasks. `async with` (or `aclose`) ends it early; the runs go on.
    """

    def __init__(self, connection: Connection, read_blob: ReadBlob, run_id: str) -> None:
        self._connection = connection
        self._read_blob = read_blob
        self._run_id = run_id
        self._folds: dict[str, RunFold] = {}
        self._deleted: set[str] = set()
        self._stream = ResumingStream(connection, self._open, lambda: True, self._is_behind_the_end, self._located)

    @property
    def run_id(self) -> str:
        """The run at the top."""
        return self._run_id

    @property
    def statuses(self) -> Mapping[str, RunStatus]:
        """Every run that was heard of, by id, the one at the top first; without results."""
        return {run_id: fold.snapshot() for run_id, fold in self._folds.items() if fold.description is not None}

    def status(self, run_id: str) -> RunStatus | None:
        """One of `statuses`, without making all of them; None for a run that was not heard of."""
        fold = self._folds.get(run_id)
        return None if fold is None or fold.description is None else fold.snapshot()

    async def next_news(self) -> TreeNews | None:
        """What comes next, of one run; None when all have ended.

        Raises:
            FlowspanError: the watch cannot go on.
        """
        while not self._stream.has_ended:
            message = await self._stream.receive()
            if message is not None and (news := await self._take_in(message)) is not None:
                return news
        return None

    def __aiter__(self) -> AsyncIterator[TreeNews]:
        return self

    async def __anext__(self) -> TreeNews:
        news = await self.next_news()
        if news is None:
            raise StopAsyncIteration
        return news

    async def __aenter__(self) -> TreeWatch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream. Harmless if repeated; the watch could even go on afterwards."""
        self._stream.hang_up()

    async def _take_in(self, message: Message) -> TreeNews | None:
        run_id = message.run_id or self._run_id
        fold = self._folds.setdefault(run_id, RunFold(keep_results=False))
        results: list[ItemResult] = []
        for segment in decode_segments(message):
            try:
                results += fold.apply(segment)
            except ValueError as error:
                self._stream.hang_up()
                raise FlowspanError(f"the gateway sent a broken log of run {run_id}: {error}", from_peer=True) from error
        fold.through_seq = max(fold.through_seq, message.through_seq)
        if fold.description is None:
            return None
        for position, result in enumerate(results):
            if result.is_blob:
                payload = await self._read_blob(result.payload.decode("ascii"))
                results[position] = msgspec.structs.replace(result, payload=payload, is_blob=False)
        return TreeNews(fold.snapshot(), results)

    async def _is_behind_the_end(self) -> bool:
        """The gateway ends the stream once every run has ended; a connection that breaks cleanly does so as well. Of a sub-run
        that ended and was deleted while nobody was connected, no end is ever heard."""
        for run_id, fold in self._folds.items():
            if not fold.is_terminal and run_id not in self._deleted and not await self._was_deleted(run_id):
                return False
        return bool(self._folds)

    async def _was_deleted(self, run_id: str) -> bool:
        if run_id == self._run_id:
            return False
        try:
            await self._connection.unary(self._connection.stubs.runs.GetRun, GetRunRequest(run_id=run_id))
        except NotFoundError:
            self._deleted.add(run_id)
            return True
        return False

    def _open(self) -> StreamCall:
        cursors = {run_id: fold.through_seq for run_id, fold in self._folds.items()}
        request = WatchRunRequest(
            run_id=self._run_id,
            after_seq=cursors.pop(self._run_id, 0),
            options=WatchOptions(whole_tree=True),
            tree_after_seq=cursors,
        )
        return cast(StreamCall, self._connection.watch_stubs.runs.WatchRun(request))

    def _located(self, error: FlowspanError) -> FlowspanError:
        error.details.setdefault("runId", self._run_id)
        return error
