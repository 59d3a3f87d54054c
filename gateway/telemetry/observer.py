"""Looks on at runs: one log line at their begin and end, counts for the figures, spans where they are wanted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from flowspan.view.events import RunStatusCode
from flowspan.view.status import RunDescription, RunStatus
from gateway.telemetry.exposition import Histogram
from gateway.telemetry.second_budget import SecondBudget
from runtime_core.calls import CallResult
from runtime_core.ports import RunTrace

log = structlog.get_logger("flowspan.runs")

RUN_LINES_PER_S: Final = 100
"""Log lines about runs in one second; components may submit thousands of sub-runs. Others are counted."""
SUBMIT_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""From one commit on a fast disk to what nobody waits for."""


class TraceSink(Protocol):
    """Takes what spans are made of. Bounded, and never waits: what it cannot take it drops and counts."""

    @property
    def recorded(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    def samples(self, trace_id: str) -> bool: ...

    def on_calls(self, results: Sequence[CallResult]) -> None: ...

    def on_run_ended(self, status: RunStatus, trace: RunTrace) -> None: ...

    async def close(self) -> None:
        """Send what is there, within a bounded time."""
        ...


class GatewayObserver:
    """Implements `runtime_core.ports.RunObserver`.

    Attributes:
        accepted_runs, ended_runs, ended_items, ended_events: since the start; items by outcome, events of ended runs.
        submit_seconds: from the first check of a submit to its commit.
    """

    def __init__(
        self,
        traces: TraceSink | None = None,
        *,
        on_calls: Callable[[Sequence[CallResult]], None] | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.traces: Final = traces
        self._on_calls = on_calls
        self.accepted_runs = 0
        self.ended_runs: Counter[RunStatusCode] = Counter()
        self.ended_items: Counter[str] = Counter()
        self.ended_events = 0
        self.submit_seconds: Final = Histogram(SUBMIT_BOUNDS_S)
        self._clock_s = clock_s
        self._log = log.bind()  # once: an unbound logger is put together again for each line, told or not
        self._lines = SecondBudget(RUN_LINES_PER_S)
        self._told_refused = 0

    @property
    def on_calls(self) -> Callable[[Sequence[CallResult]], None] | None:
        traces, also = self.traces, self._on_calls
        if traces is None or also is None:
            return also if traces is None else traces.on_calls

        def both(results: Sequence[CallResult]) -> None:
            traces.on_calls(results)
            also(results)

        return both

    def samples(self, trace_id: str) -> bool:
        return self.traces is None or self.traces.samples(trace_id)

    def on_run_accepted(self, description: RunDescription, latency_s: float) -> None:
        self.accepted_runs += 1
        self.submit_seconds.observe(latency_s)
        if self._may_log():
            self._log.info(
                "run_accepted",
                run_id=description.run_id,
                flow=description.flow_name or description.flow_id,
                items=description.total,
                max_concurrency=description.max_concurrency,
                parent_run_id=description.parent_run_id,
            )

    def on_run_ended(self, status: RunStatus, trace: RunTrace) -> None:
        items = status.items
        self.ended_runs[status.status] += 1
        self.ended_events += status.as_of_seq
        ended = self.ended_items
        ended["success"] += items.success
        ended["failed"] += items.failed
        ended["cancelled"] += items.cancelled
        if self.traces is not None:
            self.traces.on_run_ended(status, trace)
        if self._may_log():
            self._log.info(
                "run_ended",
                run_id=status.run_id,
                status=status.status.name.lower(),
                items=items.total,
                failed=items.failed,
                cancelled=items.cancelled,
                duration_s=round(((status.completed_at_us or 0) - status.description.created_at_us) / 1e6, 3),
                trace_id=trace.trace_id,
            )

    def _may_log(self) -> bool:
        lines = self._lines
        if not lines.take(self._clock_s()):
            return False
        if lines.refused > self._told_refused:
            self._log.info("run_lines_left_out", lines=lines.refused - self._told_refused)
            self._told_refused = lines.refused
        return True
