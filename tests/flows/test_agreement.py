"""What the builder builds, the gateway takes; what the gateway refuses, the builder refuses."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowspan.errors import FlowspanError, InvalidArgumentError
from flowspan.flows import FlowBuilder, coalesce, if_, limits, literal, on_error, retry
from runtime_core.flow import parse, source, yaml_loader
from runtime_core.flow.diagnostics import Level
from runtime_core.flow.inspection import inspect_flow
from runtime_core.flow.parse import check_flow
from runtime_core.flow.plan import compile_flow
from runtime_core.flow.source import parse_flow
from runtime_core.model import json_value
from runtime_core.model.json_value import canonical_json, canonical_of_value
from tests.flows.strategies import flow_builders


def findings(document: Any) -> list[str]:
    """Fatal ones and errors."""
    return [one.message for one in check_flow(document).diagnostics if one.level is not Level.WARNING]


def is_fatal(document: Any) -> bool:
    return check_flow(document).flow is None


def is_refused(make: Any) -> bool:
    try:
        make()
    except FlowspanError:
        return True
    return False


@given(flow_builders())
@settings(deadline=None)
def test_whatever_a_builder_builds_has_no_fatal_and_no_error_finding_and_compiles(flow: FlowBuilder) -> None:
    document = flow.build()
    assert findings(document) == []
    checked = check_flow(document)
    assert checked.flow is not None
    # Types are not the builder's to judge; that embedded flows are flows is.
    inspected = inspect_flow(checked)
    assert inspected.types is not None
    assert [finding for finding in inspected.findings if finding.kind in ("invalidSubflowLiteral", "undefinedVariable")] == []
    plan = compile_flow(checked.flow, None)
    assert [step.id for step in plan.steps] == [step["id"] for step in document["steps"]]


@given(flow_builders())
@settings(deadline=None)
def test_its_json_and_its_yaml_are_the_same_flow(flow: FlowBuilder) -> None:
    document = flow.build()
    canonical = canonical_of_value(document)
    for text in (flow.to_json(), flow.to_json(indent=2)):
        assert canonical_json(text.encode()) == canonical
    assert repr(parse_flow(flow.to_json().encode()).document.value) == repr(document)
    yaml = flow.to_yaml().encode()
    assert canonical_of_value(parse_flow(yaml, is_yaml=True).document.value) == canonical


def test_the_bounds_are_those_of_the_gateway() -> None:
    assert limits.MAX_STEPS == parse.MAX_STEPS
    assert limits.MAX_RETRIES == parse.MAX_RETRIES
    assert limits.MAX_DEPTH == json_value.MAX_JSON_DEPTH
    assert limits.MAX_NUMBER_DIGITS == json_value.MAX_NUMBER_DIGITS
    assert limits.MAX_NODES == yaml_loader.MAX_NODES
    assert limits.MAX_FLOW_BYTES == source.MAX_FLOW_BYTES


def raw(**fields: Any) -> dict[str, Any]:
    return {"steps": [{"id": "a", "component": "/x"}, {"id": "s", "component": "/x", **fields}]}


def built(**fields: Any) -> None:
    flow = FlowBuilder()
    flow.add("a", "/x")
    flow.add("s", "/x", **fields)


PATH_TEXTS = st.text(alphabet="$.[]'\"\\ab01 *?-", max_size=8) | st.text(max_size=4)
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2_000)
    | st.floats()
    | st.sampled_from(["", "1s", "1 s", "-1s", "1m30s", "90", "1d", "retry", "fail", "constant", "Constant", "linear"])
    | st.just([])
    | st.just({})
)


@given(PATH_TEXTS)
def test_a_path_is_refused_exactly_if_the_gateway_refuses_it(text: str) -> None:
    flow = FlowBuilder()
    step = flow.add("a", "/x")
    assert is_refused(lambda: step.path(text)) == is_fatal(raw(input={"$step": "a", "path": text}))
    assert is_refused(lambda: flow.input.path(text)) == is_fatal(raw(input={"$input": text}))


@given(ANYTHING | st.floats(0, 1e9))
def test_a_timeout_is_refused_exactly_if_the_gateway_refuses_it(value: Any) -> None:
    assert is_refused(lambda: built(timeout=value)) == is_fatal(raw(timeout=value))


@given(ANYTHING)
def test_retries_are_refused_exactly_if_the_gateway_refuses_them(value: Any) -> None:
    assert is_refused(lambda: on_error.retry(max_retries=value)) == is_fatal(
        raw(onError={"action": "retry", "maxRetries": value})
    )
    assert is_refused(lambda: retry(max_retries=value)) == is_fatal(raw(retry={"maxRetries": value}))


@given(ANYTHING)
def test_a_backoff_is_refused_exactly_if_the_gateway_refuses_it(value: Any) -> None:
    assert is_refused(lambda: retry(backoff=value)) == is_fatal(raw(retry={"backoff": value}))


@given(st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=4))
def test_step_ids_are_refused_exactly_if_the_gateway_refuses_them(ids: list[str]) -> None:
    def build() -> None:
        flow = FlowBuilder()
        for step_id in ids:
            flow.add(step_id, "/x")

    assert is_refused(build) == is_fatal({"steps": [{"id": step_id, "component": "/x"} for step_id in ids]})


@given(st.integers(0, 3), st.sampled_from(["a", "b", "c", "d"]))
def test_a_reference_by_name_is_refused_exactly_if_the_gateway_refuses_it(position: int, name: str) -> None:
    """`position`: of the step that refers, or of the output."""
    ids = ["a", "b", "c"]
    document: dict[str, Any] = {"steps": [{"id": step_id, "component": "/x"} for step_id in ids]}
    reference = {"$step": name}
    if position == 3:
        document["output"] = reference
    else:
        document["steps"][position]["input"] = reference

    def build() -> None:
        flow = FlowBuilder()
        for index, step_id in enumerate(ids):
            flow.add(step_id, "/x", flow.step(name) if index == position else None)
        if position == 3:
            flow.output(flow.step(name))

    assert is_refused(build) == is_fatal(document)


def deep(depth: int, *, schema: bool = False) -> Any:
    """A value, or a schema, that nests so deep."""
    value: Any = True
    for level in range(depth):
        value = {"not": value} if schema else [value] if level % 2 else {"a": value}
    return value


def add_embedded(flow: FlowBuilder, value: Any) -> None:
    inner = FlowBuilder()
    inner.output(value)
    flow.add("s", "/x", {"flow": inner})


STEP = {"id": "s", "component": "/x"}
NESTED: dict[str, tuple[bool, Any, Any]] = {
    # Whether it is a schema, how it is written in a document, and how with a builder.
    "input": (False, lambda v: {"steps": [STEP | {"input": v}]}, lambda f, v: f.add("s", "/x", v)),
    "skip": (False, lambda v: {"steps": [STEP | {"skip": v}]}, lambda f, v: f.add("s", "/x", skip=v)),
    "step metadata": (
        False,
        lambda v: {"steps": [STEP | {"metadata": {"a": v}}]},
        lambda f, v: f.add("s", "/x", metadata={"a": v}),
    ),
    "default": (
        False,
        lambda v: {"steps": [STEP | {"onError": {"action": "useDefault", "defaultValue": v}}]},
        lambda f, v: f.add("s", "/x", on_error=on_error.use_default(v)),
    ),
    "output": (False, lambda v: {"steps": [], "output": v}, lambda f, v: f.output(v)),
    "literal": (False, lambda v: {"steps": [], "output": {"$literal": v}}, lambda f, v: f.output(literal(v))),
    "if": (
        False,
        lambda v: {"steps": [], "output": {"$if": True, "then": {"v": v}}},
        lambda f, v: f.output(if_(True, {"v": v})),
    ),
    "coalesce": (False, lambda v: {"steps": [], "output": {"$coalesce": [v, 1]}}, lambda f, v: f.output(coalesce(v, 1))),
    "skipped": (
        False,
        lambda v: {"steps": [STEP], "output": {"$step": "s", "onSkip": {"action": "useDefault", "defaultValue": v}}},
        lambda f, v: f.output(f.add("s", "/x").or_if_skipped(v)),
    ),
    "variable": (
        False,
        lambda v: {"steps": [], "output": {"$variable": "$.v", "default": v}},
        lambda f, v: f.output(f.variable("v", default=v)),
    ),
    "embedded": (
        False,
        lambda v: {"steps": [STEP | {"input": {"flow": {"$literal": {"steps": [], "output": v}}}}]},
        add_embedded,
    ),
    "test": (
        False,
        lambda v: {"steps": [], "test": {"cases": [{"name": "t", "input": None, "output": {"outcome": "success", "value": v}}]}},
        lambda f, v: f.test_case("t", output={"outcome": "success", "value": v}),
    ),
    "example": (False, lambda v: {"steps": [], "examples": [{"name": "e", "input": v}]}, lambda f, v: f.example("e", v)),
    "input schema": (
        True,
        lambda v: {"schemas": {"type": "object", "properties": {"input": v}}, "steps": []},
        lambda f, v: f.input_schema(v),
    ),
    "step schema": (
        True,
        lambda v: {
            "schemas": {"type": "object", "properties": {"steps": {"type": "object", "properties": {"s": v}}}},
            "steps": [STEP],
        },
        lambda f, v: f.add("s", "/x", output_schema=v),
    ),
    "variable schema": (
        True,
        lambda v: {
            "schemas": {"type": "object", "properties": {"variables": {"type": "object", "properties": {"v": v}}}},
            "steps": [],
        },
        lambda f, v: f.declare_variable("v", v),
    ),
    "metadata": (False, lambda v: {"steps": [], "metadata": {"a": v}}, lambda f, v: FlowBuilder(metadata={"a": v}).build()),
}


@pytest.mark.parametrize("place", NESTED)
def test_nesting_is_refused_exactly_where_the_gateway_refuses_it(place: str) -> None:
    is_schema, write, make = NESTED[place]
    fits = []
    for depth in range(50, 66):
        value = deep(depth, schema=is_schema)
        document = write(value)
        flow = FlowBuilder()
        refused = is_refused(partial(make, flow, value))
        assert refused == is_refused(partial(parse_flow, json.dumps(document).encode())), depth
        fits.append(not refused)
        if not refused and place != "metadata":
            assert flow.build() == document
    assert fits[0] and not fits[-1]


MISTAKES: dict[str, tuple[Any, Any]] = {
    "an id twice": ({"steps": [{"id": "a", "component": "/x"}] * 2}, lambda f: (f.add("a", "/x"), f.add("a", "/x"))),
    "no id": ({"steps": [{"id": "", "component": "/x"}]}, lambda f: f.add("", "/x")),
    "an id that is no text": ({"steps": [{"id": 1, "component": "/x"}]}, lambda f: f.add(1, "/x")),
    "no component": ({"steps": [{"id": "a"}]}, lambda f: f.add("a", None)),
    "a component that is no text": (raw(component=1), lambda f: f.add("s", 1)),
    "a later step": (
        {"steps": [{"id": "a", "component": "/x", "input": {"$step": "b"}}, {"id": "b", "component": "/x"}]},
        lambda f: (f.add("a", "/x", f.step("b")), f.add("b", "/x")),
    ),
    "itself": (raw(input={"$step": "s"}), lambda f: f.add("s", "/x", f.step("s"))),
    "an unknown step": (raw(input={"$step": "q"}), lambda f: f.add("s", "/x", f.step("q"))),
    "a wildcard": (raw(input={"$input": "$.*"}), lambda f: f.input.path("$.*")),
    "a negative index": (raw(input={"$input": "$[-1]"}), lambda f: f.input[-1]),
    "an endless index": (raw(input={"$input": f"$[{10**20}]"}), lambda f: f.input[10**20]),
    "a slice": (raw(input={"$input": "$[0:1]"}), lambda f: f.input[0:1]),
    "a path that is no text": (raw(input={"$input": 3}), lambda f: f.input.path(3)),
    "a duration of nothing": (raw(timeout=0), lambda f: f.add("s", "/x", timeout=timedelta())),
    "a duration of true": (raw(timeout=True), lambda f: f.add("s", "/x", timeout=True)),
    "an unknown unit": (raw(timeout="3 days"), lambda f: f.add("s", "/x", timeout="3 days")),
    "too many retries": (raw(retry={"maxRetries": 1_001}), lambda f: retry(max_retries=1_001)),
    "fewer than no retries": (raw(onError={"action": "retry", "maxRetries": -1}), lambda f: on_error.retry(max_retries=-1)),
    "half a retry": (raw(retry={"maxRetries": 0.5}), lambda f: retry(max_retries=0.5)),
    "an unknown back-off": (raw(retry={"backoff": "linear"}), lambda f: retry(backoff="linear")),
    "an unknown action": (raw(onError={"action": "explode"}), lambda f: f.add("s", "/x", on_error={"action": "explode"})),
    "an on_error that is text": (raw(onError="skip"), lambda f: f.add("s", "/x", on_error="skip")),
    "a retry that is a number": (raw(retry=3), lambda f: f.add("s", "/x", retry=3)),
    "mustExecute of 1": (raw(mustExecute=1), lambda f: f.add("s", "/x", must_execute=1)),
    "metadata that is a list": (raw(metadata=[]), lambda f: f.add("s", "/x", metadata=[])),
    "a name that is a number": ({"name": 1}, lambda f: FlowBuilder(1)),
    "the old syntax": (raw(input={"$from": {"step": "a"}}), lambda f: f.add("s", "/x", {"$from": {"step": "a"}})),
    "an if without then": (raw(input={"$if": True}), lambda f: f.add("s", "/x", {"$if": True})),
    "a coalesce of no list": (raw(input={"$coalesce": 1}), lambda f: f.add("s", "/x", {"$coalesce": 1})),
    "a schema that is text": (
        {"schemas": {"properties": {"input": "object"}}},
        lambda f: f.input_schema("object"),
    ),
    "variables that are no object": (
        {"schemas": {"properties": {"variables": {"properties": {"v": 3}}}}},
        lambda f: f.declare_variable("v", 3),
    ),
    "too many steps": (
        {"steps": [{"id": str(index), "component": "/x"} for index in range(10_001)]},
        lambda f: [f.add(str(index), "/x") for index in range(10_001)],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_that_the_gateway_finds_fatal_is_refused_on_its_line(mistake: str) -> None:
    document, make = MISTAKES[mistake]
    assert is_fatal(document)
    with pytest.raises(FlowspanError):
        make(FlowBuilder())


ERRORS: dict[str, tuple[Any, Any]] = {
    "an empty component": (raw(component=""), lambda f: f.add("s", "")),
    "a variable that is not declared": (
        {
            "schemas": {"properties": {"variables": {"type": "object", "properties": {"v": {}}}}},
            "output": {"$variable": "w"},
        },
        lambda f: (f.declare_variable("v"), f.variable("w")),
    ),
    "the same, declared too late": (
        {
            "schemas": {"properties": {"variables": {"type": "object", "properties": {"v": {}}}}},
            "output": {"$variable": "w"},
        },
        lambda f: (f.output(f.variable("w")), f.declare_variable("v")),
    ),
    "the default of a secret": (
        {"schemas": {"properties": {"variables": {"properties": {"v": {"is_secret": True, "default": "x"}}}}}},
        lambda f: f.declare_variable("v", secret=True, default="x"),
    ),
}


@pytest.mark.parametrize("mistake", ERRORS)
def test_a_mistake_that_the_gateway_finds_an_error_is_refused_too(mistake: str) -> None:
    document, make = ERRORS[mistake]
    assert findings(document) != []
    with pytest.raises(InvalidArgumentError):
        make(FlowBuilder())
