"""Many simulated lives, each decided by one seed. A seed that fails names itself; `python -m tests.sim SEED 1` replays it.

FLOWSPAN_SIM_SEEDS sets their number; the deep tier lives 20,000.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.sim.world import live, trace_of

SEEDS: Final = int(os.environ.get("FLOWSPAN_SIM_SEEDS") or (20_000 if os.environ.get("FLOWSPAN_DEEP") else 300))
PARTS: Final = 10


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_holds_in_simulated_lives(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        live(seed)


@pytest.mark.parametrize("seed", [3, 71, 204])
def test_a_seed_lives_the_same_life_again(seed: int) -> None:
    assert trace_of(seed) == trace_of(seed)
