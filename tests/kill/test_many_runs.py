"""A hundred open runs with a thousand items each: a restart opens them all, and all of them go on."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from flowspan.client import AsyncClient
from flowspan.view.events import RunStatusCode
from tests.kill.gateway_process import GatewayProcess

RUNS = 100
ITEMS = 1_000
RESUME_S = 5.0
FLOW = {
    "name": "one of many",
    "steps": [{"id": "a", "component": "/ledger/work", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}


async def progress(client: AsyncClient) -> dict[str, int]:
    """Results of each run."""
    return {run.run_id: run.items.success async for run in client.list(label="many", page_size=RUNS)}


@pytest.mark.timeout(120)
async def test_all_go_on_within_five_seconds_of_the_restart(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, f"many-{os.getpid()}", work_ms=60)
    gateway.start()
    try:
        async with AsyncClient(gateway.target) as client:
            flow_id = await client.store_flow(FLOW)
            runs = [
                await client.submit(flow_id, list(range(ITEMS)), max_concurrency=10, label="many", request_id=f"run-{number}")
                for number in range(RUNS)
            ]
            async with asyncio.timeout(10):
                while min((await progress(client)).values()) < 5:
                    await asyncio.sleep(0.05)
            before = await progress(client)
            gateway.kill()
            assert gateway.wait_all_gone(1.0) == []
            gateway.start()
            opened_s = time.monotonic() - gateway.started_at
            found = await progress(client)
            assert found.keys() == {run.run_id for run in runs} == before.keys()
            assert all(found[run_id] >= count for run_id, count in before.items()), "results were lost"
            async with asyncio.timeout(20):
                while not all(count > found[run_id] for run_id, count in (await progress(client)).items()):
                    await asyncio.sleep(0.02)
            all_go_on_s = time.monotonic() - gateway.started_at
            print(f"{RUNS} runs: ready after {opened_s:.2f} s, all go on after {all_go_on_s:.2f} s")
            assert all_go_on_s < RESUME_S
            await asyncio.gather(*(client.cancel(run.run_id) for run in runs[1:]))
            done = await client.wait(runs[0].run_id, timeout_s=30)
            assert (done.status, done.items.success) == (RunStatusCode.SUCCESS, ITEMS)
            assert gateway.terminate() == 0
    finally:
        gateway.end()
