"""One durable run whose results are streamed: submit, execute, commit, read, all in the figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.figures import DURABLE_RUN, Figure
from bench.job import ECHO_FLOW, NODE_FLOW, NOOP_FLOW, WORKER_FLOW, payloads, run_to_end
from bench.measure import Repetition, cpu_figure, rate_figure, repeat
from bench.processes import go_worker, node_plugin, python_plugin, python_worker, running_gateway, running_worker
from bench.scenario import NotPossibleError, Plan, Scenario
from flowspan import AsyncClient

WARM_UP_ITEMS = 2_000
CPU_TARGET_MS = 0.04
CPU_BEYOND_MS = 0.02


async def _measure(
    plan: Plan,
    name: str,
    plugins: dict[str, Any],
    flow: dict[str, Any],
    *,
    max_concurrency: int,
    target: float,
    ceiling: str | None,
    cpu_name: str | None = None,
) -> Sequence[Figure]:
    items = plan.size(50_000, 10_000)
    inputs = payloads(items)
    async with running_gateway(plugins) as gateway, AsyncClient(gateway.target, timeout_s=60) as client:
        flow_id = await client.store_flow(flow)
        warm_up = inputs[:WARM_UP_ITEMS]
        await run_to_end(client, flow_id, warm_up, len(warm_up), max_concurrency)

        async def once(one: Repetition) -> None:
            one.details = await run_to_end(client, flow_id, inputs, items, max_concurrency)

        repetitions = await repeat(plan, gateway.pids, items, once)
    figures = [rate_figure(name, repetitions, target=target, ceiling=ceiling, job=DURABLE_RUN)]
    if cpu_name is not None:
        figures.append(cpu_figure(cpu_name, repetitions, target=CPU_TARGET_MS, beyond=CPU_BEYOND_MS))
    return figures


async def _python_256(plan: Plan) -> Sequence[Figure]:
    return await _measure(
        plan, "durable run, Python, K=256", {"python": python_plugin()}, ECHO_FLOW,
        max_concurrency=256, target=40_000, ceiling="sketch, K=256", cpu_name="CPU per item, K=256",
    )  # fmt: skip


async def _python_16(plan: Plan) -> Sequence[Figure]:
    return await _measure(
        plan, "durable run, Python, K=16", {"python": python_plugin()}, ECHO_FLOW,
        max_concurrency=16, target=20_000, ceiling="sketch, K=16",
    )  # fmt: skip


async def _two_processes(plan: Plan) -> Sequence[Figure]:
    return await _measure(
        plan, "durable run, two Python processes, K=256", {"python": python_plugin(replicas=2)}, ECHO_FLOW,
        max_concurrency=256, target=50_000, ceiling="sketch, K=256",
    )  # fmt: skip


async def _worker(plan: Plan, name: str, command: Sequence[str], target: float) -> Sequence[Figure]:
    """As `_measure`, through a worker that connects to the gateway's queue."""
    items = plan.size(50_000, 10_000)
    inputs = payloads(items)
    plugins = {"worker": {"type": "worker", "queue": "bench"}}
    async with (
        running_gateway(plugins) as gateway,
        running_worker(command, gateway.target, "bench") as worker_pids,
        AsyncClient(gateway.target, timeout_s=60) as client,
    ):
        flow_id = await client.store_flow(WORKER_FLOW)
        # Ends once the worker has connected.
        warm_up = inputs[:WARM_UP_ITEMS]
        await run_to_end(client, flow_id, warm_up, len(warm_up), 256)

        async def once(one: Repetition) -> None:
            one.details = await run_to_end(client, flow_id, inputs, items, 256)

        repetitions = await repeat(plan, [*gateway.pids, *worker_pids], items, once)
    return [rate_figure(name, repetitions, target=target, ceiling="sketch, K=256", job=DURABLE_RUN)]


async def _python_worker(plan: Plan) -> Sequence[Figure]:
    return await _worker(plan, "durable run, Python gRPC worker, K=256", python_worker(), 30_000)


async def _go_worker(plan: Plan) -> Sequence[Figure]:
    command = go_worker()
    if command is None:
        raise NotPossibleError("the SDK for Go is not built; run make -C clients/go build")
    return await _worker(plan, "durable run, Go gRPC worker, K=256", command, 60_000)


async def _node(plan: Plan) -> Sequence[Figure]:
    plugin = node_plugin()
    if plugin is None:
        raise NotPossibleError("Node.js is not installed")
    return await _measure(
        plan, "durable run, Node, K=256", {"node": plugin}, NODE_FLOW, max_concurrency=256, target=40_000, ceiling="sketch, K=256"
    )


async def _builtin(plan: Plan) -> Sequence[Figure]:
    return await _measure(plan, "durable run, built-in, K=256", {}, NOOP_FLOW, max_concurrency=256, target=80_000, ceiling=None)


SCENARIOS = (
    Scenario("run-python", "50,000 items through one Python component server, 256 at once", _python_256),
    Scenario("run-python-16", "the same, 16 at once", _python_16),
    Scenario("run-two", "the same through two Python processes, 256 at once", _two_processes),
    Scenario("run-worker", "the same through one gRPC worker in Python", _python_worker),
    Scenario("run-worker-go", "the same through one gRPC worker in Go", _go_worker),
    Scenario("run-node", "the same through one component server in Node", _node),
    Scenario("run-builtin", "the same through a component inside the gateway", _builtin),
)
