"""The examples are run as their readers run them: the real command, its output as it is printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LIMIT_S = 50.0


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        assert self.exit_code == 0, self.stderr
        return json.loads(self.stdout)

    @property
    def json_lines(self) -> list[Any]:
        assert self.exit_code == 0, self.stderr
        return [json.loads(line) for line in self.stdout.splitlines()]


def command(name: str) -> str:
    """A script of the environment that runs the tests."""
    return str(Path(sys.executable).parent / name)


def execute(*words: str, directory: Path, limit_s: float = LIMIT_S, **variables: str) -> Done:
    """Run a program to its end, with this environment's `python` first on PATH, as in an activated one."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    environment = {**os.environ, "PATH": path, **variables}
    done = subprocess.run(words, cwd=directory, env=environment, capture_output=True, text=True, timeout=limit_s)
    return Done(done.returncode, done.stdout, done.stderr)


def flowspan_run(flow: Path, *options: str) -> Done:
    """`flowspan run FLOW ...` in the flow's directory."""
    return execute(command("flowspan"), "run", flow.name, *options, directory=flow.parent)
