"""A run of a remote gateway, followed row by row over any number of connections."""

from __future__ import annotations

from typing import cast

from flowspan.client.channel import Connection
from flowspan.client.resuming import ResumingStream, StreamCall
from flowspan.errors import FlowspanError
from flowspan.v1.event_pb2 import EVENT_KIND_RUN_COMPLETED
from flowspan.v1.run_service_pb2 import GetRunRequest, WatchOptions, WatchRunRequest, WatchRunResponse
from flowspan.view.events import RunStatusCode
from gateway.sidecar.waits import Waits
from runtime_core.api import WatchBatch


class RemoteWatch:
    """`runtime_core.api.RunWatch` over gRPC.

    Args:
        waits: lends the slot of the execution that `options.task_token` names; None: nobody has one to lend.
    """

    def __init__(self, connection: Connection, run_id: str, after_seq: int, options: WatchOptions, waits: Waits | None) -> None:
        self._connection = connection
        self._run_id = run_id
        self._seq = after_seq
        self._options = options
        self._waits = waits
        self._is_over = False
        self._is_accepted = False
        self._stream = ResumingStream(connection, self._open, lambda: self._is_accepted, self._is_behind_the_end, self._located)
        if waits is not None:
            waits.begin_wait(options.task_token)

    async def next_batch(self) -> WatchBatch | None:
        while not (self._is_over or self._stream.has_ended):
            message = await self._stream.receive()
            if message is None:
                continue
            self._is_accepted = True
            return self._batch(cast(WatchRunResponse, message))
        return None

    async def wait_for_slot(self) -> None:
        if self._waits is not None:
            await self._waits.wait_for_slot(self._options.task_token)

    async def aclose(self) -> None:
        self._stream.hang_up()
        waits, self._waits = self._waits, None
        if waits is not None:
            waits.end_wait(self._options.task_token)

    def _batch(self, message: WatchRunResponse) -> WatchBatch:
        for segment in message.segments:
            if segment.first_seq > self._seq:
                break
            # Whole segments come back after a lost connection: what was told before is left out, and keeps its number.
            for position in range(min(self._seq + 1 - segment.first_seq, len(segment.headers))):
                segment.headers[position].Clear()
                if segment.payloads:
                    segment.payloads[position] = b""
        last = message.segments[-1] if message.segments else None
        self._is_over = last is not None and last.headers[-1].kind == EVENT_KIND_RUN_COMPLETED
        self._seq = max(self._seq, message.through_seq)
        if self._is_over:
            self._stream.hang_up()
        row = WatchRunResponse(segments=message.segments).SerializeToString()
        return WatchBatch([row], self._seq, self._run_id, self._is_over)

    def _open(self) -> StreamCall:
        request = WatchRunRequest(run_id=self._run_id, after_seq=self._seq, options=self._options)
        return cast(StreamCall, self._connection.watch_stubs.runs.WatchRun(request))

    async def _is_behind_the_end(self) -> bool:
        answer = await self._connection.unary(self._connection.stubs.runs.GetRun, GetRunRequest(run_id=self._run_id))
        return RunStatusCode(answer.run.status).is_terminal and answer.run.as_of_seq <= self._seq

    def _located(self, error: FlowspanError) -> FlowspanError:
        error.details.setdefault("runId", self._run_id)
        return error
