"""A hundred watchers on one run, one of them stalled: what they take from the run, and what they cost the gateway in memory."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence

from bench.figures import Figure
from bench.job import ECHO_FLOW, payloads
from bench.measure import peak_memory
from bench.processes import Running, python_plugin, running_gateway, running_program
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

WATCHERS = 100
STALLED = 1
AT_ONCE = 256
WATCH_LIMIT_S = 120.0


async def _measure(plan: Plan) -> Sequence[Figure]:
    items = 50_000  # also if time is short: a run that is over before all watchers are there would flatter
    kept: list[float] = []
    more_mib: list[float] = []
    behind_s: list[float] = []
    async with running_gateway({"python": python_plugin()}) as gateway, AsyncClient(gateway.target, timeout_s=60) as client:
        command = [sys.executable, "-m", "bench.clients.counting_watchers", gateway.target]
        async with running_program(command, {}) as watchers:
            flow_id = await client.store_flow(ECHO_FLOW)
            for number in range(plan.repetitions + 1):
                alone_s, _, alone_mib = await watched_run(client, gateway, watchers, flow_id, items, 1, 0)
                crowd_s, crowd_wall_s, crowd_mib = await watched_run(
                    client, gateway, watchers, flow_id, items, WATCHERS - STALLED, STALLED
                )
                if number:  # the first warms up
                    kept.append(alone_s / crowd_s)
                    more_mib.append(crowd_mib - alone_mib)
                    behind_s.append(crowd_wall_s)
    details = {"all_have_all_s": sorted(behind_s)[len(behind_s) // 2], "items": items}
    return [
        Figure("share of its rate that a run keeps with 100 watchers", "times", kept, 0.5, details=details),
        Figure("memory for 100 watchers instead of one", "MiB", [max(0.0, one) for one in more_mib], 96, more_is_better=False),
    ]


async def watched_run(
    client: AsyncClient, gateway: Running, watchers: Running, flow_id: str, items: int, reading: int, stalled: int
) -> tuple[float, float, float]:
    """Seconds from the run's acceptance to its end, by its own log; seconds until all that read had all; peak memory in MiB.

    Raises:
        RuntimeError: not every watcher got the same bytes.
    """
    async with peak_memory(gateway.pid) as peak:
        run_id = (await client.submit(flow_id, payloads(items), max_concurrency=AT_ONCE)).run_id
        began_s = time.perf_counter()
        answer = await asyncio.wait_for(_watch(watchers, run_id, reading, stalled), WATCH_LIMIT_S)
        wall_s = time.perf_counter() - began_s
    status = await client.wait(run_id)
    counted = answer["bytes"]
    if len(counted) != reading or min(counted) < 10 * items or status.completed_at_us is None:
        raise RuntimeError(f"watchers got {min(counted)} to {max(counted)} bytes of {items} items")
    return (status.completed_at_us - status.description.created_at_us) / 1e6, wall_s, peak.mib


async def _watch(watchers: Running, run_id: str, reading: int, stalled: int) -> dict[str, list[int]]:
    order = json.dumps({"runId": run_id, "reading": reading, "stalled": stalled})
    answer: dict[str, list[int]] = json.loads(await watchers.ask(order))
    return answer


SCENARIOS = (Scenario("watchers", "one run with 100 watchers in one process, one of them stalled", _measure),)
