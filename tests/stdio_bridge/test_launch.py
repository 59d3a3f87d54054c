"""What is started for a configured component server, and with what environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flowspan.errors import InvalidArgumentError
from gateway.stdio_bridge.launch import Isolation, LaunchSpec, StartError, find_program, plan_launch, server_environment


def test_only_the_allow_list_is_inherited() -> None:
    inherited = {"PATH": "/bin", "HOME": "/h", "LANG": "C", "LC_ALL": "C", "TZ": "UTC", "TMPDIR": "/t"}
    others = {"FLOWSPAN_TOKEN": "s", "FLOWSPAN_LOG": "x", "PYTHONPATH": "p", "LD_PRELOAD": "l", "SSH_AUTH_SOCK": "a", "USER": "u"}
    assert server_environment({}, inherited | others) == inherited
    assert server_environment({"PYTHONPATH": "mine", "TZ": "CET"}, inherited | others) == inherited | {
        "PYTHONPATH": "mine",
        "TZ": "CET",
    }


def test_a_server_always_has_a_path() -> None:
    assert server_environment({}, {}) == {"PATH": "/usr/local/bin:/usr/bin:/bin"}


@pytest.mark.parametrize("name", ["FLOWSPAN_TOKEN", "FLOWSPAN_TARGET"])
def test_access_to_the_gateway_is_not_handed_on_even_if_configured(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        server_environment({name: "x"}, {})


def _program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_name_is_looked_up_on_the_configured_path(tmp_path: Path) -> None:
    program = _program(tmp_path / "serve")
    spec = LaunchSpec(name="p", command="serve", env={"PATH": str(tmp_path)})
    assert plan_launch(spec, {"PATH": "/bin"}, 9).program == str(program)
    with pytest.raises(StartError, match=r"'p'.*no such program on PATH"):
        plan_launch(LaunchSpec(name="p", command="serve"), {"PATH": "/bin"}, 9)


def test_a_path_with_a_slash_is_relative_to_the_working_directory(tmp_path: Path) -> None:
    program = _program(tmp_path / "serve")
    assert find_program(LaunchSpec(name="p", command="./serve", cwd=str(tmp_path)), "/bin") == str(program)


def test_python_is_the_gateways_own_where_the_path_has_none(tmp_path: Path) -> None:
    spec = LaunchSpec(name="p", command="python")
    assert find_program(spec, str(tmp_path)) == sys.executable
    other = _program(tmp_path / "python")
    assert find_program(spec, str(tmp_path)) == str(other)


def test_the_program_keeps_the_name_and_arguments_that_were_configured(tmp_path: Path) -> None:
    program = _program(tmp_path / "serve")
    spec = LaunchSpec(
        name="p", command="serve", args=("--", "-x", "a=b", ""), env={"PATH": str(tmp_path)}, isolation=Isolation.GROUP
    )
    launch = plan_launch(spec, {}, 9)
    split = launch.argv.index("--")
    assert launch.argv[split + 1 :] == (str(program), "serve", "--", "-x", "a=b", "")
    assert {"control=9", "isolation=group", "max_nofile=1024", "max_core=0", "lc_ctype=drop"} <= set(launch.argv[:split])
    assert not any(argument.startswith("max_as") for argument in launch.argv[:split])


def test_a_lack_of_resources_is_worth_another_try() -> None:
    assert not StartError("p", "/x", 11).is_permanent
    assert not StartError("p", "/x", 24).is_permanent
    error = StartError("p", "/x", 2, "check command")
    assert error.is_permanent
    assert error.message == f"plugin 'p': cannot start '/x': {os.strerror(2)} (ENOENT); check command"
