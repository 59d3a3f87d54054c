"""One process of a component server: its start, its three pipes, its end. Knows bytes, not messages.

Everything runs in callbacks of the event loop, on asyncio and uvloop alike: no task and no thread per process or per read.
The process is started by a blocking `subprocess.Popen` (vfork and exec, 1-2 ms): a loop's own subprocess support forks under
uvloop, and then gRPC's fork handlers run between fork and exec and crash the child.

Invariants: stdout and stderr are read as fast as the owner can take them until the process is gone, whatever else happens;
all that was written to stdout before the end is delivered before `on_exit`; `on_exit` comes exactly once, and after it no
descendant that the kernel lets us find is alive, no descriptor is open and nothing is left to bury.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from gateway.stdio_bridge.exit_report import ExitReport
from gateway.stdio_bridge.launch import Isolation, LaunchSpec, StartError, plan_launch
from gateway.stdio_bridge.stderr_ring import MAX_RING_BYTES, StderrRing, printable
from runtime_core.model.redaction import KNOWN_SECRETS

PIPE_BYTES: Final = 1024 * 1024
"""Capacity asked for stdin and stdout. Some servers never finish an answer that the default 64 KiB cannot take at once."""
READ_BYTES: Final = 256 * 1024
"""One read: large enough for bulk, small enough that other sources of the loop get their turn."""
LARGE_READ_BYTES: Final = PIPE_BYTES
"""One read after one that found more than it could take: the peer is in the middle of something large."""
MAX_DRAIN_BYTES: Final = 4 * PIPE_BYTES
"""Read at most this after the end; more than a pipe holds can only come from an escaped process that still writes."""
MAX_WRITE_PIECES: Final = 512
"""Buffers in one writev; below IOV_MAX (1,024) on every system."""
STDERR_TAIL_BYTES: Final = 4 * 1024
"""Of stderr in an exit report."""
HALF_LINE_BYTES: Final = 1024
"""Of the unfinished last line of stdout in an exit report."""
KILL_WAIT_S: Final = 2.0
"""From SIGKILL to the end of the process; beyond it the reaper itself is killed."""
CLOSED_STDOUT_S: Final = 0.5
"""A server that lives this long after closing stdout has not just begun to exit."""
_EXIT_POLL_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Waits between looks for an exit status on systems without pidfd; the last one repeats."""


def _ignore_stderr(_lines: list[str], _suppressed: int) -> None:
    return


def _ignore_close() -> None:
    return


