"""What is in the standard library of this machine? A real job for Flowspan, from start to end.

Starts a gateway (`flowspan serve`), submits one run over the packages of the standard library and follows its results. A
Python component runs a sub-run over the modules of each package and waits for it; each module is taken apart by a Python
component, and the words of its docstrings are counted by a component server in plain Node, where Node is present.

Usage: demo.py [--output DIR] [--only PACKAGE ...] [--without-node]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from corpus import standard_library
from gateway_process import private_gateway
from progress import ModuleProgress, module_progress
from report import print_report

from flowspan import AsyncClient, FlowspanError
from flowspan.client import Watch

HERE = Path(__file__).resolve().parent
NODE_SERVER = HERE.parent / "node_plain" / "server.js"
PACKAGES_AT_ONCE = 4
MOST_PROCESSES = 4
POLL_S = 0.2
WITHOUT_NODE = {"steps": {"fingerprint": {"value": {"skip": True}}}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 if the run did not succeed."""
    options = _options(arguments)
    packages = standard_library()
    if options.only:
        packages = {name: modules for name, modules in packages.items() if name in options.only}
    node = None if options.without_node else shutil.which("node")
    count = sum(map(len, packages.values()))
    _say(f"{count:,} modules in {len(packages):,} packages of Python {'.'.join(map(str, sys.version_info[:3]))}")
    if node is None:
        _say(
            "NODE IS LEFT OUT: the step that runs in a plain Node server is skipped."
            + ("" if options.without_node else " (no `node` on PATH)")
        )
    output = Path(options.output) / "stdlib-census.jsonl"
    output.parent.mkdir(parents=True, exist_ok=True)
    # As after Ctrl-C, so that the gateway is ended in any case.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with private_gateway(_plugins(node)) as address:
            began_s = time.monotonic()
            results = asyncio.run(_census(address, packages, node is not None, output))
            took_s = time.monotonic() - began_s
    except FlowspanError as error:
        _say(f"failed: {error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    print_report(results)
    rate = f"{count / took_s:,.0f} modules/s"
    print(
        f"{count:,} modules and {len(packages):,} sub-runs in {took_s:.1f} s ({rate}), every result durable before it was shown."
    )
    print(f"Results: {output}")
    return 0


async def _census(address: str, packages: dict[str, list[dict[str, str]]], with_node: bool, output: Path) -> list[dict[str, Any]]:
    """Runs the job; what `census_package` gave for each package. Raises RunFailedError if any of them failed."""
    async with AsyncClient(address) as client:
        module_flow = await client.store_flow(HERE / "module.yaml")
        inputs = [
            {"package": name, "modules": modules, "module_flow": module_flow, "overrides": None if with_node else WITHOUT_NODE}
            for name, modules in packages.items()
        ]
        watch = await client.submit_and_watch(HERE / "package.yaml", inputs, max_concurrency=PACKAGES_AT_ONCE)
        results: list[dict[str, Any]] = []
        with module_progress(sum(map(len, packages.values()))) as progress:
            async with watch:
                counting = asyncio.create_task(_count_modules(client, watch, results, progress))
                try:
                    await _collect(watch, results, output)
                finally:
                    counting.cancel()
                    with suppress(asyncio.CancelledError):
                        await counting
            progress.show(sum(package["module_count"] for package in results))
        status = watch.status
        assert status is not None
        status.raise_for_failures()
        return results


async def _collect(watch: Watch, results: list[dict[str, Any]], output: Path) -> None:
    """Each result goes to the file as it arrives, which is when it is durable in the gateway."""
    with output.open("w", encoding="utf-8") as file:
        async for result in watch:
            if result.error is not None:
                _say(f"item {result.item_index}: {result.error.code}: {result.error.message}")
                continue
            results.append(result.value)
            file.write(json.dumps(result.value, ensure_ascii=False) + "\n")
            file.flush()


async def _count_modules(client: AsyncClient, watch: Watch, results: list[dict[str, Any]], progress: ModuleProgress) -> None:
    """The run's items are packages; how far the sub-runs are, the gateway tells for the whole tree."""
    most = 0
    while True:
        await asyncio.sleep(POLL_S)
        if watch.run_id is None:
            continue
        running = [run async for run in client.list(root_run_id=watch.run_id, statuses=["running"])]
        finished = {package["run_id"] for package in results}
        inside = sum(run.items.success for run in running if run.run_id != watch.run_id and run.run_id not in finished)
        most = max(most, inside + sum(package["module_count"] for package in results))
        progress.show(most)


def _plugins(node: str | None) -> dict[str, Any]:
    """Two component servers, in two languages, over their stdin and stdout."""
    python = {
        "type": "stdio",
        "command": sys.executable,
        "args": [str(HERE / "server.py")],
        "replicas": max(1, min(MOST_PROCESSES, os.cpu_count() or 1)),
    }
    plugins: dict[str, Any] = {"python": python}
    if node is not None:
        plugins["node"] = {"type": "stdio", "command": node, "args": [str(NODE_SERVER)]}
    return plugins


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", default="demo-output", help="directory for the results")
    parser.add_argument("--only", nargs="+", metavar="PACKAGE", help="these packages only, such as: asyncio json")
    parser.add_argument("--without-node", action="store_true", help="do without the Node component server")
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
