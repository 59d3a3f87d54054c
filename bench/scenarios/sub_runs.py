"""Sub-runs: a component submits a run of one item to the process it runs in, and waits for it."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Figure
from bench.job import ECHO_FLOW, run_to_end
from bench.measure import Repetition, rate_figure, repeat
from bench.processes import python_plugin, running_gateway
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

AT_ONCE = 64
OUTER_FLOW = {
    "name": "Sub-runs",
    "steps": [{"id": "outer", "component": "/python/sub_run", "input": {"$input": "$"}}],
    "output": {"$step": "outer"},
}


async def _measure(plan: Plan) -> Sequence[Figure]:
    items = plan.size(5_000, 1_000)
    async with running_gateway({"python": python_plugin()}) as gateway, AsyncClient(gateway.target, timeout_s=60) as client:
        inner = await client.store_flow(ECHO_FLOW)
        outer = await client.store_flow(OUTER_FLOW)
        await run_to_end(client, outer, [inner] * 200, 200, AT_ONCE)

        async def once(one: Repetition) -> None:
            await run_to_end(client, outer, [inner] * items, items, AT_ONCE)

        repetitions = await repeat(plan, gateway.pids, items, once)
    return [rate_figure("sub-runs from a component, K=64", repetitions, target=2_500)]


SCENARIOS = (Scenario("sub-runs", "a component that submits a run of one item and waits, 64 at once", _measure),)
