"""Figures as a table and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Figure, nearest_peer, times_as_good

WIDTH_WITHOUT_TERMINAL = 170


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one invocation. `failures`, `not_run`: scenario -> why it yielded none."""

    machine: Mapping[str, str | int]
    plan: Mapping[str, int | bool]
    figures: Sequence[Figure]
    failures: Mapping[str, str]
    not_run: Mapping[str, str] = field(default_factory=dict)


def to_json(report: Report) -> dict[str, Any]:
    ceilings = _medians(report.figures)
    return {
        "machine": dict(report.machine),
        "plan": dict(report.plan),
        "failures": dict(report.failures),
        "notRun": dict(report.not_run),
        "figures": [_figure_to_json(figure, report.figures, ceilings) for figure in report.figures],
    }


def _figure_to_json(figure: Figure, figures: Sequence[Figure], ceilings: Mapping[str, float]) -> dict[str, Any]:
    peer = nearest_peer(figure, figures)
    return {
        "name": figure.name,
        "unit": figure.unit,
        "median": figure.median,
        "min": min(figure.samples),
        "max": max(figure.samples),
        "samples": len(figure.samples),
        "target": figure.target,
        "beyond": figure.beyond,
        "moreIsBetter": figure.more_is_better,
        "meetsTarget": figure.meets_target,
        "meetsBeyond": figure.meets_beyond,
        "cpuMsPerItem": figure.cpu_ms_per_item,
        "othersShare": figure.others_share,
        "ofSketch": _of_ceiling(figure, ceilings),
        "job": figure.job,
        "maker": figure.maker,
        "version": figure.version,
        "nearestPeer": None if peer is None else peer.name,
        "timesThePeer": None if peer is None else times_as_good(figure, peer),
        "details": figure.details,
    }


def print_table(report: Report) -> None:
    table = Table(title_justify="left", title=f"Flowspan {report.machine.get('flowspan-gateway', '')}, medians")
    table.add_column("", no_wrap=True)
    for name in ("median", "min", "max"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    for name in ("target", "CPU ms/item", "of sketch", "times the peer", "others"):
        table.add_column(name, justify="right")
    table.add_column("")
    ceilings = _medians(report.figures)
    maker = "flowspan"
    for figure in report.figures:
        if figure.maker == "peer" and maker != "peer":
            table.add_section()
        maker = figure.maker
        ratio = _of_ceiling(figure, ceilings)
        peer = nearest_peer(figure, report.figures)
        times = None if peer is None else times_as_good(figure, peer)
        table.add_row(
            figure.name,
            number(figure.median),
            number(min(figure.samples)),
            number(max(figure.samples)),
            figure.unit,
            "" if figure.target is None else f"{'≥' if figure.more_is_better else '≤'} {number(figure.target)}",
            "" if figure.cpu_ms_per_item is None else f"{figure.cpu_ms_per_item:.3f}",
            "" if ratio is None else f"{ratio:.2f}",
            "" if times is None else number(times),
            "" if figure.others_share is None else f"{figure.others_share:.0%}",
            _verdict(figure),
        )
    console = report_console()
    console.print(table)
    facts = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    console.print(
        f"{facts}; the quietest {report.plan['repetitions']} repetitions{', quick' if report.plan['quick'] else ''}", style="dim"
    )
    for name, why in report.not_run.items():
        console.print(f"{name}: not run: {why}", highlight=False, markup=False)
    for name, why in report.failures.items():
        console.print(f"[bold]{name} failed[/bold]: ", end="")
        console.print(why, highlight=False, markup=False)


def _verdict(figure: Figure) -> str:
    if figure.meets_target is None:
        return ""
    if not figure.meets_target:
        return "[bold]missed[/bold]"
    return "beyond" if figure.meets_beyond else "met"


def report_console() -> Console:
    """As wide as the terminal, or wide enough for the table where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _medians(figures: Sequence[Figure]) -> dict[str, float]:
    return {figure.name: figure.median for figure in figures}


def _of_ceiling(figure: Figure, medians: Mapping[str, float]) -> float | None:
    ceiling = None if figure.ceiling is None else medians.get(figure.ceiling)
    return None if not ceiling else figure.median / ceiling
