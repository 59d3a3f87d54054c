"""From the configuration of one component server to the program that is started for it. Starts nothing itself.

What lives here: finding the command, the environment that the server may see, its limits, and the argument list of the reaper
(`reaper.py`) that holds it. Paths and ``${...}`` are already expanded by the configuration.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from flowspan.errors import FlowspanError, InvalidArgumentError, Reason

INHERITED_NAMES: Final = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR"})
"""Variables that a server gets from the gateway's own environment, beside `LC_*`; everything else must be configured for it."""

FORBIDDEN_NAMES: Final = frozenset({"FLOWSPAN_TOKEN", "FLOWSPAN_TARGET"})
"""Access to the gateway itself: a server has its pipe for that and must not hold the rights of the gateway's user."""

_DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"

_PERMANENT_ERRNOS: Final = frozenset(
    {
        errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOEXEC, errno.EISDIR, errno.ENOTDIR, errno.ELOOP,
        errno.ENAMETOOLONG, errno.E2BIG, getattr(errno, "EBADARCH", errno.ENOEXEC),
    }
)  # fmt: skip
"""Failures to start that a repetition cannot cure; others (no memory, no descriptors) count as crashes."""


class Isolation(StrEnum):
    """How a server and its descendants are held together."""

    NAMESPACE = "namespace"
    """A PID namespace where the kernel allows one, else `GROUP`."""
    GROUP = "group"
    """Session and process group; on Linux orphans are inherited and killed too."""


class StartError(FlowspanError):
    """The server's program cannot be started. `details`: `plugin`, `path`, `errno` (its name), `retryable`."""

    default_reason = Reason.RESOURCE_UNAVAILABLE

    def __init__(self, plugin: str, path: str, number: int, hint: str = "") -> None:
        name = errno.errorcode.get(number, str(number))
        text = f"plugin {plugin!r}: cannot start {path!r}: {os.strerror(number)} ({name}){'; ' + hint if hint else ''}"
        super().__init__(text, plugin=plugin, path=path, errno=name, retryable=number not in _PERMANENT_ERRNOS)

    @property
    def is_permanent(self) -> bool:
        """Whether only a change of configuration or file system helps (no restart loop then)."""
        return not self.details["retryable"]


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """One component server as configured.

    Attributes:
        name: the plugin's name in the configuration, for messages.
        command: program; a name is looked up on PATH, a path with a slash is relative to `cwd`. `python` means the gateway's
            own interpreter when PATH has none.
        args: arguments after the program's name.
        env: variables configured for it, over the inherited ones.
        cwd: working directory; None is the gateway's.
        max_open_files: RLIMIT_NOFILE.
        max_address_space_bytes: RLIMIT_AS; none by default, because Node reserves far more than it uses.
        max_processes: RLIMIT_NPROC; counts all processes and threads of the user where there is no user namespace.
        nice: added to the niceness.
        oom_score_adj: makes the kernel choose the server rather than the gateway when memory ends.
        isolation: `Isolation.GROUP` forces the fallback.
    """

    name: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    max_open_files: int = 1024
    max_address_space_bytes: int | None = None
    max_processes: int | None = None
    nice: int = 5
    oom_score_adj: int = 500
    isolation: Isolation = Isolation.NAMESPACE


@dataclass(frozen=True, slots=True)
class Launch:
    """What is given to the operating system: `argv` starts the reaper, which starts `program`."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str | None
    program: str


def server_environment(configured: Mapping[str, str], inherited: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a server: an allow-list of `inherited`, overlaid with `configured`.

    Raises:
        InvalidArgumentError: `configured` names a variable that gives access to the gateway.
    """
    forbidden = sorted(FORBIDDEN_NAMES & configured.keys())
    if forbidden:
        raise InvalidArgumentError(f"env: {forbidden[0]} must not be given to a component server; remove it", field="env")
    env = {name: value for name, value in inherited.items() if name in INHERITED_NAMES or name.startswith("LC_")}
    env.setdefault("PATH", _DEFAULT_PATH)
    env.update(configured)
    return env


def find_program(spec: LaunchSpec, path: str) -> str:
    """Absolute path of the spec's program, looked up on `path` (as PATH is written).

    Raises:
        StartError: missing, a directory, not executable, or no such working directory.
    """
    if spec.cwd is not None and not Path(spec.cwd).is_dir():
        number = errno.ENOTDIR if Path(spec.cwd).exists() else errno.ENOENT
        raise StartError(spec.name, spec.cwd, number, "this is its working directory (cwd)")
    if "/" in spec.command:
        program = Path(spec.cwd or os.getcwd(), spec.command)
        if not program.exists():
            raise StartError(spec.name, str(program), errno.ENOENT, "check command")
        if program.is_dir():
            raise StartError(spec.name, str(program), errno.EISDIR, "command must name a program")
        if not os.access(program, os.X_OK):
            raise StartError(spec.name, str(program), errno.EACCES, "make it executable")
        return str(program)
    found = shutil.which(spec.command, path=path)
    if found is None:
        if spec.command == "python":
            return sys.executable
        raise StartError(spec.name, spec.command, errno.ENOENT, "no such program on PATH; check command")
    return os.path.abspath(found)


def plan_launch(spec: LaunchSpec, inherited: Mapping[str, str], control_fd: int) -> Launch:
    """Everything that `subprocess.Popen` needs.

    Args:
        spec: the server.
        inherited: the gateway's own environment.
        control_fd: the reaper's end of the control socket, passed on under the same number.

    Raises:
        StartError: the program cannot be started.
        InvalidArgumentError: the configured environment is refused.
    """
    env = server_environment(spec.env, inherited)
    program = find_program(spec, env["PATH"])
    limits = {"nofile": spec.max_open_files, "core": 0, "as": spec.max_address_space_bytes, "nproc": spec.max_processes}
    options = {
        "control": control_fd,
        "isolation": spec.isolation.value,
        "lc_ctype": "keep" if "LC_CTYPE" in env else "drop",
        "nice": spec.nice,
        "oom_score_adj": spec.oom_score_adj,
        **{f"max_{name}": value for name, value in limits.items() if value is not None},
    }
    # -I and -S: the server's PYTHON* variables, its directory and site-packages have no say in the reaper.
    reaper = (sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py")))
    settings = tuple(f"{name}={value}" for name, value in options.items())
    argv = (*reaper, *settings, "--", program, spec.command, *spec.args)
    return Launch(argv, env, spec.cwd, program)
