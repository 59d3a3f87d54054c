"""Section 3 of the flow language: every form of expression and every failure rule."""

from typing import Any

import pytest

from flowspan.view.events import Outcome
from runtime_core.flow.execution import ItemExecution
from runtime_core.flow.parse import check_flow
from runtime_core.model.json_value import canonical_json

from .items import error_of, failed, plan_of, run_item, step, value_of


def findings(flow: Any) -> list[tuple[int, str]]:
    """Codes and places, without the two warnings of a flow that has no name and no description."""
    return [(found.code, found.path) for found in check_flow(flow).diagnostics if found.code not in (1001, 1002)]


def message_of(flow: Any, code: int) -> str:
    return next(found.message for found in check_flow(flow).diagnostics if found.code == code)


# Forms


def test_a_value_without_reserved_keys_is_itself() -> None:
    value = {"a": [1, "x", None, True, {"$other": 1.0}], "path": "$.a"}
    assert value_of(value) == value


def test_objects_and_arrays_are_resolved_member_by_member() -> None:
    assert value_of({"a": [{"$input": "$.x"}, 2], "b": {"c": {"$input": "$.y"}}}, {"x": 1, "y": [3]}) == {
        "a": [1, 2],
        "b": {"c": [3]},
    }


def test_input_gives_the_whole_or_a_place_in_it() -> None:
    item = {"a": {"b": [10, 20]}, "x.y": 3}
    for path, value in {"$": item, "": item, "a": {"b": [10, 20]}, "$.a.b[1]": 20, "x.y": 3, "$['x.y']": 3}.items():
        assert value_of({"$input": path}, item) == value
    assert value_of({"$input": None}, item) == item


def test_step_gives_an_earlier_output_whole_or_at_a_path() -> None:
    flow = {"steps": [step("a")], "output": [{"$step": "a"}, {"$step": "a", "path": "x"}, {"$step": "a", "path": "$.x.y[0]"}]}
    output = {"x": {"y": [1]}}
    assert run_item(flow, answers={"a": output}).payload == [output, {"y": [1]}, 1]


def test_variable_is_looked_up_in_the_run_then_the_declaration_then_its_own_default() -> None:
    flow = {
        "schemas": {"properties": {"variables": {"properties": {"k": {"default": "declared"}, "z": {}}}}},
        "output": [{"$variable": "k", "default": "own"}, {"$variable": "$.z.deep[0]", "default": {"$input": "$"}}],
    }
    assert run_item(flow, 7).payload == ["declared", 7]
    assert run_item(flow, 7, variables={"k": "given", "z": {"deep": [1]}}).payload == ["given", 1]


def test_the_first_path_element_of_a_variable_is_its_name() -> None:
    assert value_of({"$variable": "a.b"}, variables={"a.b": 1, "a": {"b": 2}}) == 1
    assert value_of({"$variable": "$.a.b"}, variables={"a.b": 1, "a": {"b": 2}}) == 2


def test_literal_resolves_nothing_inside() -> None:
    inner = {"$input": "$", "steps": [{"$from": 1}, {"$step": "nowhere"}]}
    assert value_of({"$literal": inner}) == inner


@pytest.mark.parametrize("condition", [0, "", [], {}, True, "false", 0.0])
def test_zero_and_empty_values_are_truthy(condition: Any) -> None:
    assert value_of({"$if": {"$input": "$.c"}, "then": "yes", "else": "no"}, {"c": condition}) == "yes"
    assert value_of({"$if": {"$input": "$"}, "then": "yes", "else": "no"}, condition) == "yes"


@pytest.mark.parametrize("condition", [None, False])
def test_null_and_false_are_falsy(condition: Any) -> None:
    assert value_of({"$if": {"$input": "$.c"}, "then": "yes", "else": "no"}, {"c": condition}) == "no"
    assert value_of({"$if": {"$input": "$"}, "then": "yes", "else": "no"}, condition) == "no"


def test_a_failed_or_skipped_condition_is_falsy() -> None:
    assert value_of({"$if": {"$input": "$.zz"}, "then": "yes", "else": "no"}, {}) == "no"
    flow = {
        "steps": [step("s", skip=True), step("f")],
        "output": [{"$if": {"$step": name}, "then": 1, "else": 2} for name in "sf"],
    }
    assert run_item(flow, answers={"f": failed()}).payload == [2, 2]


