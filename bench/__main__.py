"""`python -m bench`: measures, prints a table, writes JSON."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import pkgutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

# Before anything imports grpc: component servers are spawned by processes that use it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import bench.scenarios
from bench.figures import Figure
from bench.machine import describe_machine
from bench.report import Report, print_table, read_medians, to_json
from bench.scenario import LIMIT_S, Plan, Scenario

RESULTS = Path(__file__).resolve().parent / "results"
FIRST = ("sketch", "sketch-16")
"""Measured before the others, so that their ratios can be told at once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 if a scenario failed, 2 for wrong arguments. Missed targets are no failures."""
    scenarios = all_scenarios()
    options = _options(arguments)
    if options.list:
        for scenario in scenarios:
            print(f"{scenario.name:14} {scenario.what}")
        return 0
    unknown = sorted(set(options.only or ()) - {scenario.name for scenario in scenarios})
    if unknown:
        print(f"bench: there is no scenario {unknown[0]!r}; see --list", file=sys.stderr)
        return 2
    try:
        before = {} if options.compare is None else read_medians(Path(options.compare))
    except (OSError, ValueError) as error:
        print(f"bench: --compare: {error}", file=sys.stderr)
        return 2
    plan = Plan(options.repetitions or (2 if options.quick else 5), options.quick)
    chosen = [scenario for scenario in scenarios if not options.only or scenario.name in options.only]
    figures, failures = asyncio.run(_measure_all(chosen, plan))
    report = Report(describe_machine(), {"repetitions": plan.repetitions, "quick": plan.quick}, figures, failures)
    print_table(report, before)
    path = Path(options.output) if options.output else RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(to_json(report), indent=2, ensure_ascii=False) + "\n")
    print(f"Written to {os.path.relpath(path)}")
    return 1 if failures else 0


def all_scenarios() -> list[Scenario]:
    """Those of all files in `bench/scenarios`, the sketch first."""
    found: list[Scenario] = []
    for module in pkgutil.iter_modules(bench.scenarios.__path__):
        found += importlib.import_module(f"bench.scenarios.{module.name}").SCENARIOS
    return sorted(found, key=lambda scenario: scenario.name not in FIRST)


async def _measure_all(scenarios: Sequence[Scenario], plan: Plan) -> tuple[list[Figure], dict[str, str]]:
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    for scenario in scenarios:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                measured = await scenario.measure(plan)
        except Exception as error:
            # One that fails must not keep the others from being measured; it is reported and makes the exit code 1.
            failures[scenario.name] = f"{type(error).__name__}: {error}"
            print(f"{scenario.name}: failed: {failures[scenario.name]}", file=sys.stderr, flush=True)
            continue
        figures += measured
        told = ", ".join(f"{figure.median:,.4g} {figure.unit}" for figure in measured) or "not possible here"
        print(f"{scenario.name}: {told} ({time.monotonic() - began_s:.0f} s)", file=sys.stderr, flush=True)
    return figures, failures


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Flowspan on this machine.")
    parser.add_argument("--quick", action="store_true", help="two repetitions and fewer items: first figures in a minute or two")
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", help="these scenarios only")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--repetitions", type=_positive, help="default: 5, with --quick 2")
    parser.add_argument("--output", metavar="FILE", help="default: bench/results/<date>-<time>.json")
    parser.add_argument("--compare", metavar="FILE", help="an earlier output: print what has changed since")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
