"""The state machine of a run: commands in, numbered events out. Pure: no clock, no task, no store.

The machine is the single owner of a run's log. It applies a command wholly or not at all, drops what would be a second
result of an item, and numbers events in the order in which it makes them. What it holds is ahead of the disk by at most
the rows in flight; what others may see is the last committed `Tally`.

Moves of a run (docs/run-states.md is drawn from this table):
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from flowspan.view.events import (
    AttemptEnded,
    Event,
    ItemCompleted,
    ItemsStarted,
    Outcome,
    RunAccepted,
    RunCancelRequested,
    RunCompleted,
    RunRecovered,
    RunStatusCode,
    Segment,
    StepCompleted,
)
from flowspan.view.fold import count_items
from flowspan.view.status import ItemCounts
from runtime_core.model.item_index import ItemIndex

RUN_MOVES: Final[Mapping[RunStatusCode, frozenset[RunStatusCode]]] = {
    RunStatusCode.PENDING: frozenset({RunStatusCode.RUNNING, RunStatusCode.SUCCESS, RunStatusCode.CANCELLED}),
    RunStatusCode.RUNNING: frozenset({RunStatusCode.SUCCESS, RunStatusCode.FAILED, RunStatusCode.CANCELLED}),
    RunStatusCode.SUCCESS: frozenset(),
    RunStatusCode.FAILED: frozenset(),
    RunStatusCode.CANCELLED: frozenset(),
}
"""Every legal move of a run. Absent means illegal. PENDING to SUCCESS: a run of no items."""


class Tally(NamedTuple):
    """Where a run stands after an event; enough for a RunStatus without results."""

    seq: int
    status: RunStatusCode
    started: int
    success: int
    failed: int
    cancelled: int
    cancel_reason: str | None
    completed_at_us: int | None


class NumberedEvents(NamedTuple):
    """Events from `first_seq` on, and how many bytes of payload they hold."""

    first_seq: int
    events: Sequence[Event]


class RunMachine:
    """State of one run.

    Args:
        total: items of the run.
        max_concurrency: bound on items running at once, >= 1.
    """

    __slots__ = (
        "_pending",
        "_pending_first_seq",
        "cancel_reason",
        "cancelled",
        "completed_at_us",
        "failed",
        "max_concurrency",
        "outcomes",
        "result_bytes",
        "seq",
        "seqs",
        "started",
        "status",
        "success",
        "total",
    )

    def __init__(self, total: int, max_concurrency: int) -> None:
        self.total = total
        self.max_concurrency = max_concurrency
        self.seq = 0
        self.status = RunStatusCode.PENDING
        self.started = 0
        self.success = 0
        self.failed = 0
        self.cancelled = 0
        self.cancel_reason: str | None = None
        self.completed_at_us: int | None = None
        self.outcomes = bytearray(total)
        self.seqs = array("Q", bytes(8 * total))
        self.result_bytes = 0
        self._pending: list[Event] = []
        self._pending_first_seq = 1

    # --- facts

    @property
    def ended(self) -> int:
        """Items that have a result."""
        return self.success + self.failed + self.cancelled

    @property
    def running(self) -> int:
        """Items that have started and not ended."""
        return self.started - self.success - self.failed - self.cancelled

    @property
    def is_terminal(self) -> bool:
        return self.status >= RunStatusCode.SUCCESS

    @property
    def startable(self) -> int:
        """How many items may start now: in [0, max_concurrency]."""
        if self.cancel_reason is not None or self.is_terminal:
            return 0
        return min(self.total - self.started, self.max_concurrency - self.running)

    def has_ended(self, item_index: int) -> bool:
        return self.outcomes[item_index] != 0

    def tally(self) -> Tally:
        return Tally(
            self.seq,
            self.status,
            self.started,
            self.success,
            self.failed,
            self.cancelled,
            self.cancel_reason,
            self.completed_at_us,
        )

    def index(self) -> ItemIndex:
        """The item index as it stands; shares memory with the machine."""
        return ItemIndex(self.seqs, self.outcomes, self.result_bytes)

    # --- commands; each appends its events to the pending ones

    def accept(self, description: bytes) -> None:
        """Event 1."""
        if self.seq:
            raise ValueError("a run is accepted once, by its first event")
        self._push(RunAccepted(description))

    def start_items(self, count: int) -> range:
        """The next `count` items start; at most `startable`. Returns their indexes."""
        if not 0 < count <= self.startable:
            raise ValueError(f"{count} items cannot start; {self.startable} can")
        first = self.started
        self.started = first + count
        self.status = RunStatusCode.RUNNING
        self._push(ItemsStarted(first, count))
        return range(first, first + count)

    def complete_item(self, item_index: int, outcome: Outcome, payload: bytes, is_blob: bool = False) -> bool:
        """The item's result. False, and nothing changes, if it has one already. After a cancel, only CANCELLED counts."""
        outcomes = self.outcomes
        if outcomes[item_index] or item_index >= self.started:
            return False
        if outcome is Outcome.FAILED:
            self.failed += 1
        elif outcome is Outcome.CANCELLED:
            self.cancelled += 1
        else:
            self.success += 1
        outcomes[item_index] = outcome
        self.seq += 1
        self.seqs[item_index] = self.seq
        self.result_bytes += len(payload)
        self._pending.append(ItemCompleted(item_index, outcome, payload, is_blob))
        return True

    def complete_items(self, results: Sequence[tuple[int, bytes]]) -> None:
        """`complete_item` with SUCCESS for many: (item, payload)."""
        outcomes, seqs, push, started, seq = self.outcomes, self.seqs, self._pending.append, self.started, self.seq
        success = Outcome.SUCCESS
        before = seq
        for item_index, payload in results:
            if outcomes[item_index] or item_index >= started:
                continue
            outcomes[item_index] = 1
            seq += 1
            seqs[item_index] = seq
            self.result_bytes += len(payload)
            push(ItemCompleted(item_index, success, payload))
        self.seq = seq
        self.success += seq - before

    def complete_step(self, item_index: int, step_index: int, outcome: Outcome, payload: bytes) -> None:
        """A component step of a running item ended."""
        self._push(StepCompleted(item_index, step_index, outcome, payload))

    def end_attempt(self, event: AttemptEnded) -> None:
        """An attempt ended without a result, and another one follows."""
        self._push(event)

    def request_cancel(self, reason: str) -> bool:
        """No item starts from here on. False if the run is terminal or cancelled already."""
        if self.is_terminal or self.cancel_reason is not None:
            return False
        self.cancel_reason = reason
        self._push(RunCancelRequested(reason))
        return True

    def recover(self, epoch: int) -> None:
        """Another incarnation owns the run now."""
        self._push(RunRecovered(epoch))

    def finish(self, now_us: int) -> bool:
        """End the run if nothing is left to do. True if it ended just now."""
        if self.is_terminal or self.running:
            return False
        if self.cancel_reason is not None:
            status = RunStatusCode.CANCELLED
        elif self.started < self.total:
            return False
        else:
            status = RunStatusCode.FAILED if self.failed else RunStatusCode.SUCCESS
        self.status = status
        self.completed_at_us = now_us
        self._push(RunCompleted(status))
        return True

    def take_events(self) -> NumberedEvents | None:
        """The events made since the last call, for the log; None if there are none."""
        if not self._pending:
            return None
        taken = NumberedEvents(self._pending_first_seq, self._pending)
        self._pending = []
        self._pending_first_seq = self.seq + 1
        return taken

    # --- the fold, for recovery: what the commands above have written comes back

    def replay(self, segment: Segment) -> None:
        """Take in a stored segment; it must follow what was taken in before.

        Raises:
            ValueError: the segment does not follow.
        """
        if segment.first_seq != self.seq + 1:
            raise ValueError(f"the log has a gap: event {self.seq + 1} is missing before {segment.first_seq}")
        for event in segment.events:
            self.seq += 1
            match event:
                case ItemCompleted(item_index, outcome, payload):
                    self.outcomes[item_index] = outcome
                    self.seqs[item_index] = self.seq
                    self.result_bytes += len(payload)
                    if outcome is Outcome.FAILED:
                        self.failed += 1
                    elif outcome is Outcome.CANCELLED:
                        self.cancelled += 1
                    else:
                        self.success += 1
                case ItemsStarted(first_item, count):
                    self.started = first_item + count
                    self.status = RunStatusCode.RUNNING
                case RunCancelRequested(reason):
                    self.cancel_reason = reason
                case RunCompleted(status):
                    self.status = status
                    self.completed_at_us = segment.recorded_at_us
                case _:
                    pass
        self._pending_first_seq = self.seq + 1

    def _push(self, event: Event) -> None:
        self.seq += 1
        self._pending.append(event)


def counts_of(tally: Tally, total: int, max_concurrency: int) -> ItemCounts:
    """Items by state at a tally."""
    return count_items(
        total,
        max_concurrency,
        tally.started,
        tally.success,
        tally.failed,
        tally.cancelled,
        closing=tally.cancel_reason is not None,
    )
