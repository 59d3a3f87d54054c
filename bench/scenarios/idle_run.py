"""A run of one item on an idle gateway: from the submit to the durable result at the client."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.figures import IDLE_RUN, Figure, percentile
from bench.job import ECHO_FLOW, payload
from bench.measure import Repetition, detail_figure, repeat
from bench.processes import python_plugin, running_gateway
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

WARM_UP_RUNS = 20


async def _measure(plan: Plan) -> Sequence[Figure]:
    runs = plan.size(200, 50)
    async with running_gateway({"python": python_plugin()}) as gateway, AsyncClient(gateway.target) as client:
        flow_id = await client.store_flow(ECHO_FLOW)
        await _run_one_by_one(client, flow_id, WARM_UP_RUNS)

        async def once(one: Repetition) -> None:
            took_ms = await _run_one_by_one(client, flow_id, runs)
            one.details = {"p50_ms": percentile(took_ms, 0.5), "p99_ms": percentile(took_ms, 0.99)}

        repetitions = await repeat(plan, gateway.pids, runs, once)
    return [
        detail_figure("one-item run, p50", "ms", "p50_ms", repetitions, target=2, beyond=1, job=IDLE_RUN),
        detail_figure("one-item run, p99", "ms", "p99_ms", repetitions, target=6),
    ]


async def _run_one_by_one(client: AsyncClient, flow_id: str, count: int) -> list[float]:
    """Milliseconds of each run."""
    took_ms: list[float] = []
    for index in range(count):
        began_s = time.perf_counter()
        status = await client.run(flow_id, [payload(index)])
        took_ms.append(1000 * (time.perf_counter() - began_s))
        status.raise_for_failures()
    return took_ms


SCENARIOS = (Scenario("idle-run", "runs of one item, one after the other", _measure),)
