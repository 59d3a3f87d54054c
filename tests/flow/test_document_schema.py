"""The JSON Schema of a flow agrees with the parser, which is the judge."""

from __future__ import annotations

from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowspan.flows import FlowBuilder
from runtime_core.flow.diagnostics import Diagnostic
from runtime_core.flow.document_schema import flow_schema
from runtime_core.flow.expression_syntax import ALWAYS_ALLOWED, OLD_KEY, ON_SKIP_FIELDS, RESERVED_KEYS
from runtime_core.flow.parse import (
    EXAMPLE_FIELDS,
    FLOW_FIELDS,
    MAX_RETRIES,
    MAX_STEPS,
    ON_ERROR_FIELDS,
    RETRY_FIELDS,
    STEP_FIELDS,
    check_flow,
)
from runtime_core.flow.schemas import compile_schema
from tests.differential.cases import Case
from tests.differential.generators import cases
from tests.flows.strategies import flow_builders

SCHEMA: Final[dict[str, Any]] = flow_schema()
CHECK: Final = compile_schema(SCHEMA)
SHAPE_CODES: Final = frozenset((1005, 1006, 2001, 2002, 3001, 3004))
"""Findings about the shape of a document, which its schema shows too. The others are about what its names lead to."""


def shape_findings(document: Any) -> list[Diagnostic]:
    return [one for one in check_flow(document).diagnostics if one.code in SHAPE_CODES]


def agree(document: Any) -> bool:
    """What both say of a document; fails where they differ."""
    findings = shape_findings(document)
    violation = CHECK.violation(document)
    assert (violation is None) == (not findings), (document, findings, violation)
    return not findings


def with_step(**fields: Any) -> dict[str, Any]:
    return {"name": "n", "steps": [{"id": "a", "component": "/builtin/noop"}, {"id": "b", "component": "/x/y", **fields}]}


# --- the schema itself -------------------------------------------------------------------------------------------------


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize(
    ("described", "fields"),
    [
        (SCHEMA, FLOW_FIELDS),
        (SCHEMA["$defs"]["step"], STEP_FIELDS),
        (SCHEMA["$defs"]["onError"], ON_ERROR_FIELDS),
        (SCHEMA["$defs"]["retry"], RETRY_FIELDS),
        (SCHEMA["$defs"]["onSkip"], ON_SKIP_FIELDS),
        (SCHEMA["$defs"]["example"], EXAMPLE_FIELDS),
    ],
    ids=["flow", "step", "onError", "retry", "onSkip", "example"],
)
def test_it_names_the_fields_that_the_parser_knows(described: dict[str, Any], fields: tuple[str, ...]) -> None:
    assert set(described["properties"]) == {*fields, *ALWAYS_ALLOWED}


def test_every_key_of_an_expression_is_offered_and_the_old_one_is_not() -> None:
    members = SCHEMA["$defs"]["expression"]["properties"]
    assert set(members) == {*RESERVED_KEYS, OLD_KEY}
    assert members[OLD_KEY]["doNotSuggest"]
    assert "$step" in members[OLD_KEY]["deprecationMessage"]


def test_everything_that_an_editor_offers_is_explained() -> None:
    unexplained = []
    stack: list[tuple[str, Any]] = [("", SCHEMA)]
    while stack:
        place, part = stack.pop()
        if not isinstance(part, dict):
            continue
        for keyword in ("properties", "$defs"):
            for name, member in part.get(keyword, {}).items() if not {"if", "then"} & set(place.split("/")) else ():
                where = f"{place}/{keyword}/{name}"
                stack.append((where, member))
                if not {"description", "doNotSuggest"} & member.keys() and where not in SELF_EXPLAINING:
                    unexplained.append(where)
        stack += [(f"{place}/{key}", part[key]) for key in ("items", "additionalProperties", "if", "then", "else") if key in part]
    assert unexplained == []


SELF_EXPLAINING: Final = {
    "/$defs/schemas/properties/type",
    "/$defs/schemas/properties/properties",
}


# --- both ways ---------------------------------------------------------------------------------------------------------

