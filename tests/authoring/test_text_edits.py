"""Members are added to a text; every character that was there stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowspan.errors import InvalidArgumentError
from gateway.authoring.checking.text_edits import add_members
from runtime_core.flow.source import read_document
from tests.flow.types.schema_cases import VALUES

SCHEMAS = {"schemas": {"type": "object", "properties": {"input": {"type": "string"}}}}


def added(text: str, additions: Any = SCHEMAS, *, is_yaml: bool | None = None) -> str:
    """The new text; all of the old one is in it, in its order."""
    after = add_members(read_document(text.encode(), is_yaml=is_yaml), additions).decode()
    rest = iter(after)
    assert all(character in rest for character in text)
    return after


def test_a_block_of_yaml_goes_before_the_steps_and_their_comments() -> None:
    text = """\
# A flow.
name: "f"   # its name
version: '1.0'

# What it does.
# Twice.
steps:
  - id: a   # first
    component: /t/a
    input: {n: 1.10e3, m: 0x1F, o: 3000}
output: {$step: a}
"""
    assert added(text) == text.replace(
        "# What it does.\n",
        "schemas:\n  type: object\n  properties:\n    input:\n      type: string\n# What it does.\n",
    )


def test_members_go_behind_the_last_one_of_a_block() -> None:
    text = """\
schemas:
    type: object
    properties:
        output:
            description: |
                Long.

                Text.
            type: string   # kept

    # About nothing.
steps: []
"""
    assert added(text) == text.replace("   # kept\n", "   # kept\n        input:\n          type: string\n")


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("name: f", "name: f\nschemas:\n  type: object\n  properties:\n    input:\n      type: string\n"),
        ("{}", '{"schemas": {"type": "object", "properties": {"input": {"type": "string"}}}}'),
        ("schemas: {properties: {}}\n", 'schemas: {properties: {"input": {"type": "string"}}}\n'),
        ("schemas: {properties: {output: {}}}\n", 'schemas: {properties: {output: {}, "input": {"type": "string"}}}\n'),
        (
            "schemas: {properties: {output: 1 # why\n  }}\n",
            'schemas: {properties: {output: 1, "input": {"type": "string"} # why\n  }}\n',
        ),
        ("schemas:\n  properties:\n    output: {}", "schemas:\n  properties:\n    output: {}\n    input:\n      type: string\n"),
        ("schemas:\r\n  properties:\r\n    x: 1\r\nname: f\r\n", None),
        ("schemas:\n  properties:\n    x: |+\n      keep\n\n\nname: f\n", None),
        ("schemas:\n  properties:\n    x:\nname: f\n", None),
        ("---\nname: f\n...\n", None),
        ("name: f\nmetadata: &m {a: 1}\nx-m: *m\n", None),
        ("name: ünï ☃ 𝄞\nschemas:\n  properties:\n    x: 𝄞𝄞\nsteps: []\n", None),
        ('"steps": []\n', None),
    ],
)
def test_layouts_of_yaml_are_kept(text: str, after: str | None) -> None:
    additions = SCHEMAS if "schemas" not in text else {"schemas": {"properties": SCHEMAS["schemas"]["properties"]}}
    new = added(text, additions, is_yaml=True)
    assert after is None or new == after
    assert new.count("\r\n") == (new.count("\n") if "\r\n" in text else 0)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1.10, "b": 1e3, "steps": []}',
        '{\n    "name": "f",\n    "steps": [\n    ]\n}\n',
        '{\n\t"name": "f",\n\t"n": 12345678901234567890.0,\n\t"steps": []\n}',
        "{ }",
        "{\n}",
        '{"schemas": {}}',
        '{"schemas":{"properties":{"x":{"a":"}"}}},"steps":[]}',
        '{"st\\u0065ps": []}',
        '{"a\\"b": {"c": "\\\\"}, "schemas": {\n  "properties": {\n    "x": {}\n  }\n}}',
    ],
)
def test_layouts_of_json_are_kept(text: str) -> None:
    after = added(text)
    value = json.loads(after)
    assert value["schemas"]["properties"]["input"] == {"type": "string"}
    assert ("\n" in after) == ("\n" in text)


def test_json_that_is_spread_over_lines_is_indented_as_it_is() -> None:
    text = '{\n    "name": "f",\n    "steps": []\n}\n'
    assert added(text) == (
        '{\n    "name": "f",\n    "schemas": {\n        "type": "object",\n        "properties": {\n'
        '            "input": {\n                "type": "string"\n            }\n        }\n    },\n    "steps": []\n}\n'
    )


def test_mocks_with_mappings_as_keys_are_in_nobodys_way() -> None:
    behaviors = "behaviors: {{a: [1]}: {outcome: success}, ? {b: {c: 2}} : {outcome: skipped}}"
    text = (
        f"test: {{config: {{plugins: {{m: {{type: mock, components: {{/a: {{{behaviors}}}}}}}}}}}}}\nschemas:\n  type: object\n"
    )
    assert added(text, {"schemas": {"properties": {}}}) == f"{text}  properties: {{}}\n"


@pytest.mark.parametrize("text", ["# head\nname: f\nsteps: []\n", '{\n  "name": "f",\n  "steps": []\n}\n'])
def test_a_byte_order_mark_stays_and_changes_nothing_else(text: str) -> None:
    assert added("\ufeff" + text) == "\ufeff" + added(text)


def test_what_is_there_is_not_written_again() -> None:
    text = '{"schemas": {"type": "object", "properties": {"input": {"type": "integer"}}}}'
    assert added(text) == text
    assert (
        added("schemas: {type: object, properties: {input: {type: integer}}}\n")
        == "schemas: {type: object, properties: {input: {type: integer}}}\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "x-s: &s {properties: {}}\nschemas: *s\n",
        "schemas:\n  properties: ~\n",
        "schemas: null\n",
        "? name\n: f\nsteps: []\n",
        '{"schemas": null}',
    ],
)
def test_a_layout_that_cannot_be_added_to_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="by hand: --json prints them"):
        added(text)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["schemas", "steps", "name", "é: #"]), VALUES, max_size=4),
    st.sampled_from([None, 2, "\t"]),
    VALUES,
)
def test_any_json_is_added_to_or_refused(document: dict[str, Any], indent: Any, value: Any) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    additions = {"schemas": {"a": {"new": value}, "z": value}}
    try:
        after = json.loads(added(text, additions, is_yaml=False))
    except InvalidArgumentError:
        return
    held = document.get("schemas")
    if held is None:
        assert after["schemas"] == additions["schemas"]
    elif isinstance(held, dict):
        assert after["schemas"]["z"] == held.get("z", value) or held.get("z") is None
    else:
        assert after == document
