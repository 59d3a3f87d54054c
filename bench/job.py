"""The job that is repeated: inputs, flows, and a client that follows a run to its end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flowspan import AsyncClient
from flowspan.client import Watch


def one_step_flow(component: str) -> dict[str, Any]:
    """The input of an item goes through one component and is the item's result."""
    step = {"id": "echo", "component": component, "input": {"$input": "$"}}
    return {"name": "Echo", "steps": [step], "output": {"$step": "echo"}}


ECHO_FLOW = one_step_flow("/python/echo")
NODE_FLOW = one_step_flow("/node/echo")
WORKER_FLOW = one_step_flow("/worker/echo")
NOOP_FLOW = one_step_flow("/builtin/noop")


def chain_flow(steps: int) -> dict[str, Any]:
    """Steps of `/builtin/noop`, each of which takes the output of the one before."""
    chain = [{"id": "s0", "component": "/builtin/noop", "input": {"$input": "$"}}]
    chain += [{"id": f"s{n}", "component": "/builtin/noop", "input": {"$step": f"s{n - 1}"}} for n in range(1, steps)]
    return {"name": f"{steps} steps", "steps": chain, "output": {"$step": f"s{steps - 1}"}}


def payload(index: int) -> dict[str, Any]:
    """An input of about 100 bytes."""
    return {"user_id": f"user{index}", "action": "process", "data": "x" * 50}


def payloads(count: int) -> list[dict[str, Any]]:
    return [payload(index) for index in range(count)]


def payload_stream(count: int) -> Iterator[object]:
    """As `payloads`, made while they are sent; the client streams what is no sequence."""
    return (payload(index) for index in range(count))


async def run_to_end(
    client: AsyncClient, flow_id: str, inputs: Iterable[object], count: int, max_concurrency: int
) -> dict[str, float]:
    """Submit and read every result.

    Returns:
        Details: `submitted_ms` until the watch was open, `messages`: batches that the client took.

    Raises:
        RuntimeError: an item is missing, doubled or failed. A figure of a wrong run is worth nothing.
    """
    began_s = time.perf_counter()
    async with await client.submit_and_watch(flow_id, inputs, max_concurrency=max_concurrency) as watch:
        submitted_s = time.perf_counter() - began_s
        messages = await _read(watch, count)
    return {"submitted_ms": 1000 * submitted_s, "messages": messages}


async def watch_to_end(client: AsyncClient, run_id: str, count: int) -> float:
    """Read every result of a run; seconds until the first one. Raises as `run_to_end`."""
    began_s = time.perf_counter()
    async with client.watch(run_id) as watch:
        first = await watch.next_batch()
        first_s = time.perf_counter() - began_s
        await _read(watch, count, first)
    return first_s


async def _read(watch: Watch, count: int, batch: Sequence[Any] = ()) -> int:
    seen = bytearray(count)
    messages = 0
    while batch or not messages:
        for result in batch:
            seen[result.item_index] += 1
        batch = await watch.next_batch()
        messages += 1
    status = watch.status
    if seen.count(1) != count or status is None or status.items.success != count:
        raise RuntimeError(f"the run is wrong: {seen.count(0)} of {count} results are missing, its status is {status}")
    return messages
