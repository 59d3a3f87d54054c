"""The engine and the streams of a queue, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.catalog import OfferedComponent
from gateway.workers.queue import Joined, WorkerQueue
from gateway.workers.worker import QueueSettings, WorkerHello
from runtime_core.calls import CallFailure, CallResult, CallTemplate, ComponentCall
from runtime_core.ports import ComponentServer

SESSION = "session-1"


class FakeSink:
    """An engine that notes what it is told."""

    def __init__(self) -> None:
        self.results: list[CallResult] = []
        self.crashed: list[ComponentCall] = []
        self.unsent: list[ComponentCall] = []
        self.lost: list[ComponentCall] = []
        self.started: list[ComponentCall] = []
        self.progress: list[tuple[ComponentCall, float, str]] = []
        self.slots = 0

    def on_results(self, results: list[CallResult]) -> None:
        self.results += results

    def on_slots(self, server: ComponentServer) -> None:
        self.slots += 1

    def on_crash(
        self, server: ComponentServer, calls: Sequence[ComponentCall], unsent: Sequence[ComponentCall], failure: CallFailure
    ) -> None:
        self.crashed += calls
        self.unsent += unsent

    def on_lost(self, server: ComponentServer, calls: Sequence[ComponentCall], failure: CallFailure) -> None:
        self.lost += calls

    def on_progress(self, call: ComponentCall, fraction: float, message: str) -> None:
        self.progress.append((call, fraction, message))

    def on_started(self, calls: Sequence[ComponentCall]) -> None:
        self.started += calls


class FakeLink:
    """A stream that writes when it is told to."""

    def __init__(self) -> None:
        self.pending: dict[int, ComponentCall] = {}
        self.written: list[ComponentCall] = []
        self.cancelled: list[int] = []
        self.drained: list[str] = []
        self.closed: list[str] = []

    def write(self) -> list[ComponentCall]:
        calls = list(self.pending.values())
        self.pending.clear()
        self.written += calls
        return calls

    def execute(self, calls: Sequence[ComponentCall]) -> None:
        self.pending.update([(call.number, call) for call in calls])

    def withdraw(self, numbers: Iterable[int]) -> set[int]:
        return {number for number in numbers if self.pending.pop(number, None) is not None}

    def unwritten(self) -> set[int]:
        return set(self.pending)

    def cancel(self, numbers: Sequence[int]) -> None:
        self.cancelled += numbers

    def drain(self, reason: str) -> None:
        self.drained.append(reason)

    def close(self, why: str) -> None:
        self.closed.append(why)


class Bench:
    """A queue with a clock that tests move."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.sink = FakeSink()
        self.queue = WorkerQueue(
            QueueSettings("w", "q", max_output_bytes=64), lambda: self.sink, session=SESSION, clock=lambda: self.now_s
        )
        self._number = 0

    def calls(self, count: int, component: str = "/work", **of_template: Any) -> list[ComponentCall]:
        template = CallTemplate(
            namespace="default", run_id="run", flow_id="flow", step_id="a", step_index=0, component=component, timeout_s=60.0,
            trace_id="0" * 32, parent_span_id="0" * 16, **of_template,
        )  # fmt: skip
        made = []
        for _ in range(count):
            self._number += 1
            made.append(ComponentCall(self._number, template, self._number - 1, 1, b"%d" % self._number, None))
        return made

    def join(
        self,
        worker_id: str = "one",
        capacity: int = 4,
        components: Sequence[str] = ("/work",),
        session: str = "",
        held: Iterable[int] = (),
    ) -> tuple[Joined, FakeLink]:
        link = FakeLink()
        offered = {name: OfferedComponent(name) for name in components}
        return self.queue.join(WorkerHello(offered, capacity, worker_id, session, frozenset(held)), link), link
