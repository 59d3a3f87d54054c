"""The reference says what the page says; without this both sides could be wrong in the same way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.differential.cases import Behaviour, Case, expected_of
from tests.differential.exact_json import Json, exact
from tests.differential.paths import BadPathError, read_path, write_path
from tests.differential.reference import Failed, Ok, Outcome, Skipped

SKIPPED = {"id": "skipped", "component": "/p/echo", "skip": True}
FAILED = {"id": "failed", "component": "/p/fails", "input": 1}
NULL = {"id": "null", "component": "/p/echo"}
VALUE = {"id": "value", "component": "/p/echo", "input": {"a": {"b": None}, "x.y": [1, 1.0]}}
TRUTHY: tuple[Json, ...] = (0, "", [], {}, True)
ERROR = Failed("COMPONENT_FAILED", "it always fails")
BEHAVIOURS = {"echo": Behaviour(), "fails": Behaviour(then="COMPONENT_FAILED")}


def expected(flow: Json, given: Json = None, item_input: Json = None, **more: Any) -> Any:
    return expected_of(Case({"steps": [], **flow}, [item_input], BEHAVIOURS, given=given, **more))


def outcome_of(output: Json, given: Json = None, item_input: Json = None) -> Outcome:
    """Of a flow with four steps: one that is skipped, one that fails, one that gives null, one that gives a value."""
    outcome: Outcome = expected({"steps": [SKIPPED, FAILED, NULL, VALUE], "output": output}, given, item_input).items[0].outcome
    return outcome


def step(step_id: str, path: str | None = None, **more: Json) -> Json:
    return {"$step": step_id, **({} if path is None else {"path": path}), **more}


@pytest.mark.parametrize(
    ("output", "outcome"),
    [
        # Precedence.
        ({"$literal": {"$input": "$"}, "$if": 1, "then": 2}, Ok({"$input": "$"})),
        ({"$variable": "k", "$input": "$", "$step": "null", "$coalesce": [1], "$if": 0, "then": 2}, Ok(2)),
        # `$if`: what is falsy.
        *[({"$if": {"$literal": value}, "then": 1, "else": 2}, Ok(1)) for value in TRUTHY],
        *[({"$if": falsy, "then": 1, "else": 2}, Ok(2)) for falsy in (None, False, step("failed"), step("skipped"))],
        ({"$if": None, "then": 1}, Ok(None)),
        # `$coalesce`.
        ({"$coalesce": [None, step("skipped"), False, step("failed")]}, Ok(False)),
        ({"$coalesce": [None, step("failed"), 1]}, ERROR),
        ({"$coalesce": [None, step("null")]}, Ok(None)),
        ({"$coalesce": [step("skipped"), step("skipped")]}, Skipped()),
        ({"$coalesce": [step("skipped"), None]}, Ok(None)),
        # The failure rules.
        (step("value", "zz"), Failed("EXPRESSION_FAILURE", "Path $.zz not found")),
        (step("value", "$.a.b.c"), Failed("EXPRESSION_FAILURE", "Path $.a.b.c not found")),
        (step("value", "x.y"), Ok([1, 1.0])),
        (step("value", "$['x.y'][1]"), Ok(1.0)),
        (step("null", "$.anything"), Ok(None)),
        ({"$input": "$.x"}, Failed("EXPRESSION_FAILURE", "Input path $.x not found")),
        ({"$input": "$"}, Ok(None)),
        ({"$variable": "k"}, Failed("EXPRESSION_FAILURE", "Undefined variable: k")),
        ({"$variable": "k", "default": step("null")}, Ok(None)),
        ([step("skipped"), step("failed"), {"$input": "x"}], ERROR),
        ([{"$input": "x"}, step("failed")], Failed("EXPRESSION_FAILURE", "Input path $.x not found")),
        # Skipping.
        ({"deep": [step("skipped")]}, Skipped()),
        (step("skipped", onSkip={"action": "useDefault", "defaultValue": step("value", "$.a")}), Ok({"b": None})),
        (step("skipped", onSkip={"action": "skip"}), Skipped()),
    ],
)
def test_an_expression_means_what_its_row_says(output: Json, outcome: Outcome) -> None:
    assert repr(outcome_of(output)) == repr(outcome)


def test_variables_are_looked_up_in_their_order() -> None:
    flow = {
        "variablesSchema": {"properties": {"d": {"default": 1}}},
        "output": [{"$variable": "d", "default": 2}, {"$variable": "$.o.x", "default": 3}],
    }
    assert expected(flow).items[0].outcome == Ok([1, 3])
    assert expected(flow, {"d": None, "o": {"x": 4}}).items[0].outcome == Ok([None, 4])


@pytest.mark.parametrize(
    ("on_error", "retry", "failures", "attempts", "outcome"),
    [
        ({}, {}, (), 1, ERROR),
        ({"action": "useDefault"}, {}, (), 1, Ok(None)),
        ({"action": "useDefault", "defaultValue": {"$input": "$"}}, {}, (), 1, Ok({"$input": "$"})),
        ({"action": "skip"}, {}, (), 1, Skipped()),
        ({"action": "retry"}, {}, (), 4, ERROR),
        ({"action": "retry", "maxRetries": 2}, {}, ("RESOURCE_UNAVAILABLE",), 3, ERROR),
        ({"action": "retry", "maxRetries": 1, "defaultValue": 7}, {}, (), 2, Ok(7)),
        ({"action": "retry", "maxRetries": 1}, {}, ("TIMEOUT", "UNREACHABLE", "TIMEOUT"), 5, ERROR),
        ({"action": "retry"}, {"maxRetries": 0}, ("TIMEOUT",), 1, Failed("TIMEOUT", "attempt 1 failed")),
        ({"action": "useDefault", "defaultValue": 0}, {}, ("UNREACHABLE",) * 4, 4, Ok(0)),
        ({"action": "retry"}, {}, ("INVALID_INPUT",), 1, Failed("INVALID_INPUT", "attempt 1 failed")),
    ],
)
def test_each_action_has_its_budgets(on_error: Json, retry: Json, failures: Any, attempts: int, outcome: Outcome) -> None:
    flow = {
        "steps": [{"id": "a", "component": "/p/c", "onError": on_error, "retry": retry}],
        "output": {"$step": "a"},
    }
    case = Case(flow, [None], {"c": Behaviour(failures=failures, then="COMPONENT_FAILED")})
    item = expected_of(case).items[0]
    assert (item.outcome, item.must["a"].attempts) == (outcome, attempts)


def test_steps_run_only_if_needed_and_none_that_an_untaken_branch_needs() -> None:
    steps = [VALUE | {"id": one} for one in ("a", "b", "c", "d")] + [VALUE | {"id": "must", "mustExecute": True}]
    item = expected({"steps": steps, "output": {"$if": step("a"), "then": step("b"), "else": step("c")}}).items[0]
    assert item.must.keys() == item.may.keys() == {"a", "b", "must"}


def test_who_comes_after_a_failure_in_the_document_may_run_and_need_not() -> None:
    item = expected({"steps": [FAILED, VALUE], "output": [step("failed"), step("value")]}).items[0]
    assert (item.must.keys(), item.may.keys()) == ({"failed"}, {"failed", "value"})


def test_the_output_fails_before_must_execute_steps_and_these_in_their_order() -> None:
    musts = [FAILED | {"mustExecute": True}, VALUE | {"input": {"$input": "x"}, "mustExecute": True}]
    assert expected({"steps": musts, "output": {"$input": "y"}}).items[0].outcome.message == "Input path $.y not found"
    assert expected({"steps": musts[::-1]}).items[0].outcome.message == "Input path $.x not found"
    assert expected({"steps": musts}).items[0].outcome == ERROR


@pytest.mark.parametrize(
    ("overrides", "input_or_refusal"),
    [
        ({"steps": {"value": {"value": {"input": {"a": None, "c": 1}}}}}, {"x.y": [1, 1.0], "c": 1}),
        ({"value": {"$type": "merge_patch", "value": {"input": 2}}}, 2),
        ({"value": {"$type": "json_patch", "value": [{"op": "add", "path": "/input/x.y/-", "value": 2}]}}, None),
        ({"value": {"$type": "json_patch", "value": [{"op": "test", "path": "/input/a", "value": 1}]}}, RuntimeError),
        ({"value": {"$type": "json_patch", "value": [{"op": "remove", "path": "/nope"}]}}, RuntimeError),
        ({"value": {"value": {"id": "other"}}}, RuntimeError),
        ({"nobody": {"value": {}}}, RuntimeError),
        ({"value": {"value": {"input": {"$step": "value"}}}}, RuntimeError),
    ],
)
def test_overrides_patch_a_copy_or_leave_no_run(overrides: Json, input_or_refusal: Json) -> None:
    flow = {"steps": [VALUE], "output": step("value")}
    before = exact(flow)
    found = expected(flow, overrides=overrides)
    if input_or_refusal is RuntimeError:
        assert found.refused
    else:
        wanted = input_or_refusal or {"a": {"b": None}, "x.y": [1, 1.0, 2]}
        assert exact(found.items[0].outcome.value) == exact(wanted)
    assert exact(flow) == before


@pytest.mark.parametrize("text", ["$.a b", "$[-1]", "$[*]", "$..a", "$[0:1]", "$[?(@.x)]", "$[01]", "$['a", "$a", "$.", "$[]"])
def test_nothing_else_is_a_path(text: str) -> None:
    with pytest.raises(BadPathError):
        read_path(text)


@pytest.mark.parametrize("path", [[], ["a.b"], ["p]q", 0, "it's", 'say "hi"', "", "名前", "back\\slash"]])
def test_the_canonical_form_of_a_path_reads_back(path: list[str | int]) -> None:
    assert read_path(write_path(path)) == path
