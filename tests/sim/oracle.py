"""What must hold, checked at every commit, every start of a call and everything that anybody sees."""

from __future__ import annotations

import msgspec

from flowspan.protobuf.segments import ProtobufSegmentCodec
from flowspan.view.events import (
    AttemptEnded,
    Event,
    ItemCompleted,
    ItemsStarted,
    RunAccepted,
    RunCancelRequested,
    RunCompleted,
    RunStatusCode,
)
from flowspan.view.status import RunDescription, RunStatus
from runtime_core.calls import ComponentCall


class DurableRun:
    """The fold of what is on the disk of the simulation, kept by other code than the engine's."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.events: list[Event] = []
        self.total = 0
        self.max_concurrency = 0
        self.started = 0
        self.ended: set[int] = set()
        self.cancelled = False
        self.status: RunStatusCode | None = None
        self.parent: str | None = None

    def take(self, events: list[Event]) -> None:
        for event in events:
            assert self.status is None, f"{self.run_id}: {event} follows the end"
            self.events.append(event)
            match event:
                case RunAccepted(description):
                    assert len(self.events) == 1
                    told = msgspec.json.decode(description, type=RunDescription)
                    self.total, self.max_concurrency, self.parent = told.total, told.max_concurrency, told.parent_run_id
                case ItemsStarted(first, count):
                    assert not self.cancelled, f"{self.run_id}: items start after a cancel"
                    assert first == self.started, f"{self.run_id}: items start out of order"
                    self.started += count
                    assert self.started <= self.total
                case ItemCompleted(item):
                    assert item < self.started, f"{self.run_id}: item {item} ends before it starts"
                    assert item not in self.ended, f"{self.run_id}: item {item} ends twice"
                    self.ended.add(item)
                case AttemptEnded(item):
                    assert item not in self.ended, f"{self.run_id}: an attempt of an item that has ended"
                case RunCancelRequested():
                    assert not self.cancelled, f"{self.run_id}: cancelled twice"
                    self.cancelled = True
                case RunCompleted(status):
                    self.status = status
                    assert len(self.ended) == self.started, f"{self.run_id}: ends with items running"
                    assert self.cancelled or self.started == self.total
                case _:
                    pass
            running = self.started - len(self.ended)
            assert running <= self.max_concurrency, f"{self.run_id}: {running} items run, {self.max_concurrency} may"


class Oracle:
    """Knows what is durable, and what has been seen."""

    def __init__(self) -> None:
        self.codec = ProtobufSegmentCodec()
        self.runs: dict[str, DurableRun] = {}
        self.deleted: set[str] = set()
        self.attempts: dict[tuple[str, int, str], int] = {}
        self.seen_seq: dict[str, int] = {}
        self.seen_ended: dict[str, int] = {}
        self.violations: list[str] = []

    def open_runs(self) -> list[str]:
        return [run_id for run_id, run in self.runs.items() if run.status is None and run_id not in self.deleted]

    def on_durable(self, run_id: str, first_seq: int, row: bytes) -> None:
        run = self.runs.setdefault(run_id, DurableRun(run_id))
        for segment in self.codec.decode(row):
            assert segment.first_seq == len(run.events) + 1, f"{run_id}: a gap in the log at {segment.first_seq}"
            run.take([event for event in segment.events if event is not None])

    def on_start(self, call: ComponentCall, open_items: int) -> None:
        """A call is written to a component server; `open_items`: items of its run that are with servers then."""
        template = call.template
        run = self.runs[template.run_id]
        where = f"{template.run_id} item {call.item_index} step {template.step_id} attempt {call.attempt}"
        assert call.item_index < run.started, f"{where}: sent before its claim is durable"
        assert call.item_index not in run.ended, f"{where}: sent again after its end"
        assert not run.cancelled, f"{where}: sent after a durable cancel"
        key = (template.run_id, call.item_index, template.step_id)
        assert call.attempt > self.attempts.get(key, 0), f"{where}: attempts must rise"
        self.attempts[key] = call.attempt
        assert open_items <= run.max_concurrency, f"{where}: {open_items} items at servers, {run.max_concurrency} may"

    def on_seen(self, run_id: str, first_seq: int, events: list[Event | None]) -> None:
        """A watcher was given these."""
        durable = self.runs[run_id].events
        assert first_seq + len(events) - 1 <= len(durable), f"{run_id}: seen before it was durable"
        for seq, event in enumerate(events, first_seq):
            assert event == durable[seq - 1], f"{run_id}: event {seq} differs from what is durable"

    def floor(self, run_id: str) -> tuple[int, int]:
        """What everybody who asks from now on must see at least: (sequence number, ended items)."""
        return self.seen_seq.get(run_id, 0), self.seen_ended.get(run_id, 0)

    def on_status(self, status: RunStatus, floor: tuple[int, int]) -> None:
        run_id = status.description.run_id
        run = self.runs[run_id]
        items = status.items
        ended = items.success + items.failed + items.cancelled
        assert items.total == items.pending + items.running + ended, f"{run_id}: counts do not add up: {items}"
        assert items.running <= run.max_concurrency
        assert status.as_of_seq <= len(run.events), f"{run_id}: status ahead of the disk"
        assert (status.as_of_seq, ended) >= floor, f"{run_id}: a status goes backwards"
        assert ended >= floor[1], f"{run_id}: fewer items have ended than before"
        seen_seq, seen_ended = self.floor(run_id)
        self.seen_seq[run_id], self.seen_ended[run_id] = max(seen_seq, status.as_of_seq), max(seen_ended, ended)
        if status.results is not None and status.results_omitted is None:
            indexes = [result.item_index for result in status.results]
            assert len(indexes) == len(set(indexes)), f"{run_id}: an item has two results"
            assert set(indexes) <= run.ended
