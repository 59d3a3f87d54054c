"""The components of a server as a worker executes them: messages of the stream in, results into its outbox."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from flowspan.client.async_client import AsyncClient
from flowspan.components.executions import Execution, Stop
from flowspan.components.executor import Executor
from flowspan.components.registry import Registry
from flowspan.components.run_calls import RunCalls, WatchOwner
from flowspan.components.worker.outbox import Outbox, ResultBatch
from flowspan.components.worker.run_calls import GrpcRunCalls, GrpcRunWatch
from flowspan.components.worker.stream import WorkerStream
from flowspan.errors import FlowspanError, Reason
from flowspan.jsonrpc import RequestId, WireError, wire_error
from flowspan.jsonrpc.bulk import BulkCall, BulkOrigin, ExecuteMany
from flowspan.v1 import worker_service_pb2 as pb
from flowspan.v1.json_value_pb2 import JsonValue

MAX_OUTPUT_BYTES: Final = 15 << 20
"""What fits one message beside its frame; the gateway's own limit of a result is below."""
MAX_TIMEOUT_MS: Final = 2.0**53


class WorkerExecutor(Executor[ResultBatch]):
    """A `WorkerHost`. `connect` it before anything is executed.

    Args:
        on_idle: called once `end_when_idle` was asked for and nothing is being executed.
        on_stuck: called when so many threads hang that another process should take over.
    """

    def __init__(
        self,
        registry: Registry,
        capacity: int,
        loop: asyncio.AbstractEventLoop,
        client: AsyncClient,
        on_idle: Callable[[], None],
        on_stuck: Callable[[], None],
    ) -> None:
        self._on_stuck = on_stuck
        self._client = client
        self._held: set[int] = set()
        self._outbox: Outbox
        self._stream: WorkerStream
        self._token_prefix = self._span_prefix = ""
        super().__init__(registry, capacity, loop, on_idle)

    def connect(self, stream: WorkerStream) -> None:
        self._stream = stream
        self._outbox = stream.outbox

    def leave(self) -> None:
        """Take nothing new, give back what has not begun."""
        self._draining = True
        given_back = [execution.number for execution in self._take_unbegun()]
        self._held.difference_update(given_back)
        self._stream.leaving(given_back)

    @property
    def running(self) -> int:
        """Executions that are not answered; the code of others may run on after its time-out."""
        return sum(not execution.answered for execution in self._executions.values())

    def abandon(self) -> None:
        """What still runs is not waited for: the gateway repeats it elsewhere."""
        self._forget(list(self._executions))

    # ---------------------------------------------------------------- WorkerHost

    @property
    def capacity(self) -> int:
        return self._capacity

    def components(self) -> Sequence[pb.WorkerComponent]:
        return [
            pb.WorkerComponent(
                name=component.name,
                description=component.description or "",
                input_schema=JsonValue(json=msgspec.json.encode(component.input_schema)),
                output_schema=JsonValue(json=msgspec.json.encode(component.output_schema)),
            )
            for component in self._registry.all()
        ]

    def held(self) -> Collection[int]:
        return self._held

    def on_welcome(self, welcome: pb.WorkerWelcome, *, is_new_session: bool) -> None:
        self._token_prefix, self._span_prefix = welcome.token_prefix, welcome.span_prefix
        self._forget(list(self._executions) if is_new_session else welcome.unwanted)
        if is_new_session:
            with self._answer_lock:  # what a thread has just finished is not told to another gateway
                self._out = self._new_batch()
                self._outbox.reset()
            self._held.clear()
        if self._draining:
            self._stream.leaving(())

    def on_execute(self, batches: Sequence[pb.WorkerBatch]) -> None:
        # Nothing asks for a flush of its own while this one is to come.
        self._flush_scheduled = True
        try:
            for batch in batches:
                self._held.update(batch.executions)
                if self._draining:
                    self._give_back(batch.executions)
                    continue
                try:
                    self._begin_many(self._read(batch))
                except Exception as error:
                    self.log.exception("executions could not be begun")
                    self._fail_unbegun(batch.executions, error)
        finally:
            if self._to_threads:
                self._submit_to_threads()
            self._flush()

    def on_cancel(self, numbers: Sequence[int]) -> None:
        dropped: list[int] = []
        running: list[int] = []
        for number in numbers:
            execution = self._executions.get(number)
            if execution is not None and not execution.answered:
                (dropped if self._stop(execution, Stop.CANCELLED) else running).append(number)
        self._stream.cancelled(dropped, running)

    def on_acknowledged(self, numbers: Sequence[int]) -> None:
        self._held.difference_update(numbers)

    def on_drain(self) -> None:
        self._stream.hang_up(for_good=False)

    # ---------------------------------------------------------------- Executor

    def _new_batch(self) -> ResultBatch:
        return ResultBatch()

    def _write_batch(self, out: ResultBatch) -> None:
        self._outbox.add(out)

    def _put_output(self, out: ResultBatch, execution: Execution, output: bytes) -> None:
        if len(output) > MAX_OUTPUT_BYTES:
            out.add_failure(execution.number, _too_large(len(output)))
        else:
            out.add_output(execution.number, output)

    def _put_failure(self, out: ResultBatch, execution: Execution, error: WireError) -> None:
        out.add_failure(execution.number, error)

    def _drop(self, execution: Execution) -> None:
        # The answer to the cancel says so, and no result follows.
        if not execution.answered:
            execution.answered = True
            self._held.discard(execution.number)

    def _tell_begun(self, executions: Sequence[Execution]) -> None:
        self._stream.started([execution.number for execution in executions])

    def _on_overrun(self, overrunning: int) -> None:
        self.log.error(
            "%d of %d threads are held by components that run on after their time-out; this worker leaves",
            overrunning,
            self._capacity,
        )
        self._on_stuck()

    def tell_progress(self, execution: Execution, task_token: str | None, fraction: float, message: str | None) -> None:
        if threading.get_ident() == self._loop_thread:
            self._stream.progress(execution.number, fraction, message)
        else:
            self.on_loop(self._stream.progress, execution.number, fraction, message)

    def run_calls(self, task_token: str | None, observability: bytes) -> RunCalls:
        return GrpcRunCalls(self._client, task_token or "", observability)

    def watch_run(self, calls: RunCalls, run_id: str, after_seq: int, owner: WatchOwner) -> GrpcRunWatch:
        assert isinstance(calls, GrpcRunCalls)
        return calls.watch(run_id, after_seq, owner)

    # ---------------------------------------------------------------- inside

    def _read(self, batch: pb.WorkerBatch) -> ExecuteMany:
        calls = [
            BulkCall(number, item_index, attempt, msgspec.Raw(value))
            for number, item_index, attempt, value in zip(
                batch.executions, batch.item_indexes, batch.attempts, batch.inputs, strict=True
            )
        ]
        flags = "01" if batch.sampled else "00"
        origin = BulkOrigin(batch.trace_id, batch.run_id, batch.flow_id, batch.step_id, flags)
        timeout_ms = min(batch.timeout_seconds * 1000, MAX_TIMEOUT_MS) if batch.timeout_seconds else None
        return ExecuteMany(batch.component, origin, self._span_prefix, self._token_prefix, calls, timeout_ms)

    def _fail_unbegun(self, numbers: Sequence[int], error: Exception) -> None:
        """A bug of ours: what of these has not begun gets an answer all the same."""
        bug = wire_error(FlowspanError(f"a bug in the component server: {type(error).__name__}", reason=Reason.INTERNAL))
        for number in numbers:
            if number not in self._executions:
                self._out.add_failure(number, bug)

    def _give_back(self, numbers: Sequence[int]) -> None:
        self._held.difference_update(numbers)
        self._stream.leaving(numbers)

    def _forget(self, numbers: Sequence[RequestId]) -> None:
        """Nobody waits for these: their code is told to stop, and no result of theirs goes out."""
        for number in numbers:
            execution = self._executions.get(number)
            if execution is not None:
                with self._answer_lock:
                    execution.answered = True
                self._held.discard(execution.number)
                if self._stop(execution, Stop.CANCELLED):
                    self._executions.pop(number, None)


def _too_large(size: int) -> WireError:
    return wire_error(
        FlowspanError(
            f"the output has {size} bytes, at most {MAX_OUTPUT_BYTES} fit a message; store it as a blob and return its id",
            reason=Reason.COMPONENT_FAILED,
        )
    )
