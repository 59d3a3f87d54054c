"""A third of the workers of a queue are killed at random during a run: `tests.workers.crowd` in small, and in full when deep."""

from __future__ import annotations

import pytest

from tests.workers.crowd import built_languages, run_crowd


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_third_of_the_workers_is_killed_and_nothing_is_lost_or_doubled(seed: int) -> None:
    seen = await run_crowd(workers=12, items=6_000, others={}, seed=seed, work_s=0.005)
    assert not seen.faults, seen
    assert seen.killed == 4
    assert len(seen.shares) == 8


@pytest.mark.deep
async def test_a_hundred_workers_of_several_languages() -> None:
    seen = await run_crowd(workers=100, items=100_000, others=built_languages(), seed=3, work_s=0.005)
    assert not seen.faults, seen
    assert seen.killed == 33
