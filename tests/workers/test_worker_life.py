"""SDK workers as processes: how they leave, come back, and what they do when their gateway goes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runtime_core.stores.sqlite import SqliteStore
from tests.e2e.house import one_step
from tests.workers.hand_worker import WAIT_S, WorkerHouse, worker_house
from tests.workers.processes import EXIT_S, ended_at_last, start_worker, worker, workers_there


class CutProxy:
    """A unix socket in front of another one, whose connections can be cut."""

    def __init__(self, path: str, behind: str) -> None:
        self.target = f"unix:{path}"
        self._path = path
        self._behind = behind
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._on_connect, self._path)

    async def _on_connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_unix_connection(self._behind)
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        except (ConnectionError, RuntimeError):
            return
        finally:
            sink.close()

    def cut(self) -> None:
        writers, self._writers = self._writers, set()
        for writer in writers:
            writer.transport.abort()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        if self._pumps:
            await asyncio.wait(self._pumps, timeout=WAIT_S)


@asynccontextmanager
async def cut_proxy(house: WorkerHouse, path: Path) -> AsyncIterator[CutProxy]:
    proxy = CutProxy(str(path), house.target.removeprefix("unix:"))
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


async def _attempts(house: WorkerHouse, run_id: str) -> set[int]:
    fold = await house.follow(run_id)
    assert fold.status.wire_name == "success", fold.results[:3]
    return {json.loads(result.payload)["attempt"] for result in fold.results}


async def _naps(house: WorkerHouse, seconds: float, items: int) -> str:
    flow_id = await house.flow(one_step("/w/nap"))
    return (await house.submit(flow_id, [b"%g" % seconds] * items, max_concurrency=items)).run_id


async def _running(house: WorkerHouse, run_id: str, items: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while (await house.api.get_run(run_id, max_bytes=0)).items.running < items:
            await asyncio.sleep(0.01)


async def test_a_worker_that_is_told_to_end_finishes_what_runs(tmp_path: Path) -> None:
    async with worker_house() as house, worker(house) as leaving:
        flow_id = await house.flow(one_step("/w/begin"))
        values = [json.dumps({"directory": str(tmp_path), "seconds": 0.6}).encode()] * 8
        run = await house.submit(flow_id, values, max_concurrency=8)
        async with asyncio.timeout(WAIT_S):
            while len(list(tmp_path.iterdir())) < 8:
                await asyncio.sleep(0.01)
        leaving.terminate()
        fold = await house.follow(run.run_id)
        assert [result.payload for result in fold.results] == [b"1"] * 8
        assert await asyncio.to_thread(leaving.wait, EXIT_S) == 0
        await workers_there(house, 0)


async def test_what_a_leaving_worker_has_not_begun_counts_as_never_tried() -> None:
    async with worker_house() as house, worker(house) as leaving:
        # Async components begin at once; of sync ones more than there are threads for wait in the worker.
        run_id = await _naps(house, 1.0, 40)
        await _running(house, run_id, 16)
        leaving.terminate()
        other = start_worker(house.target)
        with ended_at_last(other):
            fold = await house.follow(run_id)
            assert fold.status.wire_name == "success"
            assert await asyncio.to_thread(leaving.wait, EXIT_S) == 0


async def test_a_cut_connection_costs_nothing(tmp_path: Path) -> None:
    async with worker_house() as house, cut_proxy(house, tmp_path / "p") as proxy:
        process = start_worker(proxy.target)
        with ended_at_last(process):
            await workers_there(house, 1)
            run_id = await _naps(house, 0.8, 10)
            await _running(house, run_id, 10)
            before = proxy.connections
            proxy.cut()
            fold = await house.follow(run_id)
            assert proxy.connections > before
            assert fold.status.wire_name == "success"
            # Nothing was executed twice: the naps of before were over when the first results came.
            took_s = (fold.completed_at_us or 0) / 1e6 - fold.snapshot().description.created_at_us / 1e6
            assert took_s < 1.5
            flow_id = await house.flow(one_step("/w/facts"))
            assert await _attempts(house, (await house.submit(flow_id, [b"1"] * 20)).run_id) == {1}


async def test_many_cuts_lose_and_repeat_no_result(tmp_path: Path) -> None:
    async with worker_house() as house, cut_proxy(house, tmp_path / "p") as proxy:
        process = start_worker(proxy.target)
        with ended_at_last(process):
            await workers_there(house, 1)
            flow_id = await house.flow(one_step("/w/double"))
            run = await house.submit(flow_id, [b"%d" % n for n in range(20_000)], max_concurrency=64)

            async def cutting() -> None:
                while True:
                    await asyncio.sleep(0.15)
                    proxy.cut()

            cuts = asyncio.ensure_future(cutting())
            try:
                fold = await house.follow(run.run_id)
            finally:
                cuts.cancel()
            assert proxy.connections > 3
            values = {result.item_index: json.loads(result.payload) for result in fold.results}
            assert values == {n: 2 * n for n in range(20_000)} and len(fold.results) == 20_000


async def test_a_worker_finds_its_gateway_again(tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/s"
    process = start_worker(target)
    with ended_at_last(process):
        async with worker_house(store=SqliteStore(tmp_path / "store"), target=target) as house:
            await workers_there(house, 1)
            flow_id = await house.flow(one_step("/w/nap"))
            run = await house.submit(flow_id, [b"30"], max_concurrency=1)
            await _running(house, run.run_id, 1)
            facts = await house.flow(one_step("/w/facts"))
        async with worker_house(store=SqliteStore(tmp_path / "store"), target=target) as house:
            await workers_there(house, 1)
            again = await house.submit(facts, [b"1"] * 16, max_concurrency=16)
            assert await _attempts(house, again.run_id) == {1}
            await house.api.cancel_run(run.run_id)
            await house.follow(run.run_id)


async def test_a_worker_whose_threads_hang_ends_so_that_another_one_takes_over(tmp_path: Path) -> None:
    async with worker_house() as house, worker(house) as stuck:
        values = [json.dumps({"directory": str(tmp_path), "seconds": 30}).encode()] * 9
        run = await house.submit(await house.flow(one_step("/w/begin", timeout=0.3)), values, max_concurrency=9)
        assert await asyncio.to_thread(stuck.wait, EXIT_S) == 75
        await workers_there(house, 0)
        assert len(list(tmp_path.iterdir())) == 9
        await house.api.cancel_run(run.run_id)


async def test_a_graceful_stop_lets_workers_finish(tmp_path: Path) -> None:
    target, marks = f"unix:{tmp_path}/s", tmp_path / "marks"
    marks.mkdir()
    process = start_worker(target)
    with ended_at_last(process):
        async with worker_house(store=SqliteStore(tmp_path / "store"), target=target) as house:
            await workers_there(house, 1)
            values = [json.dumps({"directory": str(marks), "seconds": 0.5}).encode()] * 20
            run = await house.submit(await house.flow(one_step("/w/begin")), values, max_concurrency=8)
            async with asyncio.timeout(WAIT_S):
                while len(list(marks.iterdir())) < 8:
                    await asyncio.sleep(0.01)
            await house.gateway.stop(grace_s=5.0)
        async with worker_house(store=SqliteStore(tmp_path / "store"), target=target) as house:
            fold = await house.follow(run.run_id)
            assert [result.payload for result in fold.results] == [b"1"] * 20, "nothing was begun twice"


async def test_a_frozen_worker_is_replaced_and_lets_go_when_it_wakes() -> None:
    async with worker_house(away_s=1.5, heartbeat_s=0.5) as house, worker(house) as frozen:
        flow_id = await house.flow(one_step("/w/facts"))
        assert await _attempts(house, (await house.submit(flow_id, [b"1"])).run_id) == {1}
        run_id = await _naps(house, 0.3, 8)
        await _running(house, run_id, 8)
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            other = start_worker(house.target)
            with ended_at_last(other):
                fold = await house.follow(run_id)
                assert fold.status.wire_name == "success"
                os.kill(frozen.pid, signal.SIGCONT)
                await workers_there(house, 2)
                assert await _attempts(house, (await house.submit(flow_id, [b"1"] * 64, max_concurrency=32)).run_id) == {1}
        finally:
            os.kill(frozen.pid, signal.SIGCONT)


async def test_a_killed_worker_takes_nothing_along() -> None:
    async with worker_house(away_s=1.5, heartbeat_s=0.5) as house, worker(house) as killed:
        run_id = await _naps(house, 0.5, 8)
        await _running(house, run_id, 8)
        killed.kill()
        other = start_worker(house.target)
        with ended_at_last(other):
            fold = await house.follow(run_id)
            assert fold.status.wire_name == "success" and len(fold.results) == 8
