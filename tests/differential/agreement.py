"""Whether the engine did what the reference says. Everything that the page fixes is compared, and nothing else."""

from __future__ import annotations

from itertools import pairwise

from flowspan.errors import FlowInvalidError, InvalidArgumentError
from flowspan.view.events import Outcome, RunStatusCode
from tests.differential.cases import Case, Expected, ExpectedItem
from tests.differential.engine_side import Actual, ActualItem, Call, inputs_of
from tests.differential.exact_json import exact, read
from tests.differential.reference import Execution, Failed, Ok

PROMPT_S = 0.9
"""Longer than any answer and commit takes, shorter than most time-outs of a step that hangs."""


def disagreement(case: Case, expected: Expected, actual: Actual) -> str | None:
    """The first difference, in words, or None."""
    if expected.refused is not None:
        if actual.refused is None:
            return f"the submit was accepted; to be refused: {expected.refused}"
        if not isinstance(actual.refused, InvalidArgumentError) or isinstance(actual.refused, FlowInvalidError):
            return f"refused with {actual.refused!r} instead of INVALID_ARGUMENT"
        return f"{actual.runs_left} runs are left of a refused submit" if actual.runs_left else None
    if actual.refused is not None:
        return f"the submit was refused: {actual.refused.message}"
    if len(actual.items) != len(expected.items):
        return f"{len(actual.items)} results for {len(expected.items)} items"
    for number, (wanted, got) in enumerate(zip(expected.items, actual.items, strict=True)):
        difference = result_difference(wanted, got) or steps_difference(wanted, got, actual.was_killed)
        if difference is None and wanted.ends_promptly and not actual.was_killed:
            difference = delay_difference(wanted, got)
        if difference is not None:
            return f"item {number}: {difference}"
    # Section 6: skipped "counts as `success` in the statistics"; runs-methods: one failed item fails the run.
    failed = any(isinstance(item.outcome, Failed) for item in expected.items)
    status = RunStatusCode.FAILED if failed else RunStatusCode.SUCCESS
    return None if actual.status is status else f"the run ended as {actual.status}, not {status}"


def result_difference(wanted: ExpectedItem, got: ActualItem) -> str | None:
    outcome = wanted.outcome
    if isinstance(outcome, Ok):
        if got.outcome is not Outcome.SUCCESS:
            return f"{got.outcome.name} {got.payload.decode()} instead of {exact(outcome.value)}"
        shown = exact(read(got.payload))
        return None if shown == exact(outcome.value) else f"value {shown} instead of {exact(outcome.value)}"
    if not isinstance(outcome, Failed):
        return None if got.outcome is Outcome.SKIPPED else f"{got.outcome.name} {got.payload.decode()} instead of skipped"
    if got.outcome is not Outcome.FAILED:
        return f"{got.outcome.name} {got.payload.decode()} instead of {outcome}"
    error = read(got.payload)
    if error["code"] != outcome.code or outcome.message not in (None, error["message"]):
        return f"{error} instead of {outcome}"
    if outcome.data is not None and exact(error.get("data")) != exact(outcome.data):
        return f"data {error.get('data')} instead of {outcome.data}"
    # "naming the JSON pointer"; that of the whole input is empty.
    if wanted.violations and not any(pointer in error["message"] for pointer in wanted.violations):
        return f"{error} names none of the places {wanted.violations}"
    return None


def steps_difference(wanted: ExpectedItem, got: ActualItem, was_killed: bool) -> str | None:
    missing = wanted.must.keys() - got.calls.keys()
    if missing:
        return f"steps {sorted(missing)} did not run"
    needless = got.calls.keys() - wanted.may.keys()
    if needless:
        return f"steps {sorted(needless)} ran, and nothing needs them"
    for step_id, calls in got.calls.items():
        execution = wanted.may[step_id]
        if inputs_of(calls) != {exact(execution.input)}:
            return f"step {step_id} got {inputs_of(calls)} instead of {exact(execution.input)}"
        difference = attempts_difference(execution, calls, step_id in wanted.must, was_killed)
        if difference is not None:
            return f"step {step_id}: {difference}"
    return None


def delay_difference(wanted: ExpectedItem, got: ActualItem) -> str | None:
    """Decision 32: "An item ends when its output is known and its `mustExecute` steps are done"."""
    last_s = max((call.at_s for step_id in wanted.must for call in got.calls[step_id]), default=None)
    if last_s is None or got.ended_s <= last_s + PROMPT_S:
        return None
    return f"it ended {got.ended_s - last_s:.3f} s after the last call that it needs began"


def attempts_difference(execution: Execution, calls: list[Call], must: bool, was_killed: bool) -> str | None:
    """ "one `attempt` counter, starting at 1, that only rises"; a crash of the gateway skips some, and charges none."""
    seen = [call.attempt for call in calls]
    if was_killed:
        rising = all(before < after for before, after in pairwise(seen))
        return None if rising and seen[0] >= 1 else f"attempts {seen} do not rise"
    allowed = list(range(1, execution.attempts + 1))
    if must:
        return None if seen == allowed else f"attempts {seen} instead of {allowed}"
    return None if seen == allowed[: len(seen)] else f"attempts {seen}, at most {allowed}"
