"""`python -m bench`: measures, prints a table, writes JSON."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Before anything imports grpc: component servers are spawned by processes that use it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from bench.claims import claimed
from bench.comparison import print_comparison, read_results
from bench.figures import Figure
from bench.machine import describe_machine
from bench.peers.catalog import ENVIRONMENTS
from bench.peers.environment import make_all
from bench.report import Report, number, print_table, to_json
from bench.scenario import LIMIT_S, NotPossibleError, Plan, Scenario
from bench.scenarios import MODULES

RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 if a scenario failed, 2 for wrong arguments. Missed targets are no failures."""
    scenarios = all_scenarios()
    options = _options(arguments)
    if options.list:
        for scenario in scenarios:
            print(f"{scenario.name:28} {scenario.what}")
        return 0
    unknown = sorted(set(options.only or ()) - {scenario.name for scenario in scenarios})
    if unknown:
        print(f"bench: there is no scenario {unknown[0]!r}; see --list", file=sys.stderr)
        return 2
    try:
        before = None if options.compare is None else read_results(Path(options.compare))
        if options.results is not None:
            after = read_results(Path(options.results))
            if before is None:
                raise ValueError("--results names what is compared; say with what: --compare FILE")
            print_comparison(before, after)
            return 0
    except (OSError, ValueError) as error:
        print(f"bench: --compare: {error}", file=sys.stderr)
        return 2
    if options.peers:
        make_all(ENVIRONMENTS)
    plan = Plan(options.repetitions or (2 if options.quick else 5), options.quick)
    document = _measure(chosen(scenarios, options.only, options.peers), plan, options.within)
    if before is not None:
        print_comparison(before, document)
    path = Path(options.output) if options.output else RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    print(f"Written to {os.path.relpath(path)}")
    return 1 if document["failures"] else 0


def all_scenarios() -> list[Scenario]:
    """Those of all modules of `bench.scenarios`, in its order."""
    return [scenario for name in MODULES for scenario in importlib.import_module(f"bench.scenarios.{name}").SCENARIOS]


def chosen(scenarios: Sequence[Scenario], only: Sequence[str] | None, with_peers: bool | None) -> list[Scenario]:
    """Which to measure. `with_peers`: None means those that are installed, which the others say themselves."""
    if only:
        return [scenario for scenario in scenarios if scenario.name in only]
    return [scenario for scenario in scenarios if not scenario.is_peer or with_peers is not False]


def _measure(scenarios: Sequence[Scenario], plan: Plan, within_s: float | None) -> dict[str, Any]:
    """Measure and print; the results as they are written."""
    machine = describe_machine()
    began_s = time.monotonic()
    figures, failures, not_run = asyncio.run(_measure_all(scenarios, plan, within_s))
    facts = {"repetitions": plan.repetitions, "quick": plan.quick, "seconds": round(time.monotonic() - began_s)}
    report = Report(machine, facts, [*figures, *claimed(figures)], failures, not_run)
    print_table(report)
    return to_json(report)


async def _measure_all(
    scenarios: Sequence[Scenario], plan: Plan, within_s: float | None
) -> tuple[list[Figure], dict[str, str], dict[str, str]]:
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    not_run: dict[str, str] = {}
    ends_s = None if within_s is None else time.monotonic() + within_s
    for scenario in scenarios:
        began_s = time.monotonic()
        if ends_s is not None and began_s >= ends_s:
            not_run[scenario.name] = f"--within {within_s:g}: no time was left"
            continue
        try:
            async with asyncio.timeout(LIMIT_S if ends_s is None else min(LIMIT_S, ends_s - began_s)):
                measured = await scenario.measure(plan)
        except NotPossibleError as error:
            not_run[scenario.name] = str(error)
            print(f"{scenario.name}: not run: {error}", file=sys.stderr, flush=True)
            continue
        except Exception as error:
            if ends_s is not None and isinstance(error, TimeoutError) and time.monotonic() >= ends_s:
                not_run[scenario.name] = f"--within {within_s:g}: it was not done by then"
                continue
            # One that fails must not keep the others from being measured; it is reported and makes the exit code 1.
            failures[scenario.name] = f"{type(error).__name__}: {error}"
            print(f"{scenario.name}: failed: {failures[scenario.name]}", file=sys.stderr, flush=True)
            continue
        figures += measured
        told = ", ".join(f"{number(figure.median)} {figure.unit}" for figure in measured)
        print(f"{scenario.name}: {told} ({time.monotonic() - began_s:.0f} s)", file=sys.stderr, flush=True)
    return figures, failures, not_run


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Flowspan on this machine.")
    parser.add_argument("--quick", action="store_true", help="two repetitions and fewer items: first figures in some minutes")
    parser.add_argument("--only", nargs="+", metavar="SCENARIO", help="these scenarios only")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--repetitions", type=_positive, help="default: 5, with --quick 2")
    parser.add_argument("--within", type=_positive, metavar="SECONDS", help="begin nothing and wait for nothing after that")
    parser.add_argument("--output", metavar="FILE", help="default: bench/results/<date>-<time>.json")
    parser.add_argument("--compare", metavar="FILE", help="an earlier output: print before, after and what is beyond the noise")
    parser.add_argument("--results", metavar="FILE", help="with --compare: a later output; measure nothing")
    peers = parser.add_mutually_exclusive_group()
    peers.add_argument("--peers", action="store_true", default=None, help="install the peers that are missing, and measure them")
    peers.add_argument("--no-peers", dest="peers", action="store_false", help="leave the peers out; default: those installed")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _end_at_sigterm(number: int, frame: object) -> None:
    """As an interrupt: what was started is ended on the way out."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end_at_sigterm)
    sys.exit(main())
