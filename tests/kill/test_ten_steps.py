"""A flow of ten steps is killed late: what was finished is never done again."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from flowspan.client import AsyncClient
from tests.kill.gateway_process import GatewayProcess
from tests.kill.oracle import ledger_lines

ITEMS = 12
STEPS = 10
NINTH = "s9"


def ten_steps(*, kind_of: dict[int, dict[str, Any]] | None = None) -> dict[str, Any]:
    """A chain s1 .. s10; `s9` waits for the gate. `kind_of`: members of steps that differ."""
    steps: list[dict[str, Any]] = []
    for number in range(1, STEPS + 1):
        step: dict[str, Any] = {
            "id": f"s{number}",
            "component": "/ledger/gated" if number == 9 else "/ledger/work",
            "input": {"item": {"$input": "$"}, "after": {"$step": f"s{number - 1}"} if number > 1 else None},
        }
        steps.append({**step, **(kind_of or {}).get(number, {})})
    return {"name": "ten", "steps": steps, "output": {"$step": f"s{STEPS}"}}


class StepLedger:
    """The ledger by (item, step)."""

    def __init__(self, gateway: GatewayProcess, run_id: str) -> None:
        self.starts: dict[tuple[int, str], list[tuple[int, str, float]]] = defaultdict(list)
        self.ends: dict[tuple[int, str], list[float]] = defaultdict(list)
        for line in ledger_lines(gateway.ledger):
            what, item, step, attempt, token, at, run, _ = line.split()
            if run != run_id:
                continue
            if what == "start":
                self.starts[int(item), step].append((int(attempt), token, float(at)))
            else:
                self.ends[int(item), step].append(float(at))

    def at(self, step: str) -> int:
        """How many items have begun the step."""
        return sum(1 for _, name in self.starts if name == step)


async def until_at(gateway: GatewayProcess, run_id: str, step: str, count: int) -> None:
    async with asyncio.timeout(10):
        while StepLedger(gateway, run_id).at(step) < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kills", [1, 3])
async def test_only_the_ninth_step_runs_again_after_a_kill_during_it(tmp_path: Path, kills: int) -> None:
    gateway = GatewayProcess(tmp_path, f"ten-{os.getpid()}-{kills}")
    gateway.start()
    try:
        async with AsyncClient(gateway.target) as client:
            run = await client.submit(ten_steps(), list(range(ITEMS)), max_concurrency=ITEMS)
            await until_at(gateway, run.run_id, NINTH, ITEMS)
            for number in range(kills):
                gateway.kill()
                gateway.start()
                async with asyncio.timeout(10):
                    while sum(map(len, StepLedger(gateway, run.run_id).starts.values())) < ITEMS * (9 + number + 1):
                        await asyncio.sleep(0.01)
            gateway.gate.touch()
            done = await client.wait(run.run_id, timeout_s=20)
            assert (done.items.success, done.items.failed) == (ITEMS, 0)
        ledger = StepLedger(gateway, run.run_id)
        for item in range(ITEMS):
            for number in range(1, STEPS + 1):
                starts = ledger.starts[item, f"s{number}"]
                assert [attempt for attempt, _, _ in starts] == ([1] if number != 9 else list(range(1, kills + 2)))
                assert len({token for _, token, _ in starts}) == 1
        tokens = {starts[0][1] for starts in ledger.starts.values()}
        assert len(tokens) == ITEMS * STEPS
    finally:
        gateway.end()


async def test_a_kill_among_items_at_all_steps_repeats_one_step_of_each_at_most(tmp_path: Path) -> None:
    """Retries, built-ins and skipped steps stand in between; the kills come wherever they come."""
    flow = ten_steps(
        kind_of={
            2: {"component": "/ledger/clumsy", "onError": {"action": "retry", "maxRetries": 4}},
            4: {"component": "/builtin/sleep", "input": {"duration_ms": 3, "passthrough": {"$step": "s3"}}},
            6: {"component": "/ledger/clumsy", "onError": {"action": "useDefault", "defaultValue": 7}},
            9: {"component": "/ledger/work"},
        }
    )
    total = 300
    gateway = GatewayProcess(tmp_path, f"ten-mixed-{os.getpid()}", work_ms=15)
    gateway.start()
    kills: list[float] = []
    try:
        async with AsyncClient(gateway.target) as client:
            run = await client.submit(flow, list(range(total)), max_concurrency=40)
            for _ in range(4):
                seen = len(StepLedger(gateway, run.run_id).ends)
                async with asyncio.timeout(10):
                    while len(StepLedger(gateway, run.run_id).ends) < seen + 400:
                        await asyncio.sleep(0.01)
                gateway.kill()
                assert gateway.wait_all_gone(1.0) == []
                kills.append(time.monotonic())  # the component server outlives the gateway by some milliseconds
                gateway.start()
            done = await client.wait(run.run_id, timeout_s=30)
            assert (done.items.success, done.items.failed) == (total, 0)
        ledger = StepLedger(gateway, run.run_id)
        lives = [0.0, *kills, float("inf")]
        for (item, step), starts in ledger.starts.items():
            attempts = [attempt for attempt, _, _ in starts]
            # A claim that a kill kept from reaching the component has its number as well, so there may be holes.
            assert attempts == sorted(set(attempts)), (item, step)
            failures = step in ("s2", "s6") and item % 3 == 0 and attempts[0] == 1
            assert attempts[-1] <= 1 + failures + len(kills), (item, step)
            assert len({token for _, token, _ in starts}) == 1
            if len(starts) > 1 + failures:
                assert any(first <= kill < second for kill in kills for first, second in pairwise(at for _, _, at in starts))
        for before, kill, after in zip(lives, lives[1:], lives[2:], strict=False):
            again: dict[int, set[str]] = defaultdict(set)
            for (item, step), starts in ledger.starts.items():
                if any(before < at <= kill for _, _, at in starts) and any(kill < at <= after for _, _, at in starts):
                    again[item].add(step)
            assert all(len(steps) == 1 for steps in again.values()), "an item repeated more than its step in flight"
            assert len(again) <= 40
            for item, steps in again.items():
                # Nothing behind the repeated step had begun: it was the last thing that the item did.
                latest = max(
                    (at, step)
                    for (other, step), starts in ledger.starts.items()
                    if other == item
                    for _, _, at in starts
                    if at <= kill
                )
                assert steps == {latest[1]}
    finally:
        gateway.end()
