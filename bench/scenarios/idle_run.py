"""A run of one item on an idle gateway: from the submit to the durable result at the client."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.figures import Figure, percentile
from bench.job import ECHO_FLOW, payload
from bench.processes import python_plugin, running_gateway
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient


async def _measure(plan: Plan) -> Sequence[Figure]:
    runs = plan.size(200, 50) * plan.repetitions
    took_ms: list[float] = []
    async with running_gateway({"python": python_plugin()}) as gateway, AsyncClient(gateway.target) as client:
        flow_id = await client.store_flow(ECHO_FLOW)
        for index in range(runs + 20):
            began_s = time.perf_counter()
            status = await client.run(flow_id, [payload(index)])
            took_ms.append(1000 * (time.perf_counter() - began_s))
            status.raise_for_failures()
    del took_ms[:20]  # warm-up
    details = {"runs": len(took_ms), "p90_ms": percentile(took_ms, 0.9)}
    return [
        Figure("one-item run, p50", "ms", took_ms, 2.0, more_is_better=False, details=details),
        Figure("one-item run, p99", "ms", [percentile(took_ms, 0.99)], 6.0, more_is_better=False),
    ]


SCENARIOS = (Scenario("idle-run", "runs of one item, one after the other", _measure),)
