"""What a scenario yields."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

DURABLE_RUN: Final = "durable run"
"""Job: items through one trivial step each, every result durable before it is seen."""
IN_MEMORY_RUN: Final = "run in memory"
"""Job: the same, and a crash loses what was done."""
IDLE_RUN: Final = "one-item run"
"""Job: one item, with nothing else going on, until its result is back."""

Maker = Literal["flowspan", "sketch", "peer"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity over all repetitions.

    Attributes:
        name: unique in a report, stable between versions: results are compared by it.
        unit: such as `items/s`, `ms`, `MiB`.
        samples: one per repetition (or per call, for latencies).
        target: what is asked for, in `unit`; None if nothing is.
        more_is_better: whether the target is a lower bound.
        cpu_ms_per_item: median over the repetitions, whole process tree; None where nothing counts as an item.
        others_share: median share of the machine that other programs took, 0..1.
        ceiling: name of the sketch's figure that this one is compared with.
        details: other facts of the same repetitions, by name with unit.
        job: what was done; figures of the same job and unit can be compared. None: nobody else's is like it.
        maker: whose figure it is.
        version: of a peer's packages.
        beyond: what is aimed at once the target is met.
    """

    name: str
    unit: str
    samples: Sequence[float]
    target: float | None = None
    more_is_better: bool = True
    cpu_ms_per_item: float | None = None
    others_share: float | None = None
    ceiling: str | None = None
    details: dict[str, float] = field(default_factory=dict)
    job: str | None = None
    maker: Maker = "flowspan"
    version: str | None = None
    beyond: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def meets_target(self) -> bool | None:
        return self._meets(self.target)

    @property
    def meets_beyond(self) -> bool | None:
        return self._meets(self.beyond)

    def _meets(self, bound: float | None) -> bool | None:
        if bound is None:
            return None
        return self.median >= bound if self.more_is_better else self.median <= bound


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0..1) of all do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def nearest_peer(figure: Figure, figures: Sequence[Figure]) -> Figure | None:
    """The best of the peers' figures of the same job and unit; None for figures that are not ours, or without one."""
    if figure.maker != "flowspan" or figure.job is None:
        return None
    peers = [one for one in figures if one.maker == "peer" and one.job == figure.job and one.unit == figure.unit]
    best = max if figure.more_is_better else min
    return best(peers, key=lambda one: one.median, default=None)


def times_as_good(figure: Figure, other: Figure) -> float | None:
    """How many times as much as the other, or as little where less is better."""
    ours, theirs = (figure, other) if figure.more_is_better else (other, figure)
    return ours.median / theirs.median if theirs.median else None
