"""The JSON Schema of flowspan.yml that editors use: every key explained, and no complaint about what the reader takes."""

from __future__ import annotations

from typing import Final

import jsonschema
import pytest

from gateway.config import parse_config
from gateway.config.editor_schema import editor_schema
from runtime_core.flow.yaml_loader import load_yaml

SCHEMA: Final = editor_schema()


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_key_is_explained() -> None:
    unexplained = [
        f"{owner}.{name}"
        for owner, part in {"": SCHEMA, **SCHEMA["$defs"]}.items()
        for name, member in part.get("properties", {}).items()
        if not member.get("description") and name != "type"
    ]
    assert unexplained == []


@pytest.mark.parametrize(
    "text",
    [
        "limits: { depth: '${DEPTH:-5}', call_timeout_s: '${SECONDS:-1.5}' }",
        "telemetry: { log_level: '${LEVEL:-debug}' }",
        "auth: { type: token, token: '${TOKEN}' }",
        "plugins: { p: { type: stdio, command: '${PROGRAM:-x}', args: ['${ARG:-y}'], replicas: '${COUNT:-2}' } }",
        "plugins: { p: { type: stdio, command: x, capacity: '${COUNT:-2}', isolation: '${HOW:-group}' } }",
        "listen: '${ADDRESS:-unix:/s}'",
    ],
)
def test_values_of_the_environment_are_taken_where_the_reader_takes_them(text: str) -> None:
    parse_config(text.encode(), name="flowspan.yml", environment={"TOKEN": "x" * 16})
    jsonschema.Draft202012Validator(SCHEMA).validate(load_yaml(text.encode()))


@pytest.mark.parametrize(
    "text", ["limits: { depth: many }", "telemetry: { log_level: loud }", "plugin: {}", "limits: { dept: 1 }"]
)
def test_mistakes_are_seen(text: str) -> None:
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(load_yaml(text.encode()))
