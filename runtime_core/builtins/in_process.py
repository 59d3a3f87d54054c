"""A component server inside the gateway: runs its components in batches, without a process between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from flowspan.errors import FlowErrorCode, FlowspanError
from runtime_core.builtins.work import Delayed, Instant, Waiting, Work, refusal
from runtime_core.calls import CallAnswer, CallFailure, CallResult, ComponentCall
from runtime_core.ports import EngineSink

log = structlog.get_logger(__name__)

SLOTS: Final = 1_024
"""Calls that run at once, those that wait for sub-runs aside; instant ones take no time at all."""

CLOSE_S: Final = 5.0
"""What tasks may take to clean up behind them when the server closes."""


class InProcessServer:
    """Implements `runtime_core.ports.ComponentServer`. `sink` is set by the composition root.

    Args:
        prefix: how messages name the components, such as `/builtin`.
        works: what there is, by its path below the prefix.
    """

    keeps_timeouts: Final = False
    broken: Final = None
    waiting_for: Final = None

    def __init__(self, name: str, prefix: str, works: Mapping[str, Work]) -> None:
        self.name = name
        self.sink: EngineSink | None = None
        self._prefix = prefix
        self._works = dict(works)
        self._waiting: dict[ComponentCall, asyncio.Task[None] | asyncio.TimerHandle] = {}
        self._parked: set[ComponentCall] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._results: list[CallResult] = []

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    @property
    def open_tasks(self) -> int:
        """Tasks that have not ended, those that were cancelled just now included."""
        return len(self._tasks)

    def journals(self, component: str) -> bool:
        return False

    def instant(self, component: str) -> Callable[[bytes], CallAnswer] | None:
        work = self._works.get(component)
        return work.answer if isinstance(work, Instant) else None

    def free_slots(self) -> int:
        return max(0, SLOTS - len(self._waiting) + len(self._parked) - len(self._results))

    def start(self, calls: Sequence[ComponentCall]) -> None:
        works = self._works
        for call in calls:
            work = works.get(call.template.component)
            if isinstance(work, Instant):
                self._finish(call, self._at_once(work, call))
            elif work is None:
                self._finish(call, self._not_there(call.template.component))
            else:
                self._begin(work, call)

    def can_start_alone(self) -> bool:
        return True

    def start_alone(self, calls: Sequence[ComponentCall]) -> None:
        self.start(calls)

    def park(self, call: ComponentCall) -> None:
        if call in self._waiting:
            self._parked.add(call)

    def try_unpark(self, call: ComponentCall) -> bool:
        # Slots are a bound on work under way, not a resource: one that is about to answer needs none of its own.
        self._parked.discard(call)
        return True

    def time_out(self, calls: Sequence[ComponentCall]) -> None:
        for call in calls:
            self._drop(call)

    async def cancel(self, calls: Sequence[ComponentCall]) -> int:
        for call in calls:
            if self._drop(call):
                self._finish(call, CallFailure(FlowErrorCode.CANCELLED, "cancelled"))
        return 0

    def close(self) -> None:
        """End everything without an answer."""
        for call in list(self._waiting):
            self._drop(call)

    async def wait_closed(self) -> None:
        """After `close`: until its tasks have cleaned up behind them (bounded)."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)

    def _drop(self, call: ComponentCall) -> bool:
        self._parked.discard(call)
        waiting = self._waiting.pop(call, None)
        if waiting is None:
            return False
        waiting.cancel()
        return True

    def _at_once(self, work: Instant, call: ComponentCall) -> CallAnswer:
        try:
            return work.answer(call.input)
        except Exception as error:
            return self._failure(call, error)

    def _begin(self, work: Delayed | Waiting, call: ComponentCall) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(work, Delayed):
            try:
                delay_s, answer = work.plan(call.input)
            except Exception as error:
                self._finish(call, self._failure(call, error))
                return
            self._waiting[call] = loop.call_later(delay_s, self._end, call, answer)
            return
        task = loop.create_task(self._run(work, call))
        self._waiting[call] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Waiting, call: ComponentCall) -> None:
        try:
            answer = await work.answer(call)
        except Exception as error:
            answer = self._failure(call, error)
        self._end(call, answer)

    def _end(self, call: ComponentCall, answer: CallAnswer) -> None:
        self._parked.discard(call)
        if self._waiting.pop(call, None) is not None:
            self._finish(call, answer)

    def _finish(self, call: ComponentCall, answer: CallAnswer) -> None:
        """Results of one batch go to the engine together, after `start` has returned."""
        if not self._results:
            asyncio.get_running_loop().call_soon(self._flush)
        self._results.append((call, answer))

    def _flush(self) -> None:
        results, self._results = self._results, []
        assert self.sink is not None
        self.sink.on_results(results)

    def _not_there(self, component: str) -> CallFailure:
        known = ", ".join(sorted(self._prefix + name for name in self._works))
        message = f"there is no {self._prefix}{component}; there are {known or 'none'}"
        return CallFailure(FlowErrorCode.COMPONENT_NOT_FOUND, message)

    def _failure(self, call: ComponentCall, error: Exception) -> CallFailure:
        """An error fails its call, not the batch that the call came in."""
        component = self._prefix + call.template.component
        if isinstance(error, FlowspanError):
            return refusal(component, error)
        log.error("builtin_failed", component=component, exc_info=error)
        message = f"{component} failed ({type(error).__name__}); the gateway's log says more"
        return CallFailure(FlowErrorCode.ORCHESTRATOR_ERROR, message)
