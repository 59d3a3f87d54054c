"""Payloads pass through the gateway as bytes. Whoever parsed one would make the containers in it, and those are counted."""

from __future__ import annotations

import gc
import json

from tests.shape.counted_run import counted_run

CONTAINERS = 30_000
"""In each payload: more than live between two collections of a gateway (`gateway.app` sets the threshold to 20,000)."""

ITEMS = 40


def test_the_gateway_parses_no_payload() -> None:
    run = counted_run([[[]] * CONTAINERS] * ITEMS)
    assert run.items == ITEMS
    assert run.collections < ITEMS / 4


def test_a_parsed_payload_would_be_noticed() -> None:
    payload = json.dumps([[]] * CONTAINERS)
    former = gc.get_threshold()
    gc.set_threshold(20_000, 50, 100)
    try:
        before = gc.get_stats()[0]["collections"]
        for _ in range(ITEMS):
            json.loads(payload)
        assert gc.get_stats()[0]["collections"] - before >= ITEMS
    finally:
        gc.set_threshold(*former)
