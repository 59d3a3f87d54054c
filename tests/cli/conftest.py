"""The real command in a process of its own, with directories of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.toolchains import ABSENT

WAIT_S = 30.0
"""For one command on a machine that does much else."""

NOOP = {"name": "noop", "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}}], "output": {"$step": "a"}}
SLEEP = {
    "name": "sleepy",
    "steps": [
        {"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": 200, "passthrough": {"$input": "$"}}},
    ],
    "output": {"$step": "a"},
}
NEEDS_NAME = {
    "name": "needs a name",
    "steps": [{"id": "a", "component": "/builtin/noop", "input": {"$input": "$.name"}}],
    "output": {"$step": "a"},
}

NESTING = {
    "name": "nesting",
    "steps": [
        {"id": "m", "component": "/builtin/map", "input": {"workflow": {"$literal": NOOP}, "items": {"$input": "$"}}},
    ],
    "output": {"$step": "m", "path": "$.successful"},
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """Runs `flowspan` in `directory`, with a user's directories below it and nothing of the caller's environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("runtime", "data", "config", "home"):
            (directory / name).mkdir(mode=0o700)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory / "home"),
            "XDG_RUNTIME_DIR": str(directory / "runtime"),
            "XDG_DATA_HOME": str(directory / "data"),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "TMPDIR": str(directory),
        }
        self.write("noop.json", NOOP)

    def write(self, name: str, content: Any) -> Path:
        path = self.directory / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Ended:
        done = subprocess.run(
            self.command(*arguments),
            input=stdin.encode(),
            capture_output=True,
            cwd=self.directory,
            env={**self.environment, **environment},
            timeout=WAIT_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=self.environment,
        )

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-c", "import sys; from gateway.cli import main; sys.exit(main())", *arguments]

    @contextmanager
    def server(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
        """A gateway that serves, and its ready line. It is ended with SIGTERM, and must end well."""
        process = self.start("serve", *arguments)
        assert process.stdout is not None and process.stderr is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()
            try:
                process.communicate(timeout=WAIT_S)
            finally:
                process.kill()
                process.wait()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if ABSENT:
        named = ", ".join(ABSENT)
        terminalreporter.write_line(f"new component: WARNING: NOT RUN: {named}; no toolchain, or no SDK (make sdks)", red=True)


@pytest.fixture
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    # Short: the path of a unix socket below it is bounded.
    return Shell(tmp_path_factory.mktemp("s"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Ended]]:
    """A gateway that serves for a whole module; runs commands beside it."""
    shell = Shell(tmp_path_factory.mktemp("s"))
    shell.write("sleep.json", SLEEP)
    shell.write("needs.json", NEEDS_NAME)
    shell.write("nesting.json", NESTING)
    with shell.server():
        yield shell.run
