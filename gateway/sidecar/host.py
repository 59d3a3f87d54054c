"""Between a worker's stream and a component server of the stdio bridge: the engine that the server sees.

Executions come from the remote gateway, which owns runs, attempts and retries. What is decided here is what must be decided
beside the process: when there is a slot, when a time is over, and what its end means for what it held.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from math import inf
from typing import Final, Protocol

import structlog

from flowspan.components.worker.outbox import ResultBatch
from flowspan.components.worker.stream import WorkerStream
from flowspan.errors import FlowErrorCode, FlowspanError
from flowspan.jsonrpc import WireError
from flowspan.v1 import worker_service_pb2 as pb
from flowspan.v1.json_value_pb2 import JsonValue
from gateway.catalog import OfferedComponent, PluginStatus
from gateway.sidecar.naming import SessionNaming
from gateway.workers.paths import PathPattern
from gateway.workers.told_crashes import CRASH_CODE, SKIP_CODE
from runtime_core.calls import CallFailure, CallResult, CallSkip, CallTemplate, ComponentCall
from runtime_core.ports import ComponentServer

_log = structlog.get_logger("flowspan.sidecar")

SWEEP_S: Final = 0.25
"""How often times are looked at."""
BACKSTOP_SLACK_S: Final = 5.0
"""How much later than a server that keeps time-outs itself an execution is given up here."""
MAX_CAPACITY: Final = 4_096
DEFAULT_TIMEOUT_S: Final = 60.0
_CODES: Final = {
    FlowErrorCode.INVALID_INPUT: -32602,
    FlowErrorCode.COMPONENT_NOT_FOUND: -32001,
    FlowErrorCode.RESOURCE_UNAVAILABLE: -32005,
    FlowErrorCode.TIMEOUT: -32006,
    FlowErrorCode.UNREACHABLE: -32002,
    FlowErrorCode.CANCELLED: -32800,
}
"""What the gateway makes the same code of again; any other is COMPONENT_FAILED there as here."""
_COMPONENT_FAILED: Final = -32000


class BridgedServer(ComponentServer, Protocol):
    """A component server that can be bridged: one over pipes, or one over HTTP."""

    def start_processes(self) -> None: ...

    async def wait_ready(self, timeout_s: float) -> bool: ...

    async def stop(self, *, drain_s: float = 0.0) -> None: ...

    @property
    def offered(self) -> Mapping[str, OfferedComponent]: ...

    def status(self) -> PluginStatus: ...


class SidecarHost:
    """`flowspan.components.worker.stream.WorkerHost`, `runtime_core.ports.EngineSink` and `gateway.sidecar.waits.Waits`.

    `connect` it before anything comes.

    Attributes:
        is_broken: is set when the component server cannot be used any more and work waits for it.
    """

    def __init__(self, naming: SessionNaming) -> None:
        self.is_broken = asyncio.Event()
        self._naming = naming
        self._loop = asyncio.get_running_loop()
        self._server: BridgedServer
        self._stream: WorkerStream
        self._held: set[int] = set()
        self._calls: dict[int, ComponentCall] = {}
        self._pending: deque[ComponentCall] = deque()
        self._waits: dict[int, int] = {}
        self._waiting_since_s: dict[int, float] = {}
        self._slots_came = asyncio.Event()
        self._idle = asyncio.Event()
        self._capacity = 1
        self._is_leaving = False
        self._is_starting = False
        self._sweeper: asyncio.TimerHandle | None = None

    def connect(self, server: BridgedServer, stream: WorkerStream) -> None:
        self._server = server
        self._stream = stream
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()

    def guess_token(self) -> str | None:
        """Of the execution that was begun last and waits for nothing."""
        for number in reversed(self._calls):
            if number not in self._waits:
                return self._naming.task_token(number)
        return None

    async def leave(self, grace_s: float) -> None:
        """Give back what has not begun, and wait for the rest."""
        self._is_leaving = True
        given_back = [call.number for call in self._pending]
        self._pending.clear()
        self._held.difference_update(given_back)
        self._stream.leaving(given_back)
        self._idle.clear()
        if self._calls:
            try:
                async with asyncio.timeout(grace_s):
                    await self._idle.wait()
            except TimeoutError:
                _log.warning("bridge_leaves_executions", executions=len(self._calls), after_s=grace_s)
        self._held.difference_update(self._calls)
        self._calls.clear()
        self._stream.hang_up(for_good=True)

    # --- WorkerHost

    @property
    def capacity(self) -> int:
        now = self._server.status().capacity
        if now:  # else it starts anew, and is as large as it was
            self._capacity = min(now, MAX_CAPACITY)
        return self._capacity

    def components(self) -> Sequence[pb.WorkerComponent]:
        listed: list[pb.WorkerComponent] = []
        for path, offered in self._server.offered.items():
            try:
                PathPattern(path)
            except FlowspanError as error:
                _log.warning("component_not_offered", component=path, why=error.message)
                continue
            component = pb.WorkerComponent(name=path, description=offered.description or "")
            if offered.input_schema is not None:
                component.input_schema.CopyFrom(JsonValue(json=offered.input_schema))
            if offered.output_schema is not None:
                component.output_schema.CopyFrom(JsonValue(json=offered.output_schema))
            listed.append(component)
        return listed

    def held(self) -> Collection[int]:
        return self._held

    def on_welcome(self, welcome: pb.WorkerWelcome, *, is_new_session: bool) -> None:
        if is_new_session:
            self._pending.clear()
            # Numbers begin anew, and a late answer must not be taken for another one: what held any is replaced.
            self._give_up(list(self._calls.values()))
            self._held.clear()
            self._naming.adopt(welcome.token_prefix, welcome.span_prefix)
        elif welcome.unwanted:
            unwanted = set(welcome.unwanted)
            self._held -= unwanted
            self._pending = deque(call for call in self._pending if call.number not in unwanted)
            self._cancel([call for number in unwanted if (call := self._calls.pop(number, None)) is not None])
        if self._is_leaving:
            self._stream.leaving(())

    def on_execute(self, batches: Sequence[pb.WorkerBatch]) -> None:
        for batch in batches:
            self._held.update(batch.executions)
            if self._is_leaving:
                self._held.difference_update(batch.executions)
                self._stream.leaving(batch.executions)
                continue
            template = CallTemplate(
                namespace="default",
                run_id=batch.run_id,
                flow_id=batch.flow_id,
                step_id=batch.step_id,
                step_index=0,
                component=batch.component,
                timeout_s=batch.timeout_seconds or DEFAULT_TIMEOUT_S,
                trace_id=batch.trace_id,
                parent_span_id="",
                sampled=batch.sampled,
            )
            self._pending += [
                ComponentCall(number, template, item_index, attempt, value, None)
                for number, item_index, attempt, value in zip(
                    batch.executions, batch.item_indexes, batch.attempts, batch.inputs, strict=True
                )
            ]
        self._start()

    def on_cancel(self, numbers: Sequence[int]) -> None:
        wanted = set(numbers)
        dropped = [call.number for call in self._pending if call.number in wanted]
        if dropped:
            self._pending = deque(call for call in self._pending if call.number not in wanted)
            self._held.difference_update(dropped)
        running = [call for number in numbers if (call := self._calls.get(number)) is not None]
        if not running:
            self._stream.cancelled(dropped, ())
            return
        if dropped:
            self._stream.cancelled(dropped, ())
        self._cancel(running)

    def on_acknowledged(self, numbers: Sequence[int]) -> None:
        self._held.difference_update(numbers)

    def on_drain(self) -> None:
        self._stream.hang_up(for_good=False)

    # --- EngineSink

    def on_results(self, results: list[CallResult]) -> None:
        batch = ResultBatch()
        for call, answer in results:
            if self._calls.pop(call.number, None) is None:
                continue
            self._forget_waits(call.number)
            if isinstance(answer, bytes):
                batch.add_output(call.number, answer)
            elif isinstance(answer, CallSkip):
                batch.add_failure(call.number, WireError(SKIP_CODE, answer.reason or ""))
            else:
                batch.add_failure(call.number, _wire(answer))
        self._send(batch)

    def on_slots(self, server: ComponentServer) -> None:
        self._slots_soon()

    def on_crash(
        self, server: ComponentServer, calls: Sequence[ComponentCall], unsent: Sequence[ComponentCall], failure: CallFailure
    ) -> None:
        """What never reached the process goes to the next one; of the rest the gateway repeats what may be repeated."""
        again = [call for call in unsent if self._calls.pop(call.number, None) is not None]
        if self._is_leaving:
            self._held.difference_update([call.number for call in again])
            self._stream.leaving([call.number for call in again])
        else:
            self._pending.extendleft(reversed(again))
        batch = ResultBatch()
        for call in calls:
            if self._calls.pop(call.number, None) is not None:
                self._forget_waits(call.number)
                batch.add_failure(call.number, WireError(CRASH_CODE, failure.message, failure.data))
        self._send(batch)

    def on_lost(self, server: ComponentServer, calls: Sequence[ComponentCall], failure: CallFailure) -> None:
        self.on_crash(server, calls, (), failure)

    def on_progress(self, call: ComponentCall, fraction: float, message: str) -> None:
        if call.number in self._calls:
            self._stream.progress(call.number, fraction, message)

    def on_started(self, calls: Sequence[ComponentCall]) -> None:
        backstop_s = time.monotonic() + BACKSTOP_SLACK_S
        started = [call for call in calls if call.number in self._calls]
        for call in started:
            if call.deadline_s == inf:
                call.deadline_s = backstop_s + call.template.timeout_s
        if started:
            self._stream.started([call.number for call in started])

    # --- Waits

    def begin_wait(self, task_token: str) -> None:
        call = self._call_of(task_token)
        if call is None:
            return
        self._waits[call.number] = self._waits.get(call.number, 0) + 1
        if self._waits[call.number] == 1:
            self._waiting_since_s[call.number] = time.monotonic()
            self._server.park(call)
            self._slots_soon()

    async def wait_for_slot(self, task_token: str) -> None:
        call = self._call_of(task_token)
        while call is not None and call.number in self._calls and self._waits.get(call.number) == 1:
            self._slots_came.clear()
            if self._server.try_unpark(call):
                return
            await self._slots_came.wait()

    def end_wait(self, task_token: str) -> None:
        call = self._call_of(task_token)
        if call is None or call.number not in self._waits:
            return
        self._waits[call.number] -= 1
        if not self._waits[call.number]:
            call.deadline_s += time.monotonic() - self._waiting_since_s[call.number]
            self._forget_waits(call.number)
            self._server.try_unpark(call)  # time-outs, errors and cancels are not held back for a slot

    # --- inside

    def _call_of(self, task_token: str) -> ComponentCall | None:
        number = self._naming.number_of_token(task_token)
        return None if number is None else self._calls.get(number)

    def _forget_waits(self, number: int) -> None:
        if self._waits:
            self._waits.pop(number, None)
            self._waiting_since_s.pop(number, None)

    def _send(self, batch: ResultBatch) -> None:
        if len(batch):
            self._stream.outbox.add(batch)
        if not self._calls:
            self._idle.set()
        self._slots_soon()

    def _slots_soon(self) -> None:
        """Look once for all who ask until then; the server must not be called back from within its call."""
        if not self._is_starting:
            self._is_starting = True
            self._loop.call_soon(self._on_slots_now)

    def _on_slots_now(self) -> None:
        self._is_starting = False
        self._slots_came.set()
        self._start()

    def _start(self) -> None:
        if not self._pending:
            return
        if self._server.broken is not None:
            self.is_broken.set()  # whoever serves the queue beside this one takes what is given back
            return
        free = min(self._server.free_slots(), len(self._pending))
        if not free:
            return
        calls = [self._pending.popleft() for _ in range(free)]
        now_s = time.monotonic()
        since_s = inf if self._server.keeps_timeouts else now_s
        for call in calls:
            call.sent_s = now_s
            call.deadline_s = since_s + call.template.timeout_s
            self._calls[call.number] = call
        self._server.start(calls)

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        now_s = time.monotonic()
        late = [call for call in self._calls.values() if call.deadline_s <= now_s and call.number not in self._waits]
        if not late:
            return
        batch = ResultBatch()
        for call in late:
            what = f"step {call.template.step_id} of item {call.item_index}: no answer from {self._server.name} within "
            batch.add_failure(call.number, WireError(_CODES[FlowErrorCode.TIMEOUT], f"{what}{call.template.timeout_s:g} s"))
        self._give_up(late)
        self._send(batch)

    def _give_up(self, calls: Sequence[ComponentCall]) -> None:
        for call in calls:
            self._calls.pop(call.number, None)
            self._forget_waits(call.number)
        if calls:
            self._server.time_out(calls)

    def _cancel(self, calls: Sequence[ComponentCall]) -> None:
        """Tell the server; once it has confirmed, the gateway is told. Results follow by themselves."""
        if not calls:
            return
        numbers = [call.number for call in calls]
        confirmed = asyncio.ensure_future(self._server.cancel(calls))

        def tell(done: asyncio.Future[int]) -> None:
            if not done.cancelled() and done.exception() is None and done.result() == 0:
                self._stream.cancelled((), numbers)

        confirmed.add_done_callback(tell)


def _wire(failure: CallFailure) -> WireError:
    return WireError(_CODES.get(failure.code, _COMPONENT_FAILED), failure.message, failure.data)