EXPRESSIONS: Final[list[tuple[Any, bool]]] = [
    (5, True),
    ([1, {"a": {"$input": "$"}}], True),
    ({"then": 1, "path": 5, "default": []}, True),
    ({"$input": None}, True),
    ({"$input": ""}, True),
    ({"$input": "a.b"}, True),
    ({"$input": "$.a[0][\"x'y\"]['a.b']"}, True),
    ({"$input": "$.größe"}, True),
    ({"$input": "$."}, False),
    ({"$input": "$.a b"}, False),
    ({"$input": "$[01]"}, False),
    ({"$input": "$[-1]"}, False),
    ({"$input": "$.a[*]"}, False),
    ({"$input": "$['a\\b']"}, False),
    ({"$input": "$.a\n"}, False),
    ({"$input": ["a"]}, False),
    ({"$input": "a", "path": "b"}, False),
    ({"$step": "a", "path": None, "onSkip": None}, True),
    ({"$step": "a", "path": "$[0]"}, True),
    ({"$step": "a", "path": 0}, False),
    ({"$step": "a", "pth": "x"}, False),
    ({"$step": 1}, False),
    ({"$step": "a", "onSkip": {"action": "skip"}}, True),
    ({"$step": "a", "onSkip": {"action": "useDefault", "defaultValue": {"$input": "$"}}}, True),
    ({"$step": "a", "onSkip": {"action": "useDefault", "defaultValue": {"$input": 5}}}, False),
    ({"$step": "a", "onSkip": {"action": "ignore"}}, False),
    ({"$step": "a", "onSkip": {}}, False),
    ({"$step": "a", "onSkip": "skip"}, False),
    ({"$step": "a", "onSkip": {"action": "skip", "defaultvalue": 1}}, False),
    ({"$step": "a", "onSkip": {"action": "skip", "defaultValue": 1}}, False),
    ({"$step": "a", "onSkip": {"action": "skip", "defaultValue": None, "x-why": 1}}, True),
    ({"$variable": "k"}, True),
    ({"$variable": "$.k[0]", "default": None}, True),
    ({"$variable": "$['a b']"}, True),
    ({"$variable": "$"}, False),
    ({"$variable": "$[0]"}, False),
    ({"$variable": ""}, False),
    ({"$variable": None}, False),
    ({"$variable": "k", "else": 1}, False),
    ({"$literal": {"$from": {"step": "a"}, "$step": []}}, True),
    ({"$literal": 1, "a": 2}, False),
    ({"$if": {"$step": "a"}, "then": 1}, True),
    ({"$if": True, "then": None, "else": {"$input": "$"}}, True),
    ({"$if": True}, False),
    ({"$if": True, "then": {"$input": 5}}, False),
    ({"$if": True, "then": 1, "default": 2}, False),
    ({"$if": {"$input": "$["}, "then": 1}, False),
    ({"$if": True, "then": 1, "else": {"$input": "$["}}, False),
    ({"$coalesce": [1], "then": 1}, False),
    ({"$step": "a", "path": "$["}, False),
    ({"$step": "a", "onSkip": {"action": "skip", "schema": 1, "$schema": 2}}, True),
    ({"$if": True, "then": 1, "$step": "a"}, False),
    ({"$coalesce": [{"$step": "a"}, None]}, True),
    ({"$coalesce": []}, True),
    ({"$coalesce": {"a": 1}}, False),
    ({"$coalesce": [{"$input": "$["}]}, False),
    ({"$from": {"workflow": "input"}, "path": "a"}, False),
    ({"a": [{"b": {"$from": {"step": "a"}}}]}, False),
]


@pytest.mark.parametrize(("expression", "is_right"), EXPRESSIONS, ids=str)
@pytest.mark.parametrize("field", ["input", "skip", "skipIf"])
def test_expressions_of_a_step(field: str, expression: Any, is_right: bool) -> None:
    assert agree(with_step(**{field: expression})) is is_right


@pytest.mark.parametrize(("expression", "is_right"), EXPRESSIONS, ids=str)
def test_expressions_of_the_output(expression: Any, is_right: bool) -> None:
    assert agree({**with_step(), "output": {"nested": [expression]}}) is is_right


