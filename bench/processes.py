"""Programs that are measured: started in a process group of their own, ended by their process id, never left behind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.measure import process_tree

READY_S: Final = 30.0
STOP_S: Final = 20.0
DRAIN_S: Final = 0.5
"""Runs that are still open when their scenario has ended need no grace."""
WORKER_CAPACITY: Final = 512
"""Of the SDKs' conformance servers, as of `servers/echo.py`."""
SERVERS: Final = Path(__file__).resolve().parent / "servers"


@dataclass(frozen=True, slots=True)
class Running:
    """A program that listens. `pids`: it and all below it. `ready_s`: from its start to its ready line."""

    target: str
    pid: int
    pids: Sequence[int]
    ready_s: float
    process: subprocess.Popen[bytes]

    async def ask(self, line: str) -> bytes:
        """A line to its stdin, its next line from its stdout; empty if it has ended. The caller bounds the wait."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return await asyncio.to_thread(self.process.stdout.readline)


def flowspan_command() -> str:
    """The `flowspan` beside this interpreter, else on PATH. Raises FileNotFoundError."""
    places = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", "")))
    found = shutil.which("flowspan", path=places)
    if found is None:
        raise FileNotFoundError("the command `flowspan` is not installed here; run `make setup`")
    return found


def python_plugin(*, replicas: int = 1) -> dict[str, Any]:
    """The component server in Python, with our SDK."""
    return {"type": "stdio", "command": sys.executable, "args": [str(SERVERS / "echo.py")], "replicas": replicas}


def python_worker() -> list[str]:
    """The same as a worker's command."""
    return [sys.executable, str(SERVERS / "echo.py")]


def go_worker() -> list[str] | None:
    """A component server in Go as a worker's command; None if the SDK is not built here."""
    directory = SERVERS.parents[1] / "clients" / "go"
    if not (directory / "Makefile").is_file() or shutil.which("make") is None:
        return None
    asked = subprocess.run(
        ["make", "-s", "-C", str(directory), "conformance-server"], capture_output=True, timeout=READY_S, check=False
    )
    try:
        command: list[str] = json.loads(asked.stdout)
    except ValueError:
        return None
    return command if asked.returncode == 0 and shutil.which(command[0]) else None


@asynccontextmanager
async def running_worker(command: Sequence[str], target: str, queue: str) -> AsyncIterator[Sequence[int]]:
    """A worker of a queue; its process ids. Whether it has connected is for the caller to see."""
    variables = {"FLOWSPAN_QUEUE": queue, "FLOWSPAN_TARGET": target, "CONFORMANCE_CAPACITY": str(WORKER_CAPACITY)}
    process = _start(command, variables)
    try:
        yield process_tree(process.pid)
    finally:
        await _end(process)


def node_plugin() -> dict[str, Any] | None:
    """The component server in Node, without an SDK; None without Node."""
    node = shutil.which("node")
    return None if node is None else {"type": "stdio", "command": node, "args": [str(SERVERS / "echo.js")]}


@asynccontextmanager
async def running_gateway(plugins: dict[str, Any]) -> AsyncIterator[Running]:
    """`flowspan serve` with an empty store."""
    with tempfile.TemporaryDirectory(prefix="flowspan-bench-") as directory:
        async with gateway_in(directory, plugins) as running:
            yield running


@asynccontextmanager
async def gateway_in(directory: str, plugins: dict[str, Any]) -> AsyncIterator[Running]:
    """`flowspan serve` with what is in this directory, where it also keeps its runs."""
    config = {
        "plugins": plugins,
        "store": {"type": "sqlite", "path": "store"},
        "listen": [f"unix:{directory}/gateway.sock"],
        "engine": {"drain_grace_s": DRAIN_S},
        "telemetry": {"log_level": "warning"},
    }
    Path(directory, "flowspan.yml").write_text(json.dumps(config))
    command = [flowspan_command(), "serve", "--config", f"{directory}/flowspan.yml"]
    # With a runtime directory of its own it is not found by other clients of this user.
    async with running_program(command, {"XDG_RUNTIME_DIR": directory}) as running:
        yield running


@asynccontextmanager
async def running_program(command: Sequence[str], environment: dict[str, str]) -> AsyncIterator[Running]:
    """A program that prints one JSON line with its address (`grpc`) when it is ready.

    Raises:
        TimeoutError: it was not ready in time.
        RuntimeError: it ended before it was.
    """
    began_s = time.perf_counter()
    process = _start(command, environment)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await asyncio.to_thread(process.stdout.readline)
        ready_s = time.perf_counter() - began_s
        if not line:
            raise RuntimeError(f"{command[0]} ended with {await asyncio.to_thread(process.wait, STOP_S)} before it was ready")
        yield Running(json.loads(line)["grpc"], process.pid, process_tree(process.pid), ready_s, process)
    finally:
        await _end(process)


def _start(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    everything = {**os.environ, **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, env=everything, start_new_session=True, cwd=SERVERS.parents[1])


async def _end(process: subprocess.Popen[bytes]) -> None:
    below = process_tree(process.pid)[1:] if process.poll() is None else []
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.to_thread(process.wait, STOP_S)
    except subprocess.TimeoutExpired:
        for pid in (process.pid, *below):
            _kill(pid)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def kill(running: Running) -> None:
    """As `kill -9`, without a word."""
    running.process.kill()
    running.process.wait()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
