"""One component file as a plugin, as a worker and behind `flowspan bridge`: the same results."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from flowspan.view.events import Outcome
from gateway.workers.worker import QueueSettings
from tests.e2e.house import one_step, python_plugin
from tests.workers.hand_worker import WorkerHouse, worker_house
from tests.workers.processes import EVERY_KIND, ended_at_last, start_bridge, start_worker, workers_there

WAYS = ("plugin", "w", "bridge")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerHouse]:
    logs = tmp_path_factory.mktemp("logs")
    async with worker_house(plugins=(python_plugin("plugin", EVERY_KIND),), more_queues=(QueueSettings("bridge", "b"),)) as house:
        command = [sys.executable, str(EVERY_KIND)]
        worker = start_worker(house.target, log=logs / "worker.log")
        bridge = start_bridge(house.target, "b", command, log=logs / "bridge.log")
        with ended_at_last(worker, bridge):
            await workers_there(house, 1)
            await workers_there(house, 1, "bridge")
            yield house


async def _results(house: WorkerHouse, way: str, component: str, inputs: list[Any], **options: Any) -> list[Any]:
    flow = one_step(f"/{way}/{component}")
    fold = await house.run(flow, [json.dumps(value).encode() for value in inputs], max_concurrency=50, **options)
    found = sorted(fold.results, key=lambda result: result.item_index)
    return [
        json.loads(result.payload) if result.outcome is Outcome.SUCCESS else _without_trace(json.loads(result.payload))
        for result in found
    ]


def _without_trace(error: dict[str, Any]) -> dict[str, Any]:
    data = error.get("data")
    return {**error, "data": {name: value for name, value in data.items() if name != "traceback"}} if data else error


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", WAYS)
async def test_values_come_back_as_they_are(house: WorkerHouse, way: str) -> None:
    values = [None, 0, 2**63, 1.0, -0.0, "\u00e9\U0001f600\n", [1, [2]], {"b": 1, "a": [True]}]
    assert [json.dumps(value) for value in await _results(house, way, "echo", values)] == [json.dumps(value) for value in values]
    assert await _results(house, way, "double", list(range(500))) == [2 * n for n in range(500)]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", WAYS)
async def test_contexts_know_their_execution(house: WorkerHouse, way: str) -> None:
    flow_id = await house.flow(one_step(f"/{way}/facts"))
    run = await house.submit(flow_id, [b"1", b"2"], traceparent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")
    fold = await house.follow(run.run_id)
    for result in fold.results:
        facts = json.loads(result.payload)
        assert facts["attempt"] == 1 and facts["token"] and facts["step_id"] == "a"
        assert (facts["run_id"], facts["flow_id"], facts["item_index"]) == (run.run_id, flow_id, result.item_index)
        assert facts["trace"] == "00-" + "ab" * 16 + "-"
        assert len(facts["idempotency_token"]) == 26


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("component", ["nest", "nest_blocking"])
async def test_sub_runs_reenter_the_server(house: WorkerHouse, way: str, component: str) -> None:
    flow_id = await house.flow(one_step(f"/{way}/double"))
    # More than there are slots: they are lent while their owners wait.
    inputs = [{"flow": flow_id, "values": [n, n + 1]} for n in range(40)]
    found = await _results(house, way, component, inputs)
    copies = 4 if component == "nest" else 2
    assert found == [[[2 * n, 2 * n + 2]] * copies for n in range(40)]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", WAYS)
async def test_sub_runs_are_children_of_their_run(house: WorkerHouse, way: str) -> None:
    flow_id = await house.flow(one_step(f"/{way}/double"))
    run = await house.submit(
        await house.flow(one_step(f"/{way}/nest_blocking")), [json.dumps({"flow": flow_id, "values": [1]}).encode()]
    )
    await house.follow(run.run_id)
    async with house.client() as client:
        children = [child async for child in client.list(parent_run_id=run.run_id)]
    assert len(children) == 1


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", WAYS)
async def test_blobs_are_stored_and_read(house: WorkerHouse, way: str) -> None:
    value = {"n": 2**60, "f": 1.0}
    assert await _results(house, way, "blobs", [value]) == [[value, "00ff"]]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", ["w", "bridge"])
async def test_failures_are_told_alike(house: WorkerHouse, way: str) -> None:
    inputs = ["refuse", "other", 7]
    assert await _results(house, way, "fail", inputs) == await _results(house, "plugin", "fail", inputs)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", WAYS)
async def test_time_outs_are_kept_beside_the_code(house: WorkerHouse, way: str) -> None:
    fold = await house.run(one_step(f"/{way}/nap", timeout=0.2), [b"30"])
    (result,) = fold.results
    assert json.loads(result.payload)["code"] == "TIMEOUT"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("way", WAYS)
async def test_a_cancel_is_confirmed(house: WorkerHouse, way: str) -> None:
    flow_id = await house.flow(one_step(f"/{way}/nap"))
    run = await house.submit(flow_id, [b"30"] * 30, max_concurrency=30)
    async with asyncio.timeout(10):
        while (await house.api.get_run(run.run_id, max_bytes=0)).items.running < 16:
            await asyncio.sleep(0.01)
    _, unconfirmed = await house.api.cancel_run(run.run_id)
    assert unconfirmed == 0
    assert (await house.follow(run.run_id)).status.wire_name == "cancelled"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_crash_behind_a_bridge_takes_no_neighbours(house: WorkerHouse) -> None:
    inputs = [*range(1, 12), -1, *range(12, 20)]
    found = await _results(house, "bridge", "die", inputs)
    assert [value for value in found if isinstance(value, int)] == [n for n in inputs if n > 0]
    (failed,) = [value for value in found if isinstance(value, dict)]
    assert failed["code"] == "UNREACHABLE" and "code 3" in failed["message"]


async def test_grpc_is_loaded_by_workers_only() -> None:
    program = "import sys, flowspan.components.stdio_loop, flowspan.components.server; print('grpc' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    assert out.strip() == b"False"
