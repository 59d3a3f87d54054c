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
class SubRun:
    """A run that a component of the item started."""

    run_id: str
    flow_name: str | None
    status: str
