"""Runs what a page says in a directory of its own, as a user would: the command on PATH, nothing of the caller's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_S = 30
"""For one command on a machine that does much else."""
ANYTHING = "…"


class PageShell:
    """A directory with a user's directories beside it."""

    def __init__(self, base: Path) -> None:
        self.directory = base / "work"
        for path in (self.directory, base / "runtime", base / "data", base / "config", base / "home"):
            path.mkdir(mode=0o700)
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "LC_ALL": "C.UTF-8",
            "HOME": str(base / "home"),
            "XDG_RUNTIME_DIR": str(base / "runtime"),
            "XDG_DATA_HOME": str(base / "data"),
            "XDG_CONFIG_HOME": str(base / "config"),
            "TMPDIR": str(base),
        }

    def run(self, command: str) -> str:
        """What a command line says, stdout before stderr. Its exit code is `$?` of the next."""
        script = f"(exit $(cat .code 2>/dev/null || echo 0))\n{command}\necho $? > .code\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.directory, env=self.environment, capture_output=True, timeout=WAIT_S, check=False
        )
        return done.stdout.decode() + done.stderr.decode()

    @contextmanager
    def gateway(self) -> Iterator[None]:
        """`flowspan serve` meanwhile."""
        process = subprocess.Popen(
            ["flowspan", "serve"], cwd=self.directory, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["grpc"]
            yield
        finally:
            process.terminate()
            try:
                process.communicate(timeout=WAIT_S)
            finally:
                process.kill()
                process.wait()


def fits(shown: str, said: str) -> bool:
    """Whether output is what the page shows; `…` stands for anything within a line."""
    pattern = re.escape(shown.strip()).replace(re.escape(ANYTHING), "[^\n]*")
    return re.fullmatch(pattern, said.strip()) is not None
