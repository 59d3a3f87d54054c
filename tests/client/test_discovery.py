from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flowspan.client import AsyncClient
from flowspan.client.async_client import find_target
from flowspan.discovery import find_server, runtime_directory, write_server_file
from flowspan.errors import FlowspanError, Reason, UnavailableError


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("FLOWSPAN_TARGET", raising=False)
    monkeypatch.delenv("FLOWSPAN_TOKEN", raising=False)
    return tmp_path / "flowspan"


@pytest.fixture
def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(5)
    return child.pid


def test_the_runtime_directory_is_the_user_s(tmp_path: Path) -> None:
    assert runtime_directory({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "flowspan"
    assert runtime_directory({"HOME": str(tmp_path)}) == tmp_path / ".local" / "state" / "flowspan"
    assert runtime_directory({"HOME": str(tmp_path), "XDG_STATE_HOME": "/state"}) == Path("/state/flowspan")
    assert str(os.getuid()) in runtime_directory({"HOME": str(tmp_path / "missing")}).name


def test_a_server_is_found_by_its_file(runtime: Path) -> None:
    assert find_server() is None
    path = write_server_file("unix:/run/a.sock", "secret", os.getpid())
    assert path == runtime / "servers" / f"{os.getpid()}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IMODE(runtime.stat().st_mode) == 0o700
    server = find_server()
    assert server is not None
    assert (server.target, server.token, server.pid) == ("unix:/run/a.sock", "secret", os.getpid())
    path.unlink()
    assert find_server() is None


def test_the_newest_living_server_is_taken(runtime: Path, dead_pid: int) -> None:
    own = write_server_file("unix:/own", None, os.getpid())
    parent = write_server_file("unix:/parent", None, os.getppid())
    dead = write_server_file("unix:/dead", None, dead_pid)
    for age, path in enumerate((dead, own, parent)):
        os.utime(path, (1_000 - age, 1_000 - age))
    server = find_server()
    assert server is not None and server.target == "unix:/own" and server.token is None


@pytest.mark.parametrize("tamper", ["mode", "link", "text", "directory"])
def test_a_file_that_others_could_have_written_is_not_believed(runtime: Path, tamper: str, tmp_path: Path) -> None:
    path = write_server_file("unix:/a", "secret", os.getpid())
    if tamper == "mode":
        path.chmod(0o644)
    elif tamper == "link":
        path.rename(tmp_path / "elsewhere.json")
        path.symlink_to(tmp_path / "elsewhere.json")
    elif tamper == "text":
        path.write_text("{")
    else:
        path.parent.chmod(0o777)
    assert find_server() is None


def test_a_directory_that_is_a_link_is_not_written_to(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    runtime.symlink_to(tmp_path / "other")
    with pytest.raises(FlowspanError) as caught:
        write_server_file("unix:/a", None, os.getpid())
    assert caught.value.reason is Reason.PERMISSION_DENIED


def test_clients_take_what_was_given_then_the_environment_then_the_file(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="flowspan serve"):
        AsyncClient()
    write_server_file("unix:/found", "file's", os.getpid())
    assert AsyncClient().target == "unix:/found"
    monkeypatch.setenv("FLOWSPAN_TARGET", "127.0.0.1:7")
    assert AsyncClient().target == "127.0.0.1:7"
    assert AsyncClient("unix:/given").target == "unix:/given"


def test_the_token_of_an_own_server_is_found_by_each_of_its_addresses_and_by_no_other(runtime: Path) -> None:
    addresses = ["unix:/found", "127.0.0.1:7001"]
    write_server_file("unix:/found", "secret", os.getpid(), addresses=addresses)
    for address in (*addresses, "localhost:7001"):
        assert find_target(address, None) == (address, "secret")
    assert find_target("127.0.0.1:7001", "given") == ("127.0.0.1:7001", "given")
    assert find_target("127.0.0.1:7002", None) == ("127.0.0.1:7002", None)
    assert find_target("far.example:7001", None) == ("far.example:7001", None)
