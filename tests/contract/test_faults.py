"""One item that kills its process among many, and a long flow that is interrupted."""

from __future__ import annotations

import time
from pathlib import Path

from flowspan.view.events import Outcome, RunStatusCode
from runtime_core.stores.sqlite import SqliteStore
from tests.contract.requirements import requirement
from tests.e2e.house import house, one_step, python_plugin

SERVERS = Path(__file__).parent / "servers.py"


@requirement("status.results", "status.status")
async def test_an_item_that_kills_its_process_fails_alone(tmp_path: Path) -> None:
    async with house(python_plugin("py", SERVERS, "256"), store=SqliteStore(tmp_path / "data")) as h:
        assert await h.gateway.wait_plugins(10)
        began_s = time.monotonic()
        fold = await h.run(one_step("/py/lethal"), [b"%d" % n for n in range(256)], max_concurrency=256)
        print(f"found and failed the guilty one of 256 in {time.monotonic() - began_s:.1f} s")
        assert time.monotonic() - began_s < 30
        failed = [result for result in fold.results if result.outcome is not Outcome.SUCCESS]
        assert [one.item_index for one in failed] == [100]
        assert failed[0].error is not None
        assert failed[0].error.code == "UNREACHABLE"
        assert fold.status is RunStatusCode.FAILED
        assert len(fold.results) == 256


@requirement("status.results")
async def test_a_flow_of_ten_component_steps(tmp_path: Path) -> None:
    steps = [{"id": "s1", "component": "/py/add", "input": {"$input": "$"}}]
    steps += [{"id": f"s{n}", "component": "/py/add", "input": {"$step": f"s{n - 1}"}} for n in range(2, 11)]
    flow = {"name": "ten", "steps": steps, "output": [{"$step": f"s{n}"} for n in range(1, 11)]}
    async with house(python_plugin("py", SERVERS, "64"), store=SqliteStore(tmp_path / "data")) as h:
        fold = await h.run(flow, [b"%d" % n for n in range(200)], max_concurrency=64)
        assert fold.status is RunStatusCode.SUCCESS
        for result in fold.results:
            assert result.value == [result.item_index + n for n in range(1, 11)]
