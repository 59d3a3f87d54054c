"""One process of an MCP server as its pool sees it: calls become `tools/call`, their answers results.

https://modelcontextprotocol.io/specification: the transport is stdio, the revisions those with a handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import msgspec
import structlog

from flowspan.errors import FlowErrorCode, FlowspanError, LimitExceededError, Reason
from flowspan.jsonrpc import NotificationReceived, RequestId, RequestReceived, WireError, method_not_found, one_line, printable
from flowspan.jsonrpc.messages import encode_request
from gateway.call_failures import too_long
from gateway.mcp_bridge.handshake import INITIALIZE_PARAMS, ToolList, read_initialize
from gateway.mcp_bridge.settings import DEFAULT_CAPACITY, McpPlugin
from gateway.mcp_bridge.tool_calls import arguments_of, error_failure, read_result
from gateway.stdio_bridge.handshake import (
    MAX_CAPACITY,
    HandshakeError,
    IncompatibleServerError,
    ServerDeclaration,
    ServerKind,
)
from gateway.stdio_bridge.output_sizes import OutputSizes
from gateway.stdio_bridge.process_peer import PeerOwner, ProcessPeer
from gateway.stdio_bridge.requests import RequestHandler
from gateway.stdio_bridge.settings import MAX_QUEUED_BYTES, StdioPlugin
from gateway.telemetry.second_budget import SecondBudget
from runtime_core.calls import CallFailure, CallNaming, CallResult, ComponentCall

_log = structlog.get_logger("flowspan.bridge")

RELIST_PAUSE_S: Final = 0.2
"""Between two lists of tools: a server may say for each of many changes that its list has changed."""
LOG_MESSAGES_PER_S: Final = 100
"""Of a server's log messages, as of lines of its stderr."""
_LOG_CHARS: Final = 8_192
_CALL_ENVELOPE_BYTES: Final = 512
"""Room for what stands around the name and the arguments of a call."""

_DECLARATION: Final = ServerDeclaration("flowspan")
"""Nothing is declared: an MCP server keeps no time-outs, and confirms no cancel."""


class _Progress(msgspec.Struct):
    progressToken: int | str | None = None
    progress: float = 0.0
    total: float | None = None
    message: str | None = None


