"""kill -9 of the gateway at seeded random moments of 10,000-item runs, with a client that reconnects with its cursor.

FLOWSPAN_KILLS sets how many kills there are in all (60; `make deep-tests`: 1,000). A failure prints its seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from flowspan.client import AsyncClient
from flowspan.protobuf.segments import decode_segments
from flowspan.v1 import run_service_pb2 as pb
from flowspan.view.events import Segment
from tests.kill.amounts import amount
from tests.kill.gateway_process import GatewayProcess
from tests.kill.oracle import judge, most_at_once, read_starts

KILLS = amount("FLOWSPAN_KILLS", 60, 1_000)
KILLS_PER_RUN = 6
ITEMS = 10_000
FLOW = {
    "name": "kill",
    "steps": [{"id": "a", "component": "/ledger/work", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}


class Follower:
    """A client that watches a run over kills; never asks for what it has seen."""

    def __init__(self, client: AsyncClient, run_id: str) -> None:
        self.seen: dict[int, bytes] = {}
        self.times: list[float] = []
        self._client = client
        self._run_id = run_id

    async def follow(self) -> None:
        async for result in self._client.watch(self._run_id):
            assert result.item_index not in self.seen, f"item {result.item_index} came twice"
            self.seen[result.item_index] = result.payload
            self.times.append(time.monotonic())


async def whole_log(client: AsyncClient, run_id: str) -> list[Segment]:
    segments: list[Segment] = []
    async for message in client.raw.runs.WatchRun(pb.WatchRunRequest(run_id=run_id)):
        segments += decode_segments(message)
    return segments


async def one_run(home: Path, seed: int) -> None:
    rng = random.Random(seed)
    max_concurrency = rng.choice([4, 32, 100])
    gateway = GatewayProcess(home, f"kill-{os.getpid()}-{seed}", work_ms=max_concurrency / 3.0)
    gateway.start()
    kills: list[float] = []
    resumes: list[float] = []
    try:
        async with AsyncClient(gateway.target) as client:
            run = await client.submit(FLOW, list(range(ITEMS)), max_concurrency=max_concurrency, request_id=f"seed-{seed}")
            follower = Follower(client, run.run_id)
            following = asyncio.create_task(follower.follow())
            for _ in range(KILLS_PER_RUN):
                await asyncio.sleep(rng.uniform(0.0, 0.5))
                if following.done():
                    break
                gateway.kill()
                assert gateway.wait_all_gone(1.0) == [], "processes survived the gateway by more than a second"
                kills.append(time.monotonic())  # the component server outlives the gateway by some milliseconds
                gateway.start()
                again = await client.submit(FLOW, list(range(ITEMS)), max_concurrency=max_concurrency, request_id=f"seed-{seed}")
                assert again.run_id == run.run_id, "the acknowledged run was lost"
                seen_before = len(follower.seen)
                while len(follower.seen) == seen_before and not following.done():
                    assert time.monotonic() - gateway.started_at < 10, "nothing new within 10 s of the restart"
                    await asyncio.sleep(0.005)
                resumes.append(time.monotonic() - gateway.started_at)
            await asyncio.wait_for(following, 50)
            segments = await whole_log(client, run.run_id)
            status = await client.get(run.run_id)
        assert status.items.success == ITEMS
        broken = judge(segments, follower.seen, read_starts(gateway.ledger, run.run_id), kills, ITEMS, max_concurrency)
        assert broken == []
        assert len(follower.seen) == ITEMS
        assert most_at_once(gateway.ledger, run.run_id, kills) <= max_concurrency
        print(f"seed {seed}: {len(kills)} kills, first new item after {', '.join(f'{s:.2f}' for s in resumes)} s")
    finally:
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.terminate()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(KILLS // KILLS_PER_RUN))
async def test_no_acknowledged_run_or_seen_result_is_lost_and_nothing_finished_runs_again(tmp_path: Path, seed: int) -> None:
    await one_run(tmp_path, seed)
