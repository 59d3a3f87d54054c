"""The table at the end: a row for each group, a column for each SDK and transport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .runner import BAD, Outcome, Verdict

NOT_RUN = "not run"


def table(
    rows: Sequence[str],
    columns: Sequence[tuple[str, str]],
    outcomes: Sequence[Outcome],
    cells: Mapping[tuple[str, str, str], str],
) -> str:
    """As text.

    Args:
        rows: groups.
        columns: SDK and transport.
        cells: what stands at (group, SDK, transport) instead of figures, as `not run`.
    """
    heads = [f"{sdk} {transport}" for sdk, transport in columns]
    lines = [["group", *heads]]
    for group in rows:
        lines.append([group, *(_cell(group, column, outcomes, cells) for column in columns)])
    widths = [max(len(line[position]) for line in lines) for position in range(len(heads) + 1)]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([texts[0], "  ".join("-" * width for width in widths), *texts[1:]])


def _cell(group: str, column: tuple[str, str], outcomes: Sequence[Outcome], cells: Mapping[tuple[str, str, str], str]) -> str:
    if (group, *column) in cells:
        return cells[group, *column]
    here = [outcome for outcome in outcomes if (outcome.group, outcome.sdk, outcome.transport) == (group, *column)]
    if not here:
        return "-"
    count = len(here)
    bad = sum(outcome.verdict in BAD for outcome in here)
    notes = []
    if bad:
        notes.append(f"{bad} FAILED")
    for verdict in (Verdict.KNOWN, Verdict.NOT_OFFERED):
        if found := sum(outcome.verdict is verdict for outcome in here):
            notes.append(f"{found} {verdict}")
    passed = sum(outcome.verdict is Verdict.PASSED for outcome in here)
    return f"{passed}/{count}" + (f" ({', '.join(notes)})" if notes else "")
