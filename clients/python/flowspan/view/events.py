"""What happens in a run, as facts in a gapless numbered log.

A run *is* this log: its status, its counts and its results are folds of it (`flowspan.view.fold`), and a watcher is a
cursor into it. Events have no sequence number of their own: a `Segment` numbers them by position. All events of one
segment were recorded at one moment.

These are plain values without any wire: `flowspan.protobuf.segments` writes them as `flowspan.v1.Segment`.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Outcome(IntEnum):
    """How a step or an item ended. Numbers equal `flowspan.v1.Outcome`."""

    SUCCESS = 1
    FAILED = 2
    SKIPPED = 3
    CANCELLED = 4


class AttemptCause(IntEnum):
    """Why an attempt of a step ended without a result. Numbers equal `flowspan.v1.AttemptCause`."""

    COMPONENT_FAILED = 1
    TRANSPORT_FAILED = 2
    SERVER_CRASHED = 3


class RunStatusCode(IntEnum):
    """Status of a run; final from SUCCESS on. Numbers equal `flowspan.v1.RunStatus.Status`."""

    PENDING = 1
    RUNNING = 2
    SUCCESS = 3
    FAILED = 4
    CANCELLED = 5

    @property
    def is_terminal(self) -> bool:
        return self >= RunStatusCode.SUCCESS

    @property
    def wire_name(self) -> str:
        """The contract's word: `success`, `failed`, ..."""
        return self.name.lower()


class RunAccepted(msgspec.Struct, frozen=True, gc=False):
    """Event 1 of every run. `description` is the JSON of `flowspan.view.status.RunDescription`."""

    description: bytes


class ItemsStarted(msgspec.Struct, frozen=True, gc=False):
    """Items `first_item` .. `first_item + count - 1` may be running from here on (the durable claim)."""

    first_item: int
    count: int


class StepCompleted(msgspec.Struct, frozen=True, gc=False):
    """A component step of an item that has more than one ended. `payload`: see `ItemCompleted`."""

    item_index: int
    step_index: int
    outcome: Outcome
    payload: bytes


class AttemptEnded(msgspec.Struct, frozen=True, gc=False):
    """Attempt `attempt` (from 1) of a step ended without a result, and another one follows.

    `charged` tells whether it counts against the budget that `cause` names. `payload` is the JSON of the error.
    """

    item_index: int
    step_index: int
    attempt: int
    cause: AttemptCause
    charged: bool
    payload: bytes


class ItemCompleted(msgspec.Struct, frozen=True, gc=False):
    """The item's one and only result.

    `payload`: SUCCESS: the value's JSON; FAILED and CANCELLED: JSON `{"code", "message", "data"?}`; SKIPPED: JSON
    `{"reason"?}`. With `is_blob` the payload is the ASCII id of a blob that holds those bytes.
    """

    item_index: int
    outcome: Outcome
    payload: bytes
    is_blob: bool = False


class RunCancelRequested(msgspec.Struct, frozen=True, gc=False):
    """No item starts after this event; items that had not started count as cancelled and have no result."""

    reason: str


class RunRecovered(msgspec.Struct, frozen=True, gc=False):
    """A gateway took the run over after its former one died. Attempts in flight are repeated with `attempt` + 1."""

    epoch: int


class RunCompleted(msgspec.Struct, frozen=True, gc=False):
    """The last event of every run."""

    status: RunStatusCode


Event = (
    RunAccepted | ItemsStarted | StepCompleted | AttemptEnded | ItemCompleted | RunCancelRequested | RunRecovered | RunCompleted
)


class Segment(msgspec.Struct, frozen=True):
    """Events `first_seq`, `first_seq + 1`, ... of one run, recorded together.

    `recorded_at_us`: microseconds since 1970 (UTC). `events` holds None where a filter left an event out.
    """

    first_seq: int
    recorded_at_us: int
    events: list[Event | None]

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.events) - 1
