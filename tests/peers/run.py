"""Published component servers that we did not write, unmodified behind the real gateway: `python -m tests.peers.run`.

Each release of `stepflow-py` is installed into a virtual environment of its own (below `--venvs`, else a temporary directory).
A release that cannot be installed, or a plain server whose interpreter is absent, counts as not run. Ends with 1 if a check
failed, and with 0 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from flowspan.view.events import Outcome
from flowspan.view.fold import RunFold
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import KIB, STEPFLOW_LINE_BYTES, StdioPlugin
from tests.e2e.house import House, house, one_step

RELEASES: Final = ("0.2.4", "0.3.0", "0.5.0", "0.7.0")
HERE: Final = Path(__file__).parent
RATE_ITEMS: Final = 10_000
CHECK_S: Final = 50.0
QUICK: Final = RestartLimits(first_backoff_s=0.05, max_backoff_s=0.2)


def encode(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def values(fold: RunFold) -> list[Any]:
    """By index: the value, or `{"code", "message", ...}`."""
    by_index = sorted(fold.results, key=lambda result: result.item_index)
    return [json.loads(result.payload) for result in by_index]


def outcomes(fold: RunFold) -> list[Outcome]:
    return [result.outcome for result in sorted(fold.results, key=lambda result: result.item_index)]


def equal(actual: Any, expected: Any) -> None:
    if actual != expected:
        raise AssertionError(f"{str(actual)[:600]} is not {str(expected)[:300]}")


class Peer:
    """One server program behind one gateway, and the checks that any of them must pass. Each returns what is worth telling."""

    def __init__(self, house: House, release: str) -> None:
        self.house = house
        self.release = tuple(map(int, release.split(".")))

    async def run(self, component: str, *inputs: Any, step: dict[str, Any] | None = None, **options: Any) -> RunFold:
        return await self.house.run(one_step(f"/peer{component}", **step or {}), encode(*inputs), **options)

    def has(self, release: str) -> bool:
        return self.release >= tuple(map(int, release.split(".")))

    # -- components ----------------------------------------------------------------------------------------------------------

    async def typed_components(self) -> str:
        orders = [{"item": "tea", "count": 2}, {"item": "Ж𝄞\n", "count": 9007199254740993}]
        receipts = [{"total": order["count"] * 3, "text": order["item"]} for order in orders]
        for component in ("/price", "/price_later"):
            equal(values(await self.run(component, *orders)), receipts)
        return ""

    async def input_of_the_wrong_type(self) -> str:
        fold = await self.run("/price", {"item": 1})
        equal(outcomes(fold), [Outcome.FAILED])
        return str(values(fold)[0]["code"])

    async def failing_component(self) -> str:
        fold = await self.run("/fail", {}, {})
        equal([value["code"] for value in values(fold)], ["COMPONENT_FAILED"] * 2)
        assert "no such luck" in values(fold)[0]["message"]
        return str(values(fold)[0]["message"])

    async def unknown_component(self) -> str:
        (value,) = values(await self.run("/nowhere", {}))
        equal(value["code"], "COMPONENT_NOT_FOUND")
        return ""

    async def print_in_a_component(self) -> str:
        inputs = [{"n": n} for n in range(9)]
        equal(values(await self.run("/chatty", *inputs)), inputs)
        return ""

    async def large_outputs(self) -> str:
        sizes = [10 * KIB, 65 * KIB, 300 * KIB, 1000 * KIB]
        got = values(await self.run("/large", *[{"size": size} for size in sizes], max_concurrency=1))
        equal([len(value.get("text", "")) for value in got], sizes)
        return f"up to {sizes[-1] // KIB} KiB"

    async def many_large_outputs(self) -> str:
        """More than the pipe holds, all at once: such a server writes without waiting for room."""
        began = time.perf_counter()
        fold = await self.run("/large", *[{"size": 40 * KIB}] * 1000, max_concurrency=200)
        equal([len(value.get("text", "")) for value in values(fold)], [40 * KIB] * 1000)
        return f"{40 * 1000 / KIB / (time.perf_counter() - began):,.0f} MiB/s"

    async def output_beyond_the_pipe(self) -> str:
        """Whatever a server makes of an answer that its own pipe does not take, the item ends and the next one is served."""
        fold = await self.run("/large", {"size": 1900 * KIB}, step={"retry": {"maxRetries": 0}})
        told = str(values(fold)[0].get("code", "success"))
        equal(values(await self.run("/echo", {"n": 1})), [{"n": 1}])
        return told

    async def output_beyond_the_limit(self) -> str:
        fold = await self.run("/large", {"size": 5000 * KIB})
        (value,) = values(fold)
        equal(outcomes(fold), [Outcome.FAILED])
        equal(values(await self.run("/echo", {"n": 1})), [{"n": 1}])
        return f"{value['code']}: {value['message'][:90]}"

    async def large_inputs(self) -> str:
        fits, beyond = {"text": "y" * (STEPFLOW_LINE_BYTES - 2 * KIB)}, {"text": "y" * STEPFLOW_LINE_BYTES}
        fold = await self.run("/echo", fits, beyond, {"n": 3})
        first, second, third = values(fold)
        equal((first, third), (fits, {"n": 3}))
        assert "at most" in second["message"], second
        return f"beyond the line: {second['code']}"

    async def crash_once(self) -> str:
        for code in (3, 0):
            inputs = [{"mark": f"{code}-{n}", "code": code if n == 5 else None} for n in range(12)]
            equal(values(await self.run("/crash", *inputs)), inputs)
        return "exit 3 and exit 0"

    async def rate(self) -> str:
        inputs = [{"n": n} for n in range(RATE_ITEMS)]
        flow_id = await self.house.flow(one_step("/peer/echo"))
        began = time.perf_counter()
        run = await self.house.submit(flow_id, encode(*inputs), max_concurrency=200)
        fold = await self.house.follow(run.run_id)
        took = time.perf_counter() - began
        equal(values(fold), inputs)
        return f"{RATE_ITEMS / took:,.0f} items/s"

    # -- what servers ask ----------------------------------------------------------------------------------------------------

    async def blobs(self) -> str:
        data = {"n": [1, 2.5, None], "text": "Ж"}
        (value,) = values(await self.run("/blob", data))
        equal(value["data"], data)
        equal(len(value["id"]), 64)
        return ""

    async def missing_and_too_large_blobs(self) -> str:
        large = await self.house.api.put_blob(encode("z" * STEPFLOW_LINE_BYTES)[0])
        missing, beyond = values(await self.run("/read_blob", {"id": "ab" * 32}, {"id": large.removeprefix("sha256:")}))
        assert "error" in missing and "error" in beyond, (missing, beyond)
        return ""

    async def binary_blobs(self) -> str:
        binary = await self.house.api.put_blob(b"\x00\xff", blob_type="binary")
        (value,) = values(await self.run("/read_blob", {"id": binary.removeprefix("sha256:")}))
        equal(value, {"data": "AP8="})
        return ""

    async def flow_of_one_input(self) -> str:
        sub = one_step("/peer/price")
        (value,) = values(await self.run("/evaluate", {"flow": sub, "input": {"item": "a", "count": 1}}))
        equal(value, {"result": {"total": 3, "text": "a"}})
        return ""

    async def failing_and_skipped_flows(self) -> str:
        failing, skipped = one_step("/peer/fail"), one_step("/peer/echo", skip=True)
        wrong = {"steps": [{"id": "a", "component": "/peer/echo", "input": {"$from": {"step": "zz"}}}]}
        inputs = [{"flow": flow, "input": {}} for flow in (failing, skipped, wrong)]
        first, second, third = values(await self.run("/evaluate", *inputs))
        equal((first["raised"], second["raised"]), ("StepflowFailed", "StepflowSkipped"))
        assert isinstance(first["code"], int) and "old syntax" in third["message"], (first, third)
        return f"a failed component: {first['code']}"

    async def many_flows_at_once(self) -> str:
        """More waiting components than the process has slots, and their sub-runs need slots of the same process."""
        sub = one_step("/peer/price_later")
        inputs = [{"flow": sub, "input": {"item": "a", "count": n}} for n in range(300)]
        fold = await self.run("/evaluate", *inputs, max_concurrency=300)
        equal(values(fold), [{"result": {"total": 3 * n, "text": "a"}} for n in range(300)])
        return "300 waiting"

    async def batches(self) -> str:
        sub = one_step("/peer/price")
        orders = [{"item": "a", "count": n} for n in range(50)]
        (value,) = values(await self.run("/batch", {"flow": sub, "inputs": orders, "max_concurrency": 7}))
        assert "details" in value, value
        equal((value["early_total"], value["nothing"]), (50, None))
        details = value["details"]
        equal((details["completed_runs"], details["running_runs"], details["failed_runs"]), (50, 0, 0))
        assert details["completed_at"]
        equal([output["result"]["result"]["total"] for output in value["outputs"]], [3 * n for n in range(50)])
        return ""

    async def batch_beyond_the_line(self) -> str:
        sub = one_step("/peer/large")
        (value,) = values(await self.run("/batch", {"flow": sub, "inputs": [{"size": 30 * KIB}] * 4}))
        assert value.get("code") == "COMPONENT_FAILED" and "max_line_bytes" in value["message"], value
        return str(value["message"])[:120]

    async def metadata(self) -> str:
        flow = {
            **one_step("/peer/metadata"),
            "metadata": {"team": "blue"},
            "description": "d",
        }
        flow["steps"][0]["metadata"] = {"colour": "red"}
        fold = await self.house.run(flow, encode({}))
        (value,) = values(fold)
        equal(value["flow_metadata"].get("team"), "blue")
        equal(value["step_metadata"], {"colour": "red"})
        return ""

    # -- servers without any package -----------------------------------------------------------------------------------------

    async def plain_echo(self) -> str:
        inputs = [{"n": n, "text": "Ж"} for n in range(50)]
        equal(values(await self.run("/echo", *inputs)), inputs)
        return ""

    async def plain_calls(self) -> str:
        equal(values(await self.run("/blob", {"a": 1})), [{"a": 1}])
        (run,) = values(await self.run("/sub", {"flow": one_step("/peer/echo"), "inputs": [1, 2]}))
        equal(run["status"], "success")
        equal([item["result"] for item in run["results"]], [{"outcome": "success", "value": n} for n in (1, 2)])
        (value,) = values(await self.run("/fail", {}))
        equal(value["code"], "COMPONENT_FAILED")
        return ""


Check = Callable[[Peer], Awaitable[str]]
PACKAGE: Final[tuple[tuple[Check, str], ...]] = (
    (Peer.typed_components, "0.0"),
    (Peer.input_of_the_wrong_type, "0.0"),
    (Peer.failing_component, "0.0"),
    (Peer.unknown_component, "0.0"),
    (Peer.print_in_a_component, "0.0"),
    (Peer.large_inputs, "0.0"),
    (Peer.large_outputs, "0.0"),
    (Peer.many_large_outputs, "0.0"),
    (Peer.output_beyond_the_pipe, "0.0"),
    (Peer.output_beyond_the_limit, "0.0"),
    (Peer.crash_once, "0.0"),
    (Peer.rate, "0.0"),
    (Peer.blobs, "0.0"),
    (Peer.missing_and_too_large_blobs, "0.0"),
    (Peer.binary_blobs, "0.0"),
    (Peer.flow_of_one_input, "0.0"),
    (Peer.failing_and_skipped_flows, "0.0"),
    (Peer.many_flows_at_once, "0.0"),
    (Peer.metadata, "0.3"),
    (Peer.batches, "0.5"),
    (Peer.batch_beyond_the_line, "0.5"),
)
"""Checks, and the first release that has what they need."""


class Report:
    def __init__(self) -> None:
        self.failed = 0
        self.not_run = 0

    def line(self, server: str, check: str, verdict: str, said: str = "", took_s: float | None = None) -> None:
        took = f"{took_s:6.2f} s" if took_s is not None else " " * 8
        print(f"{server:<8} {check:<32} {verdict:<8} {took}  {said}", flush=True)


async def check_all(report: Report, server: str, plugin: StdioPlugin, checks: Sequence[Check], release: str) -> None:
    async with house(plugin) as gateway:
        peer = Peer(gateway, release)
        for check in checks:
            began = time.perf_counter()
            try:
                async with asyncio.timeout(CHECK_S):
                    said = await check(peer)
            except Exception as error:
                report.failed += 1
                report.line(server, check.__name__, "FAILED", f"{type(error).__name__}: {error}", time.perf_counter() - began)
            else:
                report.line(server, check.__name__, "ok", said, time.perf_counter() - began)


def install(release: str, directory: Path) -> Path | None:
    """The release's interpreter; None if it cannot be had."""
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "-q", "install", f"stepflow-py=={release}"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    return python if done.returncode == 0 else None


