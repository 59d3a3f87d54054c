"""The catalogue says exactly what built-ins take and give: its schemas agree with their behaviour."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from runtime_core.builtins.catalog import BUILTINS
from tests.built_ins.flows import ECHO, call
from tests.engine.house import house

TAKEN: list[tuple[str, Any]] = [
    ("noop", {"any": 1}),
    ("sleep", {"duration_ms": 1}),
    ("sleep", {"duration_ms": 1, "passthrough": [1]}),
    ("create_messages", {"user_prompt": "x", "system_instructions": None}),
    ("put_blob", {"data": None, "blob_type": None}),
    ("eval", {"flow": ECHO, "input": 1}),
    ("eval", {"flow": {"output": {"$input": "$.missing"}}, "input": {}}),
    ("map", {"workflow": ECHO, "items": [1, {}], "max_concurrency": 3}),
    ("map", {"flow": ECHO, "items": []}),
    ("iterate", {"flow": {"output": {"result": 1}}, "initial_input": 1, "max_iterations": 5}),
]
REFUSED: list[tuple[str, Any]] = [
    ("sleep", {"duration_ms": 1.5}),
    ("sleep", {"duration_ms": -1}),
    ("sleep", {}),
    ("create_messages", {}),
    ("put_blob", {"data": 1, "blob_type": "binary"}),
    ("put_blob", {"data": 1, "more": 1}),
    ("get_blob", {"blob_id": 1}),
    ("eval", {"input": 1}),
    ("eval", {"flow": ECHO, "flow_id": "sha256:" + "0" * 64, "input": 1}),
    ("eval", {"flow": ECHO}),
    ("eval", {"flow": 3, "input": 1}),
    ("map", {"workflow": ECHO, "items": {}}),
    ("map", {"workflow": ECHO, "items": [], "max_concurrency": 0}),
    ("map", {"workflow": ECHO, "items": [], "max_concurrency": "3"}),
    ("iterate", {"flow": ECHO, "initial_input": 1, "max_iterations": 0}),
    ("iterate", {"flow": ECHO, "initial_input": 1, "max_iterations": 1_000_000}),
    ("iterate", {"flow": ECHO}),
]


def test_the_catalogue_is_that_of_the_language() -> None:
    assert set(BUILTINS) == {
        "/eval", "/map", "/iterate", "/put_blob", "/get_blob", "/load_file", "/create_messages", "/openai", "/noop", "/sleep",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_schemas_are_schemas(name: str) -> None:
    for schema in (BUILTINS[name].input_schema, BUILTINS[name].output_schema):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize(("name", "given"), TAKEN)
async def test_what_the_schema_takes_is_taken_and_the_answer_fits_its_own(name: str, given: Any) -> None:
    builtin = BUILTINS[f"/{name}"]
    jsonschema.validate(given, builtin.input_schema)
    async with house() as h:
        result = await call(h, name, given)
        assert result.error is None, result.error
        jsonschema.validate(result.value, builtin.output_schema)


@pytest.mark.parametrize(("name", "given"), REFUSED)
async def test_what_the_schema_refuses_is_refused(name: str, given: Any) -> None:
    assert not jsonschema.Draft202012Validator(BUILTINS[f"/{name}"].input_schema).is_valid(given)
    async with house() as h:
        result = await call(h, name, given)
        assert result.error is not None
        assert result.error.code == "INVALID_INPUT"
