"""Each code of the static check: a flow that has it, and one that nearly has it (docs/flow-language, diagnostics)."""

from __future__ import annotations

from typing import Any

import pytest

from runtime_core.flow.diagnostics import Level
from runtime_core.flow.inspection import inspect_flow
from runtime_core.flow.parse import check_flow
from runtime_core.flow.types.components import UNKNOWN_COMPONENT, ComponentTypes, Knowledge

from .house import ECHO, JsonDict, errors, flow, found, gives, inspect, message, schemas, step, takes

TEXT = {"type": "string"}
CLOSED = {"type": "object", "properties": {"name": TEXT, "age": {"type": "integer"}}, "additionalProperties": False}
OPEN = {"type": "object", "properties": {"name": TEXT}}


def reading(path: str, **fields: Any) -> JsonDict:
    """A flow whose output reads the step `a` at a path."""
    return flow(step("a"), output={"$step": "a", "path": path}, **fields)


def reading_input(path: str, **parts: Any) -> JsonDict:
    return flow(output={"$input": path}, schemas=schemas(**parts))


# --- 1003 unvalidatedFieldAccess -------------------------------------------------------------------------------------


def test_a_field_that_an_open_schema_does_not_declare_is_a_warning_with_the_nearest_name() -> None:
    assert found(reading_input("$.nam", input=OPEN)) == [(1003, "/output/0/$input")]
    assert message(reading_input("$.nam", input=OPEN)).endswith("declares no property 'nam'; did you mean 'name'?")
    assert found(reading_input("$.name", input=OPEN)) == []


def test_a_schema_that_declares_nothing_is_not_held_against_a_path() -> None:
    assert found(reading_input("$.nam", input={"type": "object"})) == []
    assert found(reading_input("$.nam.x", input={})) == []
    assert found(reading("$.data.x"), a=gives({"type": "object", "properties": {"data": {}}})) == []


def test_an_input_without_schema_is_told_once_if_the_flow_has_other_schemas() -> None:
    paths = [{"$input": "$.a"}, {"$input": "$.b"}]
    assert found(flow(output=paths, schemas=schemas(output={}))) == [(1003, "/output/0/0/$input")]
    assert found(flow(output=paths)) == []
    assert found(flow(output={"$input": "$"}, schemas=schemas(output={}))) == []


# --- 1100 untypedComponentOutput -------------------------------------------------------------------------------------


def test_a_path_into_what_an_untyped_component_answers_is_told_once_a_step() -> None:
    document = flow(step("a"), output=[{"$step": "a", "path": "$.x"}, {"$step": "a", "path": "$.y"}])
    assert found(document, a=ComponentTypes()) == [(1100, "/output/0/0/path")]
    assert found(document, a=gives({})) == [(1100, "/output/0/0/path")]


def test_an_untyped_output_that_is_taken_whole_or_that_the_flow_declares_is_fine() -> None:
    assert found(flow(step("a")), a=ComponentTypes()) == []
    declared = reading("$.x", schemas=schemas(steps={"properties": {"a": {"properties": {"x": {}}}}}))
    assert found(declared, a=ComponentTypes()) == []
    assert found(reading("$.x"), a=gives({"properties": {"x": {}}})) == []


def test_of_a_component_that_is_not_known_nothing_is_said() -> None:
    class Silent:
        def look_up(self, path: str) -> Knowledge:
            return UNKNOWN_COMPONENT

    assert inspect_flow(check_flow(reading("$.x")), Silent()).findings == ()
    assert inspect_flow(check_flow(reading("$.x"))).findings == ()


# --- 1500 mockComponent ----------------------------------------------------------------------------------------------


def test_a_mock_is_told_of_where_the_flow_names_it() -> None:
    assert found(flow(step("a")), a=ComponentTypes(is_mock=True)) == [(1500, "/steps/0/component")]
    assert found(flow(step("a")), a=ComponentTypes()) == []


