"""Time-outs of many executions with one timer: the owner asks when to look again, and looks."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from flowspan.components.executions import Execution

STARTED_NOTICE_S = 1.0
"""An execution that runs for so long is reported as begun; shorter ones answer by themselves."""


class Deadlines:
    """When the next sweep is due. Pure: monotonic seconds come in, never a clock."""

    __slots__ = ("next_sweep_s",)

    def __init__(self) -> None:
        self.next_sweep_s = inf

    def sweep(self, executions: Iterable[Execution], now_s: float) -> tuple[list[Execution], list[Execution]]:
        """The executions whose time is over, and those to be reported as begun; sets `next_sweep_s`."""
        expired: list[Execution] = []
        begun: list[Execution] = []
        due_s = inf
        for execution in executions:
            began_s = execution.began_s
            if began_s is None:
                # It waits for a thread: its time has not begun, but may end no sooner than this.
                due_s = min(due_s, now_s + min(execution.timeout_s, STARTED_NOTICE_S))
                continue
            if not execution.told_begun:
                if now_s >= began_s + STARTED_NOTICE_S:
                    execution.told_begun = True
                    begun.append(execution)
                else:
                    due_s = min(due_s, began_s + STARTED_NOTICE_S)
            deadline_s = execution.deadline_s(now_s)
            if deadline_s <= now_s:
                expired.append(execution)
            else:
                due_s = min(due_s, deadline_s)
        self.next_sweep_s = due_s
        return expired, begun
