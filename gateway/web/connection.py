"""One HTTP/1.1 connection of uvicorn, with the bounds that it lacks: a head that does not come, and refusals in our words."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from flowspan.errors import FlowspanError, Reason
from gateway.web.failures import error_body
from gateway.web.limits import HEAD_TIMEOUT_S, MAX_CONNECTIONS


class Connection(H11Protocol):
    """Closes a connection whose next request does not come as a whole within `HEAD_TIMEOUT_S`.

    (Between two requests uvicorn's own, longer bound holds, until the first byte.)
    """

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.app_state = {"abort": self.transport.abort}
        if len(self.connections) > MAX_CONNECTIONS:
            self.transport.abort()
        else:
            self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering() or self.transport.is_closing():
            self._head_came()
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_answering():  # the next one was there already
            self._head_came()
        elif self.conn.trailing_data[0]:  # a part of it
            self._expect_head()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self._is_answering():
            self.transport.close()

    def handle_websocket_upgrade(self, event: h11.Request) -> Any:
        raise AssertionError("there are no web sockets")

    def send_400_response(self, msg: str) -> None:
        """What came is not HTTP. Where an answer is under way, nothing can be said any more."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        body = error_body(
            FlowspanError(
                "the request is not HTTP/1.1, or its request line and headers have more than 16 KiB",
                reason=Reason.INVALID_REQUEST,
            )
        )
        head = h11.Response(
            status_code=400,
            headers=[("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")],
        )
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