# --- 2000 invalidFieldAccess -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (TEXT, "$.x"),
        ({"type": "integer"}, "$[0]"),
        (CLOSED, "$.name.x"),
        (CLOSED, "$[0]"),
        ({"type": "array", "items": TEXT}, "$.x"),
        ({"type": "array", "items": TEXT}, "$[3].x"),
        ({"type": "array", "prefixItems": [TEXT], "items": False}, "$[1]"),
        ({"type": "array", "maxItems": 2}, "$[2]"),
        ({"enum": ["a", "b"]}, "$.a"),
        ({"const": {"a": 1}}, "$.a.b"),
        ({"anyOf": [TEXT, {"type": "boolean"}]}, "$.x"),
        ({"type": ["string", "integer"]}, "length"),
        ({"allOf": [{"type": ["string", "object"]}, {"type": ["string", "array"]}]}, "$.x"),
    ],
)
def test_a_place_that_no_such_value_has_is_an_error(schema: Any, path: str) -> None:
    assert errors(reading(path), a=gives(schema)) == [(2000, "/output/0/path")]
    assert errors(reading_input(path, input=schema)) == [(2000, "/output/0/$input")]


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (CLOSED, "$.name"),
        ({"type": "array", "items": TEXT}, "$[3]"),
        ({"type": "array", "prefixItems": [TEXT]}, "$[1].x"),
        ({"type": "array", "maxItems": 3}, "$[2]"),
        ({"const": {"a": 1}}, "$.a"),
        ({"const": [[1]]}, "$[0][0]"),
        ({"anyOf": [TEXT, {"type": "object"}]}, "$.x"),
        ({"properties": {"a": TEXT}}, "$.a"),
        ({"not": {"type": "object"}}, "$.x"),
        ({"patternProperties": {"^x": TEXT}, "additionalProperties": False}, "$.x1"),
        ({"$ref": "https://example.com/other"}, "$.x"),
        (True, "$.x"),
    ],
)
def test_a_place_that_some_such_value_has_is_none(schema: Any, path: str) -> None:
    assert errors(reading(path), a=gives(schema)) == []


def test_what_is_wrong_with_a_path_names_the_way_and_what_is_there() -> None:
    said = "path $.name.x: the output of step 'a' has no property 'x': it is a string at $.name"
    assert message(reading("$.name.x"), a=gives(CLOSED)) == said


# --- 2101 unknownPropertyInPath --------------------------------------------------------------------------------------


def test_a_property_that_a_closed_object_has_not_is_an_error_with_the_nearest_name() -> None:
    assert errors(reading("$.nam"), a=gives(CLOSED)) == [(2101, "/output/0/path")]
    assert message(reading("$.nam"), a=gives(CLOSED)).endswith("has no property 'nam'; did you mean 'name'?")
    assert message(reading("$.zzzzzz"), a=gives(CLOSED)).endswith("has no property 'zzzzzz'; there are age, name")
    assert errors(reading("$.age"), a=gives(CLOSED)) == []
    assert errors(reading("$.nam"), a=gives(OPEN)) == []


def test_a_typed_variable_is_checked_like_an_input() -> None:
    declared = schemas(variables={"type": "object", "properties": {"v": CLOSED}})
    assert errors(flow(output={"$variable": "$.v.nam"}, schemas=declared)) == [(2101, "/output/0/$variable")]
    assert errors(flow(output={"$variable": "$.v.name"}, schemas=declared)) == []
    assert errors(flow(output={"$variable": "$.v.nam"})) == []


def test_what_a_step_passes_on_has_exactly_the_members_that_the_flow_gives_it() -> None:
    document = flow(step("a", {"x": 1}), output={"$step": "a", "path": "$.y"})
    assert errors(document, a=ECHO) == [(2101, "/output/0/path")]
    assert errors(flow(step("a", {"y": 1}), output={"$step": "a", "path": "$.y"}), a=ECHO) == []


def test_a_path_into_null_is_null_where_a_step_may_answer_null() -> None:
    nullable = {"anyOf": [CLOSED, {"type": "null"}]}
    [finding] = inspect(reading("$.nam"), a=gives(nullable)).findings
    assert (finding.code, finding.level) == (2101, Level.WARNING)
    assert found(reading("$.name"), a=gives(nullable)) == []
    assert errors(reading("$.x"), a=gives({"type": "null"})) == []
    # Null inside an output has no places, and a step that answers null all the same has them all.
    inner = {"anyOf": [{"type": "null"}, {"properties": {"a": {"type": "null"}}, "type": "object"}]}
    [finding] = inspect(reading("$.a.b"), a=gives(inner)).findings
    assert (finding.code, finding.level) == (2000, Level.WARNING)
    assert errors(reading("$.a.b"), a=gives(inner["anyOf"][1])) == [(2000, "/output/0/path")]
    # Of an input, null has no places.
    assert errors(reading_input("$.nam", input=nullable)) == [(2101, "/output/0/$input")]


def test_a_path_that_fails_in_a_condition_is_a_warning_because_a_failed_condition_is_false() -> None:
    document = flow(output={"$if": {"$input": "$.nam"}, "then": 1}, schemas=schemas(input=CLOSED))
    [finding] = inspect(document).findings
    assert (finding.code, finding.level, finding.path) == (2101, Level.WARNING, "/output/0/$if/$input")
    taken = flow(output={"$if": True, "then": {"$input": "$.nam"}}, schemas=schemas(input=CLOSED))
    assert errors(taken) == [(2101, "/output/0/then/$input")]


