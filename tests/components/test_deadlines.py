"""One timer for the time-outs of all executions: what each look finds, and when the next one is due."""

from __future__ import annotations

from math import inf

from flowspan.components.deadlines import OVERRUN_S, STARTED_NOTICE_S, Deadlines
from flowspan.components.executions import Execution
from flowspan.components.registry import Registry
from flowspan.jsonrpc import RequestId

_REGISTRY = Registry()


def _echo(input: int) -> int:
    return input


_REGISTRY.add(_echo, "/echo", None, False, {})


def execution(request_id: RequestId, began_s: float | None, timeout_ms: float | None = None) -> Execution:
    made = Execution(request_id, _REGISTRY.by_name["/echo"], None, b"{}", timeout_ms)  # type: ignore[arg-type]
    made.began_s = began_s
    return made


def test_executions_that_began_one_after_the_other_are_reported_together() -> None:
    deadlines = Deadlines()
    running = [execution(n, n / 100) for n in range(200)]
    looks, told, now_s = 0, 0, STARTED_NOTICE_S
    while now_s < inf:
        swept = deadlines.sweep(running, now_s)
        looks += 1
        told += len(swept.begun)
        assert deadlines.next_sweep_s > now_s
        now_s = deadlines.next_sweep_s
    assert told == 200
    assert looks <= 6


def test_nothing_is_reported_before_one_execution_has_run_for_a_second() -> None:
    deadlines = Deadlines()
    swept = deadlines.sweep([execution(1, 0.0), execution(2, 0.3), execution(3, None)], 0.9)
    assert swept.begun == []
    assert deadlines.next_sweep_s == STARTED_NOTICE_S


def test_each_execution_is_reported_once() -> None:
    deadlines = Deadlines()
    one = execution(1, 0.0)
    assert deadlines.sweep([one], 1.0).begun == [one]
    assert deadlines.sweep([one], 2.0).begun == []
    assert deadlines.next_sweep_s == inf


def test_an_execution_that_waits_for_a_thread_does_not_expire_and_is_not_reported() -> None:
    deadlines = Deadlines()
    swept = deadlines.sweep([execution(1, None, timeout_ms=10)], 100.0)
    assert swept.expired == [] and swept.begun == []
    assert deadlines.next_sweep_s < inf


def test_a_component_has_a_moment_to_notice_its_time_out_before_it_counts_as_overrunning() -> None:
    deadlines = Deadlines()
    late = execution(1, 0.0, timeout_ms=500)
    assert deadlines.sweep([late], 0.5) == ([late], [], 0)
    assert deadlines.next_sweep_s == 0.5 + OVERRUN_S
    late.answered = True
    assert deadlines.sweep([late], 0.6) == ([], [], 0)
    assert deadlines.sweep([late], 0.5 + OVERRUN_S) == ([], [], 1)
    assert deadlines.next_sweep_s == inf