STEPS: Final[list[tuple[dict[str, Any], bool]]] = [
    ({"mustExecute": None, "timeout": None, "retry": None, "onError": None, "metadata": None, "skip": None}, True),
    ({"skip": None, "skipIf": False}, True),
    ({"x-note": 1, "schema": 2, "$schema": 3}, True),
    ({"id": ""}, False),
    ({"id": None}, False),
    ({"id": 5}, False),
    ({"component": ""}, False),
    ({"component": None}, False),
    ({"component": ["/a"]}, False),
    ({"inptu": 1}, False),
    ({"mustExecute": 1}, False),
    ({"metadata": []}, False),
    *(({"timeout": good}, True) for good in (1, 0.5, 31_536_000, "1h2m3s", "1m30s", "250ms", "1.5s", "5ms", "0m1s", "0.01s")),
    *(
        ({"timeout": bad}, False)
        for bad in (0, -1, 31_536_001, True, [], "", "0s", "5", "s", "5 s", "1s1m", "-1s", "1,5s", "1S", "soon", "1s\n", ".5s")
    ),
    ({"onError": {}}, True),
    *(({name: {"action": good}}, True) for name in ("onError", "on_error") for good in ("fail", "useDefault", "retry", "skip")),
    ({"onError": {"action": None, "defaultValue": {"$from": 1}, "maxRetries": None}}, True),
    ({"onError": {"maxRetries": 0}}, True),
    ({"onError": {"maxRetries": MAX_RETRIES}}, True),
    ({"onError": {"maxRetries": MAX_RETRIES + 1}}, False),
    ({"onError": {"maxRetries": -1}}, False),
    ({"onError": {"maxRetries": 1.5}}, False),
    ({"onError": {"maxRetries": "3"}}, False),
    ({"onError": {"maxRetries": True}}, False),
    ({"onError": {"action": "ignore"}}, False),
    ({"onError": {"action": "use_default"}}, False),
    ({"onError": {"default": 1}}, False),
    ({"onError": "skip"}, False),
    ({"retry": {"maxRetries": 3, "backoff": "fibonacci"}}, True),
    ({"retry": {"backoff": "linear"}}, False),
    ({"retry": {"delay": 1}}, False),
    ({"retry": {"maxRetries": "3"}}, False),
    ({"retry": {"maxRetries": -1}}, False),
    ({"retry": {"maxRetries": MAX_RETRIES + 1}}, False),
    ({"on_error": 5}, False),
    ({"onError": {"x-why": 1, "schema": 2, "$schema": 3}}, True),
    ({"retry": {"x-why": 1, "schema": 2, "$schema": 3}}, True),
    ({"retry": 3}, False),
]


@pytest.mark.parametrize(("fields", "is_right"), STEPS, ids=str)
def test_fields_of_a_step(fields: dict[str, Any], is_right: bool) -> None:
    assert agree(with_step(**fields)) is is_right


