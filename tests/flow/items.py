"""Runs one item of a flow in memory: every call is answered at once, in the order in which it became ready."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flowspan.view.events import Outcome
from runtime_core.flow.execution import ItemExecution
from runtime_core.flow.parse import check_flow
from runtime_core.flow.plan import FlowPlan, compile_flow

JsonDict = dict[str, Any]


def plan_of(flow: JsonDict, *, overrides: Any = None) -> FlowPlan:
    """The plan of a flow that must compile."""
    checked = check_flow(flow)
    assert checked.flow is not None, checked.diagnostics
    return compile_flow(checked.flow, overrides)


def step(step_id: str, input: Any = None, **fields: Any) -> JsonDict:
    """A step of component `/test/<id>`."""
    return {"id": step_id, "component": f"/test/{step_id}", "input": input, **fields}


def failed(message: str = "broken", code: str = "COMPONENT_FAILED") -> tuple[Outcome, bytes]:
    """An answer: the step failed for good."""
    return Outcome.FAILED, json.dumps({"code": code, "message": message}).encode()


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of an item: its outcome and payload, and the calls in their order with their inputs."""

    outcome: str
    payload: Any
    calls: dict[str, Any]


def run_item(
    flow: JsonDict,
    item_input: Any = None,
    answers: Mapping[str, Any] | None = None,
    *,
    overrides: Any = None,
    variables: Mapping[str, Any] | None = None,
) -> Ran:
    """Run to the end. A step answers with its entry in `answers` (a value, or what `failed` gives), else with its input."""
    plan = plan_of(flow, overrides=overrides)
    item = ItemExecution(plan, json.dumps(item_input).encode(), plan.bind(variables or {}).bound)
    queue = item.start()
    calls: JsonDict = {}
    while queue:
        call = queue.pop(0)
        assert call.step.id not in calls, "a step is called once"
        calls[call.step.id] = json.loads(call.input)
        answer = (answers or {}).get(call.step.id, calls[call.step.id])
        outcome, payload = answer if isinstance(answer, tuple) else (Outcome.SUCCESS, json.dumps(answer).encode())
        queue += item.complete(call.step.index, outcome, payload)
    assert item.result is not None, "the item stalled"
    return Ran(item.result.outcome.name.lower(), json.loads(item.result.payload), calls)


def value_of(expression: Any, item_input: Any = None, **options: Any) -> Any:
    """The value of an expression that stands in the output of a flow without steps."""
    ran = run_item({"output": expression}, item_input, **options)
    assert ran.outcome == "success", ran
    return ran.payload


def error_of(flow: JsonDict, item_input: Any = None, **options: Any) -> tuple[str, str]:
    """Code and message of the failure that ends the item."""
    ran = run_item(flow, item_input, **options)
    assert ran.outcome == "failed", ran
    return ran.payload["code"], ran.payload["message"]


def calls_made(work: Callable[[], object]) -> int:
    """How many functions, ours and built-in, `work` calls: a measure of time that no busy machine changes."""
    count = 0

    def note(frame: object, event: str, arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
