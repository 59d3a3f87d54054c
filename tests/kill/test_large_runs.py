"""A run of very many items: they stream in, stream out, and the gateway's memory hardly notices.

The full size, a million items, is a deep test.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flowspan.client import AsyncClient
from flowspan.protobuf.convert import run_status_from_message
from flowspan.v1 import run_service_pb2 as pb
from flowspan.v1.json_value_pb2 import JsonValue
from flowspan.view.status import RunStatus
from tests.kill.gateway_process import GatewayProcess

FLOW = {
    "name": "large",
    "steps": [{"id": "a", "component": "/ledger/fast", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}
SLOW_FLOW = {
    "name": "slow",
    "steps": [{"id": "a", "component": "/ledger/work", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}
ITEMS_PER_MESSAGE = 5_000
MILLION_MIB = 400.0
"""Promised peak of the resident memory with a million items."""
IDLE_MIB = 110.0
"""Interpreter, gRPC, SQLite's caches and a pipe's buffers: what a gateway takes with any run in flight (72 MiB without one)."""


async def messages(flow_id: str, total: int) -> AsyncIterator[bytes]:
    options = pb.RunOptions(flow_id=flow_id, max_concurrency=1_000, request_id="large")
    yield pb.SubmitRunStreamRequest(options=options).SerializeToString()
    for first in range(0, total, ITEMS_PER_MESSAGE):
        numbers = range(first, min(first + ITEMS_PER_MESSAGE, total))
        inputs = [JsonValue(json=b'{"item":%d,"text":"some thirty bytes of payload"}' % number) for number in numbers]
        yield pb.SubmitRunStreamRequest(inputs=inputs).SerializeToString()


async def stream_through(gateway: GatewayProcess, total: int) -> tuple[float, float]:
    """Submit, watch to the end, check each item. Seconds of the submit and of the run."""
    async with AsyncClient(gateway.target) as client:
        flow_id = await client.store_flow(FLOW)
        began = time.monotonic()
        run = await submit(client, flow_id, total)
        submitted = time.monotonic()
        seen = bytearray(total)
        async with client.watch(run.run_id) as watch:
            async for batch in watch.batches():
                for result in batch:
                    assert result.payload == b'{"item":%d,"text":"some thirty bytes of payload"}' % result.item_index
                    seen[result.item_index] += 1
        assert seen == b"\1" * total
        done = await client.get(run.run_id)
        assert (done.items.success, done.items.failed) == (total, 0)
        return submitted - began, time.monotonic() - submitted


async def submit(client: AsyncClient, flow_id: str, total: int) -> RunStatus:
    call = client.raw.runs.SubmitRunStream()
    async for message in messages(flow_id, total):
        await call.write(message)
    await call.done_writing()
    return run_status_from_message((await call).run)


async def measure(home: Path, total: int) -> float:
    gateway = GatewayProcess(home, f"large-{os.getpid()}-{total}")
    gateway.start()
    try:
        idle_mib = gateway.resident_mib()
        submit_s, run_s = await stream_through(gateway, total)
        peak_mib = gateway.resident_mib()
        print(
            f"{total} items: submitted in {submit_s:.2f} s, {total / run_s:.0f} items/s, "
            f"peak {peak_mib:.0f} MiB (idle {idle_mib:.0f} MiB)"
        )
        assert gateway.terminate() == 0
        return peak_mib
    finally:
        gateway.end()


@pytest.mark.timeout(120)
async def test_a_hundred_thousand_items_take_their_share_of_the_memory_that_is_promised_for_a_million(tmp_path: Path) -> None:
    total = 100_000
    assert await measure(tmp_path, total) < IDLE_MIB + (MILLION_MIB - IDLE_MIB) * total / 1_000_000


@pytest.mark.deep
@pytest.mark.timeout(900)
async def test_a_million_items_fit_into_400_mib(tmp_path: Path) -> None:
    assert await measure(tmp_path, 1_000_000) < MILLION_MIB


async def test_ten_thousand_items_are_durable_within_a_quarter_of_a_second(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, f"ack-{os.getpid()}", work_ms=1_000)
    gateway.start()
    took_ms: list[float] = []
    try:
        async with AsyncClient(gateway.target) as client:
            flow_id = await client.store_flow(SLOW_FLOW)
            request = pb.SubmitRunRequest(
                options=pb.RunOptions(flow_id=flow_id, max_concurrency=10),
                inputs=[JsonValue(json=b"%d" % number) for number in range(10_000)],
            ).SerializeToString()
            for _ in range(9):
                at = time.perf_counter()
                answer = await client.raw.runs.SubmitRun(request)
                took_ms.append((time.perf_counter() - at) * 1000)
                await client.cancel(answer.run.run_id)
                await asyncio.sleep(0.1)
        print(f"10,000 items durable after {', '.join(f'{ms:.0f}' for ms in took_ms)} ms")
        assert statistics.median(took_ms) < 250
    finally:
        gateway.end()
