"""One conversation with a gateway: bytes in, executions, bytes out. Knows no descriptors; `stdio_loop` feeds it.

One read is decoded as a whole and answered with few writes: inline components run as their requests are met, the others
answer in whatever batches they complete in. Everything here happens on the loop's thread, except what pool threads call:
`_run_sync`, `_flush_finished`, `wait_in_thread` and `tell`. Only one thread answers an execution: whoever sets `answered`,
under the lock if a pool thread could be the other one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import msgspec

from flowspan.components.context import BlockingContext, ComponentContext
from flowspan.components.deadlines import STARTED_NOTICE_S, Deadlines
from flowspan.components.executions import Execution, Stop, decode_execute
from flowspan.components.failures import failure_of
from flowspan.components.handshake import ServerMethods
from flowspan.components.outgoing import Outgoing
from flowspan.components.registry import Kind, Registry
from flowspan.components.threads import SyncPool
from flowspan.components.values import encode_value
from flowspan.components.watch import Watches
from flowspan.errors import FlowspanError, InvalidArgumentError, NotFoundError, Reason, RequestCancelledError, UnavailableError
from flowspan.jsonrpc import (
    CLIENT_LIMITS,
    NoiseReceived,
    NotificationReceived,
    ProtocolViolation,
    RequestId,
    RequestReceived,
    ResponsesReceived,
    Session,
    SessionEvent,
    WireError,
    printable,
    wire_error,
)
from flowspan.jsonrpc.bulk import EXECUTE, AnswerBatch, decode_execute_many

_Value = TypeVar("_Value")

EARLY_FLUSH_ANSWERS: Final = 32
"""Answers of inline components are written in pieces of so many, so that the gateway works on them meanwhile."""

_CANCELLED: Final = wire_error(RequestCancelledError("the execution was cancelled"))
_TIMED_OUT: Final = wire_error(FlowspanError("the component did not answer in time", reason=Reason.TIMEOUT))


class Connection:
    """The server's end of a pipe pair.

    Args:
        write: takes bytes for the gateway, whole lines; never blocks; called on any thread.
        on_shutdown: called once the gateway has asked to end and nothing is being executed.
    """

    def __init__(
        self,
        registry: Registry,
        capacity: int,
        loop: asyncio.AbstractEventLoop,
        write: Callable[[bytes], None],
        on_shutdown: Callable[[], None],
    ) -> None:
        self.monotonic = time.monotonic
        self._components = registry.by_name
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._write = write
        self._on_shutdown = on_shutdown
        self._session = Session(limits=CLIENT_LIMITS, trusted_payloads=True)
        self._capacity = capacity
        self._methods = ServerMethods(registry, capacity)
        self._pool = SyncPool(loop, capacity, self._run_sync, self._flush_finished)
        self.outgoing = Outgoing(self._session, loop, self._send)
        self.watches = Watches()
        self._executions: dict[RequestId, Execution] = {}
        self._to_threads: list[Execution] = []
        self._out = AnswerBatch()
        self._flush_scheduled = False
        self._finished: deque[tuple[Execution, bytes | None, WireError | None]] = deque()
        self._answer_lock = threading.Lock()
        self._deadlines = Deadlines()
        self._sweep: asyncio.TimerHandle | None = None
        self._draining = False
        self._late: list[RequestId] = []
        self._ending = False
        self._closed = False

    # ---------------------------------------------------------------- bytes

    def receive(self, data: bytes) -> None:
        """What was read from the gateway."""
        # Nothing asks for a flush of its own while this one is to come.
        self._flush_scheduled = True
        try:
            for event in self._session.receive(data):
                try:
                    if isinstance(event, RequestReceived):
                        if event.method == "components/execute":
                            self._execute(event)
                            if len(self._out) >= EARLY_FLUSH_ANSWERS:
                                self._flush_now()
                        else:
                            self._answer(event)
                    else:
                        self._take(event)
                except Exception as error:
                    if isinstance(event, NotificationReceived) and event.method == EXECUTE:
                        self._lose_executions(error)
                        continue
                    # A bug here must not swallow the other messages of this read.
                    self._methods.log.exception("a message could not be handled")
                    if isinstance(event, RequestReceived) and self._session.is_open_request(event.id):
                        bug = FlowspanError("a bug in the component server; its log says more", reason=Reason.INTERNAL)
                        self._out.add_line(self._session.fail(event.id, bug))
        finally:
            if self._late:
                late, self._late = self._late, []
                self._give_back(late)
            if self._to_threads:
                self._submit_to_threads()
            self._flush()

    def close(self) -> None:
        """The gateway is gone. Tasks of components are cancelled, threads are told."""
        if self._closed:
            return
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        with self._answer_lock:
            self._session.close()
        self.outgoing.close()
        for execution in list(self._executions.values()):
            self._stop(execution, Stop.DISCONNECTED)
        self._pool.close()

    def end_when_idle(self) -> None:
        """End once nothing is being executed."""
        self._ending = True
        if not self._executions:
            self._loop.call_soon(self._on_shutdown)

    def _send(self, line: bytes) -> None:
        if not line:
            return  # The session is closed.
        self._out.add_line(line)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        self._flush_now()

    def _flush_now(self) -> None:
        if self._out:
            self._write(self._out.take())

    # ---------------------------------------------------------------- executions

    def _execute(self, event: RequestReceived) -> None:
        request_id = event.id
        if self._draining:
            self._late.append(request_id)
            return
        try:
            params = decode_execute(event.params)
        except msgspec.DecodeError as error:
            refusal = InvalidArgumentError(f"components/execute: {error}")
            self._out.add_line(self._session.fail(request_id, refusal))
            return
        component = self._components.get(params.component)
        if component is None or not self._methods.initialized:
            self._out.add_line(self._session.fail(request_id, self._refusal(params.component)))
            return
        self._begin(Execution(request_id, component, params.input, event.params, params.timeoutMs))

    def _execute_many(self, params: bytes) -> None:
        """Executions that came in bulk."""
        try:
            many = decode_execute_many(params)
        except (msgspec.DecodeError, RecursionError) as error:
            self._lose_executions(error)
            return
        if self._draining:
            self._late += [call.number for call in many.calls]
            return
        out = self._out
        component = self._components.get(many.component)
        if component is None or not self._methods.initialized:
            refusal = wire_error(self._refusal(many.component))
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
            self._begin(Execution(call.number, component, call.input, call, many.timeoutMs, many))
            if len(out) >= EARLY_FLUSH_ANSWERS:
                self._flush_now()

    def _lose_executions(self, error: Exception) -> None:
        """The gateway repeats what a process held that has ended; it would wait in vain for what one has lost."""
        text = "%s could not be handled; nobody can say which executions are lost"
        self._methods.log.error(text, EXECUTE, exc_info=error)
        self._loop.call_soon(self._on_shutdown)

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

    def _refusal(self, name: str) -> FlowspanError:
        if not self._methods.initialized:
            return FlowspanError("initialize comes first", reason=Reason.NOT_INITIALIZED)
        return NotFoundError(
            f"there is no component {printable(name)!r} here; see components/list", reason=Reason.COMPONENT_NOT_FOUND
        )

    def _call(self, execution: Execution) -> tuple[bytes | None, WireError | None]:
        """Run a sync or inline component: its output, or why it has none. Never raises but for an interrupt from the keyboard."""
        component = execution.component
        try:
            value = component.read_input(execution.input)
            if execution.stop is not None:
                return None, _CANCELLED  # a cancel came while the thread took the call: its code need not begin
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
            if execution.stop is None:
                # The component cancelled itself, or let a cancelled call of its own pass.
                failure = failure_of(RuntimeError("the component ended with CancelledError"))
            else:
                failure = _CANCELLED
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
        out = AnswerBatch()
        with self._answer_lock:
            while finished:
                self._answer_with(out, *finished.popleft())
            if out:
                self._write(out.take())
        if self._ending:
            self.on_loop(self.end_when_idle)

    def _finish(self, execution: Execution, output: bytes | None, failure: WireError | None) -> None:
        """An async or inline component is done."""
        self._answer_with(self._out, execution, output, failure)
        if self._out:
            self._flush_soon()
        if self._ending:
            self.end_when_idle()

    def _answer_with(self, out: AnswerBatch, execution: Execution, output: bytes | None, failure: WireError | None) -> None:
        """Put the answer of a component that is done into `out`; nothing if it was answered before."""
        if execution.calls:
            self.on_loop(_cancel_all, list(execution.calls))
        self._executions.pop(execution.request_id, None)
        if execution.answered:
            return
        execution.answered = True
        if failure is not None:
            self._put_failure(out, execution, _CANCELLED if execution.stop else failure)
            return
        assert output is not None
        if execution.bulk is None:
            out.add_line(self._session.respond(execution.request_id, b"".join((b'{"output":', output, b"}"))))
        elif not self._closed:
            out.add_output(execution.number, output)

    def _put_failure(self, out: AnswerBatch, execution: Execution, error: WireError) -> None:
        if execution.bulk is None:
            out.add_line(self._session.fail(execution.request_id, error))
        elif not self._closed:
            out.add_failure(execution.number, error)

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
            self._refuse(execution, _CANCELLED)
            self._executions.pop(execution.request_id, None)
            if self._ending:
                self.end_when_idle()
        return never_begins

    def _drop_unsubmitted(self, execution: Execution) -> bool:
        if execution in self._to_threads:
            self._to_threads.remove(execution)
            return True
        return False

    # ---------------------------------------------------------------- what else comes

    def _take(self, event: SessionEvent) -> None:
        if isinstance(event, ResponsesReceived):
            self.outgoing.take_answers(event.answers)
        elif isinstance(event, NotificationReceived):
            self._take_notification(event)
        elif isinstance(event, ProtocolViolation):
            self._take_violation(event)
        elif isinstance(event, NoiseReceived):
            self._methods.log.warning("ignored %d lines that are no messages: %s", event.lines, event.text)

    def _answer(self, event: RequestReceived) -> None:
        try:
            if event.method == "$/cancel":
                result = self._cancel(msgspec.json.decode(event.params, type=_CancelParams).ids)
            else:
                result = self._methods.answer(event.method, event.params)
        except msgspec.DecodeError as error:
            failure = InvalidArgumentError(f"{printable(event.method)}: {error}")
            self._send(self._session.fail(event.id, failure))
        except FlowspanError as error:
            self._send(self._session.fail(event.id, error))
        else:
            self._send(self._session.respond(event.id, result))
            if event.method == "shutdown":
                self.end_when_idle()

    def _cancel(self, ids: list[RequestId]) -> bytes:
        dropped: list[RequestId] = []
        running: list[RequestId] = []
        for request_id in ids:
            execution = self._executions.get(request_id)
            if execution is not None and not execution.answered:
                (dropped if self._stop(execution, Stop.CANCELLED) else running).append(request_id)
        return msgspec.json.encode({"dropped": dropped, "running": running})

    def _take_notification(self, event: NotificationReceived) -> None:
        if event.method == EXECUTE:
            self._execute_many(event.params)
        elif event.method == "runs/event":
            self.watches.take(event.params)
        elif event.method == "$/cancelRequest":
            try:
                self._cancel([msgspec.json.decode(event.params, type=_CancelRequestParams).id])
            except msgspec.DecodeError:
                self._methods.log.warning("ignored a $/cancelRequest without a usable id")

    def _take_violation(self, event: ProtocolViolation) -> None:
        self._methods.log.warning("the gateway broke the protocol: %s (%s)", event.message, event.quoted)
        if event.reply is not None:
            self._send(event.reply)
        if event.fatal:
            self._loop.call_soon(self._on_shutdown)

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
            self._refuse(execution, _TIMED_OUT)
            self._stop(execution, Stop.TIMED_OUT)
        begun_ids = [execution.request_id for execution in swept.begun if not execution.answered]
        if begun_ids:
            self.outgoing.notify("$/started", {"ids": begun_ids})
        if 2 * swept.overrunning > self._capacity and self._methods.gateway_drains and not self._draining:
            self._ask_to_be_replaced(swept.overrunning)
        due_s = self._deadlines.next_sweep_s
        if due_s != float("inf"):
            self._sweep = self._loop.call_later(max(0.001, due_s - now_s), self._on_sweep)

    def _ask_to_be_replaced(self, overrunning: int) -> None:
        """Threads cannot be ended. Before the last one is held by a component that hangs, another process takes over."""
        self._methods.log.error(
            "%d of %d threads are held by components that run on after their time-out; asking for a new process",
            overrunning,
            self._capacity,
        )
        self._draining = True
        held = [*self._to_threads, *self._pool.withdraw_all()]
        self._to_threads = []
        for execution in held:
            execution.answered = True
            self._executions.pop(execution.request_id, None)
        self._give_back([execution.request_id for execution in held])

    def _give_back(self, request_ids: list[RequestId]) -> None:
        """These have not begun and never will; they are the gateway's again."""
        self.outgoing.notify("$/drain", {"ids": request_ids})

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

    def tell(self, method: str, params: object) -> None:
        """A notification, from any thread."""
        if threading.get_ident() == self._loop_thread:
            self.outgoing.notify(method, params)
        else:
            self.on_loop(self.outgoing.notify, method, params)

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
            raise _stopped(execution)
        try:
            future = asyncio.run_coroutine_threadsafe(self._adopted(execution, call), self._loop)
        except RuntimeError:
            call.close()
            raise UnavailableError("the connection to the gateway is closed") from None
        try:
            with self._pool.parked():
                return future.result()
        except concurrent.futures.CancelledError:
            raise _stopped(execution) from None

    async def _adopted(self, execution: Execution, call: Coroutine[Any, Any, _Value]) -> _Value:
        task = asyncio.current_task()
        assert task is not None
        if execution.stop is not None:
            call.close()
            raise _stopped(execution)
        self.adopt(execution, task)
        return await call

    def on_loop(self, function: Callable[..., object], *args: object) -> None:
        """Call something on the loop's thread soon, from any thread; dropped when the loop is gone."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is closed: the process is about to end and nobody reads answers.
            return


def _cancel_all(calls: list[asyncio.Task[Any]]) -> None:
    for call in calls:
        call.cancel()


class _CancelParams(msgspec.Struct):
    ids: list[RequestId]


class _CancelRequestParams(msgspec.Struct):
    id: RequestId


def _stopped(execution: Execution) -> FlowspanError:
    if execution.stop is None or execution.stop is Stop.DISCONNECTED:
        return UnavailableError("the connection to the gateway is closed")
    return RequestCancelledError(f"the execution has ended: {execution.stop.value}")
