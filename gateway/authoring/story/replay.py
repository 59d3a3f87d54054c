"""The item's execution once more, from what was recorded: the same code that ran it tells what came of each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.authoring.story.attempts import RecordedAttempt
from runtime_core.flow.execution import ItemExecution
from runtime_core.flow.expressions import FAILED, IN_FLIGHT, SKIPPED, SUCCESS, BoundVariable
from runtime_core.flow.plan import FlowPlan

_SETTLED = (SUCCESS, SKIPPED, FAILED)


@dataclass(slots=True)
class Replay:
    """An item that went its way again.

    Attributes:
        execution: as it was at the item's end.
        order: steps as they were called, or settled without a call.
        inputs: JSON input of each step that was called.
        attempts: by step, in their order.
    """

    plan: FlowPlan
    execution: ItemExecution
    order: list[int] = field(default_factory=list)
    inputs: dict[int, bytes] = field(default_factory=dict)
    attempts: dict[int, list[RecordedAttempt]] = field(default_factory=dict)


def replay(plan: FlowPlan, item_input: bytes, variables: Sequence[BoundVariable], recorded: Sequence[RecordedAttempt]) -> Replay:
    """Run the item through the plan; calls end as recorded, in the order in which they did. Calls of which nothing was
    recorded stay in flight."""
    execution = ItemExecution(plan, item_input, variables)
    told = Replay(plan, execution, attempts=attempts_of(recorded))
    last = {attempt.step_index: position for position, attempt in enumerate(recorded)}
    seen: set[int] = set()

    def note(calls: Sequence[int], before: bytes) -> bytes:
        states = execution.states
        settled = [node for node in range(len(plan.steps)) if states[node] in _SETTLED and before[node] not in _SETTLED]
        # A step without a call is told where it was settled: before the calls that became ready in the same moment.
        for node in (*settled, *calls):
            if node not in seen:
                seen.add(node)
                told.order.append(node)
        return bytes(states)

    known = bytes(len(plan.steps))
    ready = execution.start()
    for position in range(len(recorded) + 1):
        told.inputs.update((call.step.index, call.input) for call in ready)
        known = note([call.step.index for call in ready], known)
        ready = []
        if position < len(recorded):
            attempt = recorded[position]
            step = attempt.step_index
            if last[step] == position and execution.result is None and execution.states[step] == IN_FLIGHT:
                ready = execution.complete(step, attempt.outcome, attempt.payload)
    return told


def attempts_of(recorded: Sequence[RecordedAttempt]) -> dict[int, list[RecordedAttempt]]:
    """By step, in their order."""
    found: dict[int, list[RecordedAttempt]] = {}
    for attempt in recorded:
        found.setdefault(attempt.step_index, []).append(attempt)
    return found
