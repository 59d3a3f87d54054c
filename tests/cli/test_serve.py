"""`flowspan serve` and `flowspan dev`: the ready line, who may call, the end."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from .conftest import WAIT_S, Shell


def test_the_ready_line_says_where_it_listens_and_who_it_is(shell: Shell) -> None:
    with shell.server("--listen", "127.0.0.1:0") as (process, ready):
        assert ready["pid"] == process.pid
        host, _, port = ready["grpc"].rpartition(":")
        assert host == "127.0.0.1" and int(port) > 0
        path = Path(ready["unix"].removeprefix("unix:"))
        assert path.is_relative_to(shell.directory / "runtime")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        server_file = Path(ready["serverFile"])
        assert stat.S_IMODE(server_file.stat().st_mode) == 0o600
        facts = json.loads(server_file.read_text())
        assert (facts["target"], facts["pid"]) == (ready["unix"], process.pid)

        assert shell.run("list", "--target", ready["grpc"], "--token", facts["token"]).code == 0
        assert shell.run("list", "--target", ready["grpc"], "--token", "x" * 43).code == 69
        assert shell.run("list", "--target", ready["grpc"]).code == 0  # the server file knows the token
        assert shell.run("list", "--target", f"localhost:{port}").code == 0
        server_file.rename(server_file.with_suffix(".hidden"))
        refused = shell.run("list", "--target", ready["grpc"])
        assert (refused.code, "ready line" in refused.err) == (69, True)
        server_file.with_suffix(".hidden").rename(server_file)
    assert process.returncode == 0
    assert not server_file.exists()
    assert not path.exists()


def test_no_auth_lets_loopback_in_without_a_token(shell: Shell) -> None:
    with shell.server("--listen", "127.0.0.1:0", "--no-auth") as (_, ready):
        assert shell.run("list", "--target", ready["grpc"]).code == 0


@pytest.mark.parametrize(
    "arguments", [["--listen", "0.0.0.0:0"], ["--listen", "0.0.0.0:0", "--no-auth"], ["--listen", "nowhere"]]
)
def test_what_would_let_in_strangers_is_refused_with_78(shell: Shell, arguments: list[str]) -> None:
    done = shell.run("serve", *arguments)
    assert (done.code, done.out) == (78, "")


def test_runs_outlive_the_gateway(shell: Shell) -> None:
    with shell.server():
        (run,) = shell.run("submit", "noop.json", "--input-json", "1", "--detach").lines
        shell.run("watch", run["runId"])
    with shell.server():
        assert shell.run("get", run["runId"], "--json").lines[0]["status"] == "success"
    assert (shell.directory / "data" / "flowspan").is_dir()


def test_a_second_gateway_on_the_same_store_is_refused(shell: Shell) -> None:
    with shell.server():
        second = shell.run("serve")
        assert (second.code, second.out) == (69, "")
        assert "gateway_stopped" not in second.err  # it never was one


def test_two_gateways_of_one_user_have_sockets_of_their_own(shell: Shell) -> None:
    with shell.server() as (_, first), shell.server("--state", "other") as (_, second):
        assert first["unix"] != second["unix"]
        assert shell.run("list", "--target", second["unix"]).code == 0


def test_dev_starts_anew_when_a_file_changes(shell: Shell) -> None:
    config = shell.write("flowspan.yml", "listen: 127.0.0.1:0\n")
    process = shell.start("dev", "--log-format", "json")
    assert process.stdout is not None and process.stderr is not None
    try:
        first = json.loads(process.stdout.readline())
        shell.write("other.py", "")
        config.write_text("listen: 127.0.0.1:0\nroutes: {/extra: builtin}\n")
        os.utime(config, ns=(1, 1))
        second = json.loads(process.stdout.readline())
        assert second["pid"] == first["pid"] == process.pid
        assert second["unix"] == first["unix"]
        offered = shell.run("components", "--target", second["unix"]).out
        assert "/extra/noop" in offered
        assert (shell.directory / ".flowspan").is_dir()
    finally:
        process.terminate()
        _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert b"files changed" in said
