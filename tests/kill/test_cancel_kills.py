"""Cancel, then kill -9 right after the OK: what was promised holds."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from flowspan.client import AsyncClient
from flowspan.view.events import RunStatusCode
from tests.kill.amounts import amount
from tests.kill.gateway_process import GatewayProcess
from tests.kill.oracle import read_starts

SEEDS = amount("FLOWSPAN_KILLS", 4, 200)
RUNS_PER_TEST = 4
FLOW = {
    "name": "cancelled",
    "steps": [
        {"id": "a", "component": "/ledger/work", "input": {"$input": "$"}},
        {"id": "b", "component": "/ledger/work", "input": {"$step": "a"}},
    ],
    "output": {"$step": "b"},
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first_seed", range(0, SEEDS, RUNS_PER_TEST))
async def test_nothing_starts_after_the_ok_of_a_cancel_though_the_gateway_dies_at_once(tmp_path: Path, first_seed: int) -> None:
    gateway = GatewayProcess(tmp_path, f"cancel-{os.getpid()}-{first_seed}", work_ms=20)
    gateway.start()
    cancelled: dict[str, float] = {}
    try:
        async with AsyncClient(gateway.target) as client:
            flow_id = await client.store_flow(FLOW)
            for seed in range(first_seed, first_seed + RUNS_PER_TEST):
                rng = random.Random(seed)
                run = await client.submit(flow_id, list(range(2_000)), max_concurrency=rng.choice([10, 100]))
                await asyncio.sleep(rng.uniform(0.0, 0.3))
                answer = await client.cancel(run.run_id, "enough")
                cancelled[run.run_id] = time.monotonic()
                gateway.kill()
                before = answer.items.success
                assert gateway.wait_all_gone(1.0) == []
                gateway.start()
                done = await client.wait(run.run_id, timeout_s=5)
                assert done.status is RunStatusCode.CANCELLED, f"seed {seed}"
                assert done.items.success >= before, f"seed {seed}: results were lost"
                assert done.items.running == 0
            gateway.kill()
            gateway.start()
            for run_id, at in cancelled.items():
                status = await client.get(run_id)
                assert (status.status, status.cancel_reason) == (RunStatusCode.CANCELLED, "enough")
                late = [start for start in read_starts(gateway.ledger, run_id) if start.at > at]
                assert late == [], f"{len(late)} executions began after the OK of the cancel"
    finally:
        gateway.end()
