"""Runs that several tests look at from different sides are made once."""

from __future__ import annotations

import pytest

from tests.shape.counted_run import CountedRun, counted_run

ITEMS = 10_000


@pytest.fixture(scope="session")
def plain_run() -> CountedRun:
    """10,000 items of 100 bytes through a component in Python, 256 at once, one watcher."""
    return counted_run([{"user_id": f"user{index}", "action": "process", "data": "x" * 50} for index in range(ITEMS)])
