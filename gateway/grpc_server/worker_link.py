"""The gateway's side of a worker's stream: what is to be said piles up here and goes out as few messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from flowspan.errors import FlowspanError, Reason
from flowspan.v1 import worker_service_pb2 as pb
from gateway.grpc_server.handlers import Write
from runtime_core.calls import CallTemplate, ComponentCall

MESSAGE_BYTES: Final = 1 << 20
"""Inputs of one message, unless a single one is larger."""
MESSAGE_CALLS: Final = 1_024


class StreamLink:
    """`gateway.workers.worker.WorkerLink` over a gRPC stream. `pump` is the one who writes.

    Args:
        write_timeout_s: a worker that takes nothing for so long is as good as gone.

    Attributes:
        closed_because: why the gateway has ended the stream; None while it goes on.
    """

    def __init__(self, write_timeout_s: float) -> None:
        self._write_timeout_s = write_timeout_s
        self.closed_because: str | None = None
        self._calls: dict[int, ComponentCall] = {}
        self._cancels: list[int] = []
        self._others: list[pb.ConnectResponse] = []
        self._acknowledge = 0
        self._owes_beat = False
        self._said_calls = False
        self._news = asyncio.Event()

    # --- WorkerLink

    def execute(self, calls: Sequence[ComponentCall]) -> None:
        self._calls.update([(call.number, call) for call in calls])
        self._news.set()

    def withdraw(self, numbers: Iterable[int]) -> set[int]:
        return {number for number in numbers if self._calls.pop(number, None) is not None}

    def unwritten(self) -> set[int]:
        return set(self._calls)

    def cancel(self, numbers: Sequence[int]) -> None:
        self._cancels += numbers
        self._news.set()

    def drain(self, reason: str) -> None:
        self.say(pb.ConnectResponse(drain=pb.WorkerDrain(reason=reason)))

    def close(self, why: str) -> None:
        if self.closed_because is None:
            self.closed_because = why
        self._news.set()

    # --- the service

    def say(self, message: pb.ConnectResponse) -> None:
        """Send this ahead of executions."""
        self._others.append(message)
        self._news.set()

    def beat(self) -> None:
        """Answer a heartbeat; several at once are answered once."""
        self._owes_beat = True
        self._news.set()

    def acknowledge(self, sequence: int) -> None:
        """Results up to here were taken over."""
        self._acknowledge = max(self._acknowledge, sequence)
        self._news.set()

    async def pump(self, write: Write) -> None:
        """Write what piles up, one message after the other, until the stream is closed and all is said.

        Raises:
            FlowspanError: (UNAVAILABLE) the worker takes nothing any more.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            while (message := self._next()) is not None:
                try:
                    async with asyncio.timeout(self._write_timeout_s):
                        await write(message.SerializeToString())
                except TimeoutError:
                    what = f"nothing was read from this stream for {self._write_timeout_s:g} s; connect again"
                    raise FlowspanError(what, reason=Reason.UNAVAILABLE) from None
            if self.closed_because is not None:
                return

    def _next(self) -> pb.ConnectResponse | None:
        if self._others:
            return self._others.pop(0)
        if self._cancels:
            cancels, self._cancels = self._cancels, []
            return pb.ConnectResponse(cancel=pb.WorkerCancel(executions=cancels))
        if self._owes_beat:
            self._owes_beat = False
            return _HEARTBEAT
        # In turns: however many executions there are, the worker may forget its results.
        if self._calls and self.closed_because is None and not (self._said_calls and self._acknowledge):
            self._said_calls = True
            return pb.ConnectResponse(execute=self._take_calls())
        if self._acknowledge:
            through, self._acknowledge, self._said_calls = self._acknowledge, 0, False
            return pb.ConnectResponse(acknowledged=pb.WorkerAcknowledged(through_sequence=through))
        return None

    def _take_calls(self) -> pb.WorkerExecute:
        """The calls of the next message, grouped by step. They count as written from here on."""
        taken: list[ComponentCall] = []
        size = 0
        for call in self._calls.values():
            size += len(call.input)
            if taken and (size > MESSAGE_BYTES or len(taken) == MESSAGE_CALLS):
                break
            taken.append(call)
        if len(taken) == len(self._calls):
            self._calls.clear()
        else:
            for call in taken:
                del self._calls[call.number]
        groups: dict[CallTemplate, list[ComponentCall]] = {}
        for call in taken:
            groups.setdefault(call.template, []).append(call)
        return pb.WorkerExecute(batches=[_batch(template, calls) for template, calls in groups.items()])


_HEARTBEAT: Final = pb.ConnectResponse(heartbeat=pb.GatewayHeartbeat())


def _batch(template: CallTemplate, calls: Sequence[ComponentCall]) -> pb.WorkerBatch:
    return pb.WorkerBatch(
        component=template.component,
        run_id=template.run_id,
        flow_id=template.flow_id,
        step_id=template.step_id,
        trace_id=template.trace_id,
        sampled=template.sampled,
        timeout_seconds=template.timeout_s,
        executions=[call.number for call in calls],
        item_indexes=[call.item_index for call in calls],
        attempts=[call.attempt for call in calls],
        inputs=[call.input for call in calls],
    )
