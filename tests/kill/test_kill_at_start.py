"""kill -9 while the gateway starts and recovers, several times in a row: a half recovery is as good as none."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import defaultdict
from pathlib import Path

import pytest

from flowspan.client import AsyncClient
from flowspan.view.events import ItemCompleted, RunRecovered
from tests.kill.amounts import amount
from tests.kill.gateway_process import GatewayProcess
from tests.kill.oracle import Start, read_starts
from tests.kill.test_kill import FLOW, whole_log

RUNS = amount("FLOWSPAN_START_KILLS", 2, 60)
KILLS_PER_RUN = 4
ITEMS = 2_000
MAX_CONCURRENCY = 30


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(RUNS))
async def test_kills_in_the_middle_of_recovery_repeat_nothing_that_has_finished(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    gateway = GatewayProcess(tmp_path, f"start-{os.getpid()}-{seed}", work_ms=15)
    gateway.start()
    ready_s = time.monotonic() - gateway.started_at
    kills: list[float] = []
    try:
        async with AsyncClient(gateway.target) as client:
            run = await client.submit(FLOW, list(range(ITEMS)), max_concurrency=MAX_CONCURRENCY)
            await asyncio.sleep(0.3)
            kills.append(gateway.kill())
            for _ in range(KILLS_PER_RUN):
                gateway.launch()
                await asyncio.sleep(rng.uniform(0.3, 1.2) * ready_s)
                kills.append(gateway.kill())
                assert gateway.wait_all_gone(1.0) == []
            gateway.start()
            done = await client.wait(run.run_id, timeout_s=30)
            assert (done.items.success, done.items.failed) == (ITEMS, 0)
            finished: list[set[int]] = [set()]
            expected_seq = 1
            for segment in await whole_log(client, run.run_id):
                assert segment.first_seq == expected_seq, f"seed {seed}: the log has a gap"
                expected_seq = segment.last_seq + 1
                for event in segment.events:
                    match event:
                        case ItemCompleted(item_index):
                            assert item_index not in finished[-1], f"seed {seed}: item {item_index} has two results"
                            finished[-1].add(item_index)
                        case RunRecovered():
                            finished.append(set(finished[-1]))
                        case _:
                            pass
        starts: dict[int, list[Start]] = defaultdict(list)
        for start in read_starts(gateway.ledger, run.run_id):
            starts[start.item].append(start)
        assert starts.keys() == set(range(ITEMS))
        assert 2 <= len(finished) <= len(kills) + 1, "some starts came as far as recovery, and none recovered twice"
        for item, own in starts.items():
            assert [start.attempt for start in own] == sorted({start.attempt for start in own}), f"seed {seed}: item {item}"
            assert len({start.token for start in own}) == 1
            # Attempt n belongs to a life after n - 1 recoveries at least: what had finished before was not started again.
            assert all(item not in finished[start.attempt - 2] for start in own if start.attempt > 1), f"seed {seed}: item {item}"
        for kill, following in zip(kills, [*kills[1:], float("inf")], strict=True):
            repeated = {
                item
                for item, own in starts.items()
                if any(start.at <= kill for start in own) and any(kill < start.at <= following for start in own)
            }
            assert len(repeated) <= MAX_CONCURRENCY, f"seed {seed}: {len(repeated)} items were repeated by one kill"
        print(f"seed {seed}: {len(finished) - 1} recoveries after {len(kills)} kills")
        assert gateway.terminate() == 0
    finally:
        gateway.end()
