"""`flowspan components`: whose they are."""

from __future__ import annotations

import sys
from pathlib import Path

from .conftest import Shell

SERVER = """
from typing import Any
from flowspan.components import ComponentServer

server = ComponentServer()

@server.component
def {name}(given: Any) -> Any:
    return given

server.run()
"""
ALONE = "no gateway that runs was asked"


def project(shell: Shell, name: str) -> Path:
    """A directory with a configuration whose plugin offers one component of this name."""
    directory = shell.directory / name
    directory.mkdir()
    shell.write(f"{name}/server.py", SERVER.replace("{name}", name))
    config = f"plugins:\n  {name}: {{type: stdio, command: {sys.executable}, args: [server.py]}}\n"
    return shell.write(f"{name}/flowspan.yml", config)


def inside(shell: Shell, directory: Path) -> Shell:
    other = Shell.__new__(Shell)
    other.directory, other.environment = directory, shell.environment
    return other


def test_without_a_gateway_the_plugins_of_the_configuration_here_are_asked(shell: Shell) -> None:
    config = project(shell, "one")
    done = inside(shell, config.parent).run("components")
    assert done.code == 0
    assert "/one/one" in done.out
    assert done.err == f"flowspan: as the plugins of {config} say; {ALONE}\n"
    assert "/one/one" in shell.run("components", "--config", "one/flowspan.yml").out
    done = shell.run("components")
    assert (done.code, "/builtin/noop" in done.out, "/one/one" in done.out) == (0, True, False)
    assert "there is no configuration here" in done.err


def test_a_gateway_of_another_project_is_never_asked(shell: Shell) -> None:
    one, two = project(shell, "one"), project(shell, "two")
    with shell.server("--config", str(one)) as (_, ready):
        done = inside(shell, two.parent).run("components")
        assert ("/two/two" in done.out, "/one/one" in done.out, ALONE in done.err) == (True, False, True)
        here = inside(shell, one.parent).run("components")
        assert ("/one/one" in here.out, here.err) == (True, "")
        assert "/one/one" in shell.run("components").out
        assert "/one/one" in inside(shell, two.parent).run("components", "--target", ready["grpc"]).out
        assert "/one/one" in inside(shell, two.parent).run("components", FLOWSPAN_TARGET=ready["grpc"]).out


def test_a_plugin_that_does_not_start_keeps_the_others_from_nothing(shell: Shell) -> None:
    config = project(shell, "one")
    config.write_text(
        config.read_text() + '  gone: {type: stdio, command: no-such-program}\n  dead: {type: stdio, command: "false"}\n'
    )
    done = inside(shell, config.parent).run("components")
    assert done.code == 69
    assert "/one/one" in done.out
    assert [line.split(" is ")[0] for line in done.err.splitlines()[1:]] == [
        "flowspan: plugin dead (stdio)",
        "flowspan: plugin gone (stdio)",
    ]
    assert "no such program on PATH" in done.err
