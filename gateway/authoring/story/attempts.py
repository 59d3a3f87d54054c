"""What was recorded of an item while it ran."""

from __future__ import annotations

from dataclasses import dataclass

from flowspan.view.events import Outcome


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """One attempt of one step that ended.

    Attributes:
        attempt: from 1. `input`: JSON.
        outcome: SUCCESS, FAILED or SKIPPED. `payload`: as in `flowspan.view.events.StepCompleted`.
        began_s, ended_s: monotonic seconds of one clock; equal if the beginning is not known.
    """

    step_index: int
    attempt: int
    input: bytes
    outcome: Outcome
    payload: bytes
    began_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class FailedStep:
    """A step in which an item failed. `attempts`: how many it took, or None if that is not known."""

    step: str
    component: str
    attempts: int | None


@dataclass(frozen=True, slots=True)
class FailedItem:
    """The first failed item of a sub-run.

    Attributes:
        input, error: JSON.
        steps: in which it failed, as far as its run's log tells.
        sub_runs: that it has started.
    """

    item_index: int
    input: bytes
    error: bytes
    steps: tuple[FailedStep, ...]
    sub_runs: tuple[SubRun, ...]


@dataclass(frozen=True, slots=True)
class SubRun:
    """A run that a component of the item started. `failed`: of `total` items; `first_failed`: if it was looked at."""

    run_id: str
    flow_name: str | None
    status: str
    failed: int = 0
    total: int = 0
    first_failed: FailedItem | None = None
