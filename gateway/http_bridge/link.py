"""Lines to a component server over HTTP and back: each message of ours is a POST, what comes in its answer is read as lines.

The peer above sees what it sees of a process's pipes. So the order of messages, their checks, and who asked for what are its
business; here it is how they travel: as JSON, as a stream of events that carries the server's own requests before the
answer, and the answers to those as further POSTs, to the same instance of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from flowspan.errors import FlowspanError, LimitExceededError
from flowspan.jsonrpc import WireError, one_line, printable
from flowspan.jsonrpc.messages import RequestId, encode_error
from gateway.http_bridge.connections import Connections
from gateway.http_bridge.event_stream import EventStream
from gateway.http_bridge.settings import HttpPlugin
from gateway.stdio_bridge.exit_report import ExitReport
from gateway.stdio_bridge.process import ComponentProcess

if TYPE_CHECKING:
    import httpx

_log = structlog.get_logger("flowspan.bridge")

INSTANCE_HEADER: Final = "Stepflow-Instance-Id"
"""Names the instance that asked, where several share an address; answers to it carry the same."""
MAX_ANNOUNCEMENT_BYTES: Final = 64 * 1024
"""Of stdout before the line with the port."""
EXIT_SEEN_S: Final = 0.5
"""From a lost connection to the end of the process that is behind it."""
UNREACHABLE_CODE: Final = -32002
"""What the table of component servers' codes makes UNREACHABLE of: the call is repeated within its budget."""
CANCELLED_CODE: Final = -32800
FAILED_CODE: Final = -32000
_SAID_CHARS: Final = 300


class _Head(msgspec.Struct):
    """What of a message tells what it is."""

    id: int | str | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")


class _Port(msgspec.Struct):
    port: int


class _Cancel(msgspec.Struct):
    id: int | str | None = None


class _PlainError(msgspec.Struct):
    message: str = ""


class _PlainAnswer(msgspec.Struct):
    error: _PlainError | str = ""


_decode_head: Final = msgspec.json.Decoder(_Head).decode


