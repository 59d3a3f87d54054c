"""What whoever stores a flow is told about it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowspan.errors import FlowInvalidError
from runtime_core.flow.types import check
from tests.engine.house import ONE_STEP, House, house

WRONG = {
    "name": "f",
    "description": "d",
    "schemas": {"properties": {"input": {"type": "string"}, "output": {"type": "string"}}},
    "steps": [
        {"id": "a", "component": "/nowhere/a", "input": {"$input": "$.x"}},
        {"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": {"output": {"$step": "z"}}}}},
    ],
    "output": [{"$step": "a"}, {"$step": "e"}],
}


async def told(h: House, document: Any, *, dry_run: bool = False) -> tuple[str, list[tuple[int, str]]]:
    """The flow's id, and codes and places of what is said of it."""
    stored = await h.runtime.store_flow(json.dumps(document).encode(), dry_run=dry_run)
    return stored.flow_id, [(one["code"], one["level"]) for one in stored.diagnostics]


async def test_types_routes_and_flows_inside_are_checked_and_the_flow_is_stored_all_the_same() -> None:
    async with house() as h:
        flow_id, findings = await told(h, WRONG)
        assert findings == [(2200, "error"), (2000, "error"), (2100, "error"), (2003, "error")]
        assert json.loads((await h.runtime.get_flow(flow_id)).document) == WRONG


async def test_a_dry_run_says_the_same_and_stores_nothing() -> None:
    async with house() as h:
        flow_id, findings = await told(h, WRONG, dry_run=True)
        assert len(findings) == 4
        assert await h.runtime.list_flows(page_size=10, page_token=None) == ([], None)
        assert flow_id.startswith("sha256:")


async def test_what_is_fatal_keeps_a_flow_from_being_stored() -> None:
    async with house() as h:
        with pytest.raises(FlowInvalidError):
            await told(h, {"output": {"$step": "z"}})
        assert await told(h, {"name": "f", "output": {"$step": "z"}}, dry_run=True) == ("", [(3003, "fatal"), (1002, "warning")])


async def test_submits_and_runs_check_no_types(monkeypatch: pytest.MonkeyPatch) -> None:
    async with house() as h:
        flow_id = await h.flow(ONE_STEP)
        monkeypatch.setattr(check._Check, "run", lambda self: pytest.fail("types are checked"))
        run = await h.submit(flow_id, [b"1"])
        await h.follow(run.run_id)
