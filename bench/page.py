"""`python -m bench.page RESULTS.json`: the tables and pictures of docs/performance.md, drawn from a file of results.

Without a file it is the published one; `--check` writes nothing and says what differs. On the page only what stands between
`<!-- made: NAME -->` and `<!-- end -->` is made.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bench.comparison import others_share, read_results
from bench.drawing import Bar, bars, line, short
from bench.figures import DURABLE_RUN, IDLE_RUN, IN_MEMORY_RUN
from bench.measure import QUIET_SHARE

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
PUBLISHED: Final = Path(__file__).resolve().parent / "results" / "published.json"
PAGE: Final = "performance.md"
_MADE: Final = re.compile(r"(<!-- made: ([a-z-]+) -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
_ORDER: Final = {"sketch": 0, "flowspan": 1, "peer": 2}
_COST: Final = re.compile(r"cpu_ms_at_(\d+)_(items|open_runs)")

Results = Mapping[str, Any]
Row = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 if `--check` finds a file that differs, 2 if the results cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description="Draws docs/performance.md from results.")
    parser.add_argument("results", nargs="?", metavar="RESULTS.json", help=f"default: bench/results/{PUBLISHED.name}")
    parser.add_argument("--check", action="store_true", help="write nothing; say what would change")
    options = parser.parse_args(arguments)
    try:
        results = read_results(Path(options.results) if options.results else PUBLISHED)
    except (OSError, ValueError) as error:
        print(f"bench.page: {error}", file=sys.stderr)
        return 2
    changed = 0
    for name, text in files(results, (DOCS / PAGE).read_text(encoding="utf-8")).items():
        path = DOCS / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        changed += 1
        print(f"docs/{name} {'differs; run python -m bench.page' if options.check else 'written'}", file=sys.stderr)
        if not options.check:
            path.write_text(text, encoding="utf-8")
    return int(options.check and changed > 0)


def files(results: Results, page: str) -> dict[str, str]:
    """By path below docs/: the page with its made sections made anew, and the pictures that it shows.

    Raises:
        LookupError: the page lacks a section, or has one that is not made here.
    """
    drawn = pictures(results)
    sections = {
        "machine": _machine(results),
        "pictures": "\n\n".join(f"![{title}]({path})" for path, (title, _) in drawn.items()),
        "figures": _figures(results),
        "peers": _peers(results),
    }
    present = [match[2] for match in _MADE.finditer(page)]
    if sorted(present) != sorted(sections):
        raise LookupError(f"{PAGE} has the made sections {present}, made are {list(sections)}")
    text = _MADE.sub(lambda match: match[1] + sections[match[2]] + match[3], page)
    return {PAGE: text, **{path: svg for path, (_, svg) in drawn.items()}}


def pictures(results: Results) -> dict[str, tuple[str, str]]:
    """By path: title and SVG. Only those for which there are figures."""
    rows: Sequence[Row] = results["figures"]
    drawn: dict[str, tuple[str, str]] = {}
    rates = [row for row in rows if row.get("job") in (DURABLE_RUN, IN_MEMORY_RUN) or row.get("maker") == "sketch"]
    if rates:
        title = "Items per second, one trivial step per item"
        note = "logarithmic; grey: the bare path, blue: Flowspan (durable), amber: peers; thin line: smallest to largest"
        drawn["pictures/performance-rates.svg"] = (title, bars(title, note, _bars(rates, most_first=True)))
    idle = [row for row in rows if row.get("job") == IDLE_RUN]
    if idle:
        title = "A run of one item on an idle machine, milliseconds"
        note = "logarithmic, less is better; median, from the submit to the result at the client"
        drawn["pictures/performance-idle.svg"] = (title, bars(title, note, _bars(idle, most_first=False)))
    for what, title in (("items", "CPU per item by items of the run"), ("open_runs", "CPU per item by open runs")):
        points = cost_points(rows, what)
        if len(points) > 1:
            note = "microseconds of gateway, component and client together"
            name = what.replace("_", "-")
            drawn[f"pictures/performance-cost-{name}.svg"] = (title, line(title, note, points))
    return drawn


def cost_points(rows: Sequence[Row], what: str) -> list[tuple[float, float]]:
    """Count and CPU microseconds per item, in the order of the counts. `what`: items or open_runs."""
    found = [
        (float(match[1]), 1000 * float(value))
        for row in rows
        for name, value in row["details"].items()
        if (match := _COST.fullmatch(name)) and match[2] == what
    ]
    return sorted(found)


def _bars(rows: Sequence[Row], *, most_first: bool) -> list[Bar]:
    """By maker, the best of each first."""
    ordered = sorted(rows, key=lambda row: (_ORDER[row["maker"]], -row["median"] if most_first else row["median"]))
    return [Bar(_label(row), row["median"], row["min"], row["max"], row["maker"]) for row in ordered]


def _label(row: Row) -> str:
    name = str(row["name"]).removesuffix(": one-item run")
    if row["maker"] != "flowspan":
        return name
    return name.replace("durable run, ", "Flowspan, ").replace("one-item run, ", "Flowspan, ")


def _machine(results: Results) -> str:
    machine, plan = results["machine"], results["plan"]
    date = str(machine["date"])[:10]
    repetitions = f"the quietest {plan['repetitions']} repetitions{' of few items (`--quick`)' if plan['quick'] else ''}"
    versions = ", ".join(f"{name} {machine[name]}" for name in ("grpcio", "msgspec", "apsw", "uvloop") if name in machine)
    cores = f"{machine['cores']} cores ({machine.get('processor', machine['system'])})"
    told = f"Measured on {date}: {cores}, {machine['system']}, Python {machine['python']}, {versions}; {repetitions}."
    busy = others_share(results)
    if busy is None or busy < QUIET_SHARE:
        return told
    share = f"other programs took {busy:.0%} of it (median)"
    return f"{told} **The machine was not ours alone**: {share}, so rates are too low, and ratios unsure in both directions."


def _figures(results: Results) -> str:
    head = "| What | Median | Smallest to largest | CPU ms per item | Of the sketch | Times the nearest peer | Target | |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for row in results["figures"]:
        if row["maker"] != "flowspan":
            continue
        verdict = {None: "", True: "met", False: "**missed**"}[row["meetsTarget"]]
        if row["meetsBeyond"]:
            verdict = "beyond"
        bound = "" if row["target"] is None else f"{'≥' if row['moreIsBetter'] else '≤'} {short(row['target'])}"
        if row["beyond"] is not None:
            bound += f", then {short(row['beyond'])}"
        peer = "" if row["timesThePeer"] is None else f"{short(row['timesThePeer'])} ({row['nearestPeer'].partition(':')[0]})"
        sketch = "" if row["ofSketch"] is None else f"{row['ofSketch']:.2f}"
        cells = [row["name"], _amount(row), _range(row), _cpu(row), sketch, peer, bound, verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _peers(results: Results) -> str:
    lines = ["| What | Median | Smallest to largest | CPU ms per item | Version |", "|---|---|---|---|---|"]
    for row in results["figures"]:
        if row["maker"] != "flowspan":
            name = f"the sketch, {row['name'].partition(', ')[2]}" if row["maker"] == "sketch" else row["name"]
            lines.append(f"| {name} | {_amount(row)} | {_range(row)} | {_cpu(row)} | {row['version'] or ''} |")
    for name, why in results.get("notRun", {}).items():
        lines.append(f"| {name} | not run: {_plain(why)} | | | |")
    return "\n".join(lines)


def _amount(row: Row) -> str:
    return f"{short(row['median'])} {row['unit']}"


def _range(row: Row) -> str:
    return f"{short(row['min'])} to {short(row['max'])}" if row["samples"] > 1 else ""


def _cpu(row: Row) -> str:
    return "" if row["cpuMsPerItem"] is None else f"{row['cpuMsPerItem']:.3f}"


def _plain(text: str) -> str:
    """For a cell of a table."""
    return " ".join(text.replace("|", "/").split())


if __name__ == "__main__":
    sys.exit(main())
