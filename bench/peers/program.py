"""A peer's program from here: started, given orders, ended with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final

import psutil

PROGRAMS: Final = Path(__file__).with_name("programs")
READY_S: Final = 45.0
ORDER_S: Final = 60.0
"""One that takes longer is told as "not run"."""
STOP_S: Final = 15.0
_HAS_GROUPS: Final = hasattr(os, "killpg")


class PeerError(Exception):
    """The peer could not do it; the message says why, in one line."""


class PeerProgram:
    """A peer that is ready. `versions`: of its packages."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes], versions: Mapping[str, str]) -> None:
        self._process = process
        self._said = said
        self.versions = versions

    @property
    def pids(self) -> list[int]:
        """It and all below it."""
        return [self._process.pid, *(child.pid for child in psutil.Process(self._process.pid).children(recursive=True))]

    async def order(self, items: int) -> None:
        """A run of so many items, to its last result.

        Raises:
            PeerError: it failed, or took longer than ORDER_S.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(b'{"items":%d}\n' % items)
        self._process.stdin.flush()
        answer = await read_answer(self._process, self._said, ORDER_S, f"{items} items")
        if "error" in answer:
            raise PeerError(str(answer["error"]))


@asynccontextmanager
async def running_peer(command: Sequence[str]) -> AsyncIterator[PeerProgram]:
    """The command with a directory appended, which is removed afterwards.

    Raises:
        PeerError: it did not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="flowspan-peer-") as directory, tempfile.TemporaryFile() as said:
        process = _start(command, directory, said)
        try:
            ready = await read_answer(process, said, READY_S, "its start")
            yield PeerProgram(process, said, ready.get("versions", {}))
        finally:
            await _end(process)


async def read_answer(process: subprocess.Popen[bytes], said: IO[bytes], limit_s: float, what: str) -> dict[str, Any]:
    """The next line that is a JSON object; whatever else a peer prints is passed over.

    Raises:
        PeerError: none came in time, or the program ended.
    """
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit_s):
            while line := await asyncio.to_thread(process.stdout.readline):
                answer = parse_answer(line)
                if answer is not None:
                    return answer
    except TimeoutError:
        # Its reader sits in a thread; the end of the program frees it.
        _signal(process, signal.SIGKILL)
        raise PeerError(f"no end of {what} within {limit_s:.0f} s") from None
    raise PeerError(f"it ended during {what}: {last_line(said)}")


def parse_answer(line: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def last_line(said: IO[bytes]) -> str:
    """What a program said last on stderr, to be told as the reason."""
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else "it said nothing"


def _start(command: Sequence[str], directory: str, said: IO[bytes]) -> subprocess.Popen[bytes]:
    """In a process group of its own."""
    return subprocess.Popen(
        [*command, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(PROGRAMS)},
        start_new_session=True,
    )


async def _end(process: subprocess.Popen[bytes]) -> None:
    """The end of its stdin asks it to; whatever is left then is killed. Peers start workers in groups of their own."""
    assert process.stdin is not None and process.stdout is not None
    below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        await asyncio.to_thread(process.wait, STOP_S)
    except subprocess.TimeoutExpired:
        pass
    _signal(process, signal.SIGKILL)
    for one in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    await asyncio.to_thread(process.wait)
    process.stdout.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if _HAS_GROUPS:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
