"""Built-ins in a whole gateway made from a configuration: sub-runs over other plugins, seen by those who watch."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flowspan.view.events import RunStatusCode
from runtime_core.ports import RunFilter
from tests.built_ins.flows import encoded
from tests.built_ins.gateways import configured, item
from tests.e2e.house import one_step

CONFIG = """
plugins:
  m:
    type: mock
    components:
      /double:
        behaviors:
          '1': { outcome: success, value: 2 }
          '2': { outcome: success, value: 4 }
          '3': { outcome: skipped }
"""
DOUBLE = one_step("/m/double")


async def test_sub_runs_reach_other_plugins_and_are_seen_in_lists_and_tree_watches(tmp_path: Path) -> None:
    document = {
        "name": "all of them",
        "steps": [
            {"id": "one", "component": "/builtin/eval", "input": {"flow": {"$literal": DOUBLE}, "input": {"$input": "$"}}},
            {
                "id": "many",
                "component": "/builtin/map",
                "input": {"workflow": {"$literal": DOUBLE}, "items": [1, 2, 3, 4], "max_concurrency": 3},
            },
        ],
        "output": {
            "one": {"$step": "one", "path": "$.result"},
            "many": {"$step": "many"},
            "id": {"$step": "one", "path": "run_id"},
        },
    }
    async with configured(tmp_path, CONFIG) as h:
        run = await h.submit(await h.flow(document), [b"1"])
        seen: set[str] = set()
        async with asyncio.timeout(10):
            watch = await h.api.watch_run(run.run_id, whole_tree=True)
            while (batch := await watch.next_batch()) is not None:
                seen.add(batch.run_id)
            await watch.aclose()
        [result] = (await h.follow(run.run_id)).results
        assert result.value["one"] == {"outcome": "success", "value": 2}
        assert [one["outcome"] for one in result.value["many"]["results"]] == ["success", "success", "skipped", "failed"]
        assert (result.value["many"]["successful"], result.value["many"]["failed"]) == (3, 1)
        page = await h.api.list_runs(RunFilter("default", parent_run_id=run.run_id), page_size=10, page_token=None)
        children = {one.run_id: one for one in page.runs}
        assert seen == {run.run_id, *children}
        assert children[result.value["id"]].status is RunStatusCode.SUCCESS
        assert sorted(one.status.wire_name for one in page.runs) == ["failed", "success"]


async def test_the_end_of_a_gateway_leaves_no_waiting_built_in_behind(tmp_path: Path) -> None:
    sleeping = {"steps": [{"id": "s", "component": "/builtin/sleep", "input": {"duration_ms": 60_000}}], "output": {"$step": "s"}}
    document = one_step("/builtin/eval", input={"flow": {"$literal": sleeping}, "input": 1})
    before = asyncio.all_tasks()
    async with configured(tmp_path, "") as h:
        await h.submit(await h.flow(document), [encoded(n) for n in range(20)], max_concurrency=20)
        async with asyncio.timeout(10):
            while len((await h.api.list_runs(RunFilter("default"), page_size=50, page_token=None)).runs) < 21:
                await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_mock_answers_within_a_sub_run(tmp_path: Path) -> None:
    async with configured(tmp_path, CONFIG) as h:
        iterated = {
            "steps": [{"id": "d", "component": "/m/double", "input": {"$input": "$"}}],
            "output": {"next": {"$step": "d"}},
        }
        result = await item(h, one_step("/builtin/iterate"), {"flow": iterated, "initial_input": 1})
        assert result.error is not None
        assert result.error.code == "COMPONENT_FAILED"
        assert "no behavior for the input 4" in result.error.message
        assert result.error.data_value["iteration"] == 3
