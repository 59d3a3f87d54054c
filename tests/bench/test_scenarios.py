"""Every scenario starts its programs, measures the right thing and leaves nothing behind; how fast it was is not judged."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from bench.__main__ import all_scenarios
from bench.scenario import Plan, Scenario


class Small(Plan):
    """The least that is still a measurement."""

    def size(self, full: int, quick: int) -> int:
        return min(quick, 500)


@pytest.mark.parametrize("scenario", all_scenarios(), ids=lambda scenario: scenario.name)
def test_a_scenario_yields_figures_and_ends_its_processes(scenario: Scenario) -> None:
    before = set(psutil.Process().children(recursive=True))
    figures = asyncio.run(scenario.measure(Small(1, True)))
    assert figures or scenario.name == "run-node"
    for figure in figures:
        assert figure.samples
        assert figure.median > 0
        if figure.cpu_ms_per_item is not None:
            assert figure.cpu_ms_per_item > 0
    left = set(psutil.Process().children(recursive=True)) - before
    psutil.wait_procs(left, timeout=5)
    assert not [process for process in left if process.is_running()]
