"""Executions that wait for sub-runs: who waits for whom, and whether a new wait would close a circle.

An execution is parked while at least one wait that carries its token is open. Its item keeps its place in its run; its
slot in the component server goes to others.
"""

from __future__ import annotations

from flowspan.errors import RecursionLimitError
from runtime_core.calls import ComponentCall


class _Parked:
    __slots__ = ("call", "open_waits", "settling", "since_s")

    def __init__(self, call: ComponentCall, since_s: float) -> None:
        self.call = call
        self.open_waits = 0
        self.settling = 0
        self.since_s = since_s


class Parking:
    """Open waits of executions."""

    def __init__(self) -> None:
        self._parked: dict[int, _Parked] = {}
        self._waits: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def is_parked(self, call: ComponentCall) -> bool:
        return call.number in self._parked

    def open_wait(self, call: ComponentCall, run_id: str, now_s: float) -> bool:
        """`call` waits for `run_id`. True if the call is parked just now: its slot is to be given back.

        Raises:
            RecursionLimitError: the wait would close a circle of runs.
        """
        waiter = call.template.run_id
        self._check_circle(waiter, run_id)
        waits = self._waits.setdefault(waiter, {})
        waits[run_id] = waits.get(run_id, 0) + 1
        parked = self._parked.get(call.number)
        is_new = parked is None
        if parked is None:
            parked = self._parked[call.number] = _Parked(call, now_s)
        parked.open_waits += 1
        return is_new

    def settle_wait(self, call: ComponentCall) -> bool:
        """The answer of one wait is about to go out. True if all open waits of `call` are that far: it needs its slot."""
        parked = self._parked.get(call.number)
        if parked is None:
            return False
        parked.settling += 1
        return parked.settling >= parked.open_waits

    def is_settled(self, call: ComponentCall) -> bool:
        """Whether a parked call waits for its slot only."""
        parked = self._parked.get(call.number)
        return parked is not None and parked.settling >= parked.open_waits

    def close_wait(self, call: ComponentCall, run_id: str, now_s: float, *, is_settled: bool) -> bool:
        """One wait of `call` is over. True if it was the last one: the execution goes on. Its deadline moves by the
        time it was parked. `is_settled`: `settle_wait` was called for it."""
        waits = self._waits.get(call.template.run_id)
        if waits is not None:
            waits[run_id] -= 1
            if waits[run_id] <= 0:
                del waits[run_id]
            if not waits:
                del self._waits[call.template.run_id]
        parked = self._parked.get(call.number)
        if parked is None:
            return False
        parked.open_waits -= 1
        parked.settling -= is_settled
        if parked.open_waits:
            return False
        del self._parked[call.number]
        waited_s = now_s - parked.since_s
        call.deadline_s += waited_s
        call.waited_s += waited_s
        return True

    def forget(self, call: ComponentCall) -> None:
        """The execution has ended while it waited (crash, time-out); its open waits close later."""
        self._parked.pop(call.number, None)

    def _check_circle(self, waiter: str, run_id: str) -> None:
        seen: set[str] = set()
        frontier = [run_id]
        while frontier:
            current = frontier.pop()
            if current == waiter:
                raise RecursionLimitError(
                    f"the wait would never end: run {waiter} and run {run_id} would wait for each other",
                    runId=run_id,
                    waitingRunId=waiter,
                )
            if current not in seen:
                seen.add(current)
                frontier += self._waits.get(current, ())
