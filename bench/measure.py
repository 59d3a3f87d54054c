"""One repetition: wall clock, CPU time of our processes, and what others did to the machine meanwhile."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Self

import psutil

from bench.figures import Figure, Maker
from bench.scenario import Plan

QUIET_SHARE: Final = 0.1
"""A repetition counts as undisturbed if others took less of the machine than this."""
MOST_TRIES: Final = 3
"""So many times the wanted repetitions are made before disturbed ones are taken, too."""

SAMPLE_EVERY_S: Final = 0.05
"""How often memory is looked at."""


@dataclass(slots=True, eq=False)
class Repetition:
    """A `with` block around what is measured. `pids`: our processes beside this one; all must live throughout.

    Attributes:
        items: set by the caller.
        wall_s, cpu_s: after the block; CPU of this process and `pids`.
        client_s, server_s: of `cpu_s`, what this process used, and the first of `pids`; the rest is that of all others.
        others_share: of all cores, 0..1.
        details: free.
    """

    pids: Sequence[int]
    items: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    client_s: float = 0.0
    server_s: float = 0.0
    others_share: float = 0.0
    details: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        gc.collect()
        self.others_share = -_busy_s()
        self._add_cpu(-1)
        self.wall_s = -time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.wall_s += time.perf_counter()
        self._add_cpu(1)
        others_s = self.others_share + _busy_s() - self.cpu_s
        self.others_share = min(1.0, max(0.0, others_s / (self.wall_s * (os.cpu_count() or 1))))

    @property
    def rate(self) -> float:
        return self.items / self.wall_s

    @property
    def cpu_ms_per_item(self) -> float:
        return 1000 * self.cpu_s / self.items

    @property
    def cpu_ms_by_part(self) -> dict[str, float]:
        """Per item: of the client, of the server that it calls, and of what that has started."""
        parts = {"client": self.client_s, "server": self.server_s, "below": self.cpu_s - self.client_s - self.server_s}
        return {f"cpu_ms_{part}": 1000 * seconds / self.items for part, seconds in parts.items()}

    def _add_cpu(self, sign: int) -> None:
        own_s = time.process_time()
        each_s = [_cpu_s(pid) for pid in self.pids]
        self.client_s += sign * own_s
        self.server_s += sign * sum(each_s[:1])
        self.cpu_s += sign * (own_s + sum(each_s))


async def repeat(
    plan: Plan,
    pids: Sequence[int],
    items: int,
    once: Callable[[Repetition], Awaitable[None]],
    *,
    most_tries: int = MOST_TRIES,
) -> Sequence[Repetition]:
    """Measure `once` until the plan's number of repetitions were left alone by other programs, or `most_tries` times as many
    were made; the quietest ones, in order. Whatever `once` finds out goes into `details`."""
    made: list[Repetition] = []
    while sum(one.others_share < QUIET_SHARE for one in made) < plan.repetitions and len(made) < most_tries * plan.repetitions:
        with Repetition(pids, items) as one:
            await once(one)
        made.append(one)
    quietest = sorted(made, key=lambda one: one.others_share)[: plan.repetitions]
    return [one for one in made if one in quietest]


def rate_figure(
    name: str,
    repetitions: Sequence[Repetition],
    *,
    target: float | None = None,
    ceiling: str | None = None,
    job: str | None = None,
    maker: Maker = "flowspan",
    unit: str = "items/s",
) -> Figure:
    """Items per second of these repetitions."""
    return _figure(
        Figure(name, unit, [one.rate for one in repetitions], target, ceiling=ceiling, job=job, maker=maker), repetitions
    )


def peer_figure(name: str, repetitions: Sequence[Repetition], job: str, version: str) -> Figure:
    """Items per second of a peer."""
    return replace(rate_figure(name, repetitions, job=job, maker="peer"), version=version)


def cpu_figure(name: str, repetitions: Sequence[Repetition], *, target: float, beyond: float | None = None) -> Figure:
    """CPU milliseconds per item, of the client and all below it and the gateway."""
    samples = [one.cpu_ms_per_item for one in repetitions]
    figure = Figure(name, "ms", samples, target, more_is_better=False, beyond=beyond)
    return replace(_figure(figure, repetitions), cpu_ms_per_item=None)


def detail_figure(
    name: str,
    unit: str,
    detail: str,
    repetitions: Sequence[Repetition],
    *,
    target: float,
    beyond: float | None = None,
    job: str | None = None,
) -> Figure:
    """A detail of which less is better, such as a latency."""
    samples = [one.details[detail] for one in repetitions]
    return _figure(Figure(name, unit, samples, target, more_is_better=False, job=job, beyond=beyond), repetitions)


def _figure(figure: Figure, repetitions: Sequence[Repetition]) -> Figure:
    median = statistics.median
    details = [{**one.cpu_ms_by_part, **one.details} for one in repetitions]
    return replace(
        figure,
        cpu_ms_per_item=median(one.cpu_ms_per_item for one in repetitions),
        others_share=median(one.others_share for one in repetitions),
        details={key: median(one[key] for one in details) for key in details[0]},
    )


@dataclass(slots=True)
class Peak:
    """The largest resident size so far, in MiB."""

    mib: float = 0.0


@asynccontextmanager
async def peak_memory(pid: int) -> AsyncIterator[Peak]:
    """Of one process while the block runs."""
    peak = Peak(resident_mib(pid))

    async def sample() -> None:
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            peak.mib = max(peak.mib, resident_mib(pid))

    sampling = asyncio.create_task(sample())
    try:
        yield peak
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)


def resident_mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / (1 << 20)


def process_tree(pid: int) -> list[int]:
    """The process and all below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _busy_s() -> float:
    """Seconds that all cores together have worked since boot, for whomever."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guests are in `user` already.
    return sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