def test_one_mistake_is_told_once_and_not_again_of_what_it_leads_to() -> None:
    document = flow(step("a"), step("b", {"$step": "a", "path": "$.nam"}), output={"$step": "b", "path": "$.x.y"})
    assert errors(document, a=gives(CLOSED), b=ECHO) == [(2101, "/steps/1/input/path")]


# --- 2100 typeMismatch -----------------------------------------------------------------------------------------------

PERSON = {**CLOSED, "required": ["name"]}


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"name": 5}, "/name"),
        ({"name": {"$literal": 5}}, "/name/$literal"),
        ({"$literal": {"name": 5}}, "/$literal/name"),
        ({"name": {"a": {"$step": "x"}}}, "/name"),
        ({"name": [1]}, "/name"),
        ({"age": 5}, ""),
        ({}, ""),
        ([], ""),
        ({"name": "n", "agee": 5}, "/agee"),
        ({"name": "n", "age": 1.5}, "/age"),
        ({"name": "n", "age": "5"}, "/age"),
        ({"name": {"$step": "x"}}, "/name"),
        ({"name": {"$if": True, "then": 1, "else": 2}}, "/name"),
        ({"name": {"$if": True, "then": 1}}, "/name"),
        ({"name": {"$coalesce": [None, 3]}}, "/name"),
        ({"$coalesce": [{"$step": "x"}, []]}, ""),
    ],
)
def test_an_input_that_cannot_fit_its_component_is_an_error_at_its_place(given: Any, place: str) -> None:
    document = flow(step("x"), step("a", given))
    components = {"x": gives({"type": "boolean"}), "a": takes(PERSON)}
    assert errors(document, **components) == [(2100, f"/steps/1/input{place}")]


@pytest.mark.parametrize(
    "given",
    [
        {"name": "n"},
        {"name": "n", "age": 1.0},
        {"name": {"$step": "x"}},
        {"name": {"$step": "x", "path": "$.anything"}},
        {"name": {"$input": "$.a"}},
        {"name": {"$variable": "v"}},
        {"$step": "x"},
        {"$input": "$"},
        {"name": {"$if": True, "then": "n", "else": 2}},
        {"name": {"$coalesce": [None, "n"]}},
        {"$literal": {"name": "n"}},
    ],
)
def test_an_input_that_may_fit_is_none(given: Any) -> None:
    document = flow(step("x"), step("a", given))
    assert errors(document, x=gives({"type": ["object", "string", "null"]}), a=takes(PERSON)) == []


def test_an_input_that_is_not_there_is_null() -> None:
    document = flow({"id": "a", "component": "/t/a"})
    assert errors(document, a=takes(PERSON)) == [(2100, "/steps/0")]
    assert errors(document, a=takes({"type": ["object", "null"]})) == []


def test_bounds_and_lists_of_values_hold_for_values_that_stand_in_the_flow() -> None:
    whole = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "exclusiveMaximum": 10}}}
    assert errors(flow(step("a", {"n": -1})), a=takes(whole)) == [(2100, "/steps/0/input/n")]
    assert errors(flow(step("a", {"n": 10})), a=takes(whole)) == [(2100, "/steps/0/input/n")]
    assert errors(flow(step("a", {"n": 9})), a=takes(whole)) == []
    assert errors(flow(step("a", "c")), a=takes({"enum": ["a", "b"]})) == [(2100, "/steps/0/input")]
    assert errors(flow(step("a", "b")), a=takes({"enum": ["a", "b"]})) == []
    assert errors(flow(step("a", "")), a=takes({"type": "string", "minLength": 1})) == [(2100, "/steps/0/input")]
    assert errors(flow(step("a", [1, 2])), a=takes({"type": "array", "maxItems": 1})) == [(2100, "/steps/0/input")]
    assert errors(flow(step("a", True)), a=takes({"const": 1})) == [(2100, "/steps/0/input")]
    assert errors(flow(step("a", 1.0)), a=takes({"const": 1})) == []


def test_an_optional_part_of_the_wrong_type_proves_nothing() -> None:
    given = {"type": "object", "properties": {"age": TEXT}}
    assert errors(flow(step("x"), step("a", {"$step": "x"})), x=gives(given), a=takes(CLOSED)) == []
    needed = {**given, "required": ["age"]}
    assert errors(flow(step("x"), step("a", {"$step": "x"})), x=gives(needed), a=takes(CLOSED)) == [(2100, "/steps/1/input")]
    assert errors(flow(step("x"), step("a", {"$step": "x"})), x=gives({"type": "array", "items": TEXT}), a=takes(
        {"type": "array", "items": {"type": "null"}})) == []  # fmt: skip


