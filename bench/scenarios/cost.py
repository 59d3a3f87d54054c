"""Whether an item costs the same in a long run as in a short one, and beside many open runs as beside none."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping, Sequence

from bench.figures import Figure
from bench.job import ECHO_FLOW, one_step_flow, payload, payload_stream, payloads, run_to_end
from bench.measure import Repetition
from bench.processes import python_plugin, running_gateway
from bench.scenario import Plan, Scenario
from flowspan import AsyncClient

FLAT = 1.3
AT_ONCE = 256
OPENING_AT_ONCE = 64
WARM_UP_ITEMS = 2_000


async def _by_items(plan: Plan) -> Sequence[Figure]:
    sizes = sorted({plan.size(10_000, 10_000), plan.size(100_000, 30_000), plan.size(1_000_000, 100_000)})
    costs: dict[int, list[float]] = {size: [] for size in sizes}
    async with running_gateway({"python": python_plugin()}) as gateway, AsyncClient(gateway.target, timeout_s=120) as client:
        flow_id = await client.store_flow(ECHO_FLOW)
        await run_to_end(client, flow_id, payloads(WARM_UP_ITEMS), WARM_UP_ITEMS, AT_ONCE)
        for _ in range(plan.repetitions):
            for size in sizes:
                with Repetition(gateway.pids, size) as one:
                    await run_to_end(client, flow_id, payload_stream(size), size, AT_ONCE)
                costs[size].append(one.cpu_ms_per_item)
    return [flatness_figure("CPU per item by items of a run, most over least", costs, "items")]


async def _by_open_runs(plan: Plan) -> Sequence[Figure]:
    items = plan.size(20_000, 10_000)
    inputs = payloads(items)
    costs: dict[int, list[float]] = {}
    plugins = {"python": python_plugin(), "parked": python_plugin()}
    async with running_gateway(plugins) as gateway, AsyncClient(gateway.target, timeout_s=120) as client:
        flow_id = await client.store_flow(ECHO_FLOW)
        hold_id = await client.store_flow(one_step_flow("/parked/hold"))
        await run_to_end(client, flow_id, inputs[:WARM_UP_ITEMS], len(inputs[:WARM_UP_ITEMS]), AT_ONCE)
        held: list[str] = []
        opened = 1  # the run that is measured
        for wanted in sorted({1, plan.size(1_000, 100), plan.size(10_000, 1_000)}):
            held += await _open_runs(client, hold_id, wanted - opened)
            opened = max(opened, wanted)
            costs[wanted] = []
            for _ in range(plan.repetitions):
                with Repetition(gateway.pids, items) as one:
                    await run_to_end(client, flow_id, inputs, items, AT_ONCE)
                costs[wanted].append(one.cpu_ms_per_item)
        for run_id in (held[0], held[-1]):
            if (await client.get(run_id)).completed_at_us is not None:
                raise RuntimeError("runs that were to stay open have ended")
    return [flatness_figure("CPU per item by open runs, most over least", costs, "open_runs")]


def flatness_figure(name: str, costs: Mapping[int, Sequence[float]], what: str) -> Figure:
    """`costs`: CPU milliseconds per item, of each repetition, by how many `what` there were."""
    samples = [max(at_each) / min(at_each) for at_each in zip(*costs.values(), strict=True)]
    details = {f"cpu_ms_at_{count}_{what}": statistics.median(each) for count, each in costs.items()}
    return Figure(name, "times", samples, FLAT, more_is_better=False, details=details)


async def _open_runs(client: AsyncClient, hold_id: str, count: int) -> list[str]:
    """So many more runs of one item that do not end; their ids."""
    left = iter(range(count))
    held: list[str] = []

    async def submit() -> None:
        for index in left:
            held.append((await client.submit(hold_id, [payload(index)], max_concurrency=1)).run_id)

    await asyncio.gather(*[submit() for _ in range(OPENING_AT_ONCE)])
    return held


SCENARIOS = (
    Scenario("cost-items", "CPU per item of runs of 10,000 to 1,000,000 items", _by_items),
    Scenario("cost-open-runs", "CPU per item beside 1 to 10,000 open runs", _by_open_runs),
)
