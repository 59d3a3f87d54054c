"""Large flows: linear in their size, from the bytes to the plan. `python -m tests.language.scale` prints the figures."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from runtime_core.flow.diagnostics import DiagnosticLog
from runtime_core.flow.source import parse_flow
from runtime_core.flow.types.check import check_types
from tests.language.house import run
from tests.language.scale import SIZES, as_yaml, large_flow, median_ms, plan

GENEROUS = 3.0
"""Of a ratio of times: the collector's share grows with the heap, and other work makes caches smaller."""


def _planned(steps: int) -> Callable[[], None]:
    data = json.dumps(large_flow(steps)).encode()
    return lambda: plan(data)


def _planned_yaml(steps: int) -> Callable[[], None]:
    data = as_yaml(large_flow(steps))
    return lambda: plan(data)


def _typed(steps: int) -> Callable[[], object]:
    flow = parse_flow(json.dumps(large_flow(steps)).encode()).flow
    assert flow is not None
    return lambda: check_types(flow, DiagnosticLog())


@pytest.mark.parametrize("work", [_planned, _planned_yaml, _typed])
def test_the_work_grows_no_faster_than_the_flow(work: Callable[[int], Callable[[], object]]) -> None:
    small, large = (median_ms(work(steps), 3) for steps in (250, 1_000))
    assert large < GENEROUS * 4 * small


@pytest.mark.deep
@pytest.mark.parametrize("work", [_planned, _planned_yaml, _typed])
def test_the_work_grows_no_faster_than_the_flow_up_to_eight_thousand_steps(work: Callable[[int], Callable[[], object]]) -> None:
    took = [median_ms(work(steps), 5) for steps in SIZES]
    assert took[-1] < GENEROUS * SIZES[-1] / SIZES[0] * took[0]


async def test_a_flow_of_a_thousand_steps_runs() -> None:
    rows = [{"name": f"r{n}"} for n in range(500)]
    ran = await run(large_flow(1_000), {"rows": rows, "start": 9007199254740993})
    assert ran.value["last"]["total"] == 9007199254740993
    assert ran.value["all"] == list(range(500))


async def test_a_chain_of_a_thousand_steps_runs() -> None:
    chain = [
        {"id": f"s{n}", "component": "/builtin/noop", "input": {"$step": f"s{n - 1}"} if n else {"$input": "$"}}
        for n in range(1_000)
    ]
    assert (await run({"name": "chain", "steps": chain, "output": {"$step": "s999"}}, {"x": 1})).value == {"x": 1}