def test_the_output_is_held_against_the_schema_of_the_output() -> None:
    def document(output: Any) -> JsonDict:
        return {**flow(schemas=schemas(output=PERSON)), "output": output}

    assert errors(document({"name": 5})) == [(2100, "/output/name")]
    assert errors(document({"name": "n"})) == []
    assert errors({"name": "f", "outputSchema": TEXT}) == [(2100, "")]


def test_a_default_of_on_error_is_one_of_a_steps_outputs() -> None:
    document = flow(step("x", onError={"action": "useDefault", "defaultValue": "n"}), step("a", {"name": {"$step": "x"}}))
    assert errors(document, x=gives({"type": "boolean"}), a=takes(PERSON)) == []
    document["steps"][0]["onError"]["defaultValue"] = 3
    assert errors(document, x=gives({"type": "boolean"}), a=takes(PERSON)) == [(2100, "/steps/1/input/name")]
    document["steps"][0]["onError"] = {"action": "retry", "defaultValue": "n"}
    assert errors(document, x=gives({"type": "boolean"}), a=takes(PERSON)) == []
    document["steps"][0]["onError"] = {"action": "skip"}
    assert errors(document, x=gives({"type": "boolean"}), a=takes(PERSON)) == [(2100, "/steps/1/input/name")]


def test_a_default_of_on_skip_counts_only_for_steps_that_may_be_skipped() -> None:
    reference = {"$step": "x", "onSkip": {"action": "useDefault", "defaultValue": "n"}}
    certain = flow(step("x"), step("a", {"name": reference}))
    boolean = {"type": "boolean"}
    # A component may say itself that its step is skipped.
    assert errors(certain, x=gives(boolean), a=takes(PERSON)) == []
    never = ComponentTypes(output_schema=boolean, never_skips=True)
    assert errors(certain, x=never, a=takes(PERSON)) == [(2100, "/steps/1/input/name")]
    for skippable in (step("x", skip={"$input": "$.s"}), step("x", onError={"action": "skip"})):
        assert errors(flow(skippable, step("a", {"name": reference})), x=never, a=takes(PERSON)) == []
    passed_on = flow(step("y"), step("x", {"$step": "y"}), step("a", {"name": reference}))
    assert errors(passed_on, x=never, y=ECHO, a=takes(PERSON)) == []


def test_coalesce_gives_null_only_if_all_of_it_may_be_null_or_skipped() -> None:
    def document(*elements: Any) -> JsonDict:
        return flow(step("x", skip={"$input": "$.s"}), step("a", {"$coalesce": list(elements)}))

    null, nullable = {"type": "null"}, {"type": ["null", "string"]}
    assert errors(document(None, "n"), x=gives(nullable), a=takes(null)) == [(2100, "/steps/1/input")]
    assert errors(document("n", None), x=gives(nullable), a=takes(null)) == []
    assert errors(document({"$step": "x"}, "n"), x=gives(nullable), a=takes(null)) == [(2100, "/steps/1/input")]
    assert errors(document(None, {"$step": "x"}), x=gives(TEXT), a=takes(null)) == []
    assert errors(document(), x=gives(TEXT), a=takes(null)) == []


def test_what_a_component_answers_is_held_against_what_the_flow_declares_of_it() -> None:
    declared = schemas(steps={"properties": {"a": CLOSED}})
    assert errors(flow(step("a"), schemas=declared), a=gives(TEXT)) == [(2100, "/schemas/properties/steps/properties/a")]
    assert errors(flow(step("a"), schemas=declared), a=gives({"type": ["object", "string"]})) == []
    # Both are believed: what is declared loosely stays closed.
    loose = schemas(steps={"properties": {"a": {"type": "object"}}})
    assert errors(reading("$.nam", schemas=loose), a=gives(CLOSED)) == [(2101, "/output/0/path")]


# --- 2200 invalidRouteReference, 2500 invalidComponent ----------------------------------------------------------------


def test_a_component_that_no_route_leads_to_is_an_error() -> None:
    assert errors(flow({"id": "a", "component": "/x/a"})) == [(2200, "/steps/0/component")]


def test_a_component_that_its_plugin_does_not_offer_is_an_error_with_the_nearest_name() -> None:
    assert errors(flow(step("dubble")), double=ECHO) == [(2500, "/steps/0/component")]
    said = "plugin 't' offers no component '/t/dubble'; did you mean '/t/double'?"
    assert message(flow(step("dubble")), double=ECHO) == said
    assert errors(flow(step("double")), double=ECHO) == []


def test_a_component_is_looked_up_once_for_all_its_steps() -> None:
    asked: list[str] = []

    class Counting:
        def look_up(self, path: str) -> Knowledge:
            asked.append(path)
            return ECHO

    steps = [{"id": f"s{index}", "component": "/t/a"} for index in range(20)]
    assert inspect_flow(check_flow(flow(*steps)), Counting()).findings == ()
    assert asked == ["/t/a"]
