"""The fold from events to a run's state: one reducer for the gateway, the bridge and the SDK.

Any prefix of a log folded, and the rest folded onto it, equals the whole folded: a watcher may stop anywhere and resume.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from flowspan.view.events import (
    Event,
    ItemCompleted,
    ItemsStarted,
    Outcome,
    RunAccepted,
    RunCancelRequested,
    RunCompleted,
    RunStatusCode,
    Segment,
)
from flowspan.view.status import ItemCounts, ItemResult, ResultOrder, RunDescription, RunStatus


def count_items(
    total: int, max_concurrency: int, started: int, success: int, failed: int, cancelled: int, *, closing: bool
) -> ItemCounts:
    """The one rule that turns tallies into `ItemCounts`.

    Args:
        total: items of the run.
        max_concurrency: bound on items running at once.
        started: items 0 .. started - 1 may have started (items start in order of their index).
        success, failed, cancelled: items that ended so.
        closing: a cancel was requested: what has not started counts as cancelled.
    """
    running = min(started - success - failed - cancelled, max_concurrency)
    if closing:
        return ItemCounts(total, 0, running, success, failed, total - running - success - failed)
    return ItemCounts(total, total - running - success - failed - cancelled, running, success, failed, cancelled)


class RunFold:
    """State of a run after the segments that were given so far.

    Args:
        keep_results: whether item results are kept (else only counted).
    """

    def __init__(self, *, keep_results: bool = True) -> None:
        self.description: RunDescription | None = None
        self.through_seq = 0
        self.status = RunStatusCode.PENDING
        self.completed_at_us: int | None = None
        self.cancel_reason: str | None = None
        self.results: list[ItemResult] = []
        self._keep_results = keep_results
        self._started = 0
        self._success = 0
        self._failed = 0
        self._cancelled = 0

    @property
    def is_terminal(self) -> bool:
        return self.status.is_terminal

    @classmethod
    def behind(cls, status: RunStatus, *, keep_results: bool = True) -> RunFold:
        """The fold of a log up to `status.as_of_seq`, if no item has ended by then; else one that has seen nothing yet."""
        fold = cls(keep_results=keep_results)
        items = status.items
        if items.total == items.pending + items.running and status.cancel_reason is None and not status.status.is_terminal:
            fold.description = status.description
            fold.through_seq = status.as_of_seq
            fold.status = status.status
            fold._started = items.running  # of which none has ended: the bound on running items hides nothing
        return fold

    def apply(self, segment: Segment) -> list[ItemResult]:
        """Take in the events of `segment` that lie behind `through_seq`; return the item results among them.

        Raises:
            ValueError: the segment begins behind a gap.
        """
        if segment.first_seq > self.through_seq + 1:
            raise ValueError(f"gap in the log: have events up to {self.through_seq}, got a segment from {segment.first_seq}")
        skip = self.through_seq + 1 - segment.first_seq
        fresh: list[ItemResult] = []
        recorded_at_us = segment.recorded_at_us
        failed = cancelled = 0
        for event in segment.events[skip:] if skip else segment.events:
            if type(event) is ItemCompleted:  # nearly all of them
                outcome = event.outcome
                fresh.append(ItemResult(event.item_index, outcome, event.payload, recorded_at_us, event.is_blob))
                if outcome is Outcome.FAILED:
                    failed += 1
                elif outcome is Outcome.CANCELLED:
                    cancelled += 1
            elif event is not None:
                self._apply_other(event, recorded_at_us)
        self._failed += failed
        self._cancelled += cancelled
        self._success += len(fresh) - failed - cancelled
        if self._keep_results:
            self.results += fresh
        self.through_seq = max(self.through_seq, segment.last_seq)
        return fresh

    def _apply_other(self, event: Event, recorded_at_us: int) -> None:
        match event:
            case ItemsStarted(first_item, count):
                self._started = first_item + count
                if not self.status.is_terminal:
                    self.status = RunStatusCode.RUNNING
            case RunAccepted(description):
                self.description = msgspec.json.decode(description, type=RunDescription)
            case RunCancelRequested(reason):
                self.cancel_reason = reason
            case RunCompleted(status):
                self.status = status
                self.completed_at_us = recorded_at_us
            case _:
                pass

    def apply_all(self, segments: Iterable[Segment]) -> None:
        for segment in segments:
            self.apply(segment)

    def counts(self) -> ItemCounts:
        """Items by state. Needs the description, which is in event 1."""
        description = self._known()
        return count_items(
            description.total,
            description.max_concurrency,
            self._started,
            self._success,
            self._failed,
            self._cancelled,
            closing=self.cancel_reason is not None,
        )

    def snapshot(self, *, order: ResultOrder | None = None) -> RunStatus:
        """The state as a value; with `order`, results are in it."""
        results: list[ItemResult] | None = None
        if order is ResultOrder.BY_COMPLETION:
            results = list(self.results)
        elif order is ResultOrder.BY_INDEX:
            results = sorted(self.results, key=lambda result: result.item_index)
        return RunStatus(
            self._known(), self.status, self.counts(), self.through_seq, self.completed_at_us, self.cancel_reason, results
        )

    def _known(self) -> RunDescription:
        if self.description is None:
            raise ValueError("the fold has not seen event 1 (RunAccepted)")
        return self.description