def test_if_without_else_is_null() -> None:
    assert value_of({"$if": False, "then": 1}) is None


def test_coalesce_takes_the_first_value_that_is_neither_null_nor_skipped() -> None:
    flow = {
        "steps": [step("s", skip=True), step("n")],
        "output": {"$coalesce": [{"$step": "s"}, {"$step": "n"}, {"$input": "$.x"}, 3]},
    }
    assert run_item(flow, {"x": 0}, {"n": None}).payload == 0
    assert run_item(flow, {"x": None}, {"n": None}).payload == 3


def test_coalesce_of_nulls_or_of_nothing_is_null() -> None:
    assert value_of({"$coalesce": [None, {"$input": "$"}]}) is None
    assert value_of({"$coalesce": []}) is None


def test_a_failed_element_fails_coalesce_at_once() -> None:
    flow = {"steps": [step("f"), step("later")], "output": {"$coalesce": [{"$step": "f"}, {"$step": "later"}, 3]}}
    ran = run_item(flow, answers={"f": failed("first")})
    assert (ran.outcome, ran.payload["message"], list(ran.calls)) == ("failed", "first", ["f"])


def test_coalesce_of_only_skipped_members_is_skipped() -> None:
    flow = {"steps": [step("s", skip=True)], "output": {"$coalesce": [{"$step": "s"}]}}
    assert run_item(flow).outcome == "skipped"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"$variable": "v", "$input": "$"}, "input"),
        ({"$input": "$", "$step": "a"}, "step"),
        ({"$step": "a", "$coalesce": ["coalesce"]}, "coalesce"),
        ({"$coalesce": ["coalesce"], "$if": True, "then": "if"}, "if"),
        ({"$if": True, "then": "if", "$literal": "literal"}, "literal"),
    ],
)
def test_of_several_reserved_keys_the_first_in_precedence_counts_and_the_rest_is_reported(expression: Any, value: str) -> None:
    flow = {"steps": [step("a")], "output": expression}
    assert run_item(flow, "input", {"a": "step"}, variables={"v": "variable"}).payload == value
    assert 1006 in [code for code, _ in findings(flow)]


def test_a_key_beside_a_reserved_one_is_reported_with_the_nearest_known() -> None:
    flow = {"steps": [step("a")], "output": {"$step": "a", "pth": "$.x"}}
    assert (1006, "/output/pth") in findings(flow)
    assert "'path'" in message_of(flow, 1006)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"$from": {"step": "a"}, "path": "x"}, '{"$step":"a","path":"x"}'),
        ({"$from": {"workflow": "input"}, "path": "$.x"}, '{"$input":"$.x"}'),
        ({"$from": {"workflow": "input"}}, '{"$input":"$"}'),
        ({"$from": "what"}, '{"$step": "<id>"'),
    ],
)
def test_the_old_reference_is_fatal_and_the_new_form_is_shown(old: Any, new: str) -> None:
    flow: Any = {"steps": [step("a")], "output": [old]}
    assert (3004, "/output/0") in findings(flow)
    assert new in message_of(flow, 3004)
    assert check_flow(flow).flow is None


def test_references_to_a_later_an_unknown_and_the_own_step_are_fatal() -> None:
    flow: Any = {"steps": [step("a", {"$step": "b"}), step("b", {"$step": "b"}), step("c", {"$step": "aa"})]}
    assert findings(flow) == [(3003, "/steps/0/input/$step"), (3002, "/steps/1/input/$step"), (3003, "/steps/2/input/$step")]


@pytest.mark.parametrize(
    ("expression", "place"),
    [
        ({"$step": 1}, "/$step"),
        ({"$step": "a", "path": "$.*"}, "/path"),
        ({"$step": "a", "path": 3}, "/path"),
        ({"$step": "a", "onSkip": {"action": "explode"}}, "/onSkip"),
        ({"$step": "a", "onSkip": "skip"}, "/onSkip"),
        ({"$input": "$.a[?(@.b)]"}, "/$input"),
        ({"$input": ["a"]}, "/$input"),
        ({"$variable": ""}, "/$variable"),
        ({"$variable": "$[0]"}, "/$variable"),
        ({"$if": True}, ""),
        ({"$coalesce": {"a": 1}}, "/$coalesce"),
    ],
)
def test_a_malformed_expression_is_fatal(expression: Any, place: str) -> None:
    flow = {"steps": [step("a")], "output": expression}
    assert (3004, f"/output{place}") in findings(flow)
    assert check_flow(flow).flow is None


