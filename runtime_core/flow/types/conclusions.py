"""The schemas that a flow could declare and does not: what inference found, to be written into its document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from runtime_core.flow.diagnostics import DiagnosticLog
from runtime_core.flow.document import Flow
from runtime_core.flow.schemas import SchemaError, compile_schema
from runtime_core.flow.types.annotations import without_origin
from runtime_core.flow.types.check import check_types
from runtime_core.flow.types.components import KnownComponents
from runtime_core.flow.types.input_use import input_schema_of
from runtime_core.flow.types.schema_reader import read_schema
from runtime_core.flow.types.schema_writer import write_schema
from runtime_core.model.json_value import JsonObject, encode_json

MAX_STEP_SCHEMA_BYTES: Final = 2 << 20
"""Schemas of steps that are added to a flow; more would be on the way to what a document may have. The rest stays undeclared."""


@dataclass(frozen=True, slots=True)
class Conclusions:
    """Schemas that the author has not declared; None and no entry where nothing can be said."""

    input: JsonObject | None = None
    output: JsonObject | None = None
    steps: dict[str, JsonObject] = field(default_factory=dict)

    def to_schemas(self) -> JsonObject:
        """A `schemas` object of these alone; `{}` if there are none."""
        properties: JsonObject = {}
        if self.input is not None:
            properties["input"] = self.input
        if self.output is not None:
            properties["output"] = self.output
        if self.steps:
            properties["steps"] = {"type": "object", "properties": dict(self.steps)}
        return {"type": "object", "properties": properties} if properties else {}


def conclude(flow: Flow, components: KnownComponents | None = None) -> Conclusions:
    """What can be added to a flow's schemas. What is declared stays; added and concluded again, nothing is left to add."""
    schemas = flow.schemas
    types = check_types(flow, DiagnosticLog(), components)
    input_schema = None
    if schemas.input is None and (found := _usable(input_schema_of(flow, types.wanted))):
        input_schema = found
        # What the input is says more about steps that pass it on.
        types = check_types(flow, DiagnosticLog(), components, input_type=read_schema(found))
    output = _usable(write_schema(types.output)) if schemas.output is None else {}
    steps: dict[str, JsonObject] = {}
    left = MAX_STEP_SCHEMA_BYTES - sum(len(encode_json(schema)) for schema in schemas.steps.values())
    for step, found_type in zip(flow.steps, types.steps, strict=True):
        if step.id in schemas.steps or left <= 0:
            continue
        if schema := _usable(write_schema(found_type.answer)):
            left -= len(encode_json(schema))
            steps[step.id] = schema
    return Conclusions(input_schema, output or None, steps)


def _usable(schema: JsonObject) -> JsonObject:
    """The schema, or `{}` for one that a component declares and that a flow must not: a flow with it could not be stored."""
    schema = without_origin(schema)
    try:
        compile_schema(schema)
    except SchemaError:
        return {}
    return schema