FLOWS: Final[list[tuple[Any, bool]]] = [
    ({}, True),
    (dict.fromkeys(FLOW_FIELDS), True),
    ({"x-team": "blue", "schema": 1, "$schema": 2}, True),
    ({"steps": []}, True),
    ({"steps": {}}, False),
    ({"steps": [None]}, False),
    ({"steps": ["a"]}, False),
    ({"steps": [{}]}, False),
    ({"step": []}, False),
    ({"name": 5}, False),
    ({"description": []}, False),
    ({"version": 1}, False),
    ({"metadata": "x"}, False),
    ({"examples": {}}, False),
    ({"examples": [{"name": "a", "input": None, "description": "d"}]}, True),
    ({"examples": [{"name": "a"}]}, False),
    ({"examples": [{"input": 1}]}, False),
    ({"examples": [{"name": 1, "input": 1}]}, False),
    ({"examples": [{"name": "a", "input": 1, "x-why": 1, "schema": 2, "$schema": 3}]}, True),
    ({"examples": [{"name": "a", "input": 1, "output": 2}]}, False),
    ({"examples": [{"name": "a", "input": 1, "description": 2}]}, False),
    ({"examples": ["a"]}, False),
    ({"test": []}, False),
    ({"schemas": []}, False),
    ({"schemas": {"properties": []}}, False),
    ({"schemas": {"properties": {"variables": 5}}}, False),
    ({"schemas": {"properties": {"steps": []}}}, False),
    ({"schemas": {"properties": {"steps": {"properties": 5}}}}, False),
    ({"schemas": {"type": "object", "properties": {"input": {"type": "object"}, "steps": {"properties": {"a": True}}}}}, True),
    ({"schemas": {"properties": {"input": None, "output": None, "variables": None, "steps": None}}}, True),
    ({"inputSchema": {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "x-any": 1}}, True),
    ({"inputSchema": False, "output_schema": True}, True),
    ({"inputSchema": {"type": "strng"}}, False),
    ({"inputSchema": {"properties": {"a": {"minimum": "1"}}}}, False),
    ({"outputSchema": {"required": "a"}}, False),
    ({"input_schema": 5}, False),
    ({"schemas": {"properties": {"input": {"type": 5}}}}, False),
    ({"schemas": {"properties": {"steps": {"properties": {"a": {"items": 5}}}}}}, False),
    ({"schemas": {"title": "t", "required": ["input"], "x-a": 1}}, True),
    ({"schemas": {"type": None, "$defs": None, "properties": None}}, True),
    ({"schemas": {"type": "array"}}, False),
    ({"schemas": {"$defs": []}}, False),
    ({"schemas": {"propertes": {}}}, False),
    ({"schemas": {"properties": {"inputs": {}}}}, False),
    ({"schemas": {"properties": {"output": {"type": "x"}}}}, False),
    ({"schemas": {"properties": {"steps": {"a": True}}}}, False),
    ({"schemas": {"properties": {"variables": {"properties": {"k": {"is_secret": 1}}}}}}, False),
    ({"output_schema": 1}, False),
    ({"variables_schema": 1}, False),
    ({"schemas": {"$defs": {"a": {"type": "string"}}, "properties": {"input": {"$ref": "#/$defs/a"}}}}, True),
    ({"variablesSchema": True}, False),
    ({"variablesSchema": {"properties": []}}, False),
    ({"variablesSchema": {"required": [1]}}, False),
    ({"variablesSchema": {"properties": {"k": {"type": "text"}}}}, False),
    ({"variablesSchema": {"properties": {"k": {"is_secret": "yes"}}}}, False),
    ({"variablesSchema": {"properties": {"k": {"env_var": 5}}}}, False),
    ({"variables_schema": {"properties": {"k": {"type": "string", "is_secret": True, "env_var": "K"}}}}, True),
    ([], False),
    ("flow", False),
    (None, False),
]


@pytest.mark.parametrize(("document", "is_right"), FLOWS, ids=str)
def test_fields_of_a_flow(document: Any, is_right: bool) -> None:
    assert agree(document) is is_right


def test_too_many_steps_are_seen_by_both() -> None:
    steps = [{"id": f"s{number}", "component": "/a/b"} for number in range(MAX_STEPS + 1)]
    assert agree({"steps": steps[:-1]})
    assert not agree({"steps": steps})


SCALARS = st.sampled_from([None, True, False, 0, 1, -1, 1.5, 10**20, "", "a", "$", "$.a", "$.a[0]", "$[", "a.b", "5s", "retry"])
LITERALS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2), max_leaves=4
)
IDS = st.sampled_from(["a", "b", "c", "nowhere"])
PATHS = st.sampled_from([None, "", "$", "x", "a.b", "$.x", "$['a.b']", "$[3].y"])


