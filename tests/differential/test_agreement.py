"""The engine does what the language's page says, on generated flows. `python -m tests.differential` does more of it.

FLOWSPAN_DIFFERENTIAL_CASES sets how many cases there are (2,000 here; `make deep-tests`: 100,000).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Final

import pytest

from tests.differential.check import check

CASES: Final = int(os.environ.get("FLOWSPAN_DIFFERENTIAL_CASES") or (100_000 if os.environ.get("FLOWSPAN_DEEP") else 2_000))
SHARD: Final = min(CASES, 10_000)
"""Small enough for all cores to have some, large enough for every situation to occur in each."""


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("shard", range(max(1, CASES // SHARD)))
def test_engine_and_reference_agree_on_flows_of_every_kind(shard: int) -> None:
    tally = check(shard, SHARD)
    assert tally.cases >= SHARD * 0.9, "most of what was generated was no case"
    assert not tally.missing(), f"these situations never occurred: {tally.missing()}"
    assert_nothing_dominates(tally.situations)


def assert_nothing_dominates(situations: Counter[str]) -> None:
    """The exact part of the check is the larger one, and most items get somewhere."""
    assert situations["exact set of steps"] > situations["bounded set of steps"]
    assert situations["item: ok"] > SHARD * 0.2
    assert situations["item: output failed"] < SHARD * 0.6
