"""Every scenario starts its programs, measures the right thing and leaves nothing behind; how fast it was is not judged."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from bench.__main__ import all_scenarios
from bench.scenario import NotPossibleError, Plan, Scenario
from bench.scenarios.cost import flatness_figure


class Small(Plan):
    """The least that is still a measurement."""

    def size(self, full: int, quick: int) -> int:
        return min(quick, 500)


OURS = [scenario for scenario in all_scenarios() if not scenario.is_peer]


@pytest.mark.parametrize("scenario", OURS, ids=lambda scenario: scenario.name)
def test_a_scenario_yields_figures_and_ends_its_processes(scenario: Scenario) -> None:
    before = set(psutil.Process().children(recursive=True))
    try:
        figures = asyncio.run(scenario.measure(Small(1, True)))
    except NotPossibleError:
        if scenario.name not in ("run-node", "run-worker-go"):
            raise
        return
    assert figures
    for figure in figures:
        assert figure.samples
        assert figure.median >= 0
        assert figure.median > 0 or figure.unit == "MiB"
        if figure.cpu_ms_per_item is not None:
            assert figure.cpu_ms_per_item > 0
    left = set(psutil.Process().children(recursive=True)) - before
    psutil.wait_procs(left, timeout=5)
    assert not [process for process in left if process.is_running()]


def test_flat_is_the_most_over_the_least_in_each_repetition() -> None:
    figure = flatness_figure("cost", {10: [1.0, 2.0], 1000: [2.0, 2.5]}, "items")
    assert list(figure.samples) == [2.0, 1.25]
    assert figure.details == {"cpu_ms_at_10_items": 1.5, "cpu_ms_at_1000_items": 2.25}
