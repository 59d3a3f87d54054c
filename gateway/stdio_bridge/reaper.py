"""The small program between the gateway and one component server: it starts the server, holds it, and ends it.

Run as a file (``python -I -S reaper.py ...``), never imported by the gateway; standard library only. The gateway holds the other
end of a control socket. Whatever happens to the gateway, that socket ends, and then every process of this tree is killed.

Where the kernel allows it, the server lives in a PID namespace of its own: three processes, *holder* (this one), *init* (PID 1 of
the namespace) and the server. When init dies, the kernel kills everything in the namespace, daemons that called setsid included.
Elsewhere the holder is the server's parent, a subreaper on Linux, and kills the process group and every descendant it inherits.
Neither holder nor init keeps the server's stdin, stdout or stderr open, so that the gateway sees it when the server closes one.

Control socket, gateway to holder: ``T`` (SIGTERM to the server's group), ``K`` (SIGKILL of everything); end of file is ``K``.
Holder to gateway, lines: ``I namespace|group`` (how it is held), ``E <errno>`` (exec failed), ``X <wait status>`` (it ended).
"""

from __future__ import annotations

import os
import select
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` takes as long to load as all the rest
    from typing import Final, NoReturn

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWPID: Final = 0x20000000
_MS_NOSUID_NODEV_NOEXEC: Final = 2 | 4 | 8
_MS_REC_PRIVATE: Final = 0x4000 | 1 << 18
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36

_MAX_KILL_ROUNDS: Final = 64
"""Generations of orphans that are hunted in the fallback; each round kills all present children."""


class _Kernel:
    """The three system calls of Linux that `os` lacks in Python 3.11. On other systems every call says False."""

    def __init__(self) -> None:
        self._libc = None
        if sys.platform == "linux":
            import ctypes

            self._libc = ctypes.CDLL(None, use_errno=True)

    def unshare(self, flags: int) -> bool:
        return self._libc is not None and self._libc.unshare(flags) == 0

    def prctl(self, option: int, value: int) -> bool:
        return self._libc is not None and self._libc.prctl(option, value, 0, 0, 0) == 0

    def mount(self, source: bytes, target: bytes, kind: bytes | None, flags: int) -> bool:
        return self._libc is not None and self._libc.mount(source, target, kind, flags, None) == 0


class _Settings:
    """What the gateway asks for: ``name=value`` arguments before ``--`` (`launch.py` writes them)."""

    def __init__(self, argv: list[str]) -> None:
        split = argv.index("--")
        options = dict(argument.split("=", 1) for argument in argv[1:split])
        self.control_fd = int(options["control"])
        self.use_namespace = options["isolation"] == "namespace"
        self.keep_lc_ctype = options["lc_ctype"] == "keep"
        self.nice = int(options["nice"])
        self.oom_score_adj = int(options["oom_score_adj"])
        # Limits are numbers of `resource.RLIMIT_*` by name; absent means untouched.
        self.limits = {name[4:]: int(value) for name, value in options.items() if name.startswith("max_")}
        self.path = argv[split + 1]
        self.argv = argv[split + 2 :]


def _say(control_fd: int, line: str) -> None:
    try:
        os.write(control_fd, line.encode() + b"\n")
    except OSError:
        # The gateway is gone; the end of the socket is noticed where it is read.
        pass


def _try_write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError:
        pass


def _enter_namespace(kernel: _Kernel) -> bool:
    """Make the next child PID 1 of a new namespace; without root inside a user namespace that maps only the own ids."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0 and kernel.unshare(_CLONE_NEWPID | _CLONE_NEWNS):
        return True
    if not kernel.unshare(_CLONE_NEWUSER | _CLONE_NEWPID | _CLONE_NEWNS):
        return False
    _try_write("/proc/self/setgroups", "deny")
    _try_write("/proc/self/uid_map", f"{uid} {uid} 1")
    _try_write("/proc/self/gid_map", f"{gid} {gid} 1")
    return True


def _apply_limits(settings: _Settings) -> None:
    import resource

    for name, value in settings.limits.items():
        kind = getattr(resource, "RLIMIT_" + name.upper(), None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (ceiling, ceiling))
        except (OSError, ValueError):
            pass
    if settings.oom_score_adj:
        _try_write("/proc/self/oom_score_adj", str(settings.oom_score_adj))
    if settings.nice:
        try:
            os.nice(settings.nice)
        except OSError:
            pass


def _signal_server(server: int, number: int) -> None:
    """To the server's process group; to the server alone in the moment before it has one. Not to be called once it is buried."""
    try:
        os.killpg(server, number)
    except ProcessLookupError:
        os.kill(server, number)
    except PermissionError:
        # A member changed its user and this process has no rights over any of them.
        pass


def _start_server(settings: _Settings, kernel: _Kernel) -> int:
    """Fork and exec the server in a session of its own; returns its pid in this namespace."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        # Dies with its direct parent; the check closes the gap between fork and prctl.
        kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(127)
        _apply_limits(settings)
        # The interpreter ignores these two; an ignored signal would stay ignored in the server.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if not settings.keep_lc_ctype:
            # Set by this interpreter's locale coercion, not by the gateway.
            os.environ.pop("LC_CTYPE", None)
        os.execve(settings.path, settings.argv, os.environ)
    except OSError as error:
        _say(settings.control_fd, f"E {error.errno}")
    finally:
        os._exit(127)


def _drop_stdio() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _run_init(settings: _Settings, kernel: _Kernel, holder_alive_fd: int) -> NoReturn:
    """PID 1 of the namespace: starts the server, buries orphans, and ends with the server; the kernel kills what is left."""
    kernel.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The holder's pid is not visible from here; its end of a pipe is. Readable means that it died before prctl.
    if select.select([holder_alive_fd], [], [], 0)[0]:
        os._exit(127)
    os.close(holder_alive_fd)
    kernel.mount(b"none", b"/", None, _MS_REC_PRIVATE)
    # Where the mount is refused (masked /proc of a container) the server sees the outer /proc; it dies just the same.
    kernel.mount(b"proc", b"/proc", b"proc", _MS_NOSUID_NODEV_NOEXEC)
    server = _start_server(settings, kernel)

    def pass_on(_number: int, _frame: object) -> None:
        _signal_server(server, signal.SIGTERM)

    signal.signal(signal.SIGTERM, pass_on)
    _drop_stdio()
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == server:
            _say(settings.control_fd, f"X {status}")
            os._exit(0)


def _children() -> list[int]:
    """Pids of the direct children. They cannot be reused: only this process can bury them."""
    me = os.getpid()
    found: list[int] = []
    try:
        names = os.listdir("/proc")
    except OSError:
        return found
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if parent == me:
                found.append(int(name))
    return found


def _kill_rest(server: int) -> None:
    """After the server's end. A subreaper inherits every orphan below it: kill the children until none is left."""
    if sys.platform != "linux":
        try:
            os.killpg(server, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        return
    for _ in range(_MAX_KILL_ROUNDS):
        children = _children()
        if not children:
            return
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError, PermissionError):
                pass


def _bury(main_pid: int) -> int | None:
    """Collect every ended child; the wait status of `main_pid` if it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == main_pid:
            found = status


def _hold(settings: _Settings, child: int, wake_fd: int, *, in_namespace: bool) -> NoReturn:
    """Serve the control socket until `child` (init, or the server itself) has ended."""
    sources = [settings.control_fd, wake_fd]
    while True:
        readable = select.select(sources, [], [])[0]
        if wake_fd in readable:
            os.read(wake_fd, 4096)
            status = _bury(child)
            if status is not None:
                if not in_namespace:
                    _kill_rest(child)
                if not in_namespace or os.WIFSIGNALED(status):
                    _say(settings.control_fd, f"X {status}")
                os._exit(0)
        if settings.control_fd in readable:
            try:
                command = os.read(settings.control_fd, 64)
            except ConnectionError:
                command = b""
            if not command or b"K" in command:
                if in_namespace:
                    os.kill(child, signal.SIGKILL)
                else:
                    _signal_server(child, signal.SIGKILL)
                if not command:
                    sources = [wake_fd]
            elif b"T" in command:
                if in_namespace:
                    os.kill(child, signal.SIGTERM)
                else:
                    _signal_server(child, signal.SIGTERM)


def main(argv: list[str]) -> NoReturn:
    settings = _Settings(argv)
    # Closed by exec in the server; shared with init.
    os.set_inheritable(settings.control_fd, False)
    kernel = _Kernel()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    in_namespace = settings.use_namespace and _enter_namespace(kernel)
    _say(settings.control_fd, "I namespace" if in_namespace else "I group")
    if in_namespace:
        holder_alive_read, holder_alive_write = os.pipe()
        child = os.fork()
        if child == 0:
            signal.set_wakeup_fd(-1)
            os.close(holder_alive_write)
            try:
                _run_init(settings, kernel, holder_alive_read)
            finally:
                os._exit(127)
        os.close(holder_alive_read)
    else:
        kernel.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        child = _start_server(settings, kernel)
    _drop_stdio()
    _hold(settings, child, wake_read, in_namespace=in_namespace)


if __name__ == "__main__":
    main(sys.argv)
