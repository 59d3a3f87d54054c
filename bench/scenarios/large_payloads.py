"""Payloads of 1 MB, from the client through the component and the disk and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.figures import Figure
from bench.job import ECHO_FLOW, run_to_end
from bench.measure import Repetition, rate_figure, repeat
from bench.processes import python_plugin, running_gateway
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

PAYLOAD_BYTES = 1_000_000
AT_ONCE = 16


async def _measure(plan: Plan) -> Sequence[Figure]:
    items = plan.size(300, 60)
    async with running_gateway({"python": python_plugin()}) as gateway, AsyncClient(gateway.target, timeout_s=120) as client:
        flow_id = await client.store_flow(ECHO_FLOW)
        await run_to_end(client, flow_id, _inputs(AT_ONCE), AT_ONCE, AT_ONCE)

        async def once(one: Repetition) -> None:
            one.details = await run_to_end(client, flow_id, _inputs(items), items, AT_ONCE)

        repetitions = await repeat(plan, gateway.pids, items, once)
    return [rate_figure("payloads of 1 MB", repetitions, target=250)]


def _inputs(count: int) -> Iterator[object]:
    data = "x" * (PAYLOAD_BYTES - 20)
    return ({"n": index, "data": data} for index in range(count))


SCENARIOS = (Scenario("large-payloads", "300 items of 1 MB each way", _measure),)