class ComponentProcess:
    """A component server's process. Use once: `spawn`, then `write` and callbacks, then `stop` or an exit of its own.

    Callbacks run in the loop and must not block:
        on_stdout: bytes as read, never empty; never called after `on_exit`.
        on_exit: once, at the end.
        on_stderr: lines for the log, and how many were left out before them.
        on_stdout_closed: the server closed stdout and goes on living.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        *,
        on_stdout: Callable[[bytes], None],
        on_exit: Callable[[ExitReport], None],
        on_stderr: Callable[[list[str], int], None] = _ignore_stderr,
        on_stdout_closed: Callable[[], None] = _ignore_close,
    ) -> None:
        self.spec: Final = spec
        self._on_stdout = on_stdout
        self._on_exit = on_exit
        self._on_stderr = on_stderr
        self._on_stdout_closed = on_stdout_closed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._control_said = b""
        self._program = spec.command
        self._stdin_fd = self._stdout_fd = self._stderr_fd = self._pidfd = -1
        self._is_reading = True
        self._pending: deque[memoryview] = deque()
        self._pending_bytes = 0
        self._stalled_since: float | None = None
        self._close_stdin_when_flushed = False
        self._last_chunk = b""
        self._ring = StderrRing()
        self._stop_was_requested = False
        self._stop_has_begun = False
        self._started_at = 0.0
        self._report: ExitReport | None = None
        self._exited: asyncio.Future[ExitReport] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # -- start ---------------------------------------------------------------------------------------------------------------

    def spawn(self, inherited: Mapping[str, str] | None = None) -> None:
        """Start the process; must be called in a running loop. Blocks it for 1-2 ms.

        Args:
            inherited: the environment to take the allowed variables from; the gateway's own by default.

        Raises:
            StartError: the program or its directory cannot be used, or the system has no room for a process. That the kernel
                refuses the program itself (wrong architecture) is known later and comes as `ExitReport.start_error`.
            InvalidArgumentError: the configured environment is refused.
        """
        if self._loop is not None:
            raise RuntimeError(f"plugin {self.spec.name!r}: a ComponentProcess is started once")
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        try:
            launch = plan_launch(self.spec, os.environ if inherited is None else inherited, theirs.fileno())
            popen = subprocess.Popen(
                launch.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=launch.env,
                cwd=launch.cwd,
                close_fds=True,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise StartError(self.spec.name, self.spec.command, error.errno or errno.EIO) from error
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._loop, self._popen, self._control, self._program = loop, popen, ours, launch.program
        self._started_at = loop.time()
        self._exited = loop.create_future()
        ours.setblocking(False)
        self._stdin_fd, self._stdout_fd, self._stderr_fd = _own_pipes(popen)
        loop.add_reader(self._stdout_fd, self._on_stdout_readable)
        loop.add_reader(self._stderr_fd, self._on_stderr_readable)
        self._watch_exit(popen.pid)

    def _watch_exit(self, pid: int) -> None:
        assert self._loop is not None and self._control is not None
        try:
            self._pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            # No pidfd here. The reaper's end of the control socket closes with it, a moment before its status can be had.
            self._loop.add_reader(self._control.fileno(), self._on_control_readable)
        else:
            self._loop.add_reader(self._pidfd, self._on_process_end)

    # -- facts ---------------------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of the reaper that holds the server, while it lives and after; 0 before the start."""
        return self._popen.pid if self._popen is not None else 0

    @property
    def is_running(self) -> bool:
        """Started and not yet reported as ended."""
        return self._popen is not None and self._report is None

    @property
    def exit_report(self) -> ExitReport | None:
        """Set once it has ended."""
        return self._report

    @property
    def write_buffer_bytes(self) -> int:
        """Accepted by `write` and not yet taken by the pipe."""
        return self._pending_bytes

    @property
    def stalled_since(self) -> float | None:
        """Loop time since which the pipe has taken nothing although there is something to write; None if all is well."""
        return self._stalled_since

    @property
    def stdin_is_open(self) -> bool:
        """Whether `write` still reaches the server."""
        return self._stdin_fd >= 0 and not self._close_stdin_when_flushed

    def stderr_tail(self, max_bytes: int = STDERR_TAIL_BYTES) -> str:
        """Last lines of stderr so far, printable."""
        # Secrets go first: none is cut into a part that nobody knows.
        text = KNOWN_SECRETS.text(self._ring.tail(MAX_RING_BYTES))
        if len(text) <= max_bytes:
            return text
        last = text[-max_bytes:]
        return last.partition("\n")[2] or last

    # -- stdin ---------------------------------------------------------------------------------------------------------------

    def write(self, data: bytes | Sequence[bytes]) -> bool:
        """Send bytes; what the pipe does not take at once is kept and sent as it empties, in order.

        Returns:
            False if stdin is closed and the bytes were dropped; the exit report follows or was given.
        """
        if not self.stdin_is_open:
            return False
        pieces = (data,) if isinstance(data, bytes) else data
        if self._pending:
            self._keep(pieces, 0)
            return True
        size = sum(map(len, pieces))
        if size:
            taken = self._write_now(pieces if len(pieces) <= MAX_WRITE_PIECES else (b"".join(pieces),))
            if taken < 0:
                return False
            if taken < size:
                self._keep(pieces, taken)
        return True

    def close_stdin(self) -> None:
        """Tell the server that nothing more comes, after what is still buffered. Harmless if closed."""
        if self._pending:
            self._close_stdin_when_flushed = True
        else:
            self._drop_stdin()

    def _write_now(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Bytes taken by the pipe, 0 if it is full, -1 if the server closed its end."""
        try:
            return os.write(self._stdin_fd, pieces[0]) if len(pieces) == 1 else os.writev(self._stdin_fd, pieces)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            # EPIPE as a rule; whatever it is, nothing can be sent any more.
            self._drop_stdin()
            return -1

    def _keep(self, pieces: Sequence[bytes], skip_bytes: int) -> None:
        assert self._loop is not None
        was_empty = not self._pending
        for piece in pieces:
            if skip_bytes >= len(piece):
                skip_bytes -= len(piece)
                continue
            self._pending.append(memoryview(piece)[skip_bytes:])
            self._pending_bytes += len(piece) - skip_bytes
            skip_bytes = 0
        if was_empty and self._pending:
            self._stalled_since = self._loop.time()
            self._loop.add_writer(self._stdin_fd, self._on_stdin_writable)

    def _on_stdin_writable(self) -> None:
        assert self._loop is not None
        pending = self._pending
        taken = self._write_now(list(islice(pending, MAX_WRITE_PIECES)))
        if taken <= 0:
            return
        self._pending_bytes -= taken
        self._stalled_since = self._loop.time()
        while taken:
            piece = pending.popleft()
            if taken < len(piece):
                pending.appendleft(piece[taken:])
                break
            taken -= len(piece)
        if not pending:
            self._stalled_since = None
            self._loop.remove_writer(self._stdin_fd)
            if self._close_stdin_when_flushed:
                self._drop_stdin()

    def _drop_stdin(self) -> None:
        if self._stdin_fd < 0:
            return
        assert self._loop is not None
        self._loop.remove_writer(self._stdin_fd)
        os.close(self._stdin_fd)
        self._stdin_fd = -1
        self._pending.clear()
        self._pending_bytes = 0
        self._stalled_since = None

    # -- stdout and stderr ---------------------------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Stop delivering stdout. Only for the way down, when the owner cannot take more; a running server is always read."""
        if self._is_reading and self._stdout_fd >= 0:
            assert self._loop is not None
            self._loop.remove_reader(self._stdout_fd)
        self._is_reading = False

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""
        if not self._is_reading and self._stdout_fd >= 0:
            assert self._loop is not None
            self._loop.add_reader(self._stdout_fd, self._on_stdout_readable)
        self._is_reading = True

    def _on_stdout_readable(self) -> None:
        data = _read(self._stdout_fd, LARGE_READ_BYTES if len(self._last_chunk) >= READ_BYTES else READ_BYTES)
        if data:
            self._last_chunk = data
            self._on_stdout(data)
        elif data is not None:
            self._drop_stdout()
            if self._report is None:
                # An exit closes stdout too, a moment before it is seen.
                self._set_timer("stdout", CLOSED_STDOUT_S, self._on_stdout_closed)

    def _on_stderr_readable(self) -> None:
        data = _read(self._stderr_fd)
        if data:
            self._take_stderr(data)
        elif data is not None:
            self._drop_stderr()

    def _take_stderr(self, data: bytes) -> None:
        assert self._loop is not None
        lines = self._ring.feed(data, self._loop.time())
        if lines:
            self._on_stderr(lines, self._ring.take_suppressed())

    def _drop_stdout(self) -> None:
        if self._stdout_fd >= 0:
            assert self._loop is not None
            self._loop.remove_reader(self._stdout_fd)
            os.close(self._stdout_fd)
            self._stdout_fd = -1

    def _drop_stderr(self) -> None:
        if self._stderr_fd >= 0:
            assert self._loop is not None
            self._loop.remove_reader(self._stderr_fd)
            os.close(self._stderr_fd)
            self._stderr_fd = -1

    # -- end -----------------------------------------------------------------------------------------------------------------

    def terminate(self) -> None:
        """SIGTERM to the server's process group. Harmless if it has ended."""
        self._stop_was_requested = True
        self._command(b"T")

    def kill(self) -> None:
        """SIGKILL to the server and all its descendants; `on_exit` follows. Harmless if it has ended."""
        if not self.is_running:
            return
        self._stop_was_requested = True
        self._command(b"K")
        if "kill" not in self._timers:
            self._set_timer("kill", KILL_WAIT_S, self._kill_reaper)

    async def stop(self, grace_s: float = 2.0) -> ExitReport | None:
        """End the server in order: close stdin, `grace_s`, SIGTERM, `grace_s`, SIGKILL. stdout is delivered all the time.

        A second call waits for the first. If the caller is cancelled the server is killed at once.

        Returns:
            The exit report; None if it was never started, or if the kernel cannot end it (stuck in a device) within
            2 x `grace_s` + 4 s.
        """
        if not self.is_running:
            return self._report
        if self._stop_has_begun:
            return await self.wait_exit(2 * grace_s + 2 * KILL_WAIT_S)
        self._stop_has_begun = self._stop_was_requested = True
        try:
            self.close_stdin()
            if (report := await self.wait_exit(grace_s)) is None:
                self.terminate()
                report = await self.wait_exit(grace_s)
        finally:
            # Harmless after an end; the only thing left to do after a cancellation.
            self.kill()
        return report or await self.wait_exit(2 * KILL_WAIT_S)

    async def wait_exit(self, timeout_s: float) -> ExitReport | None:
        """The exit report as soon as there is one; None after `timeout_s` or if it was never started."""
        if self._exited is None:
            return None
        await asyncio.wait((self._exited,), timeout=timeout_s)
        return self._report

    def _command(self, command: bytes) -> None:
        if self._control is None:
            return
        try:
            self._control.send(command)
        except OSError:
            # The reaper is gone or does not read: then only the direct way is left, and only for a kill.
            if command == b"K":
                self._kill_reaper()

    def _kill_reaper(self) -> None:
        # Our own child, not yet buried by anyone: its pid cannot belong to another process.
        if self._popen is not None and self._popen.returncode is None:
            self._popen.kill()

    def _on_control_readable(self) -> None:
        assert self._control is not None and self._loop is not None
        if not self._take_control():
            self._loop.remove_reader(self._control.fileno())
            self._poll_exit(0)

    def _take_control(self) -> bool:
        """Keep what the reaper said; False at the end of the socket."""
        assert self._control is not None
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._control_said += data
        return bool(data)

    def _poll_exit(self, attempt: int) -> None:
        assert self._popen is not None
        if self._popen.poll() is not None:
            self._on_process_end()
            return
        wait_s = _EXIT_POLL_S[min(attempt, len(_EXIT_POLL_S) - 1)]
        self._set_timer("poll", wait_s, lambda: self._poll_exit(attempt + 1))

    def _on_process_end(self) -> None:
        """The reaper is dead, and with it all that it held. Deliver what is left, then the report, then nothing more."""
        assert self._popen is not None and self._loop is not None and self._exited is not None
        if self._report is not None or self._popen.poll() is None:
            return
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        self._drop_stdin()
        try:
            self._drain()
        finally:
            self._drop_stdout()
            self._drop_stderr()
            self._report = report = self._make_report()
            self._exited.set_result(report)
            self._on_exit(report)

    def _drain(self) -> None:
        left = MAX_DRAIN_BYTES
        while self._stderr_fd >= 0 and left > 0 and (data := _read(self._stderr_fd)):
            left -= len(data)
            self._take_stderr(data)
        rest = self._ring.take_rest()
        suppressed = self._ring.take_suppressed()
        if rest is not None or suppressed:
            self._on_stderr([rest] if rest is not None else [], suppressed)
        left = MAX_DRAIN_BYTES
        while self._stdout_fd >= 0 and left > 0 and (data := _read(self._stdout_fd)):
            left -= len(data)
            self._last_chunk = data
            self._on_stdout(data)

    def _make_report(self) -> ExitReport:
        assert self._popen is not None and self._loop is not None
        status, start_errno, held_in = self._read_control()
        exit_code: int | None = None
        signal_number: int | None = None
        if status is not None:
            code = os.waitstatus_to_exitcode(status)
            exit_code, signal_number = (code, None) if code >= 0 else (None, -code)
        elif self._popen.returncode < 0:
            # The reaper was killed, and by PDEATHSIG the server with it.
            signal_number = -self._popen.returncode
        else:
            exit_code = self._popen.returncode
        start_error = None
        if start_errno is not None:
            exit_code = signal_number = None
            start_error = StartError(self.spec.name, self._program, start_errno)
        return ExitReport(
            name=self.spec.name,
            pid=self._popen.pid,
            exit_code=exit_code,
            signal_number=signal_number,
            start_error=start_error,
            stop_was_requested=self._stop_was_requested,
            stderr_tail=self.stderr_tail(),
            half_line=KNOWN_SECRETS.text(printable(self._last_chunk[self._last_chunk.rfind(b"\n") + 1 :]))[-HALF_LINE_BYTES:],
            lived_s=self._loop.time() - self._started_at,
            held_in=held_in,
        )

    def _read_control(self) -> tuple[int | None, int | None, Isolation | None]:
        """Wait status of the server, errno of a failed exec, and how it was held, as the reaper told them."""
        assert self._control is not None and self._loop is not None
        status = start_errno = held_in = None
        self._take_control()
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        lines = self._control_said.decode("ascii", "replace").splitlines()
        for line in lines:
            kind, _, value = line.partition(" ")
            if kind == "X":
                status = int(value)
            elif kind == "E":
                start_errno = int(value)
            elif kind == "I":
                held_in = Isolation(value)
        return status, start_errno, held_in

    def _set_timer(self, name: str, after_s: float, action: Callable[[], None]) -> None:
        assert self._loop is not None

        def fire() -> None:
            self._timers.pop(name, None)
            action()

        self._timers[name] = self._loop.call_later(after_s, fire)


def _own_pipes(popen: subprocess.Popen[bytes]) -> tuple[int, int, int]:
    """Our ends of stdin, stdout, stderr as plain descriptors: non-blocking, enlarged, no file object left that owns them."""
    fds = []
    for pipe in (popen.stdin, popen.stdout, popen.stderr):
        assert pipe is not None
        fd = os.dup(pipe.fileno())
        pipe.close()
        os.set_blocking(fd, False)
        fds.append(fd)
    popen.stdin = popen.stdout = popen.stderr = None
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        for fd in fds[:2]:
            try:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            except OSError:
                # The user's share of pipe memory is used up: slower, and the servers that need more are told in the docs.
                pass
    return fds[0], fds[1], fds[2]


def _read(fd: int, max_bytes: int = READ_BYTES) -> bytes | None:
    """What is there, b"" at the end, None if nothing is there now."""
    try:
        return os.read(fd, max_bytes)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""
