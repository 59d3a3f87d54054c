"""A stream that is taken up again where it was lost, for as long as that makes sense."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import cast

import grpc.aio

from flowspan.client.channel import Connection
from flowspan.client.retry import may_resume
from flowspan.errors import FlowspanError, UnavailableError
from flowspan.v1.run_service_pb2 import SubmitAndWatchRunResponse, WatchRunResponse

Message = WatchRunResponse | SubmitAndWatchRunResponse
StreamCall = grpc.aio.UnaryStreamCall[object, Message]


class ResumingStream:
    """Messages of a watch over any number of connections. Not to be shared between tasks.

    Args:
        open_call: begins at the cursor that the owner keeps.
        is_accepted: whether the run is known to exist; before, the rules of a unary call hold.
        is_behind_the_end: whether nothing can come any more; asked when a stream ends before its run did.
        locate: completes the details of an error before it is raised.

    Attributes:
        has_ended: nothing comes any more.
    """

    def __init__(
        self,
        connection: Connection,
        open_call: Callable[[], StreamCall],
        is_accepted: Callable[[], bool],
        is_behind_the_end: Callable[[], Awaitable[bool]],
        locate: Callable[[FlowspanError], FlowspanError],
    ) -> None:
        self.has_ended = False
        self._connection = connection
        self._open_call = open_call
        self._is_accepted = is_accepted
        self._is_behind_the_end = is_behind_the_end
        self._locate = locate
        self._call: StreamCall | None = None
        self._retry = 0
        self._lost_at: float | None = None

    async def receive(self) -> Message | None:
        """The next message; None where the stream was lost and another try is due, or where it `has_ended`.

        Raises:
            FlowspanError: it cannot go on.
        """
        clock = asyncio.get_running_loop().time
        try:
            if self._call is None:
                self._call = self._open_call()
            message = await self._connection.step(self._call.read())
            if message is not grpc.aio.EOF:
                self._retry, self._lost_at = 0, None
                return cast(Message, message)
            if await self._is_behind_the_end():
                self.has_ended = True
                return None
            error: FlowspanError = UnavailableError("the stream ended before the run did")
        except FlowspanError as failure:
            error = failure
        except asyncio.CancelledError:
            self.hang_up()  # a read that was cancelled takes its stream along; the cursor is untouched
            raise
        self.hang_up()
        now = clock()
        self._lost_at = now if self._lost_at is None else self._lost_at
        delay_s = self._connection.policy.delay_s(self._retry, random.random(), error)
        if not self._may_go_on(error, now + delay_s - self._lost_at):
            raise self._locate(error)
        self._retry += 1
        await asyncio.sleep(delay_s)
        return None

    def hang_up(self) -> None:
        """End the connection's stream. Harmless if repeated; the next `receive` would begin another."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _may_go_on(self, error: FlowspanError, lost_s: float) -> bool:
        policy = self._connection.policy
        if self._connection.is_closed:
            return False
        if not self._is_accepted():
            return error.retryable and self._retry < policy.max_retries
        return may_resume(error) and (policy.give_up_after_s is None or lost_s <= policy.give_up_after_s)
