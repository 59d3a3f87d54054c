"""What a scenario yields."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


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

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def meets_target(self) -> bool | None:
        if self.target is None:
            return None
        return self.median >= self.target if self.more_is_better else self.median <= self.target


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (0..1) of all do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]
