"""Schemas as types: recursion, references, old drafts, and schemas that are made to take long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime_core.flow.types.access import access
from runtime_core.flow.types.fitting import Fitting
from runtime_core.flow.types.schema_reader import read_schema
from runtime_core.flow.types.schema_writer import write_schema
from runtime_core.flow.types.shapes import Type, type_of_value
from runtime_core.flow.types.words import describe
from tests.flow.items import calls_made

TREE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["value"],
            "additionalProperties": False,
        }
    },
}


def is_there(schema: Any, *path: str | int) -> bool:
    return bool(access(read_schema(schema), path).type.shapes)


def fits(value: Any, schema: Any) -> bool:
    return Fitting().misfit(type_of_value(value), read_schema(schema)) is None


def test_a_recursive_schema_holds_at_any_depth() -> None:
    assert is_there(TREE, *["next"] * 40, "value")
    assert not is_there(TREE, *["next"] * 40, "valu")
    deep: Any = {"value": "no number"}
    for _ in range(40):
        deep = {"value": 1, "next": deep}
    misfit = Fitting().misfit(type_of_value(deep), read_schema(TREE))
    assert misfit is not None
    assert misfit.place == (*["next"] * 40, "value")
    assert Fitting().misfit(read_schema(TREE), read_schema(TREE)) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#anchor"},
        {"$dynamicRef": "#x"},
        {"type": "unheard-of"},
        {"type": 5, "properties": 5, "required": 5, "items": 5, "anyOf": 5, "enum": 5, "minItems": "x"},
        5,
        None,
    ],
)
def test_what_cannot_be_followed_means_anything(schema: Any) -> None:
    assert is_there(schema, "x", 0, "y")
    assert fits({"a": 1}, schema)
    assert write_schema(Type(read_schema(schema).shapes)) == {}


def test_beside_a_reference_other_keywords_count_as_the_draft_says() -> None:
    beside = {"$ref": "#/$defs/a", "type": "string", "$defs": {"a": {}}}
    assert not fits(5, beside)
    assert fits(5, {**beside, "$schema": "http://json-schema.org/draft-07/schema#"})


def test_lists_below_items_are_read_as_older_drafts_mean_them() -> None:
    pair = {"type": "array", "items": [{"type": "string"}], "additionalItems": False}
    assert fits(["a"], pair)
    assert not fits([1], pair)
    assert not is_there(pair, 1)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "a string"),
        ({"type": ["string", "null"]}, "a string or null"),
        ({"type": "number"}, "a number"),
        ({"type": "integer"}, "an integer"),
        ({"enum": ["a", 1]}, '"a" or 1'),
        ({"anyOf": [{"type": "object"}, {"type": "array"}, {"type": "boolean"}]}, "an object, an array or a boolean"),
        ({}, "anything"),
        (False, "nothing"),
        ({"enum": list("abcdefgh")}, "a string"),
    ],
)
def test_types_are_named_in_plain_words(schema: Any, words: str) -> None:
    assert describe(read_schema(schema)) == words


def test_enumerations_of_any_length_are_exact() -> None:
    names = [f"n{index}" for index in range(5_000)]
    assert fits("n4999", {"enum": names})
    assert not fits("n5000", {"enum": names})
    constants = [{"const": name, "title": name} for name in names[:200]]
    assert not fits("n200", {"oneOf": constants})


def wide_union(count: int) -> Any:
    return {"anyOf": [{"type": "object", "properties": {f"p{index}": {}}} for index in range(count)]}


def nested_unions(count: int) -> Any:
    schema: Any = {"type": "string"}
    for index in range(60):
        schema = {"anyOf": [schema, {"type": "object", "properties": {f"p{index}": {}}, "required": ["q"]}] * 2}
    return {"allOf": [schema] * count}


def doubling_references(count: int) -> Any:
    defs: dict[str, Any] = {"d0": {"type": "string"}}
    for index in range(1, count):
        both = [{"$ref": f"#/$defs/d{index - 1}"}] * 2
        defs[f"d{index}"] = {"anyOf": both, "properties": {"a": both[0], "b": both[0]}, "additionalProperties": {"allOf": both}}
    return {"$ref": f"#/$defs/d{count - 1}", "$defs": defs}


@pytest.mark.parametrize("make", [wide_union, nested_unions, doubling_references])
def test_schemas_that_multiply_cost_no_more_than_their_size(make: Callable[[int], Any]) -> None:
    def work(schema: Any) -> None:
        one, other = read_schema(schema), read_schema(schema)
        access(one, ("a", "b", 0))
        Fitting().misfit(type_of_value({"a": {"b": [1]}}), one)
        Fitting().misfit(one, other)
        write_schema(Type(one.shapes))

    small, large = make(100), make(400)
    ratio = calls_made(lambda: work(large)) / calls_made(lambda: work(small))
    assert ratio < 8
    assert calls_made(lambda: work(large)) < 400_000
