"""Our requests to the gateway: a window, a bounded wait for each, and repetition when the gateway is overloaded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from flowspan.errors import FlowspanError, Reason, UnavailableError
from flowspan.jsonrpc import Answer, RequestId, Session, to_flowspan_error

WINDOW: Final = 1_024
"""Requests that may be open at once, open-ended waits not counted; a gateway refuses more (decision 3)."""
REQUEST_TIMEOUT_S: Final = 60.0
MAX_OVERLOAD_S: Final = 60.0
"""How long a request is repeated while the gateway says that it is overloaded."""
DEFAULT_RETRY_AFTER_S: Final = 0.1


class Outgoing:
    """Requests of this side. Used on the loop's thread only."""

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop, send: Callable[[bytes], None]) -> None:
        self._session = session
        self._loop = loop
        self._send = send
        self._open: dict[RequestId, asyncio.Future[bytes]] = {}
        self._in_window = 0
        self._queued: deque[asyncio.Future[None]] = deque()
        self._closed = False

    async def request(
        self,
        method: str,
        params: bytes,
        *,
        timeout_s: float | None = REQUEST_TIMEOUT_S,
        open_ended: bool = False,
        on_id: Callable[[RequestId], None] | None = None,
    ) -> bytes:
        """Ask the gateway; the result as JSON bytes.

        Args:
            timeout_s: bound on the answer, or None if the caller waits for a run without a bound.
            open_ended: whether the request is a wait on a run, which takes no place in the window.
            on_id: told the id of the request before anything can be answered.

        Raises:
            FlowspanError: what the gateway answered, TIMEOUT, or UNAVAILABLE when the connection is gone.
        """
        give_up_s = self._loop.time() + MAX_OVERLOAD_S
        while True:
            try:
                return await self._ask(method, params, timeout_s, open_ended, on_id)
            except FlowspanError as error:
                if error.reason is not Reason.OVERLOADED:
                    raise
                hint = error.details.get("retryAfterMs")
                pause_s = hint / 1000 if isinstance(hint, (int, float)) and hint > 0 else DEFAULT_RETRY_AFTER_S
                if self._loop.time() + pause_s > give_up_s:
                    raise
            await asyncio.sleep(pause_s)

    def notify(self, method: str, params: object) -> None:
        """Tell the gateway something."""
        if not self._closed:
            self._send(self._session.notify(method, msgspec.json.encode(params)))

    def take_answers(self, answers: list[Answer]) -> None:
        """Answers as the session reports them."""
        for request_id, result, error in answers:
            future = self._open.pop(request_id, None)
            if future is None or future.done():
                continue
            if error is not None:
                future.set_exception(to_flowspan_error(error))
            else:
                assert result is not None
                future.set_result(result)

    def close(self) -> None:
        """The connection is gone: every open and queued request fails."""
        self._closed = True
        waiting: list[asyncio.Future[Any]] = [*self._open.values(), *self._queued]
        for future in waiting:
            if not future.done():
                future.set_exception(_gone())
        self._open.clear()
        self._queued.clear()

    async def _ask(
        self, method: str, params: bytes, timeout_s: float | None, open_ended: bool, on_id: Callable[[RequestId], None] | None
    ) -> bytes:
        if self._closed:
            raise _gone()
        if not open_ended:
            await self._enter_window()
        try:
            return await self._exchange(method, params, timeout_s, on_id)
        finally:
            if not open_ended:
                self._leave_window()

    async def _exchange(
        self, method: str, params: bytes, timeout_s: float | None, on_id: Callable[[RequestId], None] | None
    ) -> bytes:
        if self._closed:
            raise _gone()
        request_id, line = self._session.request(method, params)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._open[request_id] = future
        if on_id is not None:
            on_id(request_id)
        self._send(line)
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, _expire, future, method, timeout_s)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            if self._open.pop(request_id, None) is not None:
                # Timed out or cancelled on this side: the gateway need not go on.
                self._session.forget([request_id])
                self.notify("$/cancelRequest", {"id": request_id})

    async def _enter_window(self) -> None:
        if self._in_window < WINDOW:
            self._in_window += 1
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._queued.append(turn)
        try:
            await turn  # The place was counted by whoever left.
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave_window()
            raise

    def _leave_window(self) -> None:
        while self._queued:
            turn = self._queued.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._in_window -= 1


def _expire(future: asyncio.Future[bytes], method: str, timeout_s: float) -> None:
    if not future.done():
        message = f"the gateway did not answer {method} within {timeout_s:g} s"
        future.set_exception(FlowspanError(message, reason=Reason.TIMEOUT))


def _gone() -> FlowspanError:
    return UnavailableError("the connection to the gateway is closed")
