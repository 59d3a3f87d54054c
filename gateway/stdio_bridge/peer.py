"""One process of a component server as its pool sees it: calls out, results in, one batch per read.

A shell around `flowspan.jsonrpc.Session` and `ComponentProcess`. The read path takes no lock, makes no task and waits for
nothing; what the server asks is served by `PeerRequests`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec
import structlog

from flowspan.errors import FlowErrorCode, FlowspanError, Reason
from flowspan.jsonrpc import (
    Dialect,
    NoiseMeter,
    NoiseReceived,
    NotificationReceived,
    OutputsReceived,
    ProtocolViolation,
    RequestId,
    RequestReceived,
    ResponsesReceived,
    Session,
    SessionEvent,
    ViolationKind,
    ViolationMeter,
    WireError,
    printable,
)
from gateway.call_failures import call_failure, too_long
from gateway.catalog import OfferedComponent
from gateway.methods.context import RequestLink, RequestOrigin
from gateway.stdio_bridge.call_results import output_of, told_skip
from gateway.stdio_bridge.call_writer import CallWriter
from gateway.stdio_bridge.exit_report import ExitReport
from gateway.stdio_bridge.handshake import (
    DEFAULT_CAPACITY,
    INITIALIZE_PARAMS,
    MAX_CAPACITY,
    HandshakeError,
    ServerDeclaration,
    ServerKind,
    read_components,
    read_initialize,
)
from gateway.stdio_bridge.linking import link_request
from gateway.stdio_bridge.liveness import Liveness
from gateway.stdio_bridge.notices import CancelAnswer, CancelNotice, DrainNotice, ProgressNotice, StartedNotice
from gateway.stdio_bridge.output_sizes import OutputSizes
from gateway.stdio_bridge.own_requests import OwnRequests
from gateway.stdio_bridge.process import ComponentProcess
from gateway.stdio_bridge.requests import PeerRequests, RequestHandler
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.calls import CallFailure, CallNaming, CallResult, ComponentCall

_log = structlog.get_logger("flowspan.bridge")


MIN_LIFE_S: Final = 1.0
"""A server that wants to be replaced sooner after its handshake hangs in all it does: it is a crash."""
SHUTDOWN_ANSWER_S: Final = 1.0
"""For the answer to `shutdown`; a server that is well needs a millisecond, and one that is not has other rungs before it."""


class PeerOwner(Protocol):
    """Who is told what a process does."""

    def on_peer_results(self, peer: ComponentPeer, results: list[CallResult]) -> None: ...
    def on_peer_progress(self, call: ComponentCall, fraction: float, message: str) -> None: ...
    def on_peer_started(self, calls: list[ComponentCall]) -> None: ...
    def on_peer_drain(self, peer: ComponentPeer, given_back: list[ComponentCall]) -> None:
        """It wants to be replaced; `given_back` were never begun, and it does not hold them any more."""
        ...

    def on_peer_ended(self, peer: ComponentPeer, report: ExitReport) -> None: ...
    def check_nesting(self, peer: ComponentPeer, call: ComponentCall | None) -> None: ...
    def on_peer_slots(self, peer: ComponentPeer) -> None: ...
    def same_kind(self, kind: ServerKind) -> ServerKind:
        """A kind that equals this one, if possible the object that was used before."""
        ...


class ComponentPeer:
    """One process. Use once: `start`, then calls, then `stop` or its own end.

    Attributes:
        calls: executions it holds, by number; unwritten ones included.
        parked: numbers of those that wait for sub-runs.
        alone: numbers of suspects; while there are any it takes nothing else.
        gave_up: why it was ended, if it broke rules or showed no life.
        lost_answers: it was, because of a line that held answers of executions nobody can tell.
    """

    def __init__(
        self,
        plugin: StdioPlugin,
        owner: PeerOwner,
        naming: CallNaming,
        handler: RequestHandler,
        *,
        output_sizes: OutputSizes,
        incarnation: int = 1,
    ) -> None:
        self.plugin: Final = plugin
        self._owner = owner
        self._naming = naming
        self._output_sizes = output_sizes
        self._session = Session(incarnation, plugin.frame_limits)
        self._process = ComponentProcess(
            plugin.launch,
            on_stdout=self._on_stdout,
            on_exit=self._on_exit,
            on_stderr=self._on_stderr,
            on_stdout_closed=lambda: self.give_up("it closed its stdout"),
        )
        self._requests = PeerRequests(self, self._session, handler)
        self._own = OwnRequests(plugin.name, self._session, self._process.write)
        self._violations = ViolationMeter()
        self._noise = NoiseMeter()
        self._early: list[CallResult] = []
        self._unlinked_waits = 0
        self._up_since = 0.0
        self._was_killed = False
        self._liveness = Liveness(self._process, plugin.stall_s, plugin.ping_s, self._send_ping)
        self._loop: Final = asyncio.get_running_loop()
        self.ended: Final[asyncio.Future[ExitReport]] = self._loop.create_future()
        self.calls: dict[int, ComponentCall] = {}
        self._writer = CallWriter(plugin.name, self._process, self._session, naming, self.calls, self._end_early)
        self.parked: set[int] = set()
        self.alone: set[int] = set()
        self.kind: ServerKind | None = None
        self.capacity = 0
        self.max_line_bytes = plugin.line_limit(plugin.dialect or "flowspan")
        self.gave_up: str | None = None
        self.lost_answers = False

    # -- start ---------------------------------------------------------------------------------------------------------------

    async def start(self) -> ServerKind:
        """Start the process and shake hands.

        Raises:
            StartError: the program cannot be started.
            IncompatibleServerError, LimitExceededError: no restart helps.
            HandshakeError: no answer in time, or a refusal; the process is to be ended by the caller.
        """
        self._process.spawn()
        plugin = self.plugin
        declaration = read_initialize(
            await self._own.ask("initialize", INITIALIZE_PARAMS, plugin.initialize_timeout_s), plugin.dialect
        )
        self.max_line_bytes = plugin.line_limit(declaration.dialect)
        self._process.write(self._session.notify("initialized", b"{}"))
        components, duplicates = await self._list_components()
        self.kind = self._owner.same_kind(ServerKind(declaration, components, duplicates))
        self._writer.open(self.kind, self.max_line_bytes)
        self._session.takes_outputs = declaration.bulk
        self._up_since = self._loop.time()
        self.capacity = min(plugin.capacity or declaration.capacity or DEFAULT_CAPACITY, MAX_CAPACITY)
        return self.kind

    async def _list_components(self) -> tuple[dict[str, OfferedComponent] | None, frozenset[str]]:
        try:
            return read_components(await self._own.ask("components/list", b"{}", self.plugin.list_timeout_s))
        except HandshakeError as error:
            if error.details.get("peerReason") == Reason.METHOD_NOT_FOUND:
                return None, frozenset()
            raise

    # -- facts ---------------------------------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether it takes calls."""
        return self.kind is not None and self.gave_up is None and self._process.is_running and self._process.stdin_is_open

    @property
    def declaration(self) -> ServerDeclaration | None:
        return None if self.kind is None else self.kind.declaration

    @property
    def dialect(self) -> Dialect:
        return self.kind.declaration.dialect if self.kind is not None else self.plugin.dialect or "flowspan"

    @property
    def is_reentrant(self) -> bool:
        return self.kind is None or self.kind.declaration.reentrant

    @property
    def used_slots(self) -> int:
        """Executions that hold a slot. In a process that is not re-entrant a parked one keeps it.

        Whoever waits without saying for which execution (the older SDKs) is one of them, and gives a slot back too: else a
        process full of such waits would never run the sub-runs that they wait for.
        """
        if not self.is_reentrant:
            return len(self.calls)
        return max(0, len(self.calls) - len(self.parked) - self._unlinked_waits)

    @property
    def free_slots(self) -> int:
        if not self.is_up or (self.alone and self.used_slots):
            return 0
        room = self.capacity if self.dialect != "stepflow" else min(self.capacity, self._output_sizes.calls_within_pipe)
        return max(0, room - self.used_slots)

    @property
    def queued_bytes(self) -> int:
        return self._process.write_buffer_bytes

    @property
    def pid(self) -> int:
        return self._process.pid

    def stderr_tail(self) -> str:
        return self._process.stderr_tail()

    # -- calls ---------------------------------------------------------------------------------------------------------------

    def execute(self, calls: Sequence[ComponentCall]) -> None:
        """Send these. What cannot be sent at all ends with a failure, soon but not before this returns."""
        self.calls.update([(call.number, call) for call in calls])
        self._writer.write(calls)

    def _end_early(self, call: ComponentCall, failure: CallFailure) -> None:
        """A result of our own making; told soon, because the engine must not be called back from within its call."""
        if not self._early:
            self._loop.call_soon(self._tell_early)
        self._early.append((call, failure))

    def _tell_early(self) -> None:
        results = [result for result in self._early if self._drop(result[0].number)]
        self._early = []
        if results:
            self._owner.on_peer_results(self, results)

    def _drop(self, number: int) -> bool:
        self.parked.discard(number)
        self.alone.discard(number)
        return self.calls.pop(number, None) is not None

    def forget(self, calls: Sequence[ComponentCall]) -> None:
        """These have timed out: nothing of them is told any more, and the server is told to stop them."""
        gone = [call.number for call in calls if self._drop(call.number)]
        self._session.forget(gone)
        self._notify_cancel(gone)

    def cancel(self, calls: Sequence[ComponentCall]) -> asyncio.Future[int]:
        """Tell the server; see `ComponentServer.cancel`. Done within `cancel_ack_s`."""
        unwritten: set[int] = set()
        for call in self._writer.withdraw(calls):
            self._end_early(call, CallFailure(FlowErrorCode.CANCELLED, "the run was cancelled before the call began"))
            unwritten.add(call.number)
        written = [call.number for call in calls if call.number in self.calls and call.number not in unwritten]
        confirmed: asyncio.Future[int] = self._loop.create_future()
        declaration = self.declaration
        if not written or not self.is_up or declaration is None:
            confirmed.set_result(0)
        elif not declaration.cancel_ack:
            self._notify_cancel(written)
            confirmed.set_result(len(written))
        else:
            self._ask_cancel(written, confirmed)
        return confirmed

    def _ask_cancel(self, numbers: list[int], confirmed: asyncio.Future[int]) -> None:
        def settle(result: bytes | None) -> None:
            if confirmed.done():
                return
            known: set[int | str] = set()
            if result is not None:
                try:
                    answer = msgspec.json.decode(result, type=CancelAnswer)
                    known = {*answer.dropped, *answer.running}
                except msgspec.MsgspecError:
                    known = set()
            # What ended meanwhile is in neither list, and not open any more. Of a process that is gone nothing runs.
            unconfirmed = [number for number in numbers if number in self.calls and number not in known]
            confirmed.set_result(0 if self.ended.done() else len(unconfirmed))

        self._own.begin("$/cancel", b'{"ids":%b}' % msgspec.json.encode(numbers), settle, self.plugin.cancel_ack_s)

    def _notify_cancel(self, numbers: Sequence[int]) -> None:
        if numbers and self._process.is_running:
            self._process.write(b"".join([self._session.notify("$/cancelRequest", b'{"id":%d}' % number) for number in numbers]))

    # -- what the server says ------------------------------------------------------------------------------------------------

    def _on_stdout(self, data: bytes) -> None:
        results: list[CallResult] = []
        for event in self._session.receive(data):
            if type(event) is OutputsReceived:
                self._take_outputs(event.outputs, results)
            elif type(event) is ResponsesReceived:
                self._take_answers(event.answers, results)
            else:
                self._take(event)
        self._liveness.on_read(self._session.partial_bytes, self._loop.time())
        if results:
            self._owner.on_peer_results(self, results)

    def _take_outputs(self, outputs: Sequence[tuple[int, bytes]], results: list[CallResult]) -> None:
        """Successes of calls that went out in bulk."""
        pop = self.calls.pop
        max_output_bytes = self.plugin.max_output_bytes
        stray = 0
        for number, output in outputs:
            call = pop(number, None)
            if call is None:
                stray += not self._session.take_late(number)
                continue
            if len(output) <= max_output_bytes:
                results.append((call, output))
            else:
                results.append((call, too_long("output", max_output_bytes, len(output))))
            if self.parked or self.alone:
                self.parked.discard(number)
                self.alone.discard(number)
        self._count_stray(stray)

    def _count_stray(self, count: int) -> None:
        """Answers in bulk to executions that it does not hold and that have not timed out either."""
        if count:
            self._count_violation("an answer in bulk to an execution that is not open", count)

    def _take_answers(
        self, answers: Sequence[tuple[RequestId, bytes | None, WireError | None]], results: list[CallResult]
    ) -> None:
        pop = self.calls.pop
        add = results.append
        max_output_bytes = self.plugin.max_output_bytes
        is_stepflow = self.dialect == "stepflow"
        stray = 0
        for request_id, result, error in answers:
            # Ids of calls are integers, those of other requests strings.
            call = pop(request_id, None)  # type: ignore[arg-type]
            if call is None:
                if isinstance(request_id, int):
                    stray += not self._session.take_late(request_id)
                else:
                    self._own.take_answer(request_id, result, error)
                continue
            if result is not None:
                try:
                    output = output_of(result)
                except (ValueError, msgspec.MsgspecError):
                    self._count_violation("an answer to components/execute has no output")
                    add((call, CallFailure(FlowErrorCode.UNREACHABLE, f"plugin {self.plugin.name!r} answered without an output")))
                    continue
                if len(output) <= max_output_bytes:
                    skip = told_skip(output) if is_stepflow else None
                    add((call, output if skip is None else skip))
                else:
                    add((call, too_long("output", max_output_bytes, len(output))))
            else:
                assert error is not None
                add((call, call_failure(error, self.dialect)))
        self._count_stray(stray)
        if results and is_stepflow:
            self._output_sizes.note(max([len(result) for _, result in results if isinstance(result, bytes)], default=0))
        if self.parked or self.alone:
            for call, _ in results:
                self.parked.discard(call.number)
                self.alone.discard(call.number)

    def _take(self, event: SessionEvent) -> None:
        if isinstance(event, RequestReceived):
            if self.kind is None:
                text = f"plugin {self.plugin.name!r} asked {printable(event.method)} before the handshake was done"
                self._requests.refuse(event.id, FlowspanError(text, reason=Reason.NOT_INITIALIZED))
            else:
                self._requests.accept(event)
        elif isinstance(event, NotificationReceived):
            self._take_notification(event)
        elif isinstance(event, ProtocolViolation):
            _log.warning(
                "protocol_violation", plugin=self.plugin.name, kind=event.kind.value, message=event.message, quoted=event.quoted
            )
            if event.reply is not None:
                self._process.write(event.reply)
            if event.fatal:
                self.lost_answers = event.kind is ViolationKind.BULK_UNREADABLE
                self.give_up(event.message)
            elif event.kind is ViolationKind.PARSE_ERROR and self.dialect == "stepflow" and event.quoted.startswith('{"id":'):
                # Where these servers could not write all of an answer, others are gone without a trace: none may be waited for.
                self.give_up("it lost a part of its answers: together they did not fit its pipe; lower its capacity")
            elif event.charged:
                self._count_violation(event.message, event.count)
        elif isinstance(event, NoiseReceived):
            _log.info("plugin_stdout", plugin=self.plugin.name, text=event.text, lines=event.lines)
            if self._noise.add(self._loop.time(), event.lines, event.size_bytes):
                self.give_up("it writes other text than messages to its stdout; print to stderr")

    def _count_violation(self, message: str, count: int = 1) -> None:
        if self._violations.add(self._loop.time(), count):
            self.give_up(f"it breaks the protocol again and again, last: {message}")

    def _take_notification(self, event: NotificationReceived) -> None:
        try:
            if event.method == "$/cancelRequest":
                self._requests.cancel(msgspec.json.decode(event.params, type=CancelNotice).id)
            elif event.method == "$/started":
                started = self._held(msgspec.json.decode(event.params, type=StartedNotice).ids)
                if started:
                    self._owner.on_peer_started(started)
            elif event.method == "$/drain":
                self._take_drain(self._held(msgspec.json.decode(event.params, type=DrainNotice).ids))
            elif event.method == "$/progress":
                progress = msgspec.json.decode(event.params, type=ProgressNotice)
                number = progress.id
                if not isinstance(number, int) and progress.taskToken is not None:
                    number = self._naming.number_of_token(progress.taskToken)
                call = self.calls.get(number) if isinstance(number, int) else None
                if call is not None and 0.0 <= progress.fraction <= 1.0:
                    self._owner.on_peer_progress(call, progress.fraction, printable(progress.message or "", 1024))
        except msgspec.MsgspecError as error:
            # `$/started` only makes a time-out exact: a server that means something else by it is not to be ended for that.
            if event.method != "$/started":
                self._count_violation(f"{printable(event.method)}: {error}")

    def _held(self, ids: Sequence[int | str]) -> list[ComponentCall]:
        """The calls of these requests, each once, as far as the process holds them."""
        return [call for number in dict.fromkeys(ids) if (call := self.calls.get(number)) is not None]  # type: ignore[arg-type]

    def _take_drain(self, given_back: list[ComponentCall]) -> None:
        if self._loop.time() - self._up_since < MIN_LIFE_S:
            # Replacing costs no back-off; ending it does.
            self.give_up(f"it asked to be replaced less than {MIN_LIFE_S:g} s after its start")
            return
        numbers = [call.number for call in given_back if self._drop(call.number)]
        self._session.forget(numbers)
        self._owner.on_peer_drain(self, given_back)

    def _on_stderr(self, lines: list[str], suppressed: int) -> None:
        for line in lines:
            _log.info("plugin_stderr", plugin=self.plugin.name, text=line)
        if suppressed:
            _log.info("plugin_stderr_suppressed", plugin=self.plugin.name, lines=suppressed)

    # -- for requests of the server ------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> bool:
        return self._process.write(data)

    def link(self, origin: RequestOrigin) -> RequestLink:
        return link_request(origin, self.calls, self._naming, self._writer.namespaces)

    @contextmanager
    def waiting(self, link: RequestLink) -> Iterator[None]:
        """Around an open-ended wait.

        Raises:
            RecursionLimitError: the server cannot take nested work, and there is no further process for it.
        """
        self._check_nesting(link)
        if link.task_token is not None:
            yield
            return
        self._unlinked_waits += 1
        self._owner.on_peer_slots(self)
        try:
            yield
        finally:
            self._unlinked_waits -= 1

    def _check_nesting(self, link: RequestLink) -> None:
        if not self.is_reentrant:
            number = None if link.task_token is None else self._naming.number_of_token(link.task_token)
            self._owner.check_nesting(self, None if number is None else self.calls.get(number))

    # -- end -----------------------------------------------------------------------------------------------------------------

    def check_health(self) -> None:
        """To be called each second: ends a process that shows no sign of life for too long."""
        answers_pings = self.is_up and self.declaration is not None and self.declaration.ping
        fault = self._liveness.find_fault(self._loop.time(), answers_pings=answers_pings)
        if fault is not None:
            self.give_up(fault)

    def _send_ping(self) -> None:
        self._own.begin("ping", b"{}", lambda _result: self._liveness.on_pong())

    def give_up(self, why: str) -> None:
        """End the process at once: it cannot be talked with. Harmless if repeated."""
        if self.gave_up is None and self._process.is_running:
            self.gave_up = why
            _log.error("plugin_given_up", plugin=self.plugin.name, why=why)
            self._process.kill()

    def kill(self) -> None:
        """End the process at once, without a reproach."""
        self._was_killed = True
        self._process.kill()

    async def stop(self) -> None:
        """End the process in order, and whatever was being served for it.

        A server that declared `shutdown` is asked first, while both pipes are open: it may still write what it has and ask
        for what it needs. Then `ComponentProcess.stop`.
        """
        try:
            if self.is_up and not self._was_killed and self.declaration is not None and self.declaration.shutdown:
                await self._ask_shutdown()
            await self._process.stop(self.plugin.stop_grace_s)
        finally:
            await self._requests.close()

    async def _ask_shutdown(self) -> None:
        """Until it has answered or ended, for `SHUTDOWN_ANSWER_S` at most."""
        answered = asyncio.Event()
        wait_s = min(SHUTDOWN_ANSWER_S, self.plugin.stop_grace_s)
        try:
            self._own.begin("shutdown", b"{}", lambda _result: answered.set(), wait_s)
            await answered.wait()
        except asyncio.CancelledError:
            self._process.kill()
            raise

    def take_unsent(self) -> tuple[list[ComponentCall], list[ComponentCall]]:
        """Calls that the process may have seen, and those it cannot have seen; none is held afterwards."""
        unseen = self._writer.unseen()
        unsent = [call for number, call in self.calls.items() if number in unseen]
        sent = [call for number, call in self.calls.items() if number not in unseen]
        self.calls.clear()
        self.parked.clear()
        self.alone.clear()
        return sent, unsent

    def _on_exit(self, report: ExitReport) -> None:
        self.ended.set_result(report)
        self._session.close()
        self._writer.close()
        self._own.close(report.describe())
        self._owner.on_peer_ended(self, report)
