"""What a store counts, so that tests can assert the shape of the work: commits per item, rows per commit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """Commits, appends committed, log rows stored for them, and other writes that were applied."""

    commits: int
    appends: int
    rows: int
    calls: int
