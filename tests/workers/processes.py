"""Workers and bridges as processes of their own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.workers.hand_worker import WAIT_S, WorkerHouse

HERE = Path(__file__).parent
EVERY_KIND = HERE / "every_kind.py"
EXIT_S = 30.0


def start_worker(target: str, queue: str = "q", script: Path = EVERY_KIND, log: Path | None = None) -> subprocess.Popen[bytes]:
    """The component server as a worker."""
    return _start([sys.executable, str(script)], {"FLOWSPAN_QUEUE": queue, "FLOWSPAN_TARGET": target}, log)


def start_bridge(
    target: str, queue: str, command: Sequence[str], *options: str, log: Path | None = None
) -> subprocess.Popen[bytes]:
    """`flowspan bridge`."""
    flowspan = [sys.executable, "-c", "import sys; from gateway.cli import main; sys.exit(main())"]
    return _start([*flowspan, "bridge", "--gateway", target, "--queue", queue, *options, "--", *command], {}, log)


def start(command: Sequence[str], target: str, queue: str = "q") -> subprocess.Popen[bytes]:
    """Any SDK's component server as a worker."""
    return _start(command, {"FLOWSPAN_QUEUE": queue, "FLOWSPAN_TARGET": target}, None)


def _start(command: Sequence[str], variables: dict[str, str], log: Path | None) -> subprocess.Popen[bytes]:
    out = subprocess.DEVNULL if log is None else log.open("wb")
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **variables})
    finally:
        if log is not None and out is not subprocess.DEVNULL:
            out.close()  # type: ignore[union-attr]


@contextmanager
def ended_at_last(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    """All of them are gone behind this, in order if they can."""
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(EXIT_S)


async def workers_there(house: WorkerHouse, count: int, plugin: str = "w", wait_s: float = 3 * WAIT_S) -> None:
    """Until so many workers serve the queue."""
    async with asyncio.timeout(wait_s):
        while True:
            status = next(status for status in house.gateway.catalog.plugins() if status.name == plugin)
            if status.detail.startswith(f"{count} worker" if count else "no worker"):
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def worker(house: WorkerHouse, log: Path | None = None) -> AsyncIterator[subprocess.Popen[bytes]]:
    """One SDK worker of queue `q`."""
    process = start_worker(house.target, log=log)
    with ended_at_last(process):
        await workers_there(house, 1)
        yield process
