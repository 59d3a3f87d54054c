"""From the log to a caller's stream: rows go out as the bytes that were committed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from flowspan.errors import OverloadedError
from flowspan.protobuf.segments import through_seq_field, varint
from gateway.grpc_server.handlers import Write
from gateway.grpc_server.limits import MAX_WATCH_STREAMS, WRITE_TIMEOUT_S
from gateway.grpc_server.write_budget import WriteBudget
from gateway.grpc_server.write_deadlines import WriteDeadlines
from runtime_core.api import RunWatch

_RUN_ID_TAG: Final = bytes([3 << 3 | 2])
"""Field `run_id` of WatchRunResponse and of SubmitAndWatchRunResponse."""


def run_id_field(run_id: str) -> bytes:
    """Field `run_id` of a watch response, to be appended to joined rows."""
    data = run_id.encode()
    return _RUN_ID_TAG + varint(len(data)) + data


class WatchStreams:
    """All open streams of events.

    Args:
        write_timeout_s: a reader that takes nothing for so long is let go.

    Attributes:
        messages_joined: of rows; counted so that tests can tell which were made for several streams together.
    """

    def __init__(
        self,
        budget: WriteBudget,
        *,
        max_streams: int = MAX_WATCH_STREAMS,
        write_timeout_s: float = WRITE_TIMEOUT_S,
    ) -> None:
        self._budget: Final = budget
        self._max_streams: Final = max_streams
        self._deadlines: Final = WriteDeadlines(write_timeout_s)
        self._open = 0
        self.messages_joined = 0

    @property
    def open_streams(self) -> int:
        return self._open

    def check_room(self) -> None:
        """OverloadedError if there are too many streams already. Asked before anything is done for a new one."""
        if self._open >= self._max_streams:
            raise OverloadedError(f"{self._max_streams} event streams are open; end some, or ask again later", retryAfterMs=1_000)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """While it lasts there is one more open stream, written by somebody else. OverloadedError if there is no room."""
        self.check_room()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def pump(
        self, watch: RunWatch, write: Write, *, after_seq: int, whole_tree: bool, holds_slot: bool, head: bytes = b""
    ) -> None:
        """Write everything that `watch` yields, then close it.

        While one message is written, events pile up in the log; the next message takes them all. So there is one
        message, and no task and no timer, per batch.

        Args:
            after_seq: the caller's cursor.
            whole_tree: messages name their run; each run has a cursor of its own, which only the caller knows.
            holds_slot: an execution waits for this run: it takes its slot again ahead of the last message.
            head: fields that go out with the first batch, in one message.

        Raises:
            FlowspanError: what the watch raised.
            OverloadedError: the reader took nothing for too long; `details["afterSeq"]` is the cursor to resume from
                (not in a tree).
        """
        self._open += 1
        sent_seq = after_seq
        try:
            while (batch := await watch.next_batch()) is not None:
                if holds_slot and batch.is_last:
                    await watch.wait_for_slot()
                if batch.message and not (whole_tree or head):
                    message = batch.message[0]  # joined for another watcher that stands here
                else:
                    tail = run_id_field(batch.run_id) if whole_tree else b""
                    message = b"".join((head, *batch.rows, through_seq_field(batch.through_seq), tail))
                    self.messages_joined += 1
                    if not (whole_tree or head):
                        batch.message.append(message)
                resume = {} if whole_tree else {"afterSeq": sent_seq}
                await self.write(write, message, **resume)
                sent_seq, head = batch.through_seq, b""
        finally:
            self._open -= 1
            await watch.aclose()

    async def write(self, write: Write, message: bytes, **resume: int | str) -> None:
        """Write one message within the budget of all streams.

        Args:
            resume: what the caller needs to go on, if it has to be let go.
        """
        budget, deadlines = self._budget, self._deadlines
        size = len(message)
        share = budget.take_at_once(size) or await budget.take(size)
        under_way = deadlines.begin()
        try:
            await write(message)
        except asyncio.CancelledError:
            if under_way.has_passed():
                raise _stalled(deadlines.timeout_s, resume) from None
            raise
        finally:
            deadlines.end(under_way)
            budget.give_back(share)


def _stalled(timeout_s: float, resume: dict[str, int | str]) -> OverloadedError:
    error = OverloadedError(
        f"nothing was read from this stream for {timeout_s:.0f} s; begin again from the last cursor", retryAfterMs=0
    )
    error.details.update(resume)
    return error
