"""Plays an item and records it, as a gateway would; answers are given per step and attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from flowspan.view.events import Outcome
from flowspan.view.status import ItemResult
from gateway.authoring.story.attempts import RecordedAttempt
from gateway.authoring.story.telling import tell
from runtime_core.flow.execution import ItemExecution
from runtime_core.flow.parse import check_flow
from runtime_core.flow.plan import compile_flow

encode = msgspec.json.encode


class Fails:
    """An answer: the attempt fails."""

    def __init__(self, message: str, code: str = "COMPONENT_FAILED") -> None:
        self.payload = encode({"code": code, "message": message})


CANCEL = encode({"code": "CANCELLED", "message": "the run was cancelled"})


class Skips:
    """An answer: the component says that the step is skipped."""

    payload = encode({"reason": "nothing to do"})


def story_of(
    flow: dict[str, Any],
    item_input: Any,
    answers: Mapping[str, list[Any]],
    variables: Mapping[str, Any] | None = None,
    *,
    cancelled_at: str = "",
) -> dict[str, Any]:
    """Run an item and tell its story. Calls end one after the other, in the order in which they began; each attempt takes
    10 ms, each pause 50 ms. `answers`: by step id, one per attempt; a step without one never ends.
    `cancelled_at`: the step whose call the run's cancel ends, and the item with it."""
    checked = check_flow(flow).flow
    assert checked is not None
    plan = compile_flow(checked)
    bound = plan.bind(variables or {})
    execution = ItemExecution(plan, encode(item_input), bound.bound)
    recorded: list[RecordedAttempt] = []
    now_s = 100.0
    queue = execution.start()
    while queue and execution.result is None:
        call = queue.pop(0)
        if call.step.id == cancelled_at:
            recorded.append(RecordedAttempt(call.step.index, 1, call.input, Outcome.FAILED, CANCEL, now_s, now_s + 0.01))
            result = ItemResult(4, Outcome.CANCELLED, CANCEL, 0)
            return tell(plan, bound, encode(item_input), recorded, result, run_id="run-1")
        given = answers.get(call.step.id)
        if given is None:
            continue
        for number, answer in enumerate(given, 1):
            outcome, payload = Outcome.SUCCESS, b""
            if isinstance(answer, Fails):
                outcome, payload = Outcome.FAILED, answer.payload
            elif isinstance(answer, Skips):
                outcome, payload = Outcome.SKIPPED, answer.payload
            else:
                payload = encode(answer)
            recorded.append(RecordedAttempt(call.step.index, number, call.input, outcome, payload, now_s, now_s + 0.01))
            now_s += 0.06
        queue += execution.complete(call.step.index, outcome, payload)
    end = execution.result
    assert end is not None, "the item did not end"
    result = ItemResult(4, end.outcome, end.payload, 0)
    return tell(plan, bound, encode(item_input), recorded, result, run_id="run-1")


def step_of(story: dict[str, Any], step_id: str) -> dict[str, Any]:
    (found,) = [step for step in story["steps"] if step["step"] == step_id]
    assert isinstance(found, dict)
    return found
