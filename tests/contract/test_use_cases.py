"""The page's three Python examples, as written there, through the gateway and the SDK in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowspan.view.fold import RunFold
from tests.components.test_use_cases import KINDS, PREPARED, USE_CASES
from tests.contract.requirements import requirement
from tests.contract.shapes import check_item
from tests.e2e.house import House, house, one_step, python_plugin

SERVER = """
import asyncio, dataclasses
from typing import Any
from flowspan.stepflow_names import StepflowServer
server = StepflowServer()
"""
LEAF = """
@server.component
async def leaf(input: Any) -> Any:
    if input == "bad":
        raise ValueError("bad item")
    return {"seen": input}

sub_workflow_definition = {
    "name": "Sub",
    "steps": [{"id": "s", "component": "/uc/leaf", "input": {"$input": "$.item"}}],
    "output": {"$step": "s"},
}
server.run()
"""
LEAF_FLOW: dict[str, Any] = {"name": "Leaf", **{k: v for k, v in one_step("/uc/leaf").items() if k != "name"}}


@pytest.fixture(params=sorted(KINDS))
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "server.py"
    path.write_text(SERVER + PREPARED + KINDS[request.param] + USE_CASES + LEAF, encoding="utf-8")
    return path


async def _run(h: House, component: str, value: Any) -> Any:
    fold: RunFold = await h.run(one_step(component), [json.dumps(value).encode()])
    (result,) = fold.results
    assert result.error is None, result.error
    return {name: member for name, member in result.value.items() if member is not None}


@requirement("use-case.orchestration", "submit.sequence.results-in-component")
async def test_sub_workflow_orchestration(script: Path) -> None:
    async with house(python_plugin("uc", script)) as h:
        items = ["a", 1.0, {"deep": [10**30]}, None]
        output = await _run(h, "/uc/orchestrator", {"items": items})
        assert [item["itemIndex"] for item in output["results"]] == [0, 1, 2, 3]
        for item, value in zip(output["results"], items, strict=True):
            check_item(item)
            assert item["result"] == {"outcome": "success", "value": {"seen": value}}


@requirement("use-case.batch")
async def test_batch_processing(script: Path) -> None:
    async with house(python_plugin("uc", script)) as h:
        flow_id = await h.flow(LEAF_FLOW)
        batch = [f"item {n}" for n in range(24)] + ["bad"]
        output = await _run(h, "/uc/batch_processor", {"workflow_id": flow_id, "batch_items": batch})
        assert output == {"processed": 24, "failed": 1}


@requirement("use-case.polling", "poll.sequence.other-work", "poll.sequence.answers-with-results")
async def test_async_execution_with_polling(script: Path) -> None:
    async with house(python_plugin("uc", script)) as h:
        flow_id = await h.flow(LEAF_FLOW)
        output = await _run(h, "/uc/async_processor", {"workflow_id": flow_id, "data": {"n": 2**53 + 1}})
        check_item(output["result"])
        assert output["result"]["result"] == {"outcome": "success", "value": {"seen": {"n": 2**53 + 1}}}
