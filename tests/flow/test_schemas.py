"""Schemas: what is refused when they are compiled, and what a check says about a value."""

from __future__ import annotations

import time
from typing import Any

import pytest

from runtime_core.flow.schemas import SchemaError, Violation, compile_schema


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"$ref": "http://169.254.169.254/"}, "/$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "/properties/a/$ref"),
        ({"properties": {"a": {"$ref": "other.json#/x"}}}, "/properties/a/$ref"),
        ({"properties": {"a": {"$ref": "#/$defs/absent"}}}, "/properties/a/$ref"),
        ({"properties": {"a": {"type": "text"}}}, "/properties/a/type"),
        ({"properties": {"a": {"pattern": "((a{1000}){1000}){1000}"}}}, "/properties/a/pattern"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "/properties/a/pattern"),
        ({"patternProperties": {"(a)\\1": {}}}, "/patternProperties/(a)\\1"),
        ({"$defs": {"a/b": {"$id": "https://example.com/x"}}}, "/$defs/a~1b"),
        (5, ""),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(schema: Any, pointer: str) -> None:
    with pytest.raises(SchemaError) as refused:
        compile_schema(schema)
    assert refused.value.pointer == pointer


def test_references_that_multiply_are_refused_before_anything_is_checked() -> None:
    steps: dict[str, Any] = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
    with pytest.raises(SchemaError, match="more than"):
        compile_schema({"$ref": "#/$defs/d0", "$defs": {**steps, "d60": {"type": "integer"}}})


def test_a_violation_names_the_place() -> None:
    check = compile_schema({"properties": {"a/b": {"items": {"type": "integer"}}}, "required": ["a/b"]})
    assert check.violation({"a/b": [1, 2, "x"]}) == Violation('"x" is not of type "integer"', "/a~1b/2")
    assert check.violation({}) == Violation('"a/b" is a required property', "")
    assert check.violation({"a/b": [1, 2]}) is None


def test_a_member_without_a_name_is_a_place_of_its_own() -> None:
    check = compile_schema({"properties": {"": {"const": True}, "a": {"properties": {"": {"type": "integer"}}}}})
    assert check.violation({"": None}) == Violation("true was expected", "/")
    assert check.violation({"a": {"": "x"}}) == Violation('"x" is not of type "integer"', "/a/")
    assert check.violation({"": True, "a": {"": 1}}) is None


def test_integers_are_compared_exactly() -> None:
    check = compile_schema({"maximum": 9007199254740992})
    assert check.violation(9007199254740992) is None
    assert check.violation(9007199254740993) is not None
    assert check.violation(10**60) is not None


def test_a_regular_expression_takes_time_linear_in_the_text() -> None:
    check = compile_schema({"pattern": "^(a+)+$"})
    began_s = time.monotonic()
    assert check.violation("a" * 500_000 + "!") is not None
    assert time.monotonic() - began_s < 1.0


def test_recursive_schemas_check_deep_values() -> None:
    plain = compile_schema({"type": "object", "properties": {"a": {"$ref": "#"}}})
    found = plain.violation(nested(60))
    assert found is not None
    assert found.pointer == "/a" * 60


@pytest.mark.parametrize("word", ["anyOf", "allOf", "oneOf"])
def test_recursion_through_branches_is_checked_without_an_exponential_account(word: str) -> None:
    inner = {"properties": {"a": {"$ref": "#"}}}
    check = compile_schema({"type": "object", word: [inner, {**inner, "minProperties": 0}]})
    began_s = time.monotonic()
    assert check.violation(nested(60)) is not None
    assert time.monotonic() - began_s < 1.0


def test_a_long_value_is_cut_in_the_message() -> None:
    found = compile_schema({"maxLength": 3}).violation("x" * 100_000)
    assert found is not None
    assert len(found.message) < 600


def test_masked_values_do_not_stand_in_messages() -> None:
    found = compile_schema({"properties": {"key": {"maxLength": 3}}}, mask="***").violation({"key": "hunter22"})
    assert found is not None
    assert "hunter22" not in found.message


