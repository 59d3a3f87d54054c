"""Results of one worker's stream, from messages to the queue: many small messages are taken over together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from flowspan.errors import FlowspanError, InvalidArgumentError
from flowspan.jsonrpc import WireError, check_payload, check_payloads, printable, wire_error
from flowspan.v1 import worker_service_pb2 as pb
from gateway.grpc_server.worker_link import StreamLink
from gateway.workers.queue import WorkerQueue
from gateway.workers.worker import Worker

MAX_MESSAGE_CHARS: Final = 4_096
"""Of a failure's message."""
FEW: Final = 8
"""A message of no more results than these, of a worker that holds several times as many, is likely to have company soon."""
GATHER_S: Final = 0.001
"""How long it waits for that: one turn of the engine, one row and one answer then serve all of them."""


class ResultsIntake:
    """Takes the results of one stream over. `settle` ahead of whatever must not overtake them."""

    def __init__(self, queue: WorkerQueue, worker: Worker, link: StreamLink) -> None:
        self._queue = queue
        self._worker = worker
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._outputs: list[tuple[int, bytes]] = []
        self._failures: list[tuple[int, WireError]] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None

    def take(self, results: pb.WorkerResults) -> None:
        """InvalidArgumentError: its lists are not parallel."""
        if len(results.executions) != len(results.outputs):
            raise InvalidArgumentError(
                f"results name {len(results.executions)} executions and carry {len(results.outputs)} outputs; send as many",
                field="results.outputs",
            )
        outputs = list(zip(results.executions, results.outputs, strict=True))
        self._failures += [(one.execution, _failure(one)) for one in results.failures]
        if outputs:
            try:
                check_payloads(results.outputs)
            except FlowspanError:
                outputs, refused = _sorted_out(outputs)
                self._failures += refused
        self._outputs += outputs
        self._sequence = max(self._sequence, results.sequence)
        if len(outputs) + len(results.failures) > FEW or len(self._worker.calls) <= 4 * FEW:
            self.settle()
        elif self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self.settle)

    def settle(self) -> None:
        """Tell the queue what was gathered. Harmless if there is nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._outputs or self._failures:
            outputs, self._outputs = self._outputs, []
            failures, self._failures = self._failures, []
            self._queue.on_results(self._worker, outputs, failures)
        if self._sequence:
            self._link.acknowledge(self._sequence)
            self._sequence = 0


def _failure(failure: pb.WorkerFailure) -> WireError:
    data = failure.data.json or None
    if data is not None:
        try:
            check_payload(data)
        except FlowspanError:
            data = None  # the failure itself still counts
    return WireError(failure.code, printable(failure.message, MAX_MESSAGE_CHARS), data)


def _sorted_out(outputs: Sequence[tuple[int, bytes]]) -> tuple[list[tuple[int, bytes]], list[tuple[int, WireError]]]:
    """Outputs that can be carried on, and why the others cannot: one bad answer fails its own item only."""
    sound: list[tuple[int, bytes]] = []
    refused: list[tuple[int, WireError]] = []
    for number, output in outputs:
        try:
            check_payload(output)
        except FlowspanError as error:
            refused.append((number, wire_error(error)))
        else:
            sound.append((number, output))
    return sound, refused
