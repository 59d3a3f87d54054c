"""Many small runs side by side: submit, wait, take the results, each run by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bench.figures import Figure, percentile
from bench.job import ECHO_FLOW, payloads
from bench.measure import Repetition, rate_figure, repeat
from bench.processes import python_plugin, running_gateway
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

ITEMS_PER_RUN = 10
AT_ONCE = 64


async def _measure(plan: Plan) -> Sequence[Figure]:
    runs = plan.size(1_000, 200)
    inputs = payloads(ITEMS_PER_RUN)
    async with running_gateway({"python": python_plugin()}) as gateway, AsyncClient(gateway.target, timeout_s=60) as client:
        flow_id = await client.store_flow(ECHO_FLOW)

        async def once(one: Repetition) -> None:
            took_ms = await _run_all(client, flow_id, inputs, runs)
            one.details = {"p50_ms": percentile(took_ms, 0.5), "p99_ms": percentile(took_ms, 0.99)}

        await once(Repetition(gateway.pids))  # warms up
        repetitions = await repeat(plan, gateway.pids, runs, once)
    return [rate_figure("runs of ten items, 64 side by side", repetitions, unit="runs/s")]


async def _run_all(client: AsyncClient, flow_id: str, inputs: list[dict[str, object]], runs: int) -> list[float]:
    """Milliseconds of each run. Raises if one of them has not all its results."""
    took_ms: list[float] = []
    left = iter(range(runs))

    async def one_after_the_other() -> None:
        for _ in left:
            began_s = time.perf_counter()
            status = await client.run(flow_id, inputs, max_concurrency=ITEMS_PER_RUN)
            took_ms.append(1000 * (time.perf_counter() - began_s))
            status.raise_for_failures()
            if status.items.success != len(inputs):
                raise RuntimeError(f"a run is wrong: {status.items}")

    await asyncio.gather(*[one_after_the_other() for _ in range(AT_ONCE)])
    return took_ms


SCENARIOS = (Scenario("small-runs", "1,000 runs of 10 items, 64 side by side", _measure),)