# Laziness


def test_steps_that_only_an_untaken_branch_needs_never_run() -> None:
    flow = {"steps": [step("a"), step("b")], "output": {"$if": {"$input": "$.c"}, "then": {"$step": "a"}, "else": {"$step": "b"}}}
    assert list(run_item(flow, {"c": True}).calls) == ["a"]
    assert list(run_item(flow, {"c": None}).calls) == ["b"]


def test_a_step_that_becomes_needed_late_runs_then_with_all_that_it_needs() -> None:
    flow = {
        "steps": [step("c"), step("a", 1), step("b", {"$step": "a"}), step("d", [{"$step": "b"}, {"$step": "c"}])],
        "output": {"$if": {"$step": "c"}, "then": {"$step": "d"}, "else": "none"},
    }
    ran = run_item(flow, answers={"c": True})
    assert (ran.payload, list(ran.calls)) == ([1, True], ["c", "a", "b", "d"])
    ran = run_item(flow, answers={"c": False})
    assert (ran.payload, list(ran.calls)) == ("none", ["c"])


def test_coalesce_evaluates_no_more_elements_than_it_takes() -> None:
    flow = {"steps": [step("a"), step("b"), step("c")], "output": {"$coalesce": [{"$step": name} for name in "abc"]}}
    assert list(run_item(flow, answers={"a": None, "b": 2}).calls) == ["a", "b"]
    assert list(run_item(flow, answers={"a": 1}).calls) == ["a"]


def test_the_default_of_a_skipped_reference_is_scheduled_only_when_it_is_needed() -> None:
    flow = {
        "steps": [step("a", skip={"$input": "$.skip"}), step("b", 5)],
        "output": {"v": {"$step": "a", "onSkip": {"action": "useDefault", "defaultValue": {"$step": "b"}}}},
    }
    assert run_item(flow, {"skip": True}).payload == {"v": 5}
    assert list(run_item(flow, {"skip": False}).calls) == ["a"]


def test_two_nodes_may_wait_for_the_same_late_step() -> None:
    late = {"$if": {"$step": "c"}, "then": {"$step": "x"}}
    flow = {
        "steps": [step("c", True), step("x", 7), step("p", late), step("q", late)],
        "output": [{"$step": "p"}, {"$step": "q"}, late],
    }
    assert run_item(flow).payload == [7, 7, 7]


def test_nested_late_needs_are_met_one_after_the_other() -> None:
    flow = {
        "steps": [step("a", True), step("b", True), step("c", "end")],
        "output": {"$if": {"$step": "a"}, "then": {"$if": {"$step": "b"}, "then": {"$coalesce": [None, {"$step": "c"}]}}},
    }
    assert run_item(flow).payload == "end"


# Failure rules


def test_a_path_not_found_in_a_step_output_fails_with_its_canonical_form() -> None:
    for path in ("zz", "$.zz", "$['zz']"):
        flow = {"steps": [step("a")], "output": {"$step": "a", "path": path}}
        assert error_of(flow, answers={"a": {"x": 1}}) == ("EXPRESSION_FAILURE", "Path $.zz not found")


def test_null_in_the_middle_of_a_path_is_not_found() -> None:
    flow = {"steps": [step("a")], "output": {"$step": "a", "path": "$.n.x"}}
    assert error_of(flow, answers={"a": {"n": None}}) == ("EXPRESSION_FAILURE", "Path $.n.x not found")


def test_a_path_not_found_in_the_input_fails() -> None:
    assert error_of({"output": {"$input": "x"}}, {"y": 1}) == ("EXPRESSION_FAILURE", "Input path $.x not found")


def test_a_path_into_a_null_input_fails_and_the_whole_is_null() -> None:
    assert error_of({"output": {"$input": "$.x"}}, None) == ("EXPRESSION_FAILURE", "Input path $.x not found")
    assert value_of({"$input": "$"}, None) is None


def test_any_path_into_a_null_output_is_null() -> None:
    flow = {"steps": [step("a")], "output": [{"$step": "a"}, {"$step": "a", "path": "$.x[3]"}]}
    assert run_item(flow, answers={"a": None}).payload == [None, None]


