"""kill -9 aimed at the submit: 0 to 60 ms after the request was sent.

FLOWSPAN_KILLS sets how many (20 here; `make deep-tests`: 1,000). A failure prints its seed.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from flowspan.client import AsyncClient
from flowspan.errors import FlowspanError
from flowspan.v1 import run_service_pb2 as pb
from flowspan.v1.json_value_pb2 import JsonValue
from flowspan.view.status import RunStatus
from tests.kill.amounts import amount
from tests.kill.gateway_process import GatewayProcess

KILLS = amount("FLOWSPAN_KILLS", 20, 1_000)
KILLS_PER_TEST = 5
LONGEST_DELAY_S = 0.060
UNARY_ITEMS = 4_000
STREAMED_ITEMS = 20_000
FLOW = {
    "name": "submitted",
    "steps": [{"id": "a", "component": "/ledger/fast", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}


async def runs_labelled(client: AsyncClient, label: str) -> list[RunStatus]:
    return [run async for run in client.list(label=label)]


def staged_inputs(gateway: GatewayProcess) -> int:
    """Sets of inputs in the store that belong to no run. The gateway must have ended."""
    with sqlite3.connect(gateway.home / "store" / "flowspan.db") as db:
        (count,) = db.execute(
            "SELECT count(*) FROM input_set WHERE input_set_id NOT IN (SELECT input_set_id FROM run)"
        ).fetchone()
        return int(count)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first_seed", range(0, KILLS, KILLS_PER_TEST))
async def test_a_submit_that_is_killed_makes_one_whole_run_however_often_it_is_repeated(tmp_path: Path, first_seed: int) -> None:
    gateway = GatewayProcess(tmp_path, f"submit-{os.getpid()}-{first_seed}")
    gateway.start()
    fates = {"acknowledged": 0, "there": 0, "lost": 0}
    try:
        async with AsyncClient(gateway.target) as client:
            for seed in range(first_seed, first_seed + KILLS_PER_TEST):
                rng = random.Random(seed)
                total = rng.choice([1, UNARY_ITEMS, STREAMED_ITEMS])
                label = f"seed-{seed}"
                options = {"request_id": label, "label": label, "max_concurrency": 100}
                flow_id = await client.store_flow(FLOW)
                async with AsyncClient(gateway.target, timeout_s=5.0) as submitter:
                    await submitter.health()
                    sending = asyncio.create_task(submitter.submit(flow_id, list(range(total)), **options))
                    await asyncio.sleep(rng.uniform(0.0, LONGEST_DELAY_S))
                    acknowledged = sending.result().run_id if sending.done() else None
                    gateway.kill()
                    assert gateway.wait_all_gone(1.0) == [], f"seed {seed}: processes survived the gateway"
                    gateway.start()
                    before = [] if acknowledged is None else await runs_labelled(client, label)
                    repeated = await sending  # the client repeats it by itself: it has a request id
                again = await asyncio.gather(*(client.submit(flow_id, list(range(total)), **options) for _ in range(3)))
                runs = await runs_labelled(client, label)
                assert [run.run_id for run in runs] == [repeated.run_id], f"seed {seed}: not one run"
                assert {run.run_id for run in again} == {repeated.run_id}, f"seed {seed}: not one run for the key"
                if acknowledged is not None:
                    assert [run.run_id for run in before] == [acknowledged] == [repeated.run_id], f"seed {seed}: lost"
                fates["acknowledged" if acknowledged else "there"] += 1
                done = await client.run(flow_id, list(range(total)), **options)
                values = [item.value for item in done.results or ()]
                assert values == list(range(total)), f"seed {seed}: {len(values)} items of {total}, or other ones"
                with pytest.raises(FlowspanError, match="request"):
                    await client.submit(flow_id, ["something else"], **options)
        assert gateway.terminate() == 0
        assert staged_inputs(gateway) == 0
    finally:
        gateway.end()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(0, KILLS, KILLS_PER_TEST))
async def test_a_streamed_submit_that_is_killed_in_the_middle_leaves_nothing_or_everything(tmp_path: Path, seed: int) -> None:
    """Nobody repeats it, so what the kill left is seen as it is."""
    gateway = GatewayProcess(tmp_path, f"stream-{os.getpid()}-{seed}")
    gateway.start()
    rng = random.Random(seed)
    messages, per_message = 200, 500

    async def requests(flow_id: str, label: str, pause_s: float) -> AsyncIterator[pb.SubmitRunStreamRequest]:
        yield pb.SubmitRunStreamRequest(options=pb.RunOptions(flow_id=flow_id, flow_label=label, max_concurrency=100))
        for _ in range(messages):
            yield pb.SubmitRunStreamRequest(inputs=[JsonValue(json=b'"%d"' % number) for number in range(per_message)])
            await asyncio.sleep(pause_s)

    cut = 0
    try:
        for number in range(3):
            label = f"cut-{number}"
            async with AsyncClient(gateway.target, timeout_s=10.0) as client:
                flow_id = await client.store_flow(FLOW)
                call = client.raw.runs.SubmitRunStream(requests(flow_id, label, 0.001))
                answer = asyncio.ensure_future(call)
                await asyncio.sleep(rng.uniform(0.05, 0.3))
                acknowledged = answer.done()
                gateway.kill()
                gateway.start()
                if not acknowledged:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await answer
                    # grpc.aio's word for a message that it could not send any more is INTERNAL.
                    assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
            async with AsyncClient(gateway.target) as client:
                runs = await runs_labelled(client, label)
                assert len(runs) <= 1
                assert [run.items.total for run in runs] in ([], [messages * per_message]), f"seed {seed}: a part of a run"
                assert runs or not acknowledged, f"seed {seed}: an acknowledged run was lost"
                cut += not runs
        assert gateway.terminate() == 0
        assert staged_inputs(gateway) == 0
    finally:
        gateway.end()
    assert cut, "no kill came in the middle of a stream"
