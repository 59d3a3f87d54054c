"""Figures as a table and as JSON, alone or beside those of another time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Figure

WIDTH_WITHOUT_TERMINAL = 150


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one invocation. `failures`: scenario -> why it yielded none."""

    machine: Mapping[str, str | int]
    plan: Mapping[str, int | bool]
    figures: Sequence[Figure]
    failures: Mapping[str, str]


def to_json(report: Report) -> dict[str, Any]:
    ceilings = _medians(report.figures)
    return {
        "machine": dict(report.machine),
        "plan": dict(report.plan),
        "failures": dict(report.failures),
        "figures": [
            {
                "name": figure.name,
                "unit": figure.unit,
                "median": figure.median,
                "min": min(figure.samples),
                "max": max(figure.samples),
                "samples": len(figure.samples),
                "target": figure.target,
                "meetsTarget": figure.meets_target,
                "cpuMsPerItem": figure.cpu_ms_per_item,
                "othersShare": figure.others_share,
                "ofSketch": _of_ceiling(figure, ceilings),
                "details": figure.details,
            }
            for figure in report.figures
        ],
    }


def read_medians(path: Path) -> dict[str, float]:
    """Median by name, from a file that `to_json` was written to.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    try:
        return {str(figure["name"]): float(figure["median"]) for figure in json.loads(path.read_bytes())["figures"]}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no figures: {error!r}") from None


def print_table(report: Report, before: Mapping[str, float]) -> None:
    """`before`: medians of another time, by name; empty: no such column."""
    table = Table(title_justify="left", title=f"Flowspan {report.machine.get('flowspan-gateway', '')}, medians")
    table.add_column("", no_wrap=True)
    for name in ("median", "min", "max"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    for name in ("target", "CPU ms/item", "of sketch", "others"):
        table.add_column(name, justify="right")
    if before:
        table.add_column("before", justify="right")
    table.add_column("")
    ceilings = _medians(report.figures)
    for figure in report.figures:
        ratio = _of_ceiling(figure, ceilings)
        cells = [
            figure.name,
            _number(figure.median),
            _number(min(figure.samples)),
            _number(max(figure.samples)),
            figure.unit,
            "" if figure.target is None else f"{'≥' if figure.more_is_better else '≤'} {_number(figure.target)}",
            "" if figure.cpu_ms_per_item is None else f"{figure.cpu_ms_per_item:.3f}",
            "" if ratio is None else f"{ratio:.2f}",
            "" if figure.others_share is None else f"{figure.others_share:.0%}",
        ]
        if before:
            old = before.get(figure.name)
            cells.append("" if not old else f"{figure.median / old - 1:+.0%}")
        cells.append({None: "", True: "met", False: "[bold]missed[/bold]"}[figure.meets_target])
        table.add_row(*cells)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    console.print(table)
    facts = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    console.print(
        f"{facts}; the quietest {report.plan['repetitions']} repetitions{', quick' if report.plan['quick'] else ''}", style="dim"
    )
    for name, why in report.failures.items():
        console.print(f"[bold]{name} failed[/bold]: {why}", highlight=False)


def _medians(figures: Sequence[Figure]) -> dict[str, float]:
    return {figure.name: figure.median for figure in figures}


def _of_ceiling(figure: Figure, medians: Mapping[str, float]) -> float | None:
    ceiling = None if figure.ceiling is None else medians.get(figure.ceiling)
    return None if not ceiling else figure.median / ceiling


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
