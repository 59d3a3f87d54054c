"""What the gateway asks a component server beside executions: handshake, cancels, pings, the shutdown. Ids are strings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from flowspan.errors import Reason
from flowspan.jsonrpc import RequestId, Session, WireError, to_flowspan_error
from gateway.stdio_bridge.handshake import HandshakeError

Settle = Callable[[bytes | None], None]
"""Told the result; None for an error, for no answer in time, and for the end of the process."""


class OwnRequests:
    """Open requests of the gateway to one process.

    Args:
        plugin: its name, for messages.
        write: sends bytes to it.
    """

    def __init__(self, plugin: str, session: Session, write: Callable[[bytes], object]) -> None:
        self._plugin: Final = plugin
        self._session = session
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._handshake: dict[RequestId, asyncio.Future[bytes]] = {}
        self._settles: dict[RequestId, Settle] = {}

    async def ask(self, method: str, params: bytes, timeout_s: float) -> bytes:
        """The result's JSON.

        Raises:
            HandshakeError: no answer in time, an error (`peerReason` in the details), or the end of the process.
        """
        request_id, line = self._session.request(method, params)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._handshake[request_id] = answer
        try:
            self._write(line)
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise HandshakeError(
                f"plugin {self._plugin!r} did not answer {method} within {timeout_s:g} s", method=method
            ) from None
        finally:
            del self._handshake[request_id]
            self._session.forget((request_id,))

    def begin(self, method: str, params: bytes, settle: Settle, timeout_s: float | None = None) -> None:
        """Ask, and have `settle` called once: with the answer, after `timeout_s`, or at the end of the process."""
        request_id, line = self._session.request(method, params)
        timer: asyncio.TimerHandle | None = None

        def settle_once(result: bytes | None) -> None:
            if self._settles.pop(request_id, None) is None:
                return
            if timer is not None:
                timer.cancel()
            self._session.forget((request_id,))
            settle(result)

        self._settles[request_id] = settle_once
        if timeout_s is not None:
            timer = self._loop.call_later(timeout_s, settle_once, None)
        self._write(line)

    def take_answer(self, request_id: RequestId, result: bytes | None, error: WireError | None) -> None:
        """An answer that is none of an execution."""
        waiting = self._handshake.get(request_id)
        if waiting is not None and not waiting.done():
            if result is not None:
                waiting.set_result(result)
            else:
                assert error is not None
                cause = to_flowspan_error(error)
                waiting.set_exception(
                    HandshakeError(
                        f"plugin {self._plugin!r} refused the handshake: {cause.message}",
                        reason=Reason.RESOURCE_UNAVAILABLE,
                        peerReason=cause.reason,
                    )
                )
        elif (settle := self._settles.get(request_id)) is not None:
            settle(result)

    def close(self, why: str) -> None:
        """The process has ended: nothing more is answered."""
        for answer in self._handshake.values():
            if not answer.done():
                answer.set_exception(HandshakeError(why, reason=Reason.PLUGIN_CRASHED))
        for settle in list(self._settles.values()):
            settle(None)
