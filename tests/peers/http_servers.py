"""Published component servers over HTTP, unmodified behind the real gateway: `python -m tests.peers.http_servers`.

Each release of `stepflow-py` is installed into a virtual environment of its own (below `--venvs`, else a temporary one); one
that cannot be installed counts as not run. Ends with 1 if a check failed, and with 0 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.http_bridge.settings import HttpPlugin
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.settings import KIB
from tests.e2e.house import house, one_step
from tests.peers.run import CHECK_S, HERE, QUICK, Peer, Report, encode, equal, outcomes, values

RELEASES: Final = ("0.9.2", "0.11.2")
RATE_ITEMS: Final = 2_000


class HttpServer(Peer):
    """As `Peer`, with what differs over HTTP."""

    async def large_bodies(self) -> str:
        texts = [{"text": "y" * size * KIB} for size in (1, 100, 1000)]
        equal(values(await self.run("/echo", *texts)), texts)
        return "1,000 KiB both ways"

    async def rate_over_http(self) -> str:
        inputs = [{"n": n} for n in range(RATE_ITEMS)]
        began = time.perf_counter()
        equal(values(await self.run("/echo", *inputs, max_concurrency=64)), inputs)
        return f"{RATE_ITEMS / (time.perf_counter() - began):,.0f} items/s"

    async def runs(self) -> str:
        flow_id = (await self.house.flow(one_step("/peer/price"))).removeprefix("sha256:")
        orders = [{"item": "a", "count": n} for n in range(20)]
        (value,) = values(await self.run("/submit", {"flow": flow_id, "inputs": orders}))
        for run in (value["waited"], value["got"]):
            equal((run["status"], run["items"]["completed"]), ("completed", 20))
            equal([item["result"]["result"]["total"] for item in run["results"]], [3 * n for n in range(20)])
        assert not value["begun"].get("results"), value["begun"]
        return ""

    async def flows(self) -> str:
        priced, failing = [
            (await self.house.flow(one_step(path))).removeprefix("sha256:") for path in ("/peer/price_later", "/peer/fail")
        ]
        inputs = [{"flow": priced, "input": {"item": "a", "count": n}} for n in range(100)]
        fold = await self.run("/evaluate", *inputs, {"flow": failing, "input": {}}, max_concurrency=100)
        *results, failed = values(fold)
        equal(results, [{"result": {"total": 3 * n, "text": "a"}} for n in range(100)])
        assert "raised" in failed, failed
        return f"100 wait at once; a failure raises {failed['raised']}"

    async def hang(self) -> str:
        began = time.perf_counter()
        (error,) = values(await self.run("/hang", {}, step={"timeout": 0.5, "retry": {"maxRetries": 0}}))
        equal(error["code"], "TIMEOUT")
        took = time.perf_counter() - began
        assert took < 3.0, took
        equal(values(await self.run("/echo", {"n": 1})), [{"n": 1}])
        return f"{took:.1f} s"

    async def cancel(self) -> str:
        run = await self.house.submit(await self.house.flow(one_step("/peer/hang")), encode({}))
        await asyncio.sleep(0.3)  # into the component
        began = time.perf_counter()
        await self.house.api.cancel_run(run.run_id, reason="enough")
        fold = await self.house.follow(run.run_id, wait_s=5.0)
        equal(fold.status.wire_name, "cancelled")
        return f"{time.perf_counter() - began:.2f} s"

    async def output_beyond_the_bound(self) -> str:
        fold = await self.run("/large", {"size": 5000 * KIB}, step={"retry": {"maxRetries": 0}})
        equal([outcome.name for outcome in outcomes(fold)], ["FAILED"])
        return str(values(fold)[0]["message"])[:90]


Check = Callable[[HttpServer], Awaitable[str]]
CHECKS: Final[tuple[tuple[Check, tuple[str, ...]], ...]] = (
    (HttpServer.typed_components, RELEASES),
    (HttpServer.input_of_the_wrong_type, RELEASES),
    (HttpServer.failing_component, RELEASES),
    (HttpServer.unknown_component, RELEASES),
    (HttpServer.print_in_a_component, RELEASES),
    (HttpServer.large_bodies, RELEASES),
    (HttpServer.output_beyond_the_bound, RELEASES),
    (HttpServer.runs, RELEASES),
    (HttpServer.flows, RELEASES),
    # From 0.10 on, blobs go to an API of their own.
    (HttpServer.blobs, ("0.9.2",)),
    (HttpServer.crash_once, RELEASES),
    (HttpServer.cancel, RELEASES),
    (HttpServer.hang, RELEASES),
    (HttpServer.rate_over_http, RELEASES),
)
"""Checks, and the releases that have what they need."""


def install(release: str, directory: Path) -> Path | None:
    """The release's interpreter; None if it cannot be had."""
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
    command = [python, "-m", "pip", "--disable-pip-version-check", "-q", "install", f"stepflow-py[http]=={release}"]
    done = subprocess.run(command, capture_output=True, timeout=600)
    return python if done.returncode == 0 else None


async def check_release(report: Report, release: str, python: Path) -> None:
    with tempfile.TemporaryDirectory() as marks:
        launch = LaunchSpec("peer", str(python), (str(HERE / "stepflow_http_server.py"), marks))
        options: dict[str, Any] = {"restart": QUICK, "initialize_timeout_s": 30.0, "stop_grace_s": 0.5}
        async with house(HttpPlugin(launch, **options)) as gateway:
            server = HttpServer(gateway, release)
            for check, releases in CHECKS:
                if release not in releases:
                    continue
                began = time.perf_counter()
                try:
                    async with asyncio.timeout(CHECK_S):
                        said = await check(server)
                except Exception as error:
                    report.failed += 1
                    told = f"{type(error).__name__}: {error}"
                    report.line(release, check.__name__, "FAILED", told, time.perf_counter() - began)
                else:
                    report.line(release, check.__name__, "ok", said, time.perf_counter() - began)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venvs", type=Path, help="directory of the virtual environments, kept for the next time")
    parser.add_argument("--verbose", action="store_true", help="the gateway's log too")
    parser.add_argument("releases", nargs="*", default=RELEASES)
    options = parser.parse_args()
    if not options.verbose:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        for release in options.releases:
            python = await asyncio.to_thread(install, release, (options.venvs or Path(temporary)) / f"http-{release}")
            if python is None:
                report.not_run += 1
                report.line(release, "all", "not run", "the package cannot be installed")
            else:
                await check_release(report, release, python)
    print(json.dumps({"failed": report.failed, "notRun": report.not_run}))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
