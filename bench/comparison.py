"""Two results of the benchmark beside each other: what has changed by more than either of them varies by itself."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from bench.report import number, report_console

FEWEST_SAMPLES: Final = 2
"""With fewer on either side there is no range, and nothing is said about noise."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure as it stands in a results file."""

    unit: str
    median: float
    low: float
    high: float
    samples: int
    more_is_better: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One row. A side is None where only the other has the figure, or has it in another unit."""

    name: str
    before: Measured | None
    after: Measured | None

    @property
    def ratio(self) -> float | None:
        """After, as a multiple of before."""
        if self.before is None or self.after is None or not self.before.median:
            return None
        return self.after.median / self.before.median

    @property
    def is_beyond_noise(self) -> bool:
        """Their ranges do not overlap."""
        before, after = self.before, self.after
        if before is None or after is None or min(before.samples, after.samples) < FEWEST_SAMPLES:
            return False
        return after.low > before.high or after.high < before.low

    @property
    def verdict(self) -> str:
        if self.before is None or self.after is None:
            return "new" if self.before is None else "gone"
        if not self.is_beyond_noise:
            return ""
        return "better" if (self.after.median > self.before.median) is self.after.more_is_better else "worse"


def read_results(path: Path) -> dict[str, Any]:
    """A file that `report.to_json` was written to.

    Raises:
        OSError, ValueError: it cannot be read, or holds no figures.
    """
    document = json.loads(path.read_bytes())
    try:
        measured(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no figures: {error!r}") from None
    return dict(document)


def measured(document: Mapping[str, Any]) -> dict[str, Measured]:
    """By name. Files of the first version do not say which way is better: then more is, of rates."""
    return {
        str(figure["name"]): Measured(
            str(figure["unit"]),
            float(figure["median"]),
            float(figure["min"]),
            float(figure["max"]),
            int(figure["samples"]),
            bool(figure.get("moreIsBetter", str(figure["unit"]).endswith("/s"))),
        )
        for figure in document["figures"]
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[Change]:
    """Rows of `after` in their order, then those that only `before` has."""
    old, new = measured(before), measured(after)
    rows = []
    for name, figure in new.items():
        earlier = old.get(name)
        rows.append(Change(name, earlier if earlier is not None and earlier.unit == figure.unit else None, figure))
    return [*rows, *(Change(name, figure, None) for name, figure in old.items() if name not in new)]


def print_comparison(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Those figures that both have; what is only on one side is counted."""
    title = f"Before: {_origin(before)}; after: {_origin(after)}"
    table = Table(title_justify="left", title=title)
    table.add_column("", no_wrap=True)
    for name in ("before", "after"):
        table.add_column(name, justify="right")
        table.add_column("range", justify="right")
    table.add_column("unit")
    table.add_column("ratio", justify="right")
    table.add_column("beyond the noise")
    rows = changes(before, after)
    for row in rows:
        old, new, ratio = row.before, row.after, row.ratio
        if old is None or new is None:
            continue
        table.add_row(
            row.name, number(old.median), _range(old), number(new.median), _range(new), new.unit,
            "" if ratio is None else f"{ratio:.2f}", row.verdict,
        )  # fmt: skip
    console = report_console()
    console.print(table)
    for verdict, meaning in (("new", "only after"), ("gone", "only before")):
        names = [row.name for row in rows if row.verdict == verdict]
        if names:
            console.print(f"{meaning}: {', '.join(names)}", style="dim", highlight=False, markup=False)


def _range(one: Measured) -> str:
    return f"{number(one.low)} to {number(one.high)}" if one.samples >= FEWEST_SAMPLES else ""


def _origin(document: Mapping[str, Any]) -> str:
    machine = document.get("machine") or {}
    told = " ".join(str(machine[key]) for key in ("date", "commit") if key in machine) or "unknown"
    busy = others_share(document)
    return told if busy is None else f"{told}, others took {busy:.0%}"


def others_share(document: Mapping[str, Any]) -> float | None:
    """Median over the figures: how much of the machine was not ours. None if none of them says so."""
    shares = [figure["othersShare"] for figure in document["figures"] if figure.get("othersShare") is not None]
    return statistics.median(shares) if shares else None
