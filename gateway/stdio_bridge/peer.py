"""One process that speaks the component protocol, as its pool sees it: calls out, results in, one batch per read.

What the server asks is served by `PeerRequests`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
import structlog

from flowspan.errors import FlowErrorCode, FlowspanError, Reason
from flowspan.jsonrpc import (
    Dialect,
    NotificationReceived,
    ProtocolViolation,
    RequestId,
    RequestReceived,
    ViolationKind,
    WireError,
    printable,
)
from gateway.call_failures import call_failure, too_long
from gateway.catalog import OfferedComponent
from gateway.methods.context import RequestLink, RequestOrigin
from gateway.stdio_bridge.call_results import output_of, told_skip
from gateway.stdio_bridge.call_writer import CallWriter
from gateway.stdio_bridge.handshake import (
    DEFAULT_CAPACITY,
    INITIALIZE_PARAMS,
    MAX_CAPACITY,
    HandshakeError,
    ServerKind,
    read_components,
    read_initialize,
)
from gateway.stdio_bridge.linking import link_request
from gateway.stdio_bridge.notices import CancelAnswer, CancelNotice, DrainNotice, ProgressNotice, StartedNotice
from gateway.stdio_bridge.output_sizes import OutputSizes
from gateway.stdio_bridge.process_peer import PeerOwner, ProcessPeer
from gateway.stdio_bridge.requests import PeerRequests, RequestHandler
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.calls import CallFailure, CallNaming, CallResult, ComponentCall

_log = structlog.get_logger("flowspan.bridge")


MIN_LIFE_S: Final = 1.0
"""A server that wants to be replaced sooner after its handshake hangs in all it does: it is a crash."""
SHUTDOWN_ANSWER_S: Final = 1.0
"""For the answer to `shutdown`; a server that is well needs a millisecond, and one that is not has other rungs before it."""


class ComponentPeer(ProcessPeer):
    """A process that speaks the component protocol."""

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
        super().__init__(plugin, owner, naming, incarnation=incarnation)
        self._output_sizes = output_sizes
        self._requests = PeerRequests(self, self._session, handler)
        self._unlinked_waits = 0
        self._up_since = 0.0
        self._writer = CallWriter(plugin.name, self._process, self._session, naming, self.calls, self._end_early)

    # -- start ---------------------------------------------------------------------------------------------------------------

    async def start(self) -> ServerKind:
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

    # -- calls ---------------------------------------------------------------------------------------------------------------

    def execute(self, calls: Sequence[ComponentCall]) -> None:
        self.calls.update([(call.number, call) for call in calls])
        self._writer.write(calls)

    def cancel(self, calls: Sequence[ComponentCall]) -> asyncio.Future[int]:
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

    # -- what the server says ------------------------------------------------------------------------------------------------

    def _take_outputs(self, outputs: Sequence[tuple[int, bytes]], results: list[CallResult]) -> None:
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

    def _take_request(self, request: RequestReceived) -> None:
        if self.kind is None:
            text = f"plugin {self.plugin.name!r} asked {printable(request.method)} before the handshake was done"
            self._requests.refuse(request.id, FlowspanError(text, reason=Reason.NOT_INITIALIZED))
        else:
            self._requests.accept(request)

    def _is_lost_answer(self, violation: ProtocolViolation) -> bool:
        # Where these servers could not write all of an answer, others are gone without a trace: none may be waited for.
        is_broken = violation.kind is ViolationKind.PARSE_ERROR and violation.quoted.startswith('{"id":')
        return is_broken and self.dialect == "stepflow"

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

    @property
    def _answers_pings(self) -> bool:
        return self.declaration is not None and self.declaration.ping

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

    def _unseen(self) -> Collection[int]:
        return self._writer.unseen()

    def _close(self) -> None:
        self._writer.close()
