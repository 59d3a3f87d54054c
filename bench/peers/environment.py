"""Virtual environments of the peers."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1] / ".venvs"
INSTALL_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Environment:
    """`requirements`: exact versions, as pip takes them. `root`: where it stands."""

    name: str
    requirements: Sequence[str]
    root: Path = ROOT

    @property
    def python(self) -> Path:
        folder, program = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
        return self.root / self.name / folder / program

    @property
    def is_there(self) -> bool:
        """Whole, and of these versions: the stamp is written last."""
        try:
            return self._stamp.read_text().split() == list(self.requirements)
        except OSError:
            return False

    def make(self) -> None:
        """Install what is missing; from wheels only: nothing of a peer is built here.

        Raises:
            RuntimeError: pip says no; the message holds its last line.
        """
        if self.is_there:
            return
        venv.create(self.root / self.name, clear=True, symlinks=os.name != "nt", with_pip=True)
        pip = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--only-binary", ":all:"]
        try:
            done = subprocess.run([*pip, *self.requirements], capture_output=True, text=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"pip did not install {self.name} within {INSTALL_S:.0f} s") from None
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["nothing"]
            raise RuntimeError(f"pip did not install {self.name}: {said[-1]}")
        self._stamp.write_text("\n".join(self.requirements) + "\n")

    @property
    def _stamp(self) -> Path:
        return self.root / self.name / "bench-requirements.txt"


def make_all(environments: Sequence[Environment]) -> dict[str, str]:
    """Make those that are missing; by name why one could not be made."""
    failures = {}
    for environment in environments:
        if environment.is_there:
            continue
        print(
            f"bench: installing {environment.name} into {os.path.relpath(environment.root / environment.name)}", file=sys.stderr
        )
        try:
            environment.make()
        except (RuntimeError, OSError) as error:
            failures[environment.name] = str(error)
            print(f"bench: {error}", file=sys.stderr)
    return failures