def test_an_unknown_variable_fails() -> None:
    assert error_of({"output": {"$variable": "$.k.x"}}) == ("EXPRESSION_FAILURE", "Undefined variable: k")


def test_an_undefined_variable_in_an_untaken_branch_does_no_harm() -> None:
    assert value_of({"$if": False, "then": {"$variable": "k"}, "else": 1}) == 1


def test_the_dependent_of_a_failed_step_fails_with_the_same_error_without_running() -> None:
    flow = {"steps": [step("a"), step("b", {"$step": "a"}), step("c", [{"$step": "b"}])], "output": {"$step": "c"}}
    ran = run_item(flow, answers={"a": failed("root cause", "TIMEOUT")})
    assert (ran.outcome, ran.payload, list(ran.calls)) == ("failed", {"code": "TIMEOUT", "message": "root cause"}, ["a"])


def test_of_several_failures_the_first_in_document_order_counts() -> None:
    flow = {"steps": [step("a"), step("b")], "output": {"x": {"$step": "b"}, "y": [{"$step": "a"}, {"$input": "$.zz"}]}}
    assert error_of(flow, {}, answers={"a": failed("a"), "b": failed("b")})[1] == "b"
    assert error_of(flow, {}, answers={"a": failed("a")})[1] == "a"
    assert error_of(flow, {})[1] == "Input path $.zz not found"


def test_a_failed_member_outweighs_a_skipped_one() -> None:
    flow = {"steps": [step("s", skip=True)], "output": [{"$step": "s"}, {"$input": "$.zz"}]}
    assert error_of(flow, {})[1] == "Input path $.zz not found"


def test_where_the_expression_stands_is_told_in_the_data_of_the_error() -> None:
    assert run_item({"output": {"a": [{"$input": "$.x"}]}}, {}).payload["data"] == {"path": "/output/a/0"}


@pytest.mark.parametrize("payload", [b"{", b"1e999", b'"\xff"', b"[" * 100_000])
def test_an_output_that_is_not_json_fails_only_where_it_is_looked_into(payload: bytes) -> None:
    flow = {"steps": [step("a")], "output": {"$step": "a", "path": "$.x"}}
    item = ItemExecution(plan_of(flow), b"null")
    item.start()
    item.complete(0, Outcome.SUCCESS, payload)
    assert item.result is not None
    assert item.result.outcome is Outcome.FAILED
    assert b"EXPRESSION_FAILURE" in item.result.payload


# Values


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740993",
        "1000000000000000000000000000000",
        "1.0",
        "-0.0",
        "1e+22",
        '"\U0001f600\uffff\\u0000"',
        "123456789012345680000.0",
    ],
)
def test_a_value_keeps_its_meaning_through_paths_and_new_objects(text: str) -> None:
    flow = {"steps": [step("a", {"n": {"$input": "$.v"}})], "output": {"$step": "a", "path": "n"}}
    item = ItemExecution(plan_of(flow), f'{{"v":{text}}}'.encode())
    [call] = item.start()
    item.complete(0, Outcome.SUCCESS, call.input)
    assert item.result is not None
    assert canonical_json(item.result.payload) == canonical_json(text.encode())


def test_a_whole_value_is_passed_on_byte_for_byte() -> None:
    odd = b' {"b":1e2,  "a":1.50}'
    flow = {"steps": [step("a", {"$input": "$"}), step("b", {"in": {"$step": "a"}})], "output": {"$step": "b"}}
    item = ItemExecution(plan_of(flow), odd)
    [call] = item.start()
    assert call.input is odd
    [call] = item.complete(0, Outcome.SUCCESS, odd)
    assert call.input == b'{"in":' + odd + b"}"
    item.complete(1, Outcome.SUCCESS, odd)
    assert item.result is not None
    assert item.result.payload is odd


def test_a_constant_is_encoded_once_for_all_items() -> None:
    plan = plan_of({"steps": [step("a", {"deep": [1, {"$literal": {"$input": "$"}}]})], "output": {"$step": "a"}})
    inputs = [ItemExecution(plan, b"1").start()[0].input for _ in range(2)]
    assert inputs[0] is inputs[1]
    assert inputs[0] == b'{"deep":[1,{"$input":"$"}]}'
