"""The story of an item as a JSON value: its input, its steps in the order of events, its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from flowspan.errors import FlowErrorCode
from flowspan.view.events import Outcome
from flowspan.view.status import ItemResult
from gateway.authoring.story.attempts import RecordedAttempt, SubRun
from gateway.authoring.story.reasons import Reasons
from gateway.authoring.story.replay import Replay, attempts_of, replay
from runtime_core.flow.document import OnErrorAction, Step
from runtime_core.flow.expressions import FAILED, IDLE, IN_FLIGHT, SKIPPED, SUCCESS, WAITING
from runtime_core.flow.plan import FlowPlan
from runtime_core.flow.variables import RunVariables

CANCELLED_MESSAGE = "the run was cancelled"
"""Of the error that items have which a cancel has ended."""
_STATE_WORDS = {
    IDLE: "not needed",
    WAITING: "not run",
    IN_FLIGHT: "abandoned",
    SUCCESS: "success",
    SKIPPED: "skipped",
    FAILED: "failed",
}
_OUTCOME_WORDS = {
    Outcome.SUCCESS: "success",
    Outcome.FAILED: "failed",
    Outcome.SKIPPED: "skipped",
    Outcome.CANCELLED: "cancelled",
}


def tell(
    plan: FlowPlan,
    variables: RunVariables,
    item_input: bytes,
    recorded: Sequence[RecordedAttempt],
    result: ItemResult,
    *,
    run_id: str,
    sub_runs: Sequence[SubRun] = (),
) -> dict[str, Any]:
    """One item's story; secrets are taken out of all of it.

    Args:
        plan, variables: of the run.
        item_input: JSON.
        recorded: the item's attempts in the order in which they ended.
        result: what became of the item, its payload read if it was in a blob.

    Returns:
        `{runId, itemIndex, outcome, input, steps: [{step, component, status, why, input?, attempts?, onError?, output? |
        error? | reason?}], output: {why, value? | error? | reason?}, subRuns?: [{runId, flowName, status, failed?, total?,
        firstFailed?: {itemIndex, input, steps: [{step, component, attempts?}], error, subRuns?}}]}`. Steps stand in the
        order in which they were called or settled; those that nothing needed come last.
    """
    is_cancelled = _run_was_cancelled(result)
    told = replay(plan, item_input, variables.bound, _before_cancel(recorded) if is_cancelled else recorded)
    if is_cancelled:
        told.attempts = attempts_of(recorded)
    reasons = Reasons(told)
    began = told.execution.result is None or bool(told.order) or told.execution.states[len(plan.steps)] > IN_FLIGHT
    # Of an item whose input was refused there is nothing to say about steps.
    rest = [index for index in range(len(plan.steps)) if index not in set(told.order)] if began else []
    story: dict[str, Any] = {
        "runId": run_id,
        "itemIndex": result.item_index,
        "outcome": _OUTCOME_WORDS[result.outcome],
        "input": _value(item_input),
        "steps": [_step(told, reasons, index, is_cancelled=is_cancelled) for index in (*told.order, *rest)],
        "output": {"why": _why_output(told, reasons, result)} | _ending(result.outcome, result.payload, "value"),
    }
    if sub_runs:
        story["subRuns"] = [_sub_run(run) for run in sub_runs]
    return redacted(story, variables)


def _sub_run(run: SubRun) -> dict[str, Any]:
    told: dict[str, Any] = {"runId": run.run_id, "flowName": run.flow_name, "status": run.status}
    if run.failed:
        told |= {"failed": run.failed, "total": run.total}
    first = run.first_failed
    if first is not None:
        steps = [
            {"step": one.step, "component": one.component} | ({} if one.attempts is None else {"attempts": one.attempts})
            for one in first.steps
        ]
        item = {"itemIndex": first.item_index, "input": _value(first.input), "steps": steps, "error": _value(first.error)}
        if first.sub_runs:
            item["subRuns"] = [_sub_run(below) for below in first.sub_runs]
        told["firstFailed"] = item
    return told


def redacted(story: dict[str, Any], variables: RunVariables) -> dict[str, Any]:
    """All that a story says goes through here: what is secret in the run is not told, whole or in part."""
    if variables.redactor is None:
        return story
    clean: dict[str, Any] = variables.redactor.value(story)
    return clean


def _why_output(told: Replay, reasons: Reasons, result: ItemResult) -> str:
    replayed = told.execution.result
    if result.outcome is Outcome.CANCELLED and (replayed is None or replayed.outcome is not Outcome.CANCELLED):
        return "the run was cancelled"
    if replayed is None and result.outcome is not Outcome.CANCELLED:
        return "it went this way in an earlier session, of which nothing was recorded"
    if replayed is not None and replayed.outcome is not result.outcome:
        # Such as a result that is too large: the flow ended well, and the item did not.
        return "the flow came to another end; what failed was outside of it"
    return reasons.why_output()


def _run_was_cancelled(result: ItemResult) -> bool:
    """Rather than a component that has answered that it was."""
    if result.outcome is not Outcome.CANCELLED:
        return False
    error = result.error
    return error is not None and error.message == CANCELLED_MESSAGE


def _before_cancel(recorded: Sequence[RecordedAttempt]) -> list[RecordedAttempt]:
    """Without the attempts that the cancel has ended: these have not failed."""
    return [one for one in recorded if one.outcome is not Outcome.FAILED or not _is_cancel(one.payload)]


def _is_cancel(payload: bytes) -> bool:
    error = _value(payload)
    return isinstance(error, dict) and error.get("code") == FlowErrorCode.CANCELLED.value


def _step(told: Replay, reasons: Reasons, index: int, *, is_cancelled: bool) -> dict[str, Any]:
    step, execution = told.plan.flow.steps[index], told.execution
    state = execution.states[index]
    attempts = told.attempts.get(index, [])
    status = "cancelled" if is_cancelled and state == IN_FLIGHT else _STATE_WORDS[state]
    story: dict[str, Any] = {"step": step.id, "component": step.component, "status": status, "why": reasons.why(index)}
    if index in told.inputs:
        story["input"] = _value(told.inputs[index])
        story["attempts"] = [_attempt(attempt, attempts[:number]) for number, attempt in enumerate(attempts)]
    effect = _on_error_effect(step, attempts, state)
    if effect:
        story["onError"] = effect
    if state in (SUCCESS, SKIPPED, FAILED):
        outcome = {SUCCESS: Outcome.SUCCESS, SKIPPED: Outcome.SKIPPED, FAILED: Outcome.FAILED}[state]
        story |= _ending(outcome, execution.payloads[index], "output")
    return story


def _attempt(attempt: RecordedAttempt, before: Sequence[RecordedAttempt]) -> dict[str, Any]:
    story: dict[str, Any] = {
        "attempt": attempt.attempt,
        "seconds": round(max(attempt.ended_s - attempt.began_s, 0.0), 6),
        "outcome": _OUTCOME_WORDS[attempt.outcome],
    }
    if before:
        story["afterSeconds"] = round(max(attempt.began_s - before[-1].ended_s, 0.0), 6)
    if attempt.outcome is not Outcome.SUCCESS:
        story |= _ending(attempt.outcome, attempt.payload, "output")
    return story


def _on_error_effect(step: Step, attempts: Sequence[RecordedAttempt], state: int) -> str:
    """What `onError` did about the last failure, in words; empty if there was none or it did nothing."""
    if not attempts or attempts[-1].outcome is not Outcome.FAILED or state in (IN_FLIGHT, WAITING):
        return ""
    action = step.on_error.action
    if state == SUCCESS:
        spent = " once the retries were spent" if action is OnErrorAction.RETRY else ""
        return f"{action.value}: the default value stands in{spent}"
    if state == SKIPPED:
        return "skip: the step counts as skipped"
    if action is OnErrorAction.RETRY:
        return f"retry: no attempt is left (maxRetries {step.on_error.max_retries}), or this failure is not repeated"
    return "fail: the step has failed"


def _ending(outcome: Outcome, payload: bytes, name: str) -> dict[str, Any]:
    """`payload` under the word that says what it is."""
    value = _value(payload)
    if outcome is Outcome.SUCCESS:
        return {name: value}
    if outcome is Outcome.SKIPPED:
        reason = value.get("reason") if isinstance(value, dict) else None
        return {} if reason is None else {"reason": reason}
    return {"error": value}


def _value(data: bytes) -> Any:
    """Decoded; bytes that are no JSON (a component server may have sent such) as text."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return data.decode("utf-8", "replace")
