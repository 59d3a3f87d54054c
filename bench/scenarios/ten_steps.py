"""A flow of ten built-in steps, each taking the output of the one before."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import Figure
from bench.job import chain_flow, payloads, run_to_end
from bench.measure import Repetition, detail_figure, rate_figure, repeat
from bench.processes import running_gateway
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

STEPS = 10
WARM_UP_ITEMS = 1_000


async def _measure(plan: Plan) -> Sequence[Figure]:
    items = plan.size(20_000, 5_000)
    inputs = payloads(items)
    async with running_gateway({}) as gateway, AsyncClient(gateway.target, timeout_s=60) as client:
        flow_id = await client.store_flow(chain_flow(STEPS))
        warm_up = inputs[:WARM_UP_ITEMS]
        await run_to_end(client, flow_id, warm_up, len(warm_up), 256)

        async def once(one: Repetition) -> None:
            await run_to_end(client, flow_id, inputs, items, 256)

        repetitions = await repeat(plan, gateway.pids, items, once)
    for one in repetitions:
        one.details["us_per_step"] = 1e6 * one.wall_s / items / STEPS
    return [
        rate_figure("ten built-in steps", repetitions, target=8_000),
        detail_figure("time per built-in step", "µs", "us_per_step", repetitions, target=10),
    ]


SCENARIOS = (Scenario("ten-steps", "20,000 items through ten built-in steps", _measure),)
