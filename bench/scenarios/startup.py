"""How long the commands take from nothing: `flowspan serve` until it is ready, `flowspan run` until it has ended."""

from __future__ import annotations

import asyncio
import compileall
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.figures import Figure
from bench.job import ECHO_FLOW
from bench.processes import flowspan_command, python_plugin, running_gateway
from bench.scenario import Plan, Scenario

RUN_LIMIT_S = 30.0


async def _measure(plan: Plan) -> Sequence[Figure]:
    await asyncio.to_thread(_compile)
    serve_s: list[float] = []
    run_s: list[float] = []
    for _ in range(plan.repetitions + 1):
        async with running_gateway({"python": python_plugin()}) as gateway:
            serve_s.append(gateway.ready_s)
        run_s.append(await asyncio.to_thread(_run_once))
    return [
        Figure("flowspan serve, ready", "s", serve_s[1:], 0.5, more_is_better=False),
        Figure("flowspan run, whole process", "s", run_s[1:], 0.8, more_is_better=False),
    ]


def _compile() -> None:
    """As pip does for what it installs. A working tree is compiled at each start where PYTHONDONTWRITEBYTECODE is set."""
    for package in ("flowspan", "gateway", "runtime_core"):
        spec = find_spec(package)
        for directory in (spec and spec.submodule_search_locations) or ():
            compileall.compile_dir(directory, quiet=2)


def _run_once() -> float:
    """Seconds of `flowspan run` with one item. Raises RuntimeError if it did not print the right result."""
    with tempfile.TemporaryDirectory(prefix="flowspan-bench-") as directory:
        Path(directory, "flowspan.yml").write_text(json.dumps({"plugins": {"python": python_plugin()}}))
        flow = Path(directory, "flow.json")
        flow.write_text(json.dumps(ECHO_FLOW))
        command = [flowspan_command(), "run", str(flow), "--input-json", '{"n": 1}']
        began_s = time.perf_counter()
        done = subprocess.run(command, capture_output=True, cwd=directory, timeout=RUN_LIMIT_S)
        took_s = time.perf_counter() - began_s
    if done.returncode != 0 or json.loads(done.stdout) != {"outcome": "success", "value": {"n": 1}}:
        raise RuntimeError(f"flowspan run ended with {done.returncode}: {done.stdout!r} {done.stderr.decode()}")
    return took_s


SCENARIOS = (Scenario("startup", "time of the commands from their start", _measure),)