def objects_of(fields: dict[str, st.SearchStrategy[Any]], mistakes: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of these members; now and then with a member of any kind, or with one that nobody knows."""
    right = st.fixed_dictionaries({}, optional=fields)
    wrong = st.dictionaries(st.sampled_from([*fields, *mistakes, "x-own", "schema"]), LITERALS, max_size=1)
    return st.builds(lambda base, slip: {**base, **slip}, right, st.just({}) | st.just({}) | wrong)


def expressions(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    on_skip = st.fixed_dictionaries({"action": st.sampled_from(["skip", "useDefault"])}, optional={"defaultValue": inner})
    return st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "then", "path", "action"]), inner, max_size=3),
        st.fixed_dictionaries({"$input": PATHS}),
        st.fixed_dictionaries({"$step": IDS}, optional={"path": PATHS, "onSkip": on_skip | st.none()}),
        st.fixed_dictionaries({"$variable": st.sampled_from(["k", "$.k", "$['k'][0]"])}, optional={"default": inner}),
        st.fixed_dictionaries({"$if": inner, "then": inner}, optional={"else": inner}),
        st.fixed_dictionaries({"$coalesce": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"$literal": LITERALS}),
        st.dictionaries(st.sampled_from([*RESERVED_KEYS, OLD_KEY, "then", "path", "onSkip", "default", "a"]), inner, max_size=2),
    )


EXPRESSION = st.recursive(SCALARS, expressions, max_leaves=8)
COUNTS = st.none() | st.integers(0, MAX_RETRIES)
STEP = objects_of(
    {
        "input": EXPRESSION,
        "skip": EXPRESSION,
        "skipIf": EXPRESSION,
        "onError": objects_of(
            {"action": st.sampled_from(["fail", "skip", "retry", None]), "defaultValue": LITERALS, "maxRetries": COUNTS},
            ("default",),
        ),
        "mustExecute": st.none() | st.booleans(),
        "timeout": st.none() | st.integers(1, 60) | st.sampled_from(["1s", "1h5m", "20ms"]),
        "retry": objects_of({"maxRetries": COUNTS, "backoff": st.sampled_from(["constant", None])}, ("max_retries",)),
        "metadata": st.none() | st.just({"a": 1}),
    },
    ("inptu", "on_error"),
)


def numbered(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With ids and components, and one spelling of each field: what stands under a second one is ignored, not judged."""
    for index, step in enumerate(steps):
        step.setdefault("id", "abcdef"[index])
        step.setdefault("component", "/x/y")
        for name, alias in (("skip", "skipIf"), ("onError", "on_error")):
            if step.get(name) is not None:
                step.pop(alias, None)
    return steps


FLOW = objects_of(
    {
        "name": st.none() | st.just("n"),
        "version": st.none() | st.just("1"),
        "steps": st.none() | st.lists(STEP, max_size=3).map(numbered),
        "output": EXPRESSION,
        "metadata": st.none() | st.just({}),
        "input_schema": st.none() | st.just({"type": "object"}),
    },
    ("outputs", "Steps"),
)


@settings(max_examples=600, deadline=None)
@given(FLOW)
def test_the_schema_refuses_what_the_parser_calls_misshapen_and_nothing_else(document: Any) -> None:
    agree(document)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_flows_that_run_fit_the_schema(case: Case) -> None:
    agree(case.flow)


@settings(max_examples=100, deadline=None)
@given(flow_builders())
def test_flows_built_in_python_fit_the_schema(built: FlowBuilder) -> None:
    # `test` has a judge of its own: tests/docs/test_flow_schema_of_tests.py.
    agree({name: part for name, part in built.build().items() if name != "test"})


# --- schemas within a flow ---------------------------------------------------------------------------------------------

SAMPLES: Final[tuple[Any, ...]] = (
    None, True, 0, 1, -1, 1.5, "", "a", "a b", "#x", "object", "nothing", [], [1], ["a"], ["a", "a"], ["string"],
    ["string", "string"], [True], [[]], {}, {"a": True}, {"a": {}}, {"a": 1}, {"a": ["b"]}, {"a": [1]}, {"type": 5},
    {"a": {"type": 5}}, [{"type": "null"}],
)  # fmt: skip
KEYWORDS: Final = sorted(SCHEMA["$defs"]["jsonSchema"]["properties"])
URIS: Final = ("$id", "$schema", "$ref", "$dynamicRef")
"""What a reference may be is left to the compiler of schemas, which knows what it leads to."""


@pytest.mark.parametrize("keyword", [keyword for keyword in KEYWORDS if keyword not in URIS])
def test_schemas_within_a_flow_are_judged_as_their_meta_schema_does(keyword: str) -> None:
    official = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    ours = compile_schema({**SCHEMA["$defs"]["jsonSchema"], "$defs": SCHEMA["$defs"]})
    for sample in SAMPLES:
        assert (ours.violation({keyword: sample}) is None) == official.is_valid({keyword: sample}), sample


def test_every_keyword_of_the_meta_schema_is_known() -> None:
    official: set[str] = set()
    for name in ("core", "applicator", "unevaluated", "validation", "meta-data", "format-annotation", "content"):
        vocabulary = jsonschema.validators.Draft202012Validator({"$ref": f"https://json-schema.org/draft/2020-12/meta/{name}"})
        resolved = vocabulary._resolver.lookup(f"https://json-schema.org/draft/2020-12/meta/{name}").contents
        official |= set(resolved["properties"])
    assert official <= set(KEYWORDS)
