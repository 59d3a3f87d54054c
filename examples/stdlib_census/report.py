"""The table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

SHOWN = 12
WIDTH_WITHOUT_TERMINAL = 140
WIDE = 110
COUNTS = {"module_count": "modules", "lines": "lines", "functions": "functions", "classes": "classes"}


def print_report(packages: Sequence[dict[str, Any]]) -> None:
    """The largest packages and the totals, to stdout. `packages`: outputs of `census_package`."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    is_wide = console.width >= WIDE
    counted = {name: title for name, title in COUNTS.items() if is_wide or name != "classes"}
    total = {name: sum(package[name] for package in packages) for name in counted}
    table = Table(box=SIMPLE_HEAD, show_footer=True, pad_edge=False)
    table.add_column("package", f"{len(packages):,} packages", no_wrap=True)
    for name, title in counted.items():
        table.add_column(title, f"{total[name]:,}", justify="right", no_wrap=True)
    table.add_column("documented", _documented(packages), justify="right", no_wrap=True)
    table.add_column("doc words", _words(packages), justify="right", no_wrap=True)
    if is_wide:
        table.add_column("longest function", "", no_wrap=True)
    for package in sorted(packages, key=lambda package: -package["lines"])[:SHOWN]:
        counts = (f"{package[name]:,}" for name in counted)
        longest = (_longest(package),) if is_wide else ()
        table.add_row(package["package"], *counts, _documented([package]), _words([package]), *longest)
    console.print(table)


def _longest(package: dict[str, Any]) -> str:
    longest = package["longest_function"]
    return f"{longest['name']}, {longest['lines']:,} lines" if longest and longest["lines"] else ""


def _documented(packages: Sequence[dict[str, Any]]) -> str:
    """Share of the functions and classes that have a docstring."""
    defined = sum(package["functions"] + package["classes"] for package in packages)
    return f"{sum(package['documented'] for package in packages) / defined:.0%}" if defined else ""


def _words(packages: Sequence[dict[str, Any]]) -> str:
    """Words of docstrings, as counted by the Node step."""
    counts = [package["words"] for package in packages]
    return "-" if None in counts else f"{sum(counts):,}"
