"""Memory of the gateway process: idle, with a run of a million items that are streamed in and out, and what is left of it and
of a hundred watchers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from bench.figures import Figure
from bench.job import ECHO_FLOW, payload_stream, run_to_end
from bench.measure import Repetition, peak_memory, resident_mib
from bench.processes import python_plugin, running_gateway, running_program
from bench.scenario import Plan, Scenario
from bench.scenarios.watchers import STALLED, WATCHERS, watched_run
from flowspan import AsyncClient

SETTLE_S = 1.0
WATCHED_ITEMS = 20_000
MOST_LEFT_MIB = 48.0
"""What may be left: code that was read, the caches of SQLite and Python, and no part of what a run or a watcher took."""


async def _measure(plan: Plan) -> Sequence[Figure]:
    items = plan.size(1_000_000, 100_000)
    async with running_gateway({"python": python_plugin()}) as gateway:
        await asyncio.sleep(SETTLE_S)  # whatever the start leaves behind
        idle = resident_mib(gateway.pid)
        async with AsyncClient(gateway.target, timeout_s=120) as client:
            flow_id = await client.store_flow(ECHO_FLOW)
            async with peak_memory(gateway.pid) as peak:
                with Repetition(gateway.pids, items) as one:
                    details = await run_to_end(client, flow_id, payload_stream(items), items, 256)
            command = [sys.executable, "-m", "bench.clients.counting_watchers", gateway.target]
            async with running_program(command, {}) as watchers:
                await watched_run(client, gateway, watchers, flow_id, WATCHED_ITEMS, WATCHERS - STALLED, STALLED)
        await asyncio.sleep(SETTLE_S)
        left = resident_mib(gateway.pid) - idle
    details |= {"items": items, "items_per_s": one.rate}
    return [
        Figure("memory, idle", "MiB", [idle], 80, more_is_better=False),
        Figure(
            f"memory, run of {items:,} items",
            "MiB",
            [peak.mib],
            400,
            more_is_better=False,
            cpu_ms_per_item=one.cpu_ms_per_item,
            others_share=one.others_share,
            details=details,
        ),
        Figure("memory left behind by that run and 100 watchers", "MiB", [max(0.0, left)], MOST_LEFT_MIB, more_is_better=False),
    ]


SCENARIOS = (Scenario("memory", "the gateway's memory, idle and with a run of 1,000,000 items", _measure),)
