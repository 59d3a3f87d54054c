"""SIGTERM at random moments: nothing is lost, nothing that finished is repeated, and the process is gone in time.

FLOWSPAN_STOPS sets how many runs are stopped (4; `make deep-tests`: 60), three times each.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from flowspan.client import AsyncClient, RetryPolicy
from flowspan.errors import FlowspanError, Reason, UnavailableError
from flowspan.protobuf.segments import decode_segments
from flowspan.v1 import run_service_pb2 as pb
from flowspan.view.events import ItemCompleted
from tests.kill.amounts import amount
from tests.kill.gateway_process import GatewayProcess
from tests.kill.oracle import read_starts

STOPS = amount("FLOWSPAN_STOPS", 4, 60)
STOPS_PER_RUN = 3
ITEMS = 3_000
STUBBORN = Path(__file__).parent / "stubborn_server.py"


def flow(component: str) -> dict[str, object]:
    return {
        "name": "stopped",
        "steps": [{"id": "a", "component": component, "input": {"$input": "$"}}],
        "output": {"$step": "a"},
    }


class RawWatcher:
    """A watcher that resumes by hand and notes with what each of its streams ended."""

    def __init__(self, target: str, run_id: str) -> None:
        self.items: list[int] = []
        self.ends: list[grpc.StatusCode] = []
        self.through_seq = 0
        self._target = target
        self._run_id = run_id

    async def watch(self) -> None:
        while True:
            async with AsyncClient(self._target) as client:
                request = pb.WatchRunRequest(run_id=self._run_id, after_seq=self.through_seq)
                try:
                    async for message in client.raw.runs.WatchRun(request, wait_for_ready=True, timeout=60):
                        for segment in decode_segments(message):
                            assert segment.first_seq == self.through_seq + 1, "a gap or a repetition"
                            self.through_seq = segment.last_seq
                            self.items += [event.item_index for event in segment.events if isinstance(event, ItemCompleted)]
                    return
                except grpc.aio.AioRpcError as error:
                    self.ends.append(error.code())
                    await asyncio.sleep(0.02)


async def refused_submit(client: AsyncClient, flow_id: str) -> FlowspanError:
    with pytest.raises(FlowspanError) as caught:
        await client.submit(flow_id, [1])
    return caught.value


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(STOPS))
async def test_items_that_finish_within_the_grace_are_never_repeated(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    gateway = GatewayProcess(tmp_path, f"stop-{os.getpid()}-{seed}", work_ms=rng.choice([10, 60]))
    gateway.start()
    try:
        once = RetryPolicy(max_retries=0)
        async with AsyncClient(gateway.target) as client, AsyncClient(gateway.target, retry=once) as impatient:
            flow_id = await client.store_flow(flow("/ledger/work"))
            run = await client.submit(flow_id, list(range(ITEMS)), max_concurrency=60)
            raw = RawWatcher(gateway.target, run.run_id)
            watching = asyncio.create_task(raw.watch())
            for _ in range(STOPS_PER_RUN):
                await asyncio.sleep(rng.uniform(0.0, 0.4))
                assert gateway.process is not None
                if rng.random() < 0.5:
                    gateway.process.send_signal(signal.SIGTERM)
                else:
                    gateway.process.send_signal(signal.SIGINT)
                at = time.monotonic()
                await asyncio.sleep(0.02)
                refused = await refused_submit(impatient, flow_id)
                assert refused.reason is Reason.UNAVAILABLE, refused
                assert await asyncio.to_thread(gateway.wait_exit, 15.0) == 0
                assert time.monotonic() - at < 5.0, "the items took no longer than 60 ms"
                assert gateway.wait_all_gone(0.2) == []
                gateway.start()
            done = await client.wait(run.run_id, timeout_s=30)
            await asyncio.wait_for(watching, 10)
        assert (done.items.success, done.items.failed) == (ITEMS, 0)
        starts = read_starts(gateway.ledger, run.run_id)
        assert sorted(start.item for start in starts) == list(range(ITEMS)), "items were repeated"
        assert {start.attempt for start in starts} == {1}
        assert sorted(raw.items) == list(range(ITEMS))
        assert set(raw.ends) <= {grpc.StatusCode.UNAVAILABLE}
        assert gateway.terminate() == 0
    finally:
        gateway.end()


async def test_items_that_outlive_the_grace_are_repeated_by_the_next_gateway_and_do_not_fail(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, f"outlive-{os.getpid()}", engine={"drain_grace_s": 0.3})
    gateway.start()
    try:
        async with AsyncClient(gateway.target) as client:
            run = await client.submit(flow("/ledger/gated"), list(range(30)), max_concurrency=10)
            async with asyncio.timeout(5):
                while len(read_starts(gateway.ledger, run.run_id)) < 10:
                    await asyncio.sleep(0.01)
            raw = RawWatcher(gateway.target, run.run_id)
            watching = asyncio.create_task(raw.watch())
            at = time.monotonic()
            assert await asyncio.to_thread(gateway.terminate) == 0
            assert time.monotonic() - at < 7.0
            assert gateway.wait_all_gone(0.2) == []
            gateway.gate.touch()
            gateway.start()
            done = await client.wait(run.run_id, timeout_s=10)
            await asyncio.wait_for(watching, 10)
        assert (done.items.success, done.items.failed) == (30, 0)
        attempts = {start.item: start.attempt for start in read_starts(gateway.ledger, run.run_id)}
        assert attempts == {item: 2 if item < 10 else 1 for item in range(30)}
        assert sorted(raw.items) == list(range(30))
        assert raw.ends[0] is grpc.StatusCode.UNAVAILABLE
    finally:
        gateway.end()


async def test_the_second_signal_ends_the_wait_and_loses_nothing(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, f"twice-{os.getpid()}")
    gateway.start()
    try:
        async with AsyncClient(gateway.target) as client:
            run = await client.submit(flow("/ledger/gated"), list(range(10)), max_concurrency=4)
            async with asyncio.timeout(5):
                while len(read_starts(gateway.ledger, run.run_id)) < 4:
                    await asyncio.sleep(0.01)
            assert gateway.process is not None
            gateway.process.terminate()
            await asyncio.sleep(0.3)
            assert gateway.process.poll() is None, "it waits for its items"
            with pytest.raises(UnavailableError):
                async with AsyncClient(gateway.target, retry=RetryPolicy(max_retries=0)) as impatient:
                    await impatient.submit(flow("/ledger/gated"), [1])
            assert (await client.get(run.run_id)).items.running == 4, "reads go on"
            at = time.monotonic()
            gateway.process.terminate()
            assert await asyncio.to_thread(gateway.wait_exit, 5.0) == 0
            assert time.monotonic() - at < 1.5
            assert gateway.wait_all_gone(1.0) == []
            gateway.gate.touch()
            gateway.start()
            done = await client.wait(run.run_id, timeout_s=10)
            assert (done.items.success, done.items.failed) == (10, 0)
    finally:
        gateway.end()


async def test_a_server_that_ignores_everything_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    plugins = {"stubborn": {"command": sys.executable, "args": [str(STUBBORN)]}}
    gateway = GatewayProcess(tmp_path, f"stubborn-{os.getpid()}", plugins=plugins, engine={"drain_grace_s": 0.2})
    gateway.start()
    try:
        at = time.monotonic()
        assert await asyncio.to_thread(gateway.terminate) == 0
        assert time.monotonic() - at < 7.0, "2 s after its stdin was closed, 2 s after SIGTERM"
        assert gateway.wait_all_gone(1.0) == []
    finally:
        gateway.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_during_the_start_ends_it_within_two_seconds(tmp_path: Path, number: signal.Signals) -> None:
    gateway = GatewayProcess(tmp_path, f"early-{os.getpid()}-{number}")
    try:
        for delay_s in (0.05, 0.2, 0.35, 0.5, 0.7):
            (tmp_path / "stderr.log").unlink(missing_ok=True)
            gateway.launch()
            await asyncio.sleep(delay_s)
            assert gateway.process is not None
            gateway.process.send_signal(number)
            at = time.monotonic()
            code = await asyncio.to_thread(gateway.wait_exit, 5.0)
            assert time.monotonic() - at < 2.0, f"after {delay_s} s"
            # Before Python or the loop listens to signals, the system ends the process: as the signal itself.
            assert code in (0, 130, -number), f"after {delay_s} s: {gateway.said()}"
            assert code == -number or "Traceback" not in gateway.said()
            assert gateway.wait_all_gone(1.0) == []
    finally:
        gateway.end()


def test_while_modules_load_sigint_is_left_to_the_system() -> None:
    """Python's handler raises wherever it is, and in a callback of an import that is printed and forgotten."""
    program = (
        "import signal, sys, types, gateway.cli\n"
        "entry = types.ModuleType('gateway.cli.entry')\n"
        "entry.run_command = lambda: int(signal.getsignal(signal.SIGINT) is not signal.SIG_DFL)\n"
        "sys.modules['gateway.cli.entry'] = entry\n"
        "sys.exit(gateway.cli.main())"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=20, check=False).returncode == 0