class _LogMessage(msgspec.Struct):
    level: str = "info"
    logger: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class McpPeer(ProcessPeer):
    """A process that speaks MCP. Its tools are components under their names with a leading slash."""

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
        if not isinstance(plugin, McpPlugin):
            raise TypeError(f"plugin {plugin.name!r} is of type {plugin.type}")
        super().__init__(plugin, owner, naming, incarnation=incarnation)
        self._mcp = plugin
        self._undelivered: set[int] = set()
        self._logged = SecondBudget(LOG_MESSAGES_PER_S)
        self._has_tools = False
        self._list_is_stale = False
        self._relisting: asyncio.Task[None] | None = None

    # -- start ---------------------------------------------------------------------------------------------------------------

    async def start(self) -> ServerKind:
        self._process.spawn()
        plugin = self._mcp
        hello = read_initialize(await self._own.ask("initialize", INITIALIZE_PARAMS, plugin.initialize_timeout_s))
        self._process.write(self._session.notify("notifications/initialized", b"{}"))
        self._has_tools = hello.has_tools
        _log.info("mcp_server", plugin=plugin.name, server=hello.name, protocol_version=hello.protocol_version)
        kind = self._owner.same_kind(await self._list_tools())
        self.capacity = min(plugin.capacity or DEFAULT_CAPACITY, MAX_CAPACITY)
        self.kind = kind
        self._follow_list()
        return kind

    async def _list_tools(self) -> ServerKind:
        """All pages, within `list_timeout_s`."""
        tools = ToolList()
        timeout_s = self._mcp.list_timeout_s
        ends = self._loop.time() + timeout_s
        cursor: str | None = None
        while self._has_tools:
            params = b"{}" if cursor is None else msgspec.json.encode({"cursor": cursor})
            left_s = max(0.0, ends - self._loop.time())
            try:
                cursor = tools.add(await self._own.ask("tools/list", params, left_s))
            except HandshakeError as error:
                if error.reason is Reason.TIMEOUT:
                    text = f"plugin {self.plugin.name!r} did not answer tools/list within {timeout_s:g} s"
                    raise HandshakeError(text, method="tools/list") from None
                raise
            if cursor is None:
                break
        return ServerKind(_DECLARATION, tools.components, frozenset(tools.duplicates))

    def _follow_list(self) -> None:
        """After news of the list: ask for it, one list at a time."""
        if self._list_is_stale and self.is_up and self._relisting is None:
            self._relisting = self._loop.create_task(self._relist(), name=f"tools of plugin {self.plugin.name}")

    async def _relist(self) -> None:
        try:
            while self._list_is_stale and self.is_up:
                self._list_is_stale = False
                try:
                    self.kind = kind = self._owner.same_kind(await self._list_tools())
                except (HandshakeError, IncompatibleServerError, LimitExceededError) as error:
                    _log.warning("tools_not_listed", plugin=self.plugin.name, error=error.message)
                else:
                    self._owner.on_peer_kind(kind)
                    self._owner.on_peer_slots(self)
                await asyncio.sleep(RELIST_PAUSE_S)
        finally:
            self._relisting = None

    # -- facts ---------------------------------------------------------------------------------------------------------------

    @property
    def dialect(self) -> str:
        return "mcp"

    @property
    def is_reentrant(self) -> bool:
        return True

    @property
    def used_slots(self) -> int:
        return len(self.calls)

    @property
    def free_slots(self) -> int:
        if not self.is_up or (self.alone and self.calls):
            return 0
        return max(0, self.capacity - len(self.calls))

    @property
    def _answers_pings(self) -> bool:
        # Many servers run a tool in the thread that would answer. A tool that hangs is found by its call's time-out.
        return not self.calls

    # -- calls ---------------------------------------------------------------------------------------------------------------

    def execute(self, calls: Sequence[ComponentCall]) -> None:
        self.calls.update([(call.number, call) for call in calls])
        numbers: list[int] = []
        lines: list[bytes] = []
        for call in calls:
            params = self._params(call)
            if isinstance(params, CallFailure):
                self._end_early(call, params)
                continue
            numbers.append(call.number)
            lines.append(encode_request(call.number, "tools/call", params))
        if not lines:
            return
        self._session.register(numbers)
        if not self._process.write(lines):
            self._undelivered.update(numbers)

    def _params(self, call: ComponentCall) -> bytes | CallFailure:
        template = call.template
        assert self.kind is not None
        tool = self.kind.wire_name(template.component)
        if isinstance(tool, FlowspanError):
            return CallFailure(FlowErrorCode.COMPONENT_NOT_FOUND, f"plugin {self.plugin.name!r}: {tool.message}")
        arguments = arguments_of(tool, call.input)
        if isinstance(arguments, CallFailure):
            return arguments
        max_bytes = self.max_line_bytes - len(tool) - _CALL_ENVELOPE_BYTES
        if len(arguments) > max_bytes:
            return too_long("input", max_bytes, len(arguments))
        flags = "01" if template.sampled else "00"
        trace = f"00-{template.trace_id}-{self._naming.span_id(call.number)}-{flags}"
        return b'{"name":%b,"arguments":%b,"_meta":{"progressToken":%d,"traceparent":"%b"}}' % (
            msgspec.json.encode(tool),
            one_line(arguments),
            call.number,
            trace.encode(),
        )

    def cancel(self, calls: Sequence[ComponentCall]) -> asyncio.Future[int]:
        """The protocol has no answer to a cancelled request: the calls end here, whatever the server makes of it."""
        held = [call for call in calls if call.number in self.calls]
        for call in held:
            self._end_early(call, CallFailure(FlowErrorCode.CANCELLED, "the run was cancelled while the tool ran"))
        numbers = [call.number for call in held]
        self._session.forget(numbers)
        self._notify_cancel(numbers)
        confirmed: asyncio.Future[int] = self._loop.create_future()
        confirmed.set_result(len(numbers) if self.is_up else 0)
        return confirmed

    def _notify_cancel(self, numbers: Sequence[int]) -> None:
        if numbers and self._process.is_running:
            params = b'{"requestId":%d,"reason":"nobody waits for it any more"}'
            notices = [self._session.notify("notifications/cancelled", params % number) for number in numbers]
            self._process.write(b"".join(notices))

    # -- what the server says ------------------------------------------------------------------------------------------------

    def _take_answers(
        self, answers: Sequence[tuple[RequestId, bytes | None, WireError | None]], results: list[CallResult]
    ) -> None:
        self._liveness.on_pong()
        for request_id, result, error in answers:
            if not isinstance(request_id, int):
                self._own.take_answer(request_id, result, error)
                continue
            call = self.calls.get(request_id)
            if call is None:
                continue
            self._drop(request_id)
            if result is not None:
                results.append((call, self._read(call, result)))
            else:
                assert error is not None
                results.append((call, error_failure(error)))

    def _read(self, call: ComponentCall, result: bytes) -> bytes | CallFailure:
        tool = call.template.component.removeprefix("/")
        plugin = self._mcp
        try:
            answer = read_result(
                tool, result, parse_text=plugin.parse_text, max_bytes=plugin.max_output_bytes, limits=plugin.frame_limits
            )
        except ValueError as error:
            self._count_violation(f"an answer to tools/call is none: {error}")
            text = f"plugin {plugin.name!r} answered the call of {tool!r} with something else than a tool's result: {error}"
            return CallFailure(FlowErrorCode.UNREACHABLE, text)
        assert isinstance(answer, bytes | CallFailure)
        return answer

    def _take_outputs(self, outputs: Sequence[tuple[int, bytes]], results: list[CallResult]) -> None:
        raise AssertionError("nothing goes out in bulk")

    def _take_request(self, request: RequestReceived) -> None:
        method = request.method
        if method == "ping":
            answer = self._session.respond(request.id, b"{}")
        elif method == "roots/list":
            roots = [{"uri": root.uri} | ({} if root.name is None else {"name": root.name}) for root in self._mcp.roots]
            answer = self._session.respond(request.id, msgspec.json.encode({"roots": roots}))
        elif method == "elicitation/create":
            answer = self._session.respond(request.id, b'{"action":"decline"}')
        elif method == "sampling/createMessage":
            text = "a run has no model to ask: call one in a step of the flow and pass its answer to the tool"
            answer = self._session.fail(request.id, FlowspanError(text, reason=Reason.METHOD_NOT_FOUND))
        else:
            answer = self._session.fail(request.id, method_not_found(method))
        if self.queued_bytes > MAX_QUEUED_BYTES:
            self.give_up(f"it does not read its answers: more than {MAX_QUEUED_BYTES} bytes are queued")
        elif answer:
            self._process.write(answer)

    def _take_notification(self, event: NotificationReceived) -> None:
        self._liveness.on_pong()
        try:
            if event.method == "notifications/progress":
                self._take_progress(msgspec.json.decode(event.params, type=_Progress))
            elif event.method == "notifications/tools/list_changed":
                self._list_is_stale = True
                self._follow_list()
            elif event.method == "notifications/message":
                self._take_log_message(msgspec.json.decode(event.params, type=_LogMessage))
        except msgspec.MsgspecError as error:
            self._count_violation(f"{printable(event.method)}: {error}")

    def _take_progress(self, told: _Progress) -> None:
        call = self.calls.get(told.progressToken) if isinstance(told.progressToken, int) else None
        if call is None:
            return
        # Without a total nobody knows how far that is.
        fraction = min(max(told.progress / told.total, 0.0), 1.0) if told.total is not None and told.total > 0 else 0.0
        message = told.message if told.message is not None else "" if told.total is not None else f"{told.progress:g}"
        self._owner.on_peer_progress(call, fraction, printable(message, 1024))

    def _take_log_message(self, told: _LogMessage) -> None:
        if not self._logged.take(self._loop.time()):
            return
        data = bytes(told.data)[:_LOG_CHARS].decode("utf-8", "replace")
        text = msgspec.json.decode(told.data, type=str) if data.startswith('"') else data
        name, level = printable(told.logger or ""), printable(told.level)
        _log.info("plugin_log", plugin=self.plugin.name, level_told=level, logger_told=name, text=printable(text, _LOG_CHARS))

    # -- end -----------------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End the process in order: `ComponentProcess.stop`, which is also what the protocol asks for."""
        relisting = self._relisting
        try:
            if relisting is not None:
                relisting.cancel()
            await self._process.stop(self.plugin.stop_grace_s)
        finally:
            if relisting is not None:
                await asyncio.wait((relisting,))

    def _unseen(self) -> Collection[int]:
        return self._undelivered

    def _close(self) -> None:
        if self._relisting is not None:
            self._relisting.cancel()
