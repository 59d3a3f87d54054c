"""One worker of a queue: what it offers and what it holds, over all its connections.

Pure state; times come in. A worker outlives its stream: while it is away it keeps what it holds, and takes nothing new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.catalog import OfferedComponent
from gateway.workers.paths import PathPattern
from runtime_core.calls import ComponentCall

MAX_CAPACITY: Final = 4_096
"""Executions at once in one worker, whatever it announces."""
HEARTBEAT_S: Final = 4.0
"""The longest silence of a worker that is well (decision 31)."""
AWAY_S: Final = 3 * HEARTBEAT_S
"""After so long without a word its executions are repeated elsewhere."""


class WorkerLink(Protocol):
    """The open stream to a worker. Nothing here waits; what is said goes out soon, in order."""

    def execute(self, calls: Sequence[ComponentCall]) -> None: ...

    def withdraw(self, numbers: Iterable[int]) -> set[int]:
        """Of these, the ones that were not written; they never will be."""
        ...

    def unwritten(self) -> set[int]:
        """Numbers of executions that the worker cannot have seen."""
        ...

    def cancel(self, numbers: Sequence[int]) -> None: ...

    def drain(self, reason: str) -> None: ...

    def close(self, why: str) -> None:
        """End the stream; `why` is told to the worker."""
        ...


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """A plugin of type worker.

    Attributes:
        queue: what workers name.
        max_output_bytes: of one result.
        heartbeat_s: the longest silence of a worker that is well.
        away_s: after so long without a word, its executions are repeated elsewhere.
    """

    name: str
    queue: str
    max_output_bytes: int = 2 << 20
    heartbeat_s: float = HEARTBEAT_S
    away_s: float = AWAY_S


@dataclass(frozen=True, slots=True)
class WorkerHello:
    """What a worker says of itself.

    Attributes:
        components: by name with a leading slash; names may have parameters (`/users/{id}`).
        capacity: executions at once, >= 1.
        worker_id: the same over all its connections.
        session: of its former connection; "" at the first one.
        held: executions that it holds, those with results that were not acknowledged included.
        sdk: for people.
    """

    components: Mapping[str, OfferedComponent]
    capacity: int
    worker_id: str
    session: str = ""
    held: frozenset[int] = frozenset()
    sdk: str = ""


class Worker:
    """A worker.

    Attributes:
        link: its open stream, or None while it is away.
        calls: executions that it holds, by number.
        parked: numbers of those that wait for sub-runs; they hold no slot.
        alone: numbers of suspects; while there are any it takes nothing else.
        cancelled: numbers of those that are to be cancelled once it is there again.
        overdue: numbers of executions that are over for the engine, and may still hold a slot there.
        heard_s: when its last word came, or since when it is away.
        is_leaving: it takes nothing new.
        given: how many executions it has been given, for an even spread.
    """

    __slots__ = (
        "alone",
        "calls",
        "cancelled",
        "capacity",
        "components",
        "given",
        "heard_s",
        "id",
        "is_leaving",
        "link",
        "overdue",
        "parked",
        "patterns",
        "sdk",
    )

    def __init__(self, hello: WorkerHello, link: WorkerLink, now_s: float) -> None:
        self.id = hello.worker_id
        self.calls: dict[int, ComponentCall] = {}
        self.parked: set[int] = set()
        self.alone: set[int] = set()
        self.overdue: set[int] = set()
        self.cancelled: set[int] = set()
        self.given = 0
        self.connect(hello, link, now_s)

    def connect(self, hello: WorkerHello, link: WorkerLink, now_s: float) -> None:
        """It is there, or there again; what it offers may have changed."""
        self.components: Mapping[str, OfferedComponent] = hello.components
        self.patterns = tuple(PathPattern(name) for name in hello.components if "{" in name)
        self.capacity = min(hello.capacity, MAX_CAPACITY)
        self.sdk = hello.sdk
        self.link: WorkerLink | None = link
        self.heard_s = now_s
        self.is_leaving = False
        self.overdue &= hello.held
        cancelled, self.cancelled = self.cancelled & hello.held & self.calls.keys(), set()
        if cancelled:
            link.cancel(sorted(cancelled))

    @property
    def used(self) -> int:
        """Slots that are taken."""
        return len(self.calls) - len(self.parked) + len(self.overdue)

    @property
    def free(self) -> int:
        """Executions that it takes now."""
        if self.link is None or self.is_leaving or self.alone:
            return 0
        return max(0, self.capacity - self.used)

    @property
    def load(self) -> float:
        """Share of its slots that are taken."""
        return self.used / self.capacity

    def offers(self, path: str) -> bool:
        """Whether it has a component of this name, or one whose name has parameters and fits."""
        return path in self.components or any(pattern.fits(path) for pattern in self.patterns)

    def take(self, number: int) -> ComponentCall | None:
        """A call that has ended; None if the worker does not hold it any more."""
        self.overdue.discard(number)
        call = self.calls.pop(number, None)
        if call is not None:
            if self.parked:
                self.parked.discard(number)
            if self.alone:
                self.alone.discard(number)
        return call

    def take_all(self) -> tuple[list[ComponentCall], list[ComponentCall]]:
        """Calls that it may have seen, and those that it cannot have seen; it holds none afterwards."""
        unwritten = self.link.unwritten() if self.link is not None else set()
        unsent = [call for number, call in self.calls.items() if number in unwritten]
        sent = [call for number, call in self.calls.items() if number not in unwritten]
        self.calls.clear()
        self.parked.clear()
        self.alone.clear()
        self.overdue.clear()
        return sent, unsent
