"""A run through a whole gateway (store on disk, component server with our SDK, watchers over gRPC), counted."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime_core.stores.sqlite import SqliteStore
from tests.e2e.house import House, house, one_step, python_plugin
from tests.shape.counting import CallCounter, Calls, CountingLoop, calls_in

HERE = Path(__file__).parent
WAIT_S = 120.0


@dataclass(frozen=True)
class CountedRun:
    """What one run took, from its submission until the last watcher had its end.

    Attributes:
        items: of the run.
        commits, rows: of the store; rows of the log.
        messages: to each watcher. `joined`: messages that the gateway put together, for all watchers.
        asked: of the gateway's event loop (see `CountingLoop`).
        gateway: calls of the gateway's thread. `component`: calls of the component server, its start included.
        collections: of Python's youngest garbage: about one per `gc.get_threshold()[0]` containers that live at a time.
    """

    items: int
    commits: int
    rows: int
    messages: Sequence[int]
    joined: int
    asked: Counter[str]
    gateway: Calls
    component: Calls
    collections: int


def counted_run(inputs: Sequence[Any], *, at_once: int = 256, watchers: int = 1, component: str = "/p/echo") -> CountedRun:
    """A run of one step per item. Another one of sixteen items comes before, so that nothing is done for the first time."""
    with tempfile.TemporaryDirectory(prefix="fs-shape-") as directory, asyncio.Runner(loop_factory=CountingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)
        return runner.run(_counted(Path(directory), loop, inputs, at_once, watchers, component))


async def _counted(
    directory: Path, loop: CountingLoop, inputs: Sequence[Any], at_once: int, watchers: int, component: str
) -> CountedRun:
    store = SqliteStore(directory / "runs")
    target = f"unix:{directory}/s"
    counts = directory / "component.json"
    async with house(python_plugin("p", HERE / "echo.py", str(counts)), store=store, listen=target) as h, asyncio.timeout(WAIT_S):
        client = await asyncio.create_subprocess_exec(
            sys.executable, str(HERE / "watchers.py"), target, stdin=PIPE, stdout=PIPE, limit=1 << 26
        )
        try:
            flow_id = await h.flow(one_step(component))
            await _follow(client, await _submit(client, flow_id, inputs[:16], at_once), 1)
            counter = CallCounter()
            before = store.statistics()
            joined = _joined(h)
            loop.asked.clear()
            collections = gc.get_stats()[0]["collections"]
            counter.begin()
            try:
                run_id = await _submit(client, flow_id, inputs, at_once)
                answer = await _follow(client, run_id, watchers)
            finally:
                calls = counter.end()
            collections = gc.get_stats()[0]["collections"] - collections
            asked = Counter(loop.asked)
            after = store.statistics()
            joined = _joined(h) - joined
            status = await h.api.get_run(run_id, max_bytes=1)
            assert status.items.success == len(inputs), status.items
        finally:
            assert client.stdin is not None
            client.stdin.close()
            await client.wait()
    return CountedRun(
        len(inputs),
        after.commits - before.commits,
        after.rows - before.rows,
        answer["messages"],
        joined,
        asked,
        calls,
        calls_in(counts),
        collections,
    )


async def _submit(client: asyncio.subprocess.Process, flow_id: str, inputs: Sequence[Any], at_once: int) -> str:
    answer = await _ask(client, {"flowId": flow_id, "inputs": list(inputs), "atOnce": at_once})
    return str(answer["runId"])


async def _follow(client: asyncio.subprocess.Process, run_id: str, watchers: int) -> dict[str, list[int]]:
    return await _ask(client, {"runId": run_id, "watchers": watchers})


async def _ask(client: asyncio.subprocess.Process, order: dict[str, Any]) -> dict[str, Any]:
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write(json.dumps(order).encode() + b"\n")
    await client.stdin.drain()
    answer: dict[str, Any] = json.loads(await client.stdout.readline())
    return answer


def _joined(h: House) -> int:
    """Messages put together so far."""
    server = h.gateway._server
    assert server is not None
    return server._streams.messages_joined
