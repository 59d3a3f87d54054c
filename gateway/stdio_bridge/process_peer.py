"""One process that answers calls over JSON-RPC lines: what all kinds of such servers have in common.

A shell around `flowspan.jsonrpc.Session` and `ComponentProcess`: the calls it holds, what it says that is no answer, its health,
its end. Which requests a call becomes, and what answers mean, is for the kinds (`ComponentPeer`, `gateway.mcp_bridge`). The read
path takes no lock, makes no task and waits for nothing.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Final, Protocol

import structlog

from flowspan.jsonrpc import (
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
)
from gateway.stdio_bridge.exit_report import ExitReport
from gateway.stdio_bridge.handshake import ServerDeclaration, ServerKind
from gateway.stdio_bridge.liveness import Liveness
from gateway.stdio_bridge.output_sizes import OutputSizes
from gateway.stdio_bridge.own_requests import OwnRequests
from gateway.stdio_bridge.peer_process import PeerProcess
from gateway.stdio_bridge.process import ComponentProcess
from gateway.stdio_bridge.requests import RequestHandler
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.calls import CallFailure, CallNaming, CallResult, ComponentCall

_log = structlog.get_logger("flowspan.bridge")


class PeerOwner(Protocol):
    """Who is told what a process does."""

    def on_peer_results(self, peer: ProcessPeer, results: list[CallResult]) -> None: ...
    def on_peer_progress(self, call: ComponentCall, fraction: float, message: str) -> None: ...
    def on_peer_started(self, calls: list[ComponentCall]) -> None: ...
    def on_peer_drain(self, peer: ProcessPeer, given_back: list[ComponentCall]) -> None:
        """It wants to be replaced; `given_back` were never begun, and it does not hold them any more."""
        ...

    def on_peer_ended(self, peer: ProcessPeer, report: ExitReport) -> None: ...
    def check_nesting(self, peer: ProcessPeer, call: ComponentCall | None) -> None: ...
    def on_peer_slots(self, peer: ProcessPeer) -> None: ...
    def on_peer_kind(self, kind: ServerKind) -> None:
        """What the server offers has changed while it runs."""
        ...

    def same_kind(self, kind: ServerKind) -> ServerKind:
        """A kind that equals this one, if possible the object that was used before."""
        ...


class ProcessPeer(ABC):
    """One process. Use once: `start`, then calls, then `stop` or its own end.

    Attributes:
        calls: executions it holds, by number; unwritten ones included.
        parked: numbers of those that wait for sub-runs.
        alone: numbers of suspects; while there are any it takes nothing else.
        kind: set once it takes calls.
        gave_up: why it was ended, if it broke rules or showed no life.
        lost_answers: it was, because of a line that held answers of executions nobody can tell.
    """

    def __init__(self, plugin: StdioPlugin, owner: PeerOwner, naming: CallNaming, *, incarnation: int = 1) -> None:
        self.plugin: Final = plugin
        self._owner = owner
        self._naming = naming
        self._session = Session(incarnation, plugin.frame_limits)
        self._process = self._make_process()
        self._own = OwnRequests(plugin.name, self._session, self._process.write)
        self._violations = ViolationMeter()
        self._noise = NoiseMeter()
        self._early: list[CallResult] = []
        self._was_killed = False
        self._liveness = Liveness(self._process, plugin.stall_s, plugin.ping_s, self._send_ping)
        self._loop: Final = asyncio.get_running_loop()
        self.ended: Final[asyncio.Future[ExitReport]] = self._loop.create_future()
        self.calls: dict[int, ComponentCall] = {}
        self.parked: set[int] = set()
        self.alone: set[int] = set()
        self.kind: ServerKind | None = None
        self.capacity = 0
        self.max_line_bytes = plugin.line_limit(plugin.dialect or "flowspan")
        self.gave_up: str | None = None
        self.lost_answers = False

    def _make_process(self) -> PeerProcess:
        """What carries the lines; called once, when only `plugin` is set."""
        return ComponentProcess(
            self.plugin.launch,
            on_stdout=self._on_stdout,
            on_exit=self._on_exit,
            on_stderr=self._on_stderr,
            on_stdout_closed=lambda: self.give_up("it closed its stdout"),
        )

    # -- what the kinds do each in their own way -------------------------------------------------------------------------------

    @abstractmethod
    async def start(self) -> ServerKind:
        """Start the process and shake hands.

        Raises:
            StartError: the program cannot be started.
            IncompatibleServerError, LimitExceededError: no restart helps.
            HandshakeError: no answer in time, or a refusal; the process is to be ended by the caller.
        """

    @property
    @abstractmethod
    def dialect(self) -> str:
        """How it speaks, for people."""

    @property
    @abstractmethod
    def is_reentrant(self) -> bool:
        """Whether it takes calls while calls of its own wait for sub-runs."""

    @property
    @abstractmethod
    def used_slots(self) -> int:
        """Executions that hold a slot."""

    @property
    @abstractmethod
    def free_slots(self) -> int:
        """Calls that `execute` takes now."""

    @abstractmethod
    def execute(self, calls: Sequence[ComponentCall]) -> None:
        """Send these. What cannot be sent at all ends with a failure, soon but not before this returns."""

    @abstractmethod
    def cancel(self, calls: Sequence[ComponentCall]) -> asyncio.Future[int]:
        """Tell the server; see `ComponentServer.cancel`. Done within `cancel_ack_s`."""

    @abstractmethod
    def _notify_cancel(self, numbers: Sequence[int]) -> None:
        """Tell the server that nobody waits for these any more."""

    @abstractmethod
    def _unseen(self) -> Collection[int]:
        """Numbers of calls that the process cannot have seen."""

    @abstractmethod
    def _close(self) -> None:
        """The process has ended: nothing more is written."""

    @abstractmethod
    def _take_answers(
        self, answers: Sequence[tuple[RequestId, bytes | None, WireError | None]], results: list[CallResult]
    ) -> None:
        """Answers of one read; `results` grows by the calls that they end."""

    @abstractmethod
    def _take_outputs(self, outputs: Sequence[tuple[int, bytes]], results: list[CallResult]) -> None:
        """Successes of calls that went out in bulk."""

    @abstractmethod
    def _take_request(self, request: RequestReceived) -> None: ...

    @abstractmethod
    def _take_notification(self, event: NotificationReceived) -> None: ...

    @property
    @abstractmethod
    def _answers_pings(self) -> bool:
        """Whether it has to answer a ping now."""

    @abstractmethod
    async def stop(self) -> None:
        """End the process in order, and whatever was being served for it."""

    # -- facts ---------------------------------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether it takes calls."""
        return self.kind is not None and self.gave_up is None and self._process.is_running and self._process.stdin_is_open

    @property
    def declaration(self) -> ServerDeclaration | None:
        return None if self.kind is None else self.kind.declaration

    @property
    def queued_bytes(self) -> int:
        return self._process.write_buffer_bytes

    @property
    def pid(self) -> int:
        return self._process.pid

    def stderr_tail(self) -> str:
        return self._process.stderr_tail()

    # -- calls ---------------------------------------------------------------------------------------------------------------

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

    def _take(self, event: SessionEvent) -> None:
        if isinstance(event, RequestReceived):
            self._take_request(event)
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
            elif self._is_lost_answer(event):
                self.give_up("it lost a part of its answers: together they did not fit its pipe; lower its capacity")
            elif event.charged:
                self._count_violation(event.message, event.count)
        elif isinstance(event, NoiseReceived):
            _log.info("plugin_stdout", plugin=self.plugin.name, text=event.text, lines=event.lines)
            if self._noise.add(self._loop.time(), event.lines, event.size_bytes):
                self.give_up("it writes other text than messages to its stdout; print to stderr")

    def _is_lost_answer(self, violation: ProtocolViolation) -> bool:
        """Whether that line shows that answers of others are gone without a trace."""
        return False

    def _count_violation(self, message: str, count: int = 1) -> None:
        if self._violations.add(self._loop.time(), count):
            self.give_up(f"it breaks the protocol again and again, last: {message}")

    def _on_stderr(self, lines: list[str], suppressed: int) -> None:
        for line in lines:
            _log.info("plugin_stderr", plugin=self.plugin.name, text=line)
        if suppressed:
            _log.info("plugin_stderr_suppressed", plugin=self.plugin.name, lines=suppressed)

    # -- end -----------------------------------------------------------------------------------------------------------------

    def check_health(self) -> None:
        """To be called each second: ends a process that shows no sign of life for too long."""
        fault = self._liveness.find_fault(self._loop.time(), answers_pings=self.is_up and self._answers_pings)
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

    def take_unsent(self) -> tuple[list[ComponentCall], list[ComponentCall]]:
        """Calls that the process may have seen, and those it cannot have seen; none is held afterwards."""
        unseen = self._unseen()
        unsent = [call for number, call in self.calls.items() if number in unseen]
        sent = [call for number, call in self.calls.items() if number not in unseen]
        self.calls.clear()
        self.parked.clear()
        self.alone.clear()
        return sent, unsent

    def _on_exit(self, report: ExitReport) -> None:
        self.ended.set_result(report)
        self._session.close()
        self._close()
        self._own.close(report.describe())
        self._owner.on_peer_ended(self, report)


class PeerMaker(Protocol):
    """Makes a plugin's process, not yet started: a kind of `ProcessPeer`."""

    def __call__(
        self,
        plugin: StdioPlugin,
        owner: PeerOwner,
        naming: CallNaming,
        handler: RequestHandler,
        *,
        output_sizes: OutputSizes,
        incarnation: int = 1,
    ) -> ProcessPeer: ...
