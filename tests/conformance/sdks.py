"""The SDKs: what they need to be built, and the command lines of their programs."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
BUILD_S: Final = 900
"""A first build fetches and compiles what the SDK stands on."""


class NotRunError(Exception):
    """The SDK cannot be tested here: the toolchain is missing, or the build failed. The message says which."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """One of ours. `tools`: the programs that its Makefile needs."""

    name: str
    tools: tuple[str, ...]

    @property
    def directory(self) -> Path:
        return ROOT / "clients" / self.name

    @property
    def missing(self) -> str | None:
        """Why it cannot be built here, without trying."""
        absent = [tool for tool in self.tools if shutil.which(tool) is None]
        if absent:
            return f"{' and '.join(absent)} not installed"
        return None if (self.directory / "Makefile").is_file() else f"{self.directory.relative_to(ROOT)} has no Makefile"


SDKS: Final = (
    Sdk("python", ()),
    Sdk("typescript", ("node", "npm")),
    Sdk("go", ("go",)),
    Sdk("rust", ("cargo",)),
    Sdk("java", ("java", "mvn")),
)
BY_NAME: Final = {sdk.name: sdk for sdk in SDKS}


@dataclass(frozen=True, slots=True)
class Built:
    """Command lines of the two programs; None: the SDK does not have it yet."""

    client: tuple[str, ...] | None
    server: tuple[str, ...] | None


@cache
def build(name: str) -> Built:
    """Build the SDK, at most once per process, and never twice at the same time.

    Raises:
        NotRunError: see there.
    """
    sdk = BY_NAME[name]
    if sdk.missing is not None:
        raise NotRunError(sdk.missing)
    lock = Path(sys.prefix) / f".conformance-{name}.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _make(sdk, "build")
    return Built(command_of(name, "conformance-client"), command_of(name, "conformance-server"))


def _make(sdk: Sdk, target: str) -> str:
    command = ["make", "-s", "-C", str(sdk.directory), target, *([f"PYTHON={sys.executable}"] if sdk.name == "python" else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise NotRunError(f"`make {target}` took longer than {BUILD_S} s") from None
    if done.returncode:
        raise NotRunError(
            f"`make -C clients/{sdk.name} {target}` ended with {done.returncode}:\n{(done.stderr or done.stdout)[-2000:]}"
        )
    return done.stdout


def command_of(name: str, target: str) -> tuple[str, ...] | None:
    """What `make TARGET` of an SDK prints; None: it names a program that is not there yet.

    Raises:
        NotRunError: it prints something else.
    """
    sdk = BY_NAME[name]
    try:
        words = json.loads(_make(sdk, target))
    except ValueError as error:
        raise NotRunError(f"`make -C clients/{sdk.name} {target}` did not print a JSON array: {error}") from None
    return tuple(words) if all(Path(word).exists() for word in words if word.startswith(str(sdk.directory))) else None
