"""The event loop of a spawned component server: reads the wire in large pieces, never blocks on writing it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from flowspan.components.connection import Connection
from flowspan.components.registry import Registry
from flowspan.components.stdout_guard import WirePipes

READ_BYTES: Final = 256 * 1024
LARGE_READ_BYTES: Final = 1024 * 1024
"""After a read that found more than it could take: all that a pipe of the gateway holds."""
MAX_UNWRITTEN_BYTES: Final = 64 * 1024 * 1024
"""Beyond it, reading rests: a gateway that takes no answers gets no more work done."""
RESUME_UNWRITTEN_BYTES: Final = 16 * 1024 * 1024
END_TIMEOUT_S: Final = 2.0
"""How long async components may take to end after they were cancelled."""
LAST_ANSWERS_S: Final = 1.0
"""How long executions may go on after the end of stdin where somebody still reads the answers; also for writing the last ones."""

EventLoopKind = Literal["auto", "asyncio", "uvloop"]


def new_event_loop(kind: EventLoopKind) -> asyncio.AbstractEventLoop:
    """`auto`: uvloop where it is installed."""
    if kind != "asyncio":
        try:
            import uvloop
        except ImportError:
            if kind == "uvloop":
                raise
        else:
            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            return loop
    return asyncio.new_event_loop()


def serve_pipes(registry: Registry, capacity: int, pipes: WirePipes, kind: EventLoopKind) -> None:
    """Serve until the gateway closes its end, asks to shut down, or dies."""
    loop = new_event_loop(kind)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_PipeServer(registry, capacity, pipes, loop).serve())
    finally:
        try:
            _end_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=END_TIMEOUT_S))


class _PipeServer:
    """One connection over two descriptors."""

    def __init__(self, registry: Registry, capacity: int, pipes: WirePipes, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._read_fd = pipes.read_fd
        self._write_fd = pipes.write_fd
        self._ended: asyncio.Future[None] = loop.create_future()
        self._unwritten: deque[memoryview] = deque()
        self._unwritten_bytes = 0
        # Pool threads write their answers themselves.
        self._write_lock = threading.Lock()
        self._loop_thread = threading.get_ident()
        self._reading = False
        self._read_bytes = READ_BYTES
        self._input_ended = False
        self._last_answers: asyncio.TimerHandle | None = None
        self._all_written: asyncio.Future[None] | None = None
        self._connection = Connection(registry, capacity, loop, self._write, self._end)
        # Only pipes and sockets: the flag of a terminal or a file would be shared with others.
        self._polls_write = _make_non_blocking(self._write_fd)
        self._polls_read = _make_non_blocking(self._read_fd)

    async def serve(self) -> None:
        stop_watching = _watch_parent(self._loop, self._end)
        self._start_reading()
        try:
            await self._ended
        finally:
            stop_watching()
            self._stop_reading()
            await self._write_the_rest()
            self._connection.close()

    # ---------------------------------------------------------------- reading

    def _start_reading(self) -> None:
        if self._reading or self._input_ended or self._ended.done():
            return
        self._reading = True
        if self._polls_read:
            self._loop.add_reader(self._read_fd, self._on_readable)
        else:
            # A file or a terminal cannot be polled everywhere; a thread reads it.
            threading.Thread(target=self._read_in_thread, name="stdin", daemon=True).start()

    def _stop_reading(self) -> None:
        if self._reading and self._polls_read:
            self._loop.remove_reader(self._read_fd)
        self._reading = False

    def _pause_reading(self) -> None:
        if self._unwritten_bytes > MAX_UNWRITTEN_BYTES:
            self._stop_reading()

    def _on_readable(self) -> None:
        try:
            data = os.read(self._read_fd, self._read_bytes)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._read_bytes = LARGE_READ_BYTES if len(data) >= READ_BYTES else READ_BYTES
        if data:
            self._connection.receive(data)
        else:
            self._input_ended = True
            self._stop_reading()
            self._on_end_of_input()

    def _read_in_thread(self) -> None:
        with contextlib.suppress(RuntimeError):  # The loop was closed while the read was blocked.
            while data := self._read_blocking():
                self._loop.call_soon_threadsafe(self._connection.receive, data)
            self._loop.call_soon_threadsafe(self._connection.end_when_idle)

    def _read_blocking(self) -> bytes:
        try:
            return os.read(self._read_fd, READ_BYTES)
        except OSError:
            return b""

    def _on_end_of_input(self) -> None:
        """A gateway that died has closed both pipes. One that stops, or a shell's pipeline, still reads what is finished soon."""
        if _has_reader(self._write_fd):
            self._connection.end_when_idle()
            self._last_answers = self._loop.call_later(LAST_ANSWERS_S, self._end)
        else:
            self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    # ---------------------------------------------------------------- writing

    def _write(self, data: bytes) -> None:
        """Now if the pipe takes it, else when it does. On any thread."""
        with self._write_lock:
            written = 0
            if not self._unwritten:
                try:
                    written = os.write(self._write_fd, data)
                except BlockingIOError:
                    written = 0
                except OSError:
                    self._on_loop(self._end)
                    return
                if written == len(data):
                    return
                self._on_loop(self._write_later)
            self._unwritten.append(memoryview(data)[written:])
            self._unwritten_bytes += len(data) - written
            if self._unwritten_bytes > MAX_UNWRITTEN_BYTES and self._polls_read:
                self._on_loop(self._pause_reading)

    def _on_loop(self, function: Callable[[], None]) -> None:
        if threading.get_ident() == self._loop_thread:
            self._loop.call_soon(function)
        else:
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody is there to read.
                self._loop.call_soon_threadsafe(function)

    def _write_later(self) -> None:
        if self._polls_write:
            self._loop.add_writer(self._write_fd, self._on_writable)
        else:
            self._loop.call_soon(self._on_writable)

    def _on_writable(self) -> None:
        try:
            with self._write_lock:
                self._write_some()
        except OSError:
            self._unwritten.clear()
            self._loop.remove_writer(self._write_fd)
            if self._all_written is not None and not self._all_written.done():
                self._all_written.set_result(None)
            self._end()
            return
        if not self._unwritten:
            if self._polls_write:
                self._loop.remove_writer(self._write_fd)
            if self._all_written is not None and not self._all_written.done():
                self._all_written.set_result(None)
        elif not self._polls_write:
            self._loop.call_soon(self._on_writable)
        if self._unwritten_bytes < RESUME_UNWRITTEN_BYTES and not self._reading:
            self._start_reading()

    def _write_some(self) -> None:
        while self._unwritten:
            data = self._unwritten[0]
            try:
                written = os.write(self._write_fd, data)
            except BlockingIOError:
                return
            self._unwritten_bytes -= written
            if written < len(data):
                self._unwritten[0] = data[written:]
                return
            self._unwritten.popleft()

    async def _write_the_rest(self) -> None:
        """For a moment only: nobody may be there to read it."""
        if self._last_answers is not None:
            self._last_answers.cancel()
        if self._unwritten:
            self._all_written = self._loop.create_future()
            await asyncio.wait([self._all_written], timeout=LAST_ANSWERS_S)
        if self._unwritten and self._polls_write:
            self._loop.remove_writer(self._write_fd)


def _has_reader(fd: int) -> bool:
    """Whether anybody can still read what is written to a pipe or socket."""
    poll = select.poll()
    poll.register(fd, 0)
    return not any(event & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, event in poll.poll(0))


def _make_non_blocking(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    os.set_blocking(fd, False)
    return True


def _watch_parent(loop: asyncio.AbstractEventLoop, on_death: Callable[[], None]) -> Callable[[], None]:
    """A second belt beside the end of stdin, which another process may hold open: end when the parent dies.

    Returns what stops the watch. Where the parent cannot be watched (another pid namespace, no pidfd) it does nothing.
    """
    parent = os.getppid()
    if parent <= 1 or not hasattr(os, "pidfd_open"):
        return lambda: None
    try:
        fd = os.pidfd_open(parent)
    except OSError:
        return lambda: None
    if os.getppid() != parent:
        os.close(fd)
        loop.call_soon(on_death)
        return lambda: None
    loop.add_reader(fd, on_death)

    def stop() -> None:
        loop.remove_reader(fd)
        os.close(fd)

    return stop
