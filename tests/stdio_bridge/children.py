"""Real child programs for the tests of component server processes, and an owner that records what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil

from gateway.stdio_bridge.exit_report import ExitReport
from gateway.stdio_bridge.launch import Isolation, LaunchSpec
from gateway.stdio_bridge.process import ComponentProcess

RunOnLoop = Callable[[Callable[[], Awaitable[None]]], None]


class Owner:
    """Records everything that a process tells its owner."""

    def __init__(self, spec: LaunchSpec) -> None:
        self.output = bytearray()
        self.lines: list[str] = []
        self.suppressed = 0
        self.reports: list[ExitReport] = []
        self.output_bytes_at_exit = -1
        self.stdout_was_closed = asyncio.Event()
        self._grown = asyncio.Event()
        self.process = ComponentProcess(
            spec,
            on_stdout=self._on_stdout,
            on_exit=self._on_exit,
            on_stderr=self._on_stderr,
            on_stdout_closed=self.stdout_was_closed.set,
        )

    def _on_stdout(self, data: bytes) -> None:
        assert data and not self.reports
        self.output += data
        self._grown.set()

    def _on_stderr(self, lines: list[str], suppressed: int) -> None:
        self.lines += lines
        self.suppressed += suppressed

    def _on_exit(self, report: ExitReport) -> None:
        self.reports.append(report)
        self.output_bytes_at_exit = len(self.output)

    async def wait_output(self, enough: Callable[[bytearray], bool], timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not enough(self.output):
                self._grown.clear()
                await self._grown.wait()

    async def wait_line(self) -> bytes:
        await self.wait_output(lambda output: b"\n" in output)
        return bytes(self.output).partition(b"\n")[0]

    async def wait_end(self, timeout_s: float = 5.0) -> ExitReport:
        report = await self.process.wait_exit(timeout_s)
        assert report is not None, "the process did not end in time"
        assert self.reports == [report]
        return report


def python(code: str, isolation: Isolation = Isolation.NAMESPACE) -> LaunchSpec:
    return LaunchSpec(name="child", command=sys.executable, args=("-I", "-S", "-c", code), isolation=isolation)


@contextlib.asynccontextmanager
async def started(spec: LaunchSpec) -> AsyncIterator[Owner]:
    """A running process that is surely gone afterwards."""
    owner = Owner(spec)
    owner.process.spawn()
    try:
        yield owner
    finally:
        owner.process.kill()
        await owner.wait_end()


def marked_processes(mark: str) -> list[psutil.Process]:
    """Processes whose command line holds `mark`, zombies left out."""
    found = []
    for candidate in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if mark in " ".join(candidate.cmdline()) and candidate.pid != os.getpid():
                found.append(candidate)
    return found


def poll_until(fact: Callable[[], bool], timeout_s: float) -> bool:
    """For facts about foreign processes, which send no event."""
    end = time.monotonic() + timeout_s
    while not fact():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


ECHO = "import sys\nwhile d := sys.stdin.buffer.raw.read(262144): sys.stdout.buffer.raw.write(d)"
