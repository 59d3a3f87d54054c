"""What `infer` concludes: schemas that the author has not declared, and nothing that an item does without."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from runtime_core.flow.parse import check_flow
from runtime_core.flow.schemas import compile_schema
from runtime_core.flow.types.components import ComponentTypes
from runtime_core.flow.types.conclusions import Conclusions, conclude
from tests.flow.items import run_item

from .flow_cases import flows
from .house import ECHO, Components, JsonDict, gives, schemas, step, takes
from .schema_cases import EXAMPLES

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
PERSON = {"type": "object", "properties": {"name": TEXT, "age": WHOLE}, "required": ["name"]}


def concluded(*steps: JsonDict, output: Any = None, components: dict[str, ComponentTypes], **fields: Any) -> Conclusions:
    checked = check_flow({"steps": list(steps), "output": output, **fields})
    assert checked.flow is not None, checked.diagnostics
    return conclude(checked.flow, Components(components))


def input_of(*steps: JsonDict, output: Any = None, **components: ComponentTypes) -> Any:
    return concluded(*steps, output=output, components=components).input


def test_steps_get_the_schemas_of_their_components_and_the_output_follows_from_them() -> None:
    found = concluded(step("a"), step("b"), output={"x": {"$step": "a"}, "y": 1}, components={"a": gives(PERSON), "b": ECHO})
    assert found.steps == {"a": PERSON, "b": {"type": "null"}}
    assert found.output == {"type": "object", "properties": {"x": PERSON, "y": WHOLE}, "required": ["x", "y"]}
    assert found.input is None


def test_what_is_declared_is_kept_and_what_is_not_known_is_left_out() -> None:
    declared = schemas(output=TEXT, steps={"properties": {"a": WHOLE}})
    found = concluded(
        step("a"), step("b"), output={"$step": "a"}, components={"a": gives(PERSON), "b": gives({})}, schemas=declared
    )
    assert found == Conclusions()
    assert found.to_schemas() == {}


def test_forks_become_unions() -> None:
    value = {"$if": {"$input": "$.c"}, "then": {"$step": "a"}, "else": [1, 2]}
    found = concluded(step("a"), output=value, components={"a": gives(TEXT)})
    assert found.output == {"anyOf": [{"type": "array", "items": WHOLE}, TEXT]}
    skipped = {"$coalesce": [{"$step": "a"}, True]}
    assert concluded(step("a"), output=skipped, components={"a": gives(TEXT)}).output == {"type": ["string", "boolean"]}


def test_the_answer_of_a_step_is_its_components_and_not_a_default_of_on_error() -> None:
    one = step("a", onError={"action": "useDefault", "defaultValue": 5})
    found = concluded(one, output={"$step": "a"}, components={"a": gives(TEXT)})
    assert found.steps == {"a": TEXT}
    assert found.output == {"type": ["string", "integer"]}


def test_the_input_has_to_be_what_components_take_of_it() -> None:
    used = {"$step": "a"}
    assert input_of(step("a", {"$input": "$"}), output=used, a=takes(PERSON)) == PERSON
    assert input_of(step("a", {"name": {"$input": "$.n"}}), output=used, a=takes(PERSON)) == {
        "type": "object",
        "properties": {"n": TEXT},
        "required": ["n"],
    }
    assert input_of(step("a", {"name": {"$input": "$.p['x.y']"}}), output=used, a=takes(PERSON)) == {
        "type": "object",
        "properties": {"p": {"type": "object", "properties": {"x.y": TEXT}, "required": ["x.y"]}},
        "required": ["p"],
    }
    assert input_of(step("a", {"$input": "$.list[2].x"}), output=used, a=takes(PERSON)) == {
        "type": "object",
        "properties": {"list": {"type": "array"}},
        "required": ["list"],
    }


def test_places_that_several_components_take_have_to_fit_all_of_them() -> None:
    both = [{"$step": "a"}, {"$step": "b"}]
    steps = step("a", {"$input": "$.x"}), step("b", {"$input": "$.x"})
    found = input_of(*steps, output=both, a=takes(TEXT), b=takes({"minLength": 2}))
    assert found["properties"]["x"] == {"allOf": [TEXT, {"minLength": 2}]}
    assert input_of(*steps, output=both, a=takes(TEXT), b=takes(TEXT))["properties"]["x"] == TEXT


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({}, {"$if": {"$input": "$.c"}, "then": {"$step": "a"}}),
        ({}, {"$if": {"$step": "a"}, "then": 1}),
        ({}, {"$coalesce": [{"$input": "$.c"}, {"$step": "a"}]}),
        ({}, None),
        ({"skip": {"$input": "$.c"}}, {"$step": "a"}),
    ],
)
def test_what_an_item_may_do_without_is_named_and_not_demanded(fields: JsonDict, output: Any) -> None:
    found = input_of(step("a", {"name": {"$input": "$.n"}}, **fields), output=output, a=takes(PERSON))
    assert found["properties"]["n"] == {}
    assert "n" not in found.get("required", [])


def test_a_component_whose_failure_is_caught_demands_nothing_but_the_place() -> None:
    one = step("a", {"name": {"$input": "$.n"}}, onError={"action": "useDefault", "defaultValue": 1})
    found = input_of(one, output={"$step": "a"}, a=takes(PERSON))
    assert found == {"type": "object", "properties": {"n": {}}, "required": ["n"]}


def test_a_key_that_is_ignored_demands_nothing() -> None:
    assert input_of(step("a"), output={"$step": "a", "$input": "$.x"}, a=gives(TEXT)) is None


def test_what_the_input_is_tells_what_steps_pass_on() -> None:
    steps = step("a", {"name": {"$input": "$.n"}}), step("b", {"$input": "$.n"})
    found = concluded(*steps, output=[{"$step": "a"}, {"$step": "b"}], components={"a": takes(PERSON), "b": ECHO})
    assert found.steps == {"b": TEXT}


@pytest.mark.parametrize(
    "schema",
    [{"type": "string", "pattern": "(?=x)"}, {"$ref": "https://example.com/x"}, {"type": "strin"}, {"minLength": -1}],
)
def test_a_components_schema_that_a_flow_must_not_declare_is_left_out(schema: JsonDict) -> None:
    steps = step("a", {"$input": "$.x"}), step("b")
    found = concluded(*steps, output=[{"$step": "a"}, {"$step": "b"}], components={"a": takes(schema), "b": gives(schema)})
    assert "b" not in found.steps
    for one in (found.input, found.output, *found.steps.values()):
        if one is not None:
            compile_schema(one)


def test_a_recursive_schema_is_written_whole_where_it_stands_alone() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}
    tree = {"$ref": "#/$defs/n", "$defs": {"n": node}}
    found = concluded(step("a"), output=[{"$step": "a"}], components={"a": gives(tree)})
    assert found.steps["a"] == tree
    compile_schema(found.output)
    wrapped = {"$ref": "#/$defs/n", "$defs": {"n": PERSON}}
    assert concluded(step("a"), output=1, components={"a": gives(wrapped)}).steps["a"] == PERSON


def test_what_is_declared_and_what_is_known_stay_as_narrow_as_both() -> None:
    """A member that a closed object has not stays away, whatever another alternative declares (a generated flow)."""
    value = {"$coalesce": [{"$literal": {}}, {"$literal": {"a": [None]}}]}
    document = {"steps": [step("s", value)], "output": {"$step": "s", "path": "$.a[1]"}}
    flow = check_flow(document).flow
    assert flow is not None
    found = conclude(flow, Components({"s": ECHO}))
    again = check_flow({**document, "schemas": found.to_schemas()}).flow
    assert again is not None
    assert conclude(again, Components({"s": ECHO})) == Conclusions()


@pytest.mark.timeout(600)
@settings(max_examples=EXAMPLES, deadline=None)
@given(flows())
def test_concluded_again_there_is_nothing_to_add_and_no_item_is_lost(case: tuple[JsonDict, Any]) -> None:
    document, value = case
    known = Components({"echo": ECHO})
    for declared in (document, {**document, "schemas": {}}):
        flow = check_flow(declared).flow
        assert flow is not None
        found = conclude(flow, known)
        held = declared["schemas"].get("properties", {})
        completed = {**declared, "schemas": schemas(**held, **found.to_schemas().get("properties", {}))}
        again = check_flow(completed).flow
        assert again is not None
        assert conclude(again, known) == Conclusions()
        ran = run_item(declared, value)
        if ran.outcome != "failed":
            # The concluded input schema takes every item that the flow could do.
            assert found.input is None or compile_schema(found.input).violation(value) is None
            assert run_item(completed, value) == ran