async def check_release(report: Report, release: str, directory: Path, only: str) -> None:
    python = await asyncio.to_thread(install, release, directory)
    if python is None:
        report.not_run += 1
        report.line(release, "all", "not run", "the package cannot be installed")
        return
    with tempfile.TemporaryDirectory() as marks:
        spec = LaunchSpec("peer", str(python), (str(HERE / "stepflow_server.py"), marks), env={"START_DELAY_S": "2"})
        wanted = tuple(map(int, release.split(".")))
        checks = [check for check, since in PACKAGE if wanted >= tuple(map(int, since.split("."))) and only in check.__name__]
        await check_all(report, release, StdioPlugin(spec, restart=QUICK, stall_s=3.0), checks, release)


async def check_plain(report: Report, only: str) -> None:
    for name, program, script, checks in (
        ("node", "node", "plain_server.mjs", [Peer.plain_echo, Peer.plain_calls]),
        ("sh", "sh", "plain_server.sh", [Peer.plain_echo]),
    ):
        path = shutil.which(program)
        if path is None:
            report.not_run += 1
            report.line(name, "all", "not run", f"no {program} on PATH")
            continue
        spec = LaunchSpec("peer", path, (str(HERE / script),))
        await check_all(report, name, StdioPlugin(spec), [check for check in checks if only in check.__name__], "0")


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venvs", type=Path, help="directory of the virtual environments, kept for the next time")
    parser.add_argument("--only", default="", help="checks whose name contains this")
    parser.add_argument("--verbose", action="store_true", help="the gateway's log too")
    parser.add_argument("servers", nargs="*", default=[*RELEASES, "plain"], help="releases, or `plain`")
    options = parser.parse_args()
    if not options.verbose:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        for server in options.servers:
            if server == "plain":
                await check_plain(report, options.only)
            else:
                await check_release(report, server, (options.venvs or Path(temporary)) / f"v{server}", options.only)
    print(f"{report.failed} failed, {report.not_run} not run")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