def test_an_older_draft_that_the_schema_names_is_followed() -> None:
    check = compile_schema({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}]})
    assert check.violation(["x"]) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "patternProperties": {"a": {"$ref": "#"}, "^a": {"$ref": "#"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "unevaluatedProperties": {"$ref": "#"},
         "patternProperties": {"^a": {"$ref": "#"}}},
        {"$ref": "#/$defs/n", "$defs": {
            "n": {"type": "object", "$ref": "#/$defs/m", "properties": {"a": {"$ref": "#/$defs/n"}}},
            "m": {"properties": {"a": {"$ref": "#/$defs/n"}}},
        }},
    ],
)  # fmt: skip
def test_recursion_through_keywords_that_overlap_finds_the_place_in_no_time(schema: Any) -> None:
    check = compile_schema(schema)
    began_s = time.monotonic()
    assert check.violation(nested(60)) == Violation('1 is not of type "object"', "/a" * 60)
    assert time.monotonic() - began_s < 1.0


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"anyOf": [{"items": {"type": "string"}} for _ in range(20)]}, [1] * 200_000),
        ({"items": {"allOf": [{"minimum": -n} for n in range(9_000)]}}, [1] * 200_000),
        ({"patternProperties": {f"a{n}x*b": {} for n in range(1_900)}}, {f"k{n}": 1 for n in range(90_000)}),
        ({"uniqueItems": True}, [10**25 + n for n in range(30_000)]),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [[10**25 + n] for n in range(30_000)]}),
    ],
)
def test_a_check_of_a_mebibyte_takes_a_second_or_two_at_most(schema: Any, value: Any) -> None:
    check = compile_schema(schema)
    began_s = time.monotonic()
    assert check.violation(value) is not None
    assert time.monotonic() - began_s < 2.0


def test_large_values_are_checked_against_wide_schemas_whose_parts_look_at_different_places() -> None:
    one: dict[str, Any] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    check = compile_schema({"items": {"properties": {f"p{n}": one for n in range(2_000)}, "additionalProperties": False}})
    assert check.violation([{f"p{n}": n for n in range(100)} for _ in range(2_000)]) is None
    assert check.violation([{"p1": 1, "q": 1}]) is not None


def test_too_many_or_too_large_regular_expressions_are_refused_quickly() -> None:
    began_s = time.monotonic()
    with pytest.raises(SchemaError):
        compile_schema({"allOf": [{"pattern": f"(a|b|[^\\d\\w]{{1,900}}){n}"} for n in range(1_900)]})
    with pytest.raises(SchemaError, match="regular expressions"):
        compile_schema({"patternProperties": {f"a{n}": {} for n in range(2_001)}})
    assert time.monotonic() - began_s < 5.0


def test_a_violation_among_alternatives_of_a_small_value_names_its_place() -> None:
    check = compile_schema({"properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}})
    found = check.violation({"a": "x"})
    assert found is not None
    assert found.pointer == "/a"


@pytest.mark.parametrize("pattern", ["[ab]*a[ab]{8000}", "[a-z]{8000}", "^[ab]{0,4000}a[ab]{4000}c"])
def test_a_heavy_pattern_is_matched_against_little_text_only(pattern: str) -> None:
    check = compile_schema({"items": {"pattern": pattern}})
    little, much = ["ab" * 4_500], ["ab" * 4_500] * 100
    began_s = time.monotonic()
    found = check.violation(much)
    assert found is not None
    assert "too many for the patterns" in found.message
    check.violation(little)
    assert time.monotonic() - began_s < 2.0


@pytest.mark.parametrize(
    "pattern", ["^.{1,255}$", "^[a-z]+(-[a-z]+)*$", "^\\d{4}-\\d{2}-\\d{2}$", "[a-z]{1,64}@", "^[\\w.]{1,1000}$"]
)
def test_an_everyday_pattern_takes_text_of_any_length_elsewhere(pattern: str) -> None:
    check = compile_schema({"properties": {"key": {"pattern": pattern}}})
    assert check.violation({"text": "x" * 1_000_000}) is None
