"""Figures made of others of the same run: what is claimed about Flowspan beside its peers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench.figures import Figure

OURS: Final = "durable run, Python, K=256"
CLAIMS: Final = (
    ("times Stepflow's durable rate, Python", "Stepflow, SQLite, Python", 100.0),
    ("times Stepflow's rate in memory, Python", "Stepflow, memory, Python", 40.0),
)
"""Name, the peer's figure, target. Ours is the durable rate in both."""


def claimed(figures: Sequence[Figure]) -> list[Figure]:
    """Those claims whose both sides were measured. The samples are the least, the middle and the most that the ranges of both
    sides allow. A claim is as unsure as the busier side was disturbed: that is its `others_share`."""
    by_name = {figure.name: figure for figure in figures}
    ours = by_name.get(OURS)
    found: list[Figure] = []
    for name, other, target in CLAIMS:
        theirs = by_name.get(other)
        if ours is not None and theirs is not None:
            least, most = min(ours.samples) / max(theirs.samples), max(ours.samples) / min(theirs.samples)
            busy = max(ours.others_share or 0.0, theirs.others_share or 0.0)
            found.append(Figure(name, "times", [least, ours.median / theirs.median, most], target, others_share=busy))
    return found
