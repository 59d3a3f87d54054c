"""Section 7: patches to steps."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flowspan.errors import InvalidArgumentError, Reason
from runtime_core.flow.json_patch import JsonPatchError, apply_json_patch
from runtime_core.flow.overrides import apply_overrides, merge_patch

from .items import plan_of, run_item, step

FLOW: dict[str, Any] = {
    "steps": [step("a", {"x": 1, "y": {"z": 2}}, metadata={"m": 1}), step("b", {"$step": "a"})],
    "output": {"$step": "b"},
}


def patched(patch: Any, step_id: str = "a") -> dict[str, Any]:
    steps: Any = apply_overrides(FLOW, {"steps": {step_id: patch}})["steps"]
    [entry] = [entry for entry in steps if entry["id"] == step_id]
    assert type(entry) is dict
    return entry


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396_hold(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert merge_patch(target, patch) == result
    assert (target, patch) == before


def test_with_and_without_the_wrapper_and_the_type_the_patch_is_the_same() -> None:
    forms: list[Any] = [
        {"steps": {"a": {"$type": "merge_patch", "value": {"input": {"x": 5}}}}},
        {"steps": {"a": {"value": {"input": {"x": 5}}}}},
        {"a": {"value": {"input": {"x": 5}}}},
    ]
    for form in forms:
        assert run_item(FLOW, overrides=form).payload == {"x": 5, "y": {"z": 2}}


def test_the_flow_itself_is_not_changed() -> None:
    before = copy.deepcopy(FLOW)
    apply_overrides(FLOW, {"a": {"value": {"input": {"y": {"z": None}}, "metadata": None}}})
    assert before == FLOW


def test_nothing_to_patch_leaves_the_flow_as_it_is() -> None:
    empties: list[Any] = [{}, {"steps": {}}]
    for empty in empties:
        assert apply_overrides(FLOW, empty) is FLOW


@pytest.mark.parametrize(
    ("patch", "name", "value"),
    [
        ({"component": "/other/path"}, "component", "/other/path"),
        ({"skip": True}, "skip", True),
        ({"onError": {"action": "skip"}}, "onError", {"action": "skip"}),
        ({"mustExecute": True}, "mustExecute", True),
        ({"timeout": "1m"}, "timeout", "1m"),
        ({"metadata": {"n": 2}}, "metadata", {"m": 1, "n": 2}),
        ({"input": None}, "input", None),
    ],
)
def test_any_field_but_the_id_can_be_patched(patch: Any, name: str, value: Any) -> None:
    assert patched({"value": patch}).get(name) == value


def test_a_patch_meets_a_field_in_its_other_spelling() -> None:
    flow: Any = {"steps": [step("a", 1, skipIf=True, on_error={"action": "skip"})], "output": {"$step": "a"}}
    assert run_item(flow, overrides={"a": {"value": {"skip": False}}}).outcome == "success"
    assert run_item(flow, overrides={"a": {"value": {"skip": None}}}).outcome == "success"
    one: Any = apply_overrides(flow, {"a": {"value": {"onError": {"defaultValue": 2}}}})["steps"]
    assert one[0]["onError"] == {"action": "skip", "defaultValue": 2}


def test_a_step_may_be_called_steps() -> None:
    flow = {"steps": [step("steps", 1)], "output": {"$step": "steps"}}
    assert run_item(flow, overrides={"steps": {"value": {"input": 2}}}).payload == 2
    assert run_item(flow, overrides={"steps": {"steps": {"value": {"input": 3}}}}).payload == 3


def test_the_documented_form_is_never_taken_for_a_patch_of_a_step_called_steps() -> None:
    flow = {"steps": [step("steps", 1), step("value", 2)], "output": [{"$step": "steps"}, {"$step": "value"}]}
    assert run_item(flow, overrides={"steps": {"value": {"value": {"input": 3}}}}).payload == [1, 3]
    assert run_item(flow, overrides={"steps": {"$type": "merge_patch", "value": {"input": 3}}}).payload == [3, 2]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        "x",
        1,
        {"nope": {"value": {}}},
        {"steps": {"nope": {"value": {}}}},
        {"steps": []},
        {"steps": None},
        {"steps": {"a": None}},
        {"a": None},
        {"a": {}},
        {"a": {"input": 1}},
        {"a": {"value": {}, "extra": 1}},
        {"a": {"value": None}},
        {"a": {"value": [1]}},
        {"a": {"$type": "other", "value": {}}},
        {"a": {"$type": 1, "value": {}}},
        {"a": {"value": {"id": "z"}}},
        {"a": {"value": {"id": None}}},
        {"a": {"value": {"id": "a"}}},
        {"a": {"value": {"__proto__": {"x": 1}}}},
        {"a": {"value": {"input": [{"__proto__": 1}]}}},
        {"__proto__": {"value": {}}},
        {"steps": {"a": {"value": {}}}, "b": {"value": {}}},
        {"a": {"value": {"component": None}}},
        {"a": {"value": {"input": {"$step": "b"}}}},
        {"a": {"value": {"onError": {"action": "explode"}}}},
        {"a": {"$type": "json_patch", "value": {"op": "remove"}}},
        {"a": {"$type": "json_patch", "value": [{"op": "replace", "path": "/id", "value": "z"}]}},
        {"a": {"$type": "json_patch", "value": [{"op": "remove", "path": ""}]}},
        {"a": {"$type": "json_patch", "value": [{"op": "add", "path": "/__proto__/x", "value": 1}]}},
    ],
)
def test_an_unknown_step_or_a_bad_patch_is_an_invalid_argument(overrides: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        plan_of(FLOW, overrides=overrides)
    assert caught.value.reason is Reason.INVALID_ARGUMENT
    assert caught.value.details["field"] == "overrides"


def test_overrides_that_break_the_flow_come_with_diagnostics() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        plan_of(FLOW, overrides={"a": {"value": {"input": {"$step": "b"}}}})
    assert caught.value.details["diagnostics"][0]["code"] == 3003


def test_overrides_cannot_nest_a_flow_too_deep() -> None:
    deep: Any = 1
    for _ in range(62):
        deep = [deep]
    with pytest.raises(InvalidArgumentError, match="deeper than 64"):
        plan_of(FLOW, overrides={"a": {"value": {"input": {"y": deep}}}})


def test_a_json_patch_is_applied_in_order() -> None:
    patch = [
        {"op": "test", "path": "/input/x", "value": 1},
        {"op": "replace", "path": "/input/x", "value": 9},
        {"op": "remove", "path": "/input/y"},
    ]
    assert run_item(FLOW, overrides={"a": {"$type": "json_patch", "value": patch}}).payload == {"x": 9}


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        ([1, 2], [{"op": "replace", "path": "/1", "value": 3}], [1, 3]),
        (
            {"foo": {"bar": 1, "w": 2}, "q": {"c": 3}},
            [{"op": "move", "from": "/foo/w", "path": "/q/t"}],
            {"foo": {"bar": 1}, "q": {"c": 3, "t": 2}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"g": {}}, "extra": 1}], {"foo": "bar", "child": {"g": {}}}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}], {"foo": ["bar", ["abc", "def"]]}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}, {"op": "remove", "path": "/~1"}], {"~1": 10}),
        (
            {"a": [1]},
            [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/0", "value": 0}],
            {"a": [1], "b": [0, 1]},
        ),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1.0}, {"op": "add", "path": "", "value": 5}], 5),
    ],
)
def test_the_examples_of_rfc_6902_hold(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert apply_json_patch(target, patch) == result
    assert (target, patch) == before


@pytest.mark.parametrize(
    "operation",
    [
        None,
        {},
        {"op": "frob", "path": "/a"},
        {"op": "add", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/a~2", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/l/5", "value": 1},
        {"op": "add", "path": "/l/01", "value": 1},
        {"op": "add", "path": "/n/x", "value": 1},
        {"op": "remove", "path": "/x"},
        {"op": "remove", "path": "/l/-"},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "move", "path": "/a"},
        {"op": "move", "from": "/o", "path": "/o/x"},
        {"op": "copy", "from": "/x", "path": "/a"},
        {"op": "test", "path": "/n", "value": "1"},
        {"op": "test", "path": "/t", "value": 1},
    ],
)
def test_an_operation_that_does_not_fit_is_refused_by_its_number(operation: Any) -> None:
    target: Any = {"n": 1, "l": [1], "o": {}, "t": True}
    with pytest.raises(JsonPatchError, match="operation 1"):
        apply_json_patch(target, [{"op": "test", "path": "/n", "value": 1}, operation])


def test_a_patch_cannot_grow_a_step_without_bound() -> None:
    double: Any = {"op": "copy", "from": "", "path": "/x"}
    with pytest.raises(JsonPatchError, match=r"nodes|deeper"):
        apply_json_patch({"a": [0] * 50}, [double] * 1_000)
    with pytest.raises(JsonPatchError, match="at most 1000"):
        apply_json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * 1_001)
