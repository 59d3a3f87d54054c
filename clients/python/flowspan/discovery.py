"""How clients on a machine find the gateway that runs there: one small file per server.

A gateway writes `servers/<pid>.json` into the user's runtime directory when it listens and removes it when it exits;
`FLOWSPAN_TARGET` and `FLOWSPAN_TOKEN` override what is found. The file carries the token, so it and its directory belong
to the user alone, and a file that somebody else could have written is not believed.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from flowspan.errors import FlowspanError, Reason

TARGET_VARIABLE: Final = "FLOWSPAN_TARGET"
TOKEN_VARIABLE: Final = "FLOWSPAN_TOKEN"

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class ServerInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a gateway listens. `target`: `unix:/path` or `host:port`, the nearest way in; `addresses`: all of them.
    `token`: None where it wants none. `config`: the absolute path of the configuration that it serves, if there is one."""

    target: str
    pid: int
    token: str | None = None
    addresses: tuple[str, ...] = ()
    config: str | None = None


def runtime_directory(environment: Mapping[str, str] | None = None) -> Path:
    """The directory for sockets and server files of this user; not created here.

    `$XDG_RUNTIME_DIR/flowspan`; without it `flowspan` in the user's state directory; without a home that can be written
    to, a directory named after the user among the temporary files.
    """
    environment = os.environ if environment is None else environment
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and os.path.isdir(runtime):
        return Path(runtime, "flowspan")
    state = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):
        return Path(state, "flowspan")
    home = environment.get("HOME", "") or os.path.expanduser("~")
    if os.path.isabs(home) and os.access(home, os.W_OK):
        return Path(home, ".local", "state", "flowspan")
    return Path(tempfile.gettempdir(), f"flowspan-{_user_id()}")


def write_server_file(
    target: str,
    token: str | None,
    pid: int,
    *,
    addresses: Sequence[str] = (),
    config: Path | None = None,
    directory: Path | None = None,
) -> Path:
    """Announce a server; the file is there as a whole or not at all. Returns its path, for the server to remove at exit.

    Args:
        addresses: all that it listens at, so that a client that is told one of them finds the token.
        config: the configuration that it serves, if there is a file.
        directory: a runtime directory other than `runtime_directory()`.

    Raises:
        FlowspanError: (PERMISSION_DENIED) the directory belongs to another user.
        OSError: it cannot be written to.
    """
    servers = (runtime_directory() if directory is None else directory) / "servers"
    for part in (servers.parent, servers):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
        if part.is_symlink() or not _owned(part.stat()):
            raise FlowspanError(
                f"{part} belongs to another user; set XDG_RUNTIME_DIR to a directory of your own", reason=Reason.PERMISSION_DENIED
            )
        part.chmod(0o700)
    path = servers / f"{pid}.json"
    draft = servers / f".{pid}.json.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(ServerInfo(target, pid, token, tuple(addresses), _real(config))))
    draft.replace(path)
    return path


def find_server(address: str | None = None, *, config: Path | None = None, directory: Path | None = None) -> ServerInfo | None:
    """The newest announced server of this user whose process is alive, or None. `address`: only one that listens there;
    `config`: only one that serves this configuration."""
    servers = (runtime_directory() if directory is None else directory) / "servers"
    try:
        if not _owned(servers.stat()) or not _owned(servers.parent.stat()):
            return None
        paths = list(servers.glob("*.json"))
    except OSError:
        return None
    found: list[tuple[int, ServerInfo]] = []
    for path in paths:
        server = _read(path)
        if server is None or (config is not None and server[1].config != _real(config)):
            continue
        if address is None or _same_place(address) in map(_same_place, server[1].addresses):
            found.append(server)
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _read(path: Path) -> tuple[int, ServerInfo] | None:
    """Age and content of a server file, if it can be believed and its server is alive."""
    try:
        # Looked at through the descriptor, so that what was checked is what is read.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode) or not _owned(facts):
                return None
            server = msgspec.json.decode(file.read(65_536), type=ServerInfo)
    except (OSError, ValueError):
        return None
    return (facts.st_mtime_ns, server) if _is_alive(server.pid) else None


def _real(config: Path | None) -> str | None:
    return None if config is None else os.path.realpath(config)


def _same_place(address: str) -> str:
    return f"127.0.0.1:{address.removeprefix('localhost:')}" if address.startswith("localhost:") else address


def _is_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False  # alive, but somebody else's: the number was given away again
    except OSError:
        return False
    return True


def _owned(facts: os.stat_result) -> bool:
    """Whether only this user can have written it."""
    return os.name != "posix" or (facts.st_uid == _user_id() and not facts.st_mode & _OTHERS)


def _user_id() -> int:
    return os.getuid() if os.name == "posix" else 0
