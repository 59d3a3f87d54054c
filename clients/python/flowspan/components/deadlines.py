"""Time-outs of many executions with one timer: the owner asks when to look again, and looks."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final, NamedTuple

from flowspan.components.executions import Execution

STARTED_NOTICE_S: Final = 1.0
"""An execution that runs for so long is reported as begun; shorter ones answer by themselves."""
STARTED_TOGETHER_S: Final = 0.5
"""Whatever runs for so long by then is reported with it: two notices a second at most, however many executions there are."""
OVERRUN_S: Final = 1.0
"""From its time-out a component has so long to notice it; one that runs on holds its thread for good, as far as we can tell."""


class Sweep(NamedTuple):
    """What one look has found.

    Attributes:
        expired: their time is over.
        begun: to be reported as begun.
        overrunning: how many hold a thread although they have timed out long ago.
    """

    expired: list[Execution]
    begun: list[Execution]
    overrunning: int


class Deadlines:
    """When the next sweep is due. Pure: monotonic seconds come in, never a clock."""

    __slots__ = ("next_sweep_s",)

    def __init__(self) -> None:
        self.next_sweep_s = inf

    def sweep(self, executions: Iterable[Execution], now_s: float) -> Sweep:
        """Look at all; sets `timed_out_s` and `told_begun` of what is found, and `next_sweep_s`."""
        expired: list[Execution] = []
        young: list[Execution] = []
        begun: list[Execution] = []
        overrunning = 0
        due_s = inf
        for execution in executions:
            began_s = execution.began_s
            if began_s is None:
                # It waits for a thread: its time has not begun, but may end no sooner than this.
                due_s = min(due_s, now_s + min(execution.timeout_s, STARTED_NOTICE_S))
                continue
            if execution.timed_out_s is not None:
                if now_s >= execution.timed_out_s + OVERRUN_S:
                    overrunning += execution.task is None
                else:
                    due_s = min(due_s, execution.timed_out_s + OVERRUN_S)
                continue
            deadline_s = execution.deadline_s(now_s)
            if deadline_s <= now_s:
                execution.timed_out_s = now_s
                expired.append(execution)
                due_s = min(due_s, now_s + OVERRUN_S)
                continue
            due_s = min(due_s, deadline_s)
            if not execution.told_begun:
                if now_s >= began_s + STARTED_NOTICE_S:
                    begun.append(execution)
                elif now_s >= began_s + STARTED_TOGETHER_S:
                    young.append(execution)
                else:
                    due_s = min(due_s, began_s + STARTED_NOTICE_S)
        if begun:
            begun += young
            for execution in begun:
                execution.told_begun = True
        else:
            due_s = min([due_s, *((execution.began_s or 0.0) + STARTED_NOTICE_S for execution in young)])
        self.next_sweep_s = due_s
        return Sweep(expired, begun, overrunning)
