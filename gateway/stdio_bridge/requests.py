"""Serving what one process of a component server asks: one task per request, a window, and answers within bounds.

The read path never waits here: a request is a task that ends in one answer, or none if the process has gone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Protocol

import structlog

from flowspan.errors import FlowspanError, LimitExceededError, OverloadedError, Reason, RequestCancelledError
from flowspan.jsonrpc import Dialect, RequestId, RequestReceived, Session, printable
from gateway.methods.context import RequestContext, RequestLink, RequestOrigin
from gateway.stdio_bridge.settings import BACKLOG_BYTES, MAX_OPEN_WAITS, MAX_QUEUED_BYTES, REQUEST_WINDOW

_log = structlog.get_logger("flowspan.bridge")

RequestHandler = Callable[[RequestContext, str, bytes], Awaitable[bytes]]
"""Context, method and params (a JSON object) to the result's JSON. Raises FlowspanError for an error answer."""

_POLL_S: Final = 0.005
"""How often a watch looks whether a server that is behind has caught up."""
_RETRY_AFTER_MS: Final = 100
_CLOSE_S: Final = 5.0
"""Handlers end at their next wait when they are cancelled; one that does not is left behind rather than waited for."""
_ENVELOPE_BYTES: Final = 256
"""Room for `{"jsonrpc":"2.0","id":...,"result":}` around a result."""


class ServedPeer(Protocol):
    """What serving needs of the process that asks."""

    @property
    def dialect(self) -> Dialect: ...
    @property
    def max_line_bytes(self) -> int: ...
    @property
    def queued_bytes(self) -> int: ...
    def send(self, data: bytes) -> bool: ...
    def link(self, origin: RequestOrigin) -> RequestLink: ...
    def waiting(self, link: RequestLink) -> AbstractContextManager[None]: ...
    def give_up(self, why: str) -> None: ...


class PeerRequests:
    """Requests of one process, from arrival to answer. Owns their tasks; `close` ends them."""

    def __init__(self, peer: ServedPeer, session: Session, handler: RequestHandler) -> None:
        self._peer = peer
        self._session = session
        self._handler = handler
        self._tasks: dict[RequestId, asyncio.Task[bytes]] = {}
        self._cancelled: set[RequestId] = set()
        self._waits = 0
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0

    @property
    def open_waits(self) -> int:
        return self._waits

    def accept(self, request: RequestReceived) -> None:
        """Serve it, or refuse it at once."""
        if len(self._tasks) - self._waits >= REQUEST_WINDOW:
            self.refuse(
                request.id,
                OverloadedError(
                    f"{REQUEST_WINDOW} requests of this server are open; await some answers first", retryAfterMs=_RETRY_AFTER_MS
                ),
            )
            return
        task = asyncio.get_running_loop().create_task(self._serve(request))
        self._tasks[request.id] = task
        task.add_done_callback(lambda done: self._on_done(request, done))

    def refuse(self, request_id: RequestId, error: FlowspanError) -> None:
        """Answer with an error."""
        self._send(self._session.fail(request_id, error))

    def cancel(self, request_id: object) -> None:
        """The server does not want the answer any more; it gets REQUEST_CANCELLED. Unknown ids are ignored."""
        if not isinstance(request_id, (int, str)):
            return
        task = self._tasks.get(request_id)
        if task is not None and request_id not in self._cancelled:
            self._cancelled.add(request_id)
            task.cancel()

    async def close(self) -> None:
        """End all; nothing is answered any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_S)

    async def _serve(self, request: RequestReceived) -> bytes:
        """The line of the answer."""
        context = _PeerContext(self, self._peer, self._session, request.id)
        try:
            result = await self._handler(context, request.method, request.params)
            max_bytes = self._peer.max_line_bytes
            if len(result) > max_bytes - _ENVELOPE_BYTES:
                raise LimitExceededError(
                    f"the answer has {len(result)} bytes, this server takes lines of at most {max_bytes}",
                    limit="line",
                    max=max_bytes,
                    actual=len(result),
                )
            return self._session.respond(request.id, result)
        except FlowspanError as error:
            return self._session.fail(request.id, error)
        except Exception:
            incident = secrets.token_hex(8)
            _log.exception("request_failed", method=printable(request.method), incident=incident)
            bug = FlowspanError(f"internal error, incident {incident}", reason=Reason.INTERNAL, incident=incident)
            return self._session.fail(request.id, bug)

    def _on_done(self, request: RequestReceived, task: asyncio.Task[bytes]) -> None:
        # Here and not in the task: one that is cancelled before its first step runs nothing of itself.
        self._tasks.pop(request.id, None)
        was_cancelled_by_peer = request.id in self._cancelled
        self._cancelled.discard(request.id)
        if not task.cancelled():
            self._send(task.result())
        elif was_cancelled_by_peer and self._session.is_open_request(request.id):
            self._send(self._session.fail(request.id, RequestCancelledError("the request was cancelled")))

    def _send(self, answer: bytes) -> None:
        """Answers of one turn of the loop go out in one write: what waits for runs of one commit is answered together."""
        if not answer:
            return
        if self._peer.queued_bytes + self._outbox_bytes + len(answer) > MAX_QUEUED_BYTES:
            self._peer.give_up(f"it does not read its answers: more than {MAX_QUEUED_BYTES} bytes are queued")
            return
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(answer)
        self._outbox_bytes += len(answer)

    def _flush(self) -> None:
        answers, self._outbox, self._outbox_bytes = self._outbox, [], 0
        self._peer.send(answers[0] if len(answers) == 1 else b"".join(answers))

    def begin_wait(self) -> None:
        """See `RequestContext.waiting`."""
        if self._waits >= MAX_OPEN_WAITS:
            raise OverloadedError(f"this server has {MAX_OPEN_WAITS} open waits, which is the limit", retryAfterMs=1000)
        self._waits += 1

    def end_wait(self) -> None:
        self._waits -= 1


class _OpenWait:
    """`PeerRequests.begin_wait` and `end_wait` around the peer's own part. A class: a generator costs three times as much."""

    __slots__ = ("_of_peer", "_requests")

    def __init__(self, requests: PeerRequests, of_peer: AbstractContextManager[None]) -> None:
        self._requests = requests
        self._of_peer = of_peer

    def __enter__(self) -> None:
        self._requests.begin_wait()
        try:
            self._of_peer.__enter__()
        except BaseException:
            self._requests.end_wait()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return self._of_peer.__exit__(kind, error, traceback)
        finally:
            self._requests.end_wait()


class _PeerContext:
    """`RequestContext` over a pipe."""

    __slots__ = ("_peer", "_requests", "_session", "request_id")

    def __init__(self, requests: PeerRequests, peer: ServedPeer, session: Session, request_id: RequestId) -> None:
        self._requests = requests
        self._peer = peer
        self._session = session
        self.request_id = request_id

    @property
    def dialect(self) -> Dialect:
        return self._peer.dialect

    @property
    def max_answer_bytes(self) -> int:
        return self._peer.max_line_bytes

    def link(self, origin: RequestOrigin) -> RequestLink:
        return self._peer.link(origin)

    def waiting(self, link: RequestLink) -> AbstractContextManager[None]:
        return _OpenWait(self._requests, self._peer.waiting(link))

    def notify(self, method: str, params: bytes) -> None:
        self._peer.send(self._session.notify(method, params))

    async def wait_writable(self) -> None:
        while self._peer.queued_bytes > BACKLOG_BYTES:
            await asyncio.sleep(_POLL_S)
