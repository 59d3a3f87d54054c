"""Memory of the gateway process: idle, and with a run of a million items that are streamed in and out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import psutil

from bench.figures import Figure
from bench.job import ECHO_FLOW, payload, run_to_end
from bench.measure import Repetition
from bench.processes import python_plugin, running_gateway
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

MIB = 1 << 20
SAMPLE_EVERY_S = 0.05
SETTLE_S = 1.0


async def _measure(plan: Plan) -> Sequence[Figure]:
    items = plan.size(1_000_000, 100_000)
    async with running_gateway({"python": python_plugin()}) as gateway:
        process = psutil.Process(gateway.pid)
        await asyncio.sleep(SETTLE_S)  # whatever the start leaves behind
        idle = process.memory_info().rss / MIB
        async with AsyncClient(gateway.target, timeout_s=120) as client:
            flow_id = await client.store_flow(ECHO_FLOW)
            sampling = asyncio.create_task(_peak(process))
            try:
                with Repetition(gateway.pids, items) as one:
                    details = await run_to_end(client, flow_id, _inputs(items), items, 256)
            finally:
                sampling.cancel()
                (peak,) = await asyncio.gather(sampling)
    details |= {"items": items, "items_per_s": one.rate}
    return [
        Figure("memory, idle", "MiB", [idle], 80, more_is_better=False),
        Figure(
            f"memory, run of {items:,} items",
            "MiB",
            [peak],
            400,
            more_is_better=False,
            cpu_ms_per_item=one.cpu_ms_per_item,
            others_share=one.others_share,
            details=details,
        ),
    ]


def _inputs(count: int) -> Iterator[object]:
    return (payload(index) for index in range(count))


async def _peak(process: psutil.Process) -> float:
    """The largest resident size (MiB) until it is cancelled."""
    peak = 0.0
    try:
        while True:
            peak = max(peak, process.memory_info().rss / MIB)
            await asyncio.sleep(SAMPLE_EVERY_S)
    except asyncio.CancelledError:
        return peak


SCENARIOS = (Scenario("memory", "the gateway's memory, idle and with a run of 1,000,000 items", _measure),)
