"""The table at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

SHOWN = 12
WIDTH_WITHOUT_TERMINAL = 110


def print_report(packages: Sequence[dict[str, Any]]) -> None:
    """The largest packages and the totals, to stdout. `packages`: outputs of `census_package`."""
    table = Table(title="The standard library, by package", title_justify="left", show_footer=True)
    largest = sorted(packages, key=lambda package: -package["lines"])
    total = {name: sum(package[name] for package in packages) for name in ("module_count", "lines", "functions", "classes")}
    table.add_column("package", f"{len(packages):,} packages")
    table.add_column("modules", f"{total['module_count']:,}", justify="right")
    table.add_column("lines", f"{total['lines']:,}", justify="right")
    table.add_column("functions", f"{total['functions']:,}", justify="right")
    table.add_column("classes", f"{total['classes']:,}", justify="right")
    table.add_column("documented", _documented(packages), justify="right")
    table.add_column("prose, words", _words(packages), justify="right")
    table.add_column("longest function", "", no_wrap=True)
    for package in largest[:SHOWN]:
        longest = package["longest_function"]
        table.add_row(
            package["package"],
            *(f"{package[name]:,}" for name in ("module_count", "lines", "functions", "classes")),
            _documented([package]),
            _words([package]),
            f"{longest['name']} ({longest['lines']:,} lines)" if longest and longest["lines"] else "",
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    console.print(table)


def _documented(packages: Sequence[dict[str, Any]]) -> str:
    """Share of the functions and classes that have a docstring."""
    defined = sum(package["functions"] + package["classes"] for package in packages)
    return f"{sum(package['documented'] for package in packages) / defined:.0%}" if defined else ""


def _words(packages: Sequence[dict[str, Any]]) -> str:
    """Words of docstrings, as counted by the Node step."""
    counts = [package["words"] for package in packages]
    return "-" if None in counts else f"{sum(counts):,}"
