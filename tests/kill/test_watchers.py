"""Fifty watchers on one run, stalled and killed: the run does not notice, and nothing of them stays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flowspan.client import AsyncClient
from flowspan.protobuf.segments import decode_segments
from flowspan.v1 import run_service_pb2 as pb
from flowspan.view.events import ItemCompleted
from tests.e2e.house import house
from tests.kill.gateway_process import GatewayProcess

HERE = Path(__file__).parent
ITEMS = 15_000
PAYLOAD = {"text": "x" * 600}
EACH = 25
FLOW = {
    "name": "watched",
    "steps": [{"id": "a", "component": "/ledger/fast", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}
SPARE = 2 * 4
"""The store opens readers when it needs them, at most 4: a thread and two files each. One watcher that stays behind costs
a connection; twenty-five are far beyond this."""
STALLED_MIB = 96.0
"""What watchers that stall may cost in all: 16 MiB in flight for their messages, the transport's own buffers, the noise of
the allocator. The log that they do not read has 10 MiB for each of them."""


@contextmanager
def clients(gateway: GatewayProcess, run_id: str, reads: int) -> Iterator[subprocess.Popen[bytes]]:
    """`EACH` watchers that have stopped to read."""
    command = [sys.executable, str(HERE / "watching_clients.py"), gateway.target, run_id, str(EACH), str(reads)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()


async def run_seconds(client: AsyncClient) -> float:
    at = time.monotonic()
    run = await client.submit(FLOW, [PAYLOAD] * ITEMS, max_concurrency=500)
    done = await client.wait(run.run_id, timeout_s=60)
    assert done.items.success == ITEMS
    return time.monotonic() - at


@pytest.mark.timeout(120)
async def test_stalled_and_killed_watchers_neither_delay_a_run_nor_stay(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, f"watchers-{os.getpid()}")
    gateway.start()
    try:
        async with AsyncClient(gateway.target) as client:
            alone_s = await run_seconds(client)
            base_fds, base_threads = gateway.descriptors(), gateway.threads()
            base_mib = gateway.resident_mib()
            at = time.monotonic()
            run = await client.submit(FLOW, [PAYLOAD] * ITEMS, max_concurrency=500)
            with clients(gateway, run.run_id, 1) as stalled, clients(gateway, run.run_id, 2) as killed:
                for process in (stalled, killed):
                    assert process.stdout is not None
                    assert await asyncio.to_thread(process.stdout.readline) == b"watching\n"
                killed.kill()
                done = await client.wait(run.run_id, timeout_s=60)
                first_s = time.monotonic() - at
                assert done.items.success == ITEMS
                # The two processes had to start meanwhile, on the same machine; now the stalled ones just sit there.
                beside_s = await run_seconds(client)
                assert gateway.descriptors() >= base_fds + EACH, "the stalled ones are still connected"
                peak_mib = gateway.resident_mib()
            print(
                f"alone {alone_s:.2f} s, beside {2 * EACH} that come, stall and die {first_s:.2f} s, beside {EACH} stalled ones "
                f"{beside_s:.2f} s; memory {base_mib:.0f} -> {peak_mib:.0f} MiB"
            )
            assert beside_s < 1.5 * alone_s + 0.5
            assert peak_mib < base_mib + STALLED_MIB
            async with asyncio.timeout(5):
                while gateway.descriptors() > base_fds + SPARE or gateway.threads() > base_threads + SPARE:
                    await asyncio.sleep(0.05)
        assert gateway.terminate() == 0
    finally:
        gateway.end()


async def test_no_task_of_a_watcher_outlives_it(tmp_path: Path) -> None:
    """The same within one process, where tasks can be counted: half of the watchers read, half of them never do."""
    target = f"unix:{tmp_path}/s"
    async with house(listen=target) as h:
        flow = {"name": "inline", "steps": [], "output": {"$input": "$"}}
        async with AsyncClient(target) as client:
            await client.health()
            await client.run(flow, [PAYLOAD])
            base = len(asyncio.all_tasks())
            run = await client.submit(flow, [PAYLOAD] * 5_000, max_concurrency=100)
            async with AsyncClient(target) as watching:
                calls = [watching.raw.runs.WatchRun(pb.WatchRunRequest(run_id=run.run_id)) for _ in range(2 * EACH)]
                seen = await asyncio.gather(*(results_of(call) for call in calls[:EACH]))
                assert seen == [5_000] * EACH
                assert len(asyncio.all_tasks()) > base
                for call in calls[EACH : EACH + 10]:
                    call.cancel()
            async with asyncio.timeout(5):
                while len(asyncio.all_tasks()) > base or h.gateway._runtime.open_watches:
                    await asyncio.sleep(0.01)


async def results_of(call: object) -> int:
    count = 0
    async for message in call:  # type: ignore[attr-defined]
        for segment in decode_segments(message):
            count += sum(isinstance(event, ItemCompleted) for event in segment.events)
    return count
