"""What a caller waits for before and after the acknowledgement of a run of 10,000 items."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.figures import Figure
from bench.job import ECHO_FLOW, payloads, watch_to_end
from bench.measure import Repetition, detail_figure, repeat
from bench.processes import python_plugin, running_gateway
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

ITEMS = 10_000


async def _measure(plan: Plan) -> Sequence[Figure]:
    inputs = payloads(ITEMS)
    async with running_gateway({"python": python_plugin()}) as gateway, AsyncClient(gateway.target, timeout_s=60) as client:
        flow_id = await client.store_flow(ECHO_FLOW)

        async def once(one: Repetition) -> None:
            began_s = time.perf_counter()
            accepted = await client.submit(flow_id, inputs, max_concurrency=256)
            one.details["submit_ms"] = 1000 * (time.perf_counter() - began_s)
            one.details["first_ms"] = 1000 * await watch_to_end(client, accepted.run_id, ITEMS)

        await once(Repetition(gateway.pids))  # warms up
        repetitions = await repeat(plan, gateway.pids, ITEMS, once)
    return [
        detail_figure("durable submit of 10,000 items", "ms", "submit_ms", repetitions, target=60, beyond=25),
        detail_figure("first result after the acknowledgement", "ms", "first_ms", repetitions, target=15),
    ]


SCENARIOS = (Scenario("submit", "10,000 items: until they are durable, and until the first result", _measure),)
