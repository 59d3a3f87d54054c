"""A component server as the scheduler sees it: who waits for its slots, in which order they are given.

Order: parked executions that go on, then suspects of a crash (alone), then by fairness: per run first calls of items that
are under way, then items that start.
"""

from __future__ import annotations

import asyncio
from collections import deque

from runtime_core.calls import ComponentCall
from runtime_core.engine.open_run import OpenRun
from runtime_core.engine.parking import Parking
from runtime_core.ports import ComponentServer
from runtime_core.sched.fair import FairQueue
from runtime_core.sched.suspects import Suspects

SuspectKey = tuple[str, int, int]
"""(run id, item, step): names a call over its attempts."""


def suspect_key(call: ComponentCall) -> SuspectKey:
    template = call.template
    return (template.run_id, call.item_index, template.step_index)


class RunLane:
    """One run at one component server: a claimant of its slots."""

    __slots__ = ("fair_path", "is_entry", "lane", "ready", "run")

    def __init__(self, run: OpenRun, lane: Lane) -> None:
        self.run = run
        self.lane = lane
        self.ready: deque[ComponentCall] = deque()
        self.is_entry = False
        self.fair_path: tuple[str, ...] = (run.namespace, run.description.root_run_id, run.run_id)

    def wanted(self) -> int:
        return len(self.ready) + (self.run.startable() if self.is_entry else 0)


class Lane:
    """Queues of one component server.

    Attributes:
        reserved: slots of calls that go out when their claim is durable.
        resuming: parked calls that wait for a slot, and what tells their waiter.
        suspect_calls: the next attempt of every suspect. `suspects_pending`: suspects whose AttemptEnded is not durable yet.
    """

    __slots__ = ("queue", "reserved", "resuming", "server", "suspect_calls", "suspects", "suspects_pending")

    def __init__(self, server: ComponentServer) -> None:
        self.server = server
        self.queue: FairQueue[RunLane] = FairQueue()
        self.reserved = 0
        self.resuming: deque[tuple[ComponentCall, asyncio.Future[None]]] = deque()
        self.suspects: Suspects[SuspectKey] = Suspects()
        self.suspect_calls: dict[SuspectKey, ComponentCall] = {}
        self.suspects_pending = 0

    def free(self) -> int:
        """Slots that may be given to new work now."""
        return max(0, self.server.free_slots() - self.reserved)

    @property
    def holds_back(self) -> bool:
        """Suspects wait to be tried: new work would keep an instance from becoming free for them."""
        return self.suspects_pending > 0 or (not self.suspects.is_idle and not self.suspects.is_trying)

    def let_resume(self, parking: Parking) -> None:
        """Parked calls take their slots again, oldest first. One that waits for something else meanwhile stays parked."""
        if not self.resuming:
            return
        still: deque[tuple[ComponentCall, asyncio.Future[None]]] = deque()
        for call, future in self.resuming:
            if future.done():
                continue
            if not parking.is_settled(call) or self.server.try_unpark(call):
                future.set_result(None)
            else:
                still.append((call, future))
        self.resuming = still

    def take_suspects(self) -> list[ComponentCall]:
        """The next group of suspects, if an instance is free to run nothing else."""
        if self.suspects.is_idle or self.suspects_pending or self.suspects.is_trying:
            return []
        if not self.server.can_start_alone():
            return []
        calls: list[ComponentCall] = []
        while not calls:
            group = self.suspects.next_group(self.server.free_slots() or 1 << 30)
            if not group:
                return []
            for key in group:
                call = self.suspect_calls.pop(key, None)
                if call is None or call.owner.run.is_cancelling or call.item_index not in call.owner.run.items:
                    self.suspects.ended([key])
                else:
                    calls.append(call)
        return calls

    def drop_suspects(self, run: OpenRun) -> None:
        """The run, or an item of it, is over or cancelled: such suspects are not to be tried, and hold nobody back."""
        dropped = [
            key
            for key, call in self.suspect_calls.items()
            if call.owner.run is run and (run.has_left or call.item_index not in run.items)
        ]
        for key in dropped:
            del self.suspect_calls[key]
            self.suspects.forget(key)

    def take_all_suspects(self) -> list[ComponentCall]:
        """The server cannot be used any more: suspects need not be tried."""
        calls = list(self.suspect_calls.values())
        self.suspect_calls.clear()
        self.suspects.clear()
        return calls
