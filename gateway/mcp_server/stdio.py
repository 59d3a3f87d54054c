"""The two pipes of an MCP server, each with a thread of its own: whatever stdin and stdout are, neither holds up the loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog

from flowspan.components.stdout_guard import WirePipes

_log = structlog.get_logger("flowspan.mcp")

READ_BYTES: Final = 256 * 1024
MAX_UNWRITTEN_BYTES: Final = 64 * 1024 * 1024
"""Beyond it the client counts as gone: it does not read."""
LAST_ANSWERS_S: Final = 1.0
"""For what is still unwritten when stdin has ended."""


class StdioPipes:
    """Reads one pipe and writes the other, from `start` to the end of stdin or of stdout.

    Args:
        receive: called in the loop with what was read; False ends the conversation.

    Attributes:
        ended: done when the client has gone.
    """

    def __init__(self, pipes: WirePipes, receive: Callable[[bytes], bool]) -> None:
        self._pipes = pipes
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self.ended: Final[asyncio.Future[None]] = self._loop.create_future()
        self._unwritten: deque[bytes] = deque()
        self._unwritten_bytes = 0
        self._changed = threading.Condition()

    def start(self) -> None:
        # Daemons: a read of stdin ends with the process at the latest.
        threading.Thread(target=self._read, name="mcp stdin", daemon=True).start()
        threading.Thread(target=self._write, name="mcp stdout", daemon=True).start()

    def write(self, data: bytes) -> None:
        """Send this, after what was given before."""
        with self._changed:
            if self._unwritten_bytes + len(data) <= MAX_UNWRITTEN_BYTES:
                self._unwritten.append(data)
                self._unwritten_bytes += len(data)
                self._changed.notify_all()
                return
        _log.error("client_does_not_read", unwritten_bytes=self._unwritten_bytes)
        self._end()

    async def flush(self) -> None:
        """Until all is written, for `LAST_ANSWERS_S` at most."""

        def wait() -> None:
            with self._changed:
                self._changed.wait_for(lambda: not self._unwritten_bytes, LAST_ANSWERS_S)

        await asyncio.to_thread(wait)

    def _read(self) -> None:
        taken = threading.Event()
        while True:
            try:
                data = os.read(self._pipes.read_fd, READ_BYTES)
            except OSError:
                data = b""
            taken.clear()
            try:
                self._loop.call_soon_threadsafe(self._on_read, data, taken)
            except RuntimeError:
                return  # the loop is closed: the process ends
            if not data:
                return
            taken.wait()  # what was not taken in yet stays in the pipe

    def _on_read(self, data: bytes, taken: threading.Event) -> None:
        if not data or self.ended.done() or not self._receive(data):
            self._end()
        else:
            taken.set()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._unwritten))
                data = self._unwritten.popleft()
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._pipes.write_fd, view) :]
            except OSError:
                with self._changed:
                    self._unwritten.clear()
                    self._unwritten_bytes = 0
                    self._changed.notify_all()
                try:
                    self._loop.call_soon_threadsafe(self._end)
                except RuntimeError:
                    pass  # the loop is closed: the process ends
                return
            with self._changed:
                self._unwritten_bytes -= len(data)
                self._changed.notify_all()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
