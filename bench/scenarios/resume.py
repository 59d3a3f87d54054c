"""After `kill -9` of a gateway with 100,000 pending items: how soon the first of them is done, once the process is up again."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence

from bench.figures import Figure
from bench.job import one_step_flow, payload_stream
from bench.processes import gateway_in, kill, python_plugin
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

AT_ONCE = 64
SPARE_ITEMS = 2_000
"""More than are done until the kill."""
TARGET_S = 1.0


async def _measure(plan: Plan) -> Sequence[Figure]:
    items = plan.size(100_000 + SPARE_ITEMS, 20_000)
    made = [await _kill_and_resume(items) for _ in range(plan.repetitions + 1)][1:]
    details = {
        "pending_items": min(pending for _, _, pending in made),
        "ready_s": sorted(ready_s for _, ready_s, _ in made)[len(made) // 2],
    }
    first_s = [first for first, _, _ in made]
    return [Figure("first new item after a kill", "s", first_s, TARGET_S, more_is_better=False, details=details)]


async def _kill_and_resume(items: int) -> tuple[float, float, int]:
    """Seconds from the ready line to the first result that was made after it, at the client; seconds from the start to the
    ready line; items that were pending.

    Raises:
        RuntimeError: nothing was left to be done, or something was done twice.
    """
    plugins = {"python": python_plugin()}
    with tempfile.TemporaryDirectory(prefix="flowspan-bench-") as directory:
        seen = bytearray(items)
        async with gateway_in(directory, plugins) as gateway, AsyncClient(gateway.target, timeout_s=60) as client:
            flow_id = await client.store_flow(one_step_flow("/python/nap"))
            run_id = (await client.submit(flow_id, payload_stream(items), max_concurrency=AT_ONCE)).run_id
            async with client.watch(run_id) as watch:
                for result in await watch.next_batch():
                    seen[result.item_index] += 1
                cursor = watch.cursor
                kill(gateway)
        killed_us = time.time_ns() // 1000
        async with gateway_in(directory, plugins) as gateway, AsyncClient(gateway.target, timeout_s=60) as client:
            up_s = time.perf_counter()
            async with client.watch(run_id, after_seq=cursor) as watch:
                new = 0
                while not new:
                    batch = await watch.next_batch()
                    if not batch:
                        raise RuntimeError("the run was over before the kill")
                    for result in batch:
                        seen[result.item_index] += 1
                        new += result.completed_at_us > killed_us
                first_s = time.perf_counter() - up_s
            if max(seen) > 1:
                raise RuntimeError("an item has two results")
            return first_s, gateway.ready_s, items - sum(seen) + new


SCENARIOS = (Scenario("resume", "kill -9 with 100,000 pending items, then the first new one", _measure),)
