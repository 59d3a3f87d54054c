"""One conversation with a gateway: bytes in, executions, bytes out. Knows no descriptors; `stdio_loop` feeds it.

One read is decoded as a whole and answered with few writes: inline components run as their requests are met, the others
answer in whatever batches they complete in. Everything here happens on the loop's thread, except what the executor calls on
pool threads: `_put_output`, `_put_failure`, `_write_batch` and `tell_progress`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import msgspec

from flowspan.components.executions import Execution, Stop, decode_execute
from flowspan.components.executor import EARLY_FLUSH_ANSWERS, Executor, no_component
from flowspan.components.handshake import ServerMethods
from flowspan.components.outgoing import Outgoing
from flowspan.components.registry import Registry
from flowspan.components.run_api import ExecutionIdentity, RunApi
from flowspan.components.run_calls import RunCalls, WatchOwner
from flowspan.components.watch import RunWatch, Watches
from flowspan.errors import FlowspanError, InvalidArgumentError, Reason
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


class Connection(Executor[AnswerBatch]):
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
        super().__init__(registry, capacity, loop, on_shutdown)
        self._write = write
        self._session = Session(limits=CLIENT_LIMITS, trusted_payloads=True)
        self._methods = ServerMethods(registry, capacity)
        self.outgoing = Outgoing(self._session, loop, self._send)
        self.watches = Watches()
        self._late: list[RequestId] = []

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
                    self.log.exception("a message could not be handled")
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
        with self._answer_lock:
            self._session.close()
        self.outgoing.close()
        super().close()

    def _send(self, line: bytes) -> None:
        if not line:
            return  # The session is closed.
        self._out.add_line(line)
        self._flush_soon()

    def _new_batch(self) -> AnswerBatch:
        return AnswerBatch()

    def _write_batch(self, out: AnswerBatch) -> None:
        self._write(out.take())

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
        component = self._registry.find(params.component)
        if component is None or not self._methods.initialized:
            self._out.add_line(self._session.fail(request_id, self._refusal(params.component)))
            return
        self._begin(Execution(request_id, component, params.input, event.params, params.timeoutMs, path=params.component))

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
        if not self._methods.initialized:
            refusal = wire_error(self._refusal(many.component))
            for call in many.calls:
                self._out.add_failure(call.number, refusal)
            return
        self._begin_many(many)

    def _lose_executions(self, error: Exception) -> None:
        """The gateway repeats what a process held that has ended; it would wait in vain for what one has lost."""
        text = "%s could not be handled; nobody can say which executions are lost"
        self.log.error(text, EXECUTE, exc_info=error)
        self._loop.call_soon(self._on_idle)

    def _refusal(self, name: str) -> FlowspanError:
        if not self._methods.initialized:
            return FlowspanError("initialize comes first", reason=Reason.NOT_INITIALIZED)
        return no_component(name)

    def _put_output(self, out: AnswerBatch, execution: Execution, output: bytes) -> None:
        if execution.bulk is None:
            out.add_line(self._session.respond(execution.request_id, b"".join((b'{"output":', output, b"}"))))
        elif not self._closed:
            out.add_output(execution.number, output)

    def _put_failure(self, out: AnswerBatch, execution: Execution, error: WireError) -> None:
        if execution.bulk is None:
            out.add_line(self._session.fail(execution.request_id, error))
        elif not self._closed:
            out.add_failure(execution.number, error)

    # ---------------------------------------------------------------- what else comes

    def _take(self, event: SessionEvent) -> None:
        if isinstance(event, ResponsesReceived):
            self.outgoing.take_answers(event.answers)
        elif isinstance(event, NotificationReceived):
            self._take_notification(event)
        elif isinstance(event, ProtocolViolation):
            self._take_violation(event)
        elif isinstance(event, NoiseReceived):
            self.log.warning("ignored %d lines that are no messages: %s", event.lines, event.text)

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
                self.log.warning("ignored a $/cancelRequest without a usable id")

    def _take_violation(self, event: ProtocolViolation) -> None:
        self.log.warning("the gateway broke the protocol: %s (%s)", event.message, event.quoted)
        if event.reply is not None:
            self._send(event.reply)
        if event.fatal:
            self._loop.call_soon(self._on_idle)

    def _tell_begun(self, executions: Sequence[Execution]) -> None:
        self.outgoing.notify("$/started", {"ids": [execution.request_id for execution in executions]})

    def _on_overrun(self, overrunning: int) -> None:
        """Threads cannot be ended. Before the last one is held by a component that hangs, another process takes over."""
        if not self._methods.gateway_drains:
            return
        self.log.error(
            "%d of %d threads are held by components that run on after their time-out; asking for a new process",
            overrunning,
            self._capacity,
        )
        self._draining = True
        self._give_back([execution.request_id for execution in self._take_unbegun()])

    def _give_back(self, request_ids: list[RequestId]) -> None:
        """These have not begun and never will; they are the gateway's again."""
        self.outgoing.notify("$/drain", {"ids": request_ids})

    # ---------------------------------------------------------------- for contexts

    def tell_progress(self, execution: Execution, task_token: str | None, fraction: float, message: str | None) -> None:
        params = {"id": execution.request_id, "taskToken": task_token, "fraction": fraction, "message": message}
        if threading.get_ident() == self._loop_thread:
            self.outgoing.notify("$/progress", params)
        else:
            self.on_loop(self.outgoing.notify, "$/progress", params)

    def run_calls(self, task_token: str | None, observability: bytes) -> RunApi:
        kept = None if observability == b"null" else msgspec.Raw(observability)
        return RunApi(self.outgoing, ExecutionIdentity(task_token, kept))

    def watch_run(self, calls: RunCalls, run_id: str, after_seq: int, owner: WatchOwner) -> RunWatch:
        assert isinstance(calls, RunApi)
        return RunWatch(calls, self.watches, run_id, after_seq, owner)


class _CancelParams(msgspec.Struct):
    ids: list[RequestId]


class _CancelRequestParams(msgspec.Struct):
    id: RequestId
