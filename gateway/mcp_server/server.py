"""The MCP server: what comes in over one pipe pair, and what goes out. The pipes themselves are `stdio`.

https://modelcontextprotocol.io/specification, the revisions with a handshake; capability `tools`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from flowspan.errors import FlowspanError, InvalidArgumentError, OverloadedError, Reason
from flowspan.jsonrpc import (
    NoiseReceived,
    NotificationReceived,
    ProtocolViolation,
    RequestId,
    RequestReceived,
    Session,
    method_not_found,
    printable,
)
from gateway.mcp_bridge.revisions import REVISIONS
from gateway.mcp_server.flow_catalog import FlowCatalog
from gateway.mcp_server.flow_tools import failed_result
from gateway.mcp_server.tool_run import Progress, ToolRuns

_log = structlog.get_logger("flowspan.mcp")

MAX_OPEN_REQUESTS: Final = 64
"""Of one client; a host asks for a few at a time."""
END_S: Final = 6.0
"""For open calls to cancel their runs once the client has gone."""
INSTRUCTIONS: Final = (
    "Each tool is a flow of a Flowspan gateway; one call runs it once, durably. Results name their run in _meta."
)


class _Meta(msgspec.Struct):
    progressToken: int | str | None = None
    traceparent: str | None = None


class _CallParams(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    meta: _Meta = msgspec.field(default_factory=_Meta, name="_meta")


class _Cancelled(msgspec.Struct):
    requestId: int | str


class FlowServer:
    """One client's conversation. `receive` is fed what came in; `write` is given what goes out.

    Args:
        write: takes bytes to send, in order; never blocks.
    """

    def __init__(self, catalog: FlowCatalog, runs: ToolRuns, write: Callable[[bytes], None], *, version: str) -> None:
        self._catalog = catalog
        self._runs = runs
        self._write = write
        self._version = version
        self._session = Session()
        self._tasks: dict[RequestId, asyncio.Task[bytes]] = {}
        self._cancelled: set[RequestId] = set()
        self._caller = ""

    def receive(self, data: bytes) -> bool:
        """Take what was read, of any cut; False if nothing more will be understood."""
        for event in self._session.receive(data):
            if isinstance(event, RequestReceived):
                self._accept(event)
            elif isinstance(event, NotificationReceived):
                self._take(event)
            elif isinstance(event, ProtocolViolation):
                _log.warning("protocol_violation", message=event.message, quoted=event.quoted)
                if event.reply is not None:
                    self._write(event.reply)
                if event.fatal:
                    return False
            elif isinstance(event, NoiseReceived):
                _log.warning("no_message", text=event.text)
        return True

    async def close(self) -> None:
        """The client has gone: its calls are cancelled, and their runs with them."""
        tasks = list(self._tasks.values())
        self._cancelled.update(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)
        self._session.close()

    def _accept(self, request: RequestReceived) -> None:
        if request.method == "ping":
            self._write(self._session.respond(request.id, b"{}"))
        elif request.method == "initialize":
            self._write(self._session.respond(request.id, self._initialize(request.params)))
        elif len(self._tasks) >= MAX_OPEN_REQUESTS:
            full = OverloadedError(f"{MAX_OPEN_REQUESTS} requests are open; await some answers first", retryAfterMs=100)
            self._write(self._session.fail(request.id, full))
        else:
            task = asyncio.get_running_loop().create_task(self._serve(request))
            self._tasks[request.id] = task
            task.add_done_callback(lambda done: self._on_done(request.id, done))

    def _initialize(self, params: bytes) -> bytes:
        asked: dict[str, Any] = msgspec.json.decode(params)
        info = asked.get("clientInfo")
        self._caller = str(info.get("name") or "") if isinstance(info, dict) else ""
        version = asked.get("protocolVersion")
        return msgspec.json.encode(
            {
                "protocolVersion": version if version in REVISIONS else REVISIONS[0],
                "capabilities": {"tools": {"listChanged": False}},
                "serverInfo": {"name": "flowspan", "title": "Flowspan", "version": self._version},
                "instructions": INSTRUCTIONS,
            }
        )

    async def _serve(self, request: RequestReceived) -> bytes:
        """The line of the answer."""
        serve = {"tools/list": self._list, "tools/call": self._call}.get(request.method)
        try:
            if serve is None:
                raise method_not_found(request.method)
            return self._session.respond(request.id, await serve(request.params))
        except FlowspanError as error:
            return self._session.fail(request.id, error)
        except Exception:
            incident = secrets.token_hex(8)
            _log.exception("request_failed", method=printable(request.method), incident=incident)
            bug = FlowspanError(f"internal error, incident {incident}", reason=Reason.INTERNAL, incident=incident)
            return self._session.fail(request.id, bug)

    def _on_done(self, request_id: RequestId, task: asyncio.Task[bytes]) -> None:
        self._tasks.pop(request_id, None)
        was_cancelled = request_id in self._cancelled
        self._cancelled.discard(request_id)
        if not task.cancelled():
            answer = task.result()
        elif self._session.is_open_request(request_id):
            answer = self._session.respond(request_id, failed_result("the call was cancelled"))
        else:
            return
        # The protocol asks for silence after a cancel; made all the same, since the request is over.
        if not was_cancelled:
            self._write(answer)

    def _take(self, event: NotificationReceived) -> None:
        if event.method == "notifications/cancelled":
            try:
                request_id = msgspec.json.decode(event.params, type=_Cancelled).requestId
            except msgspec.MsgspecError as error:
                _log.warning("bad_notification", method=event.method, error=str(error))
                return
            task = self._tasks.get(request_id)
            if task is not None:
                self._cancelled.add(request_id)
                task.cancel()

    async def _list(self, params: bytes) -> bytes:
        tools = await self._catalog.tools()
        return b'{"tools":[' + b",".join([tool.to_wire() for tool in tools]) + b"]}"

    async def _call(self, params: bytes) -> bytes:
        try:
            call = msgspec.json.decode(params, type=_CallParams)
        except msgspec.MsgspecError as error:
            raise InvalidArgumentError(f"tools/call: {error}", field="params") from None
        arguments = bytes(call.arguments)
        arguments = b"{}" if arguments == b"null" else arguments
        if not arguments.startswith(b"{"):
            raise InvalidArgumentError("tools/call: arguments is no object", field="arguments")
        tool = await self._catalog.find(call.name)
        if tool is None:
            raise InvalidArgumentError(f"there is no tool {printable(call.name)!r}; tools/list tells them", field="name")
        token = call.meta.progressToken
        progress = None if token is None else self._progress_of(token)
        return await self._runs.call(tool, arguments, progress=progress, caller=self._caller, traceparent=call.meta.traceparent)

    def _progress_of(self, token: int | str) -> Progress:
        def tell(progress: float, message: str) -> None:
            told = {"progressToken": token, "progress": progress, "message": message}
            self._write(self._session.notify("notifications/progress", msgspec.json.encode(told)))

        return tell