class HttpLink:
    """`gateway.stdio_bridge.peer_process.PeerProcess` over HTTP. Use once.

    Args:
        on_lines: lines of the server, each with its newline; never called after `on_exit`.
        on_exit: once, at the end of the process, or soon after `kill` or `stop` of a server that is not ours.
        on_stderr: as of `ComponentProcess`.
        on_lost: nobody listens at the address.
    """

    def __init__(
        self,
        plugin: HttpPlugin,
        *,
        on_lines: Callable[[bytes], None],
        on_exit: Callable[[ExitReport], None],
        on_stderr: Callable[[list[str], int], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._plugin = plugin
        self._on_lines = on_lines
        self._on_exit = on_exit
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._connections: Connections | None = None
        self.url = plugin.url
        self._is_running = False
        self._began_at = 0.0
        self._announcement = b""
        self._waiting: list[bytes] = []  # for the port
        self._posts: set[asyncio.Task[None]] = set()
        self._open: dict[RequestId, asyncio.Task[None]] = {}
        self._instances: dict[RequestId, str] = {}  # of requests of the server
        self._process: ComponentProcess | None = None
        if plugin.url is None:
            self._process = ComponentProcess(
                plugin.launch, on_stdout=self._on_stdout, on_exit=self._on_process_exit, on_stderr=on_stderr
            )

    # -- PeerProcess ---------------------------------------------------------------------------------------------------------

    def spawn(self) -> None:
        self._began_at = self._loop.time()
        accepted = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        self._connections = Connections({**self._plugin.headers, **accepted, "Accept-Encoding": "identity"})
        if self._process is not None:
            self._process.spawn()
        self._is_running = True

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        return self._is_running

    @property
    def write_buffer_bytes(self) -> int:
        return sum(map(len, self._waiting))

    @property
    def stalled_since(self) -> float | None:
        return None

    @property
    def stdin_is_open(self) -> bool:
        return self._is_running

    def stderr_tail(self) -> str:
        return "" if self._process is None else self._process.stderr_tail()

    def write(self, data: bytes | Sequence[bytes]) -> bool:
        if not self._is_running:
            return False
        text = data if isinstance(data, bytes) else b"".join(data)
        for line in text.splitlines():
            if not line:
                continue
            if self.url is None:
                self._waiting.append(line)
            else:
                self._send(line)
        return True

    def kill(self) -> None:
        if not self._is_running:
            return
        if self._process is not None:
            self._process.kill()
        else:
            self._loop.call_soon(self._end, self._report())

    async def stop(self, grace_s: float = 2.0) -> ExitReport | None:
        report = None
        try:
            if self._process is not None and self._is_running:
                # The end of stdin means nothing to a server that listens.
                self._process.terminate()
                report = await self._process.stop(grace_s)
            elif self._is_running:
                report = self._report()
                self._end(report)
        finally:
            if self._posts:
                await asyncio.wait(self._posts, timeout=EXIT_SEEN_S)
            if self._connections is not None:
                await self._connections.aclose()
        return report

    # -- the process ---------------------------------------------------------------------------------------------------------

    def _on_stdout(self, data: bytes) -> None:
        if self.url is not None:
            _log.info("plugin_stdout", plugin=self._plugin.name, text=printable(data.decode("utf-8", "replace"), 8_192))
            return
        *lines, self._announcement = (self._announcement + data).split(b"\n")
        for position, line in enumerate(lines):
            try:
                port = msgspec.json.decode(line, type=_Port).port
            except (msgspec.MsgspecError, UnicodeDecodeError):
                _log.info("plugin_stdout", plugin=self._plugin.name, text=printable(line.decode("utf-8", "replace"), 8_192))
                continue
            self.url = f"http://127.0.0.1:{port}/"
            waiting, self._waiting = self._waiting, []
            for message in waiting:
                self._send(message)
            if rest := b"\n".join([*lines[position + 1 :], self._announcement]):
                self._on_stdout(rest)
            return
        if len(self._announcement) > MAX_ANNOUNCEMENT_BYTES:
            self._on_lost("it writes without a line break and does not announce its port")

    def _on_process_exit(self, report: ExitReport) -> None:
        self._end(report)

    def _end(self, report: ExitReport) -> None:
        if not self._is_running:
            return
        self._is_running = False
        for task in self._posts:
            task.cancel()
        self._on_exit(report)

    def _report(self) -> ExitReport:
        return ExitReport(
            name=self._plugin.name,
            pid=0,
            exit_code=None,
            signal_number=None,
            start_error=None,
            stop_was_requested=True,
            stderr_tail="",
            half_line="",
            lived_s=self._loop.time() - self._began_at,
            held_in=None,
        )

    # -- messages ------------------------------------------------------------------------------------------------------------

    def _send(self, line: bytes) -> None:
        head = _decode_head(line)
        if head.method == "$/cancelRequest":
            self._abort(msgspec.json.decode(head.params, type=_Cancel).id)
            return
        instance = None if head.method is not None or head.id is None else self._instances.pop(head.id, None)
        task = self._loop.create_task(self._post(line, head, instance), name=f"http {self._plugin.name}")
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)
        if head.method is not None and head.id is not None:
            request_id = head.id
            self._open[request_id] = task
            task.add_done_callback(lambda _done: self._open.pop(request_id, None))

    def _abort(self, request_id: RequestId | None) -> None:
        """A closed connection is how a request over HTTP is cancelled; its answer is ours."""
        task = None if request_id is None else self._open.get(request_id)
        if task is not None and request_id is not None:
            task.cancel()
            self._loop.call_soon(self._fail, request_id, CANCELLED_CODE, "the request was cancelled")

    def _fail(self, request_id: RequestId | None, code: int, message: str) -> None:
        """An answer of ours, unless there is one already."""
        if request_id is not None and self._open.pop(request_id, None) is not None and self._is_running:
            self._on_lines(encode_error(request_id, WireError(code, message)))

    async def _post(self, line: bytes, head: _Head, instance: str | None) -> None:
        import httpx

        assert self._connections is not None and self.url is not None
        asked = head.id if head.method is not None else None
        name = f"plugin {self._plugin.name!r}"
        try:
            headers = {} if instance is None else {INSTANCE_HEADER: instance}
            async with self._connections.post(self.url, line, headers) as response:
                await self._read(response, asked)
            self._fail(asked, UNREACHABLE_CODE, f"{name} ended the answer without a result (HTTP {response.status_code})")
        except httpx.ConnectError as error:
            await self._see_its_end()
            self._fail(asked, UNREACHABLE_CODE, f"{name}: nobody listens at {self.url}: {error}")
            if self._is_running:
                self._on_lost(f"nobody listens at {self.url}")
        except httpx.HTTPError as error:
            if asked in self._open:
                await self._see_its_end()
            self._fail(asked, UNREACHABLE_CODE, f"{name}: the connection was lost: {str(error) or type(error).__name__}")
        except FlowspanError as error:
            self._fail(asked, FAILED_CODE, error.message)

    async def _see_its_end(self) -> None:
        """After a lost connection: a process that has ended is seen a moment later. Then this task is cancelled, and its call is
        one of those that the process took with it."""
        if self._process is not None:
            await self._process.wait_exit(EXIT_SEEN_S)

    async def _read(self, response: httpx.Response, asked: RequestId | None) -> None:
        """Hand on what the response holds."""
        max_bytes = self._plugin.frame_limits.max_line_bytes
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            events = EventStream(max_bytes)
            instance = response.headers.get(INSTANCE_HEADER, "")
            async for data in response.aiter_raw():
                for message in events.feed(data):
                    self._take(message, instance)
            return
        body = bytearray()
        async for data in response.aiter_raw():
            body += data
            if len(body) > max_bytes:
                raise LimitExceededError(
                    f"the answer has more than {max_bytes} bytes; put large values into blobs",
                    limit="line",
                    max=max_bytes,
                    actual=len(body),
                )
        is_refused = response.status_code >= 400
        if asked is not None and self._is_message(body):
            self._take(bytes(body), "")
        elif asked is not None and is_refused:
            self._fail(asked, FAILED_CODE, f"HTTP {response.status_code}: {_said(body)}")
        elif is_refused:
            _log.warning("http_message_refused", plugin=self._plugin.name, status=response.status_code, said=_said(body))

    def _is_message(self, body: bytes | bytearray) -> bool:
        try:
            head = _decode_head(body)
        except (ValueError, RecursionError):
            return False
        return head.id is not None

    def _take(self, message: bytes, instance: str) -> None:
        """Hand on one message; what is none is for the session to judge."""
        if not self._is_running:
            return
        try:
            head = _decode_head(message)
        except (ValueError, RecursionError):
            head = _Head()
        if head.id is not None and head.method is None:
            self._open.pop(head.id, None)
        elif head.id is not None and instance:
            self._instances[head.id] = instance
        self._on_lines(one_line(message) + b"\n")


def _said(body: bytes | bytearray) -> str:
    """What a refusal says, for people."""
    try:
        error = msgspec.json.decode(body, type=_PlainAnswer).error
    except (ValueError, RecursionError):
        return printable(bytes(body).decode("utf-8", "replace"), _SAID_CHARS)
    return printable(error if isinstance(error, str) else error.message, _SAID_CHARS)
