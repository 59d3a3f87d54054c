"""The executions of a component server, whatever wire brings them: registry, threads, time-outs, stops.

Everything here happens on the loop's thread, except what pool threads call: `_run_sync`, `_flush_finished` and
`wait_in_thread`. Only one thread answers an execution: whoever sets `answered`, under the lock if a pool thread could be the
other one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from flowspan.components.context import BlockingContext, ComponentContext
from flowspan.components.deadlines import STARTED_NOTICE_S, Deadlines
from flowspan.components.executions import Execution, Stop
from flowspan.components.failures import failure_of
from flowspan.components.registry import Kind, Registry
from flowspan.components.run_calls import ResultsWatch, RunCalls, WatchOwner
from flowspan.components.threads import SyncPool
from flowspan.components.values import encode_value
from flowspan.errors import FlowspanError, NotFoundError, Reason, RequestCancelledError, UnavailableError
from flowspan.jsonrpc import RequestId, WireError, printable, wire_error
from flowspan.jsonrpc.bulk import ExecuteMany

_Value = TypeVar("_Value")

EARLY_FLUSH_ANSWERS: Final = 32
"""Answers of inline components are written in pieces of so many, so that the gateway works on them meanwhile."""

CANCELLED: Final = wire_error(RequestCancelledError("the execution was cancelled"))
TIMED_OUT: Final = wire_error(FlowspanError("the component did not answer in time", reason=Reason.TIMEOUT))


class AnswersOut(Protocol):
    """Answers that go out together. Not for two threads at once."""

    def __len__(self) -> int: ...
    def add_output(self, number: int, output: bytes) -> None: ...
    def add_failure(self, number: int, error: WireError) -> None: ...


Batch = TypeVar("Batch", bound=AnswersOut)


class Executor(ABC, Generic[Batch]):
    """Executes what a wire brings; the wire is what a subclass adds.

    Args:
        on_idle: called once `end_when_idle` was asked for and nothing is being executed.
    """

    def __init__(self, registry: Registry, capacity: int, loop: asyncio.AbstractEventLoop, on_idle: Callable[[], None]) -> None:
        self.monotonic = time.monotonic
        self.log = logging.getLogger("flowspan.components")
        self._registry = registry
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._on_idle = on_idle
        self._capacity = capacity
        self._pool = SyncPool(loop, capacity, self._run_sync, self._flush_finished)
        self._executions: dict[RequestId, Execution] = {}
        self._to_threads: list[Execution] = []
        self._out = self._new_batch()
        self._flush_scheduled = False
        self._finished: deque[tuple[Execution, bytes | None, WireError | None]] = deque()
        self._answer_lock = threading.Lock()
        self._deadlines = Deadlines()
        self._sweep: asyncio.TimerHandle | None = None
        self._draining = False
        self._ending = False
        self._closed = False

    # ---------------------------------------------------------------- what a wire adds

    @abstractmethod
    def _new_batch(self) -> Batch: ...

    @abstractmethod
    def _write_batch(self, out: Batch) -> None:
        """Send what is in `out` and leave it empty; on any thread, never blocks."""

    @abstractmethod
    def _put_output(self, out: Batch, execution: Execution, output: bytes) -> None: ...

    @abstractmethod
    def _put_failure(self, out: Batch, execution: Execution, error: WireError) -> None: ...

    @abstractmethod
    def _tell_begun(self, executions: Sequence[Execution]) -> None:
        """The code of these runs since a second."""

    @abstractmethod
    def _on_overrun(self, overrunning: int) -> None:
        """More than half of all threads are held by components that run on after their time-out."""

    @abstractmethod
    def tell_progress(self, execution: Execution, task_token: str | None, fraction: float, message: str | None) -> None:
        """On any thread."""

    @abstractmethod
    def run_calls(self, task_token: str | None, observability: bytes) -> RunCalls:
        """What an execution asks the gateway with. `observability`: JSON, `null` if it has none."""

    @abstractmethod
    def watch_run(self, calls: RunCalls, run_id: str, after_seq: int, owner: WatchOwner) -> ResultsWatch: ...

    # ---------------------------------------------------------------- life

    def close(self) -> None:
        """The gateway is gone. Tasks of components are cancelled, threads are told."""
        if self._closed:
            return
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for execution in list(self._executions.values()):
            self._stop(execution, Stop.DISCONNECTED)
        self._pool.close()

    def end_when_idle(self) -> None:
        """End once nothing is being executed."""
        self._ending = True
        if not self._executions:
            self._loop.call_soon(self._on_idle)

    def _flush_soon(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._flush_now()

    def _flush_now(self) -> None:
        if len(self._out):
            self._write_batch(self._out)

    # ---------------------------------------------------------------- executions

    def _begin_many(self, many: ExecuteMany) -> None:
        """Executions that came in bulk."""
        out = self._out
        component = self._registry.find(many.component)
        if component is None:
            refusal = wire_error(no_component(many.component))
            for call in many.calls:
                out.add_failure(call.number, refusal)
            return
        if component.kind is Kind.INLINE and not component.takes_context:
            function, read_input = component.function, component.read_input
            for call in many.calls:
                try:
                    output = encode_value(function(read_input(call.input)))
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    out.add_failure(call.number, failure_of(error))
                else:
                    out.add_output(call.number, output)
                if len(out) >= EARLY_FLUSH_ANSWERS:
                    self._flush_now()
            return
        for call in many.calls:
            self._begin(Execution(call.number, component, call.input, call, many.timeoutMs, many, path=many.component))
            if len(out) >= EARLY_FLUSH_ANSWERS:
                self._flush_now()

    def _begin(self, execution: Execution) -> None:
        kind = execution.component.kind
        if kind is Kind.INLINE:
            execution.began_s = self.monotonic()
            self._finish(execution, *self._call(execution))
            return
        self._executions[execution.request_id] = execution
        if kind is Kind.ASYNC:
            execution.task = self._loop.create_task(self._run_async(execution))
        else:
            self._to_threads.append(execution)
        self._sweep_by(self.monotonic() + min(execution.timeout_s, STARTED_NOTICE_S))

    def _call(self, execution: Execution) -> tuple[bytes | None, WireError | None]:
        """Run a sync or inline component: its output, or why it has none. Never raises but for an interrupt from the keyboard."""
        component = execution.component
        try:
            value = component.read_input(execution.input)
            if execution.stop is not None:
                return None, CANCELLED  # a cancel came while the thread took the call: its code need not begin
            if component.takes_context:
                returned = component.function(value, BlockingContext(self, execution))
            else:
                returned = component.function(value)
            return encode_value(returned), None
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and component.kind is Kind.INLINE:
                raise
            # sys.exit() in a component fails its item, too: the process is the server's to end. So does whatever else is no
            # `Exception`, such as a CancelledError: there are other executions in this read, or in this thread.
            return None, failure_of(error)

    async def _run_async(self, execution: Execution) -> None:
        if execution.answered:
            return
        execution.began_s = self.monotonic()
        component = execution.component
        output: bytes | None = None
        failure: WireError | None = None
        try:
            value = component.read_input(execution.input)
            if component.takes_context:
                output = encode_value(await component.function(value, ComponentContext(self, execution)))
            else:
                output = encode_value(await component.function(value))
        except asyncio.CancelledError:
            # Else the component cancelled itself, or let a cancelled call of its own pass.
            was_told = execution.stop is not None
            failure = CANCELLED if was_told else failure_of(RuntimeError("the component ended with CancelledError"))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            failure = failure_of(error)
        self._finish(execution, output, failure)

    def _submit_to_threads(self) -> None:
        executions, self._to_threads = self._to_threads, []
        self._pool.submit(executions)

    def _run_sync(self, execution: Execution) -> None:
        """On a pool thread."""
        self._finished.append((execution, *self._call(execution)))

    def _flush_finished(self) -> None:
        """On any thread: answer what pool threads have finished."""
        finished = self._finished
        if not finished:
            return
        out = self._new_batch()
        with self._answer_lock:
            while finished:
                self._answer_with(out, *finished.popleft())
            if out:
                self._write_batch(out)
        if self._ending:
            self.on_loop(self.end_when_idle)

    def _finish(self, execution: Execution, output: bytes | None, failure: WireError | None) -> None:
        """An async or inline component is done."""
        self._answer_with(self._out, execution, output, failure)
        if self._out:
            self._flush_soon()
        if self._ending:
            self.end_when_idle()

    def _answer_with(self, out: Batch, execution: Execution, output: bytes | None, failure: WireError | None) -> None:
        """Put the answer of a component that is done into `out`; nothing if it was answered before."""
        if execution.calls:
            self.on_loop(cancel_all, list(execution.calls))
        self._executions.pop(execution.request_id, None)
        if execution.answered:
            return
        execution.answered = True
        if failure is not None:
            self._put_failure(out, execution, CANCELLED if execution.stop else failure)
            return
        assert output is not None
        self._put_output(out, execution, output)

    def _take_unbegun(self) -> list[Execution]:
        """Those that no thread has begun, which they never will; they are not answered."""
        held = [*self._to_threads, *self._pool.withdraw_all()]
        self._to_threads = []
        for execution in held:
            execution.answered = True
            self._executions.pop(execution.request_id, None)
        return held

    def _refuse(self, execution: Execution, error: WireError) -> None:
        """Answer before the component is done, or instead of beginning it."""
        with self._answer_lock:
            if not execution.answered:
                execution.answered = True
                self._put_failure(self._out, execution, error)
                self._flush_soon()

    def _stop(self, execution: Execution, stop: Stop) -> bool:
        """End an execution early. True if its component never begins."""
        if execution.stop is None:
            execution.stop = stop
        if execution.task is not None:
            execution.task.cancel()
            never_begins = execution.began_s is None
        else:
            never_begins = bool(self._to_threads and self._drop_unsubmitted(execution)) or bool(self._pool.withdraw([execution]))
        for call in list(execution.calls or ()):
            call.cancel()
        if never_begins:
            self._drop(execution)
            self._executions.pop(execution.request_id, None)
            if self._ending:
                self.end_when_idle()
        return never_begins

    def _drop(self, execution: Execution) -> None:
        """Answer for one whose component never begins."""
        self._refuse(execution, CANCELLED)

    def _drop_unsubmitted(self, execution: Execution) -> bool:
        if execution in self._to_threads:
            self._to_threads.remove(execution)
            return True
        return False

    # ---------------------------------------------------------------- time-outs

    def _sweep_by(self, due_s: float) -> None:
        if due_s >= self._deadlines.next_sweep_s or self._closed:
            return
        self._deadlines.next_sweep_s = due_s
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep = self._loop.call_later(max(0.0, due_s - self.monotonic()), self._on_sweep)

    def _on_sweep(self) -> None:
        self._sweep = None
        now_s = self.monotonic()
        swept = self._deadlines.sweep(list(self._executions.values()), now_s)
        for execution in swept.expired:
            self._refuse(execution, TIMED_OUT)
            self._stop(execution, Stop.TIMED_OUT)
        begun = [execution for execution in swept.begun if not execution.answered]
        if begun:
            self._tell_begun(begun)
        if 2 * swept.overrunning > self._capacity and not self._draining:
            self._on_overrun(swept.overrunning)
        due_s = self._deadlines.next_sweep_s
        if due_s != float("inf"):
            self._sweep = self._loop.call_later(max(0.001, due_s - now_s), self._on_sweep)

    # ---------------------------------------------------------------- for contexts

    def begin_wait(self, execution: Execution) -> None:
        execution.begin_wait(self.monotonic())

    def end_wait(self, execution: Execution) -> None:
        now_s = self.monotonic()
        execution.end_wait(now_s)
        self._sweep_by(execution.deadline_s(now_s))

    def adopt(self, execution: Execution, task: asyncio.Task[Any]) -> None:
        """The task is cancelled when the execution ends."""
        if execution.calls is None:
            execution.calls = set()
        execution.calls.add(task)
        task.add_done_callback(execution.calls.discard)

    def wait_in_thread(self, execution: Execution, call: Coroutine[Any, Any, _Value]) -> _Value:
        """Run a call of a sync component on the loop while its thread waits.

        Raises:
            RequestCancelledError: the execution was stopped meanwhile.
        """
        if threading.get_ident() == self._loop_thread:
            call.close()
            raise RuntimeError("an inline component cannot wait for the gateway; remove inline=True from it")
        if execution.stop is not None or self._closed:
            call.close()
            raise stopped(execution)
        try:
            future = asyncio.run_coroutine_threadsafe(self._adopted(execution, call), self._loop)
        except RuntimeError:
            call.close()
            raise UnavailableError("the connection to the gateway is closed") from None
        try:
            with self._pool.parked():
                return future.result()
        except concurrent.futures.CancelledError:
            raise stopped(execution) from None

    async def _adopted(self, execution: Execution, call: Coroutine[Any, Any, _Value]) -> _Value:
        task = asyncio.current_task()
        assert task is not None
        if execution.stop is not None:
            call.close()
            raise stopped(execution)
        self.adopt(execution, task)
        return await call

    def on_loop(self, function: Callable[..., object], *args: object) -> None:
        """Call something on the loop's thread soon, from any thread; dropped when the loop is gone."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is closed: the process is about to end and nobody reads answers.
            return


def no_component(name: str) -> FlowspanError:
    return NotFoundError(
        f"there is no component {printable(name)!r} here; see components/list", reason=Reason.COMPONENT_NOT_FOUND
    )


def cancel_all(calls: list[asyncio.Task[Any]]) -> None:
    for call in calls:
        call.cancel()


def stopped(execution: Execution) -> FlowspanError:
    if execution.stop is None or execution.stop is Stop.DISCONNECTED:
        return UnavailableError("the connection to the gateway is closed")
    return RequestCancelledError(f"the execution has ended: {execution.stop.value}")
