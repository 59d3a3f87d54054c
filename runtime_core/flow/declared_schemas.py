"""The schemas that a flow declares, in their long form (`schemas`) or the short ones (`inputSchema`, ...): read and compiled.

A schema that cannot be used is fatal: what it was to check would go unchecked.
"""

from __future__ import annotations

from typing import Final

from runtime_core.flow.diagnostics import DiagnosticLog, Level
from runtime_core.flow.document import FlowSchemas
from runtime_core.flow.schemas import SchemaCheck, SchemaError, compile_schema
from runtime_core.flow.variables import DeclaredVariables
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue

_PARTS: Final = ("input", "output", "variables")
_DEFINITIONS: Final = "$defs"


def read_schemas(flow: JsonObject, log: DiagnosticLog) -> FlowSchemas:
    """The schemas of a flow; what is wrong with them goes to `log`. The caller checks the members that they stand in."""
    schemas = _object(flow.get("schemas"))
    properties = _object(schemas.get("properties"))
    shared = _object(schemas.get(_DEFINITIONS))
    reader = _Reader(shared, log)
    chosen: dict[str, tuple[JsonValue, str]] = {}
    for part in _PARTS:
        if properties.get(part) is not None:
            chosen[part] = (reader.with_definitions(properties[part]), f"/schemas/properties/{part}")
            continue
        for name in (f"{part}Schema", f"{part}_schema"):
            if flow.get(name) is not None:
                chosen[part] = (flow[name], f"/{name}")
                break
    input_schema, input_place = chosen.get("input", (None, ""))
    output_schema, output_place = chosen.get("output", (None, ""))
    steps: dict[str, JsonValue] = {}
    for step_id, schema in _object(_object(properties.get("steps")).get("properties")).items():
        steps[step_id] = reader.with_definitions(schema)
        reader.compile(steps[step_id], f"/schemas/properties/steps/properties/{escape_pointer_token(step_id)}")
    reader.compile(output_schema, output_place)
    variables, declared = reader.variables(*chosen.get("variables", (None, "")))
    return FlowSchemas(
        input=input_schema,
        output=output_schema,
        variables=variables,
        steps=steps,
        input_check=reader.compile(input_schema, input_place),
        declared=declared,
    )


class _Reader:
    """Compiles schemas; keeps going after a mistake."""

    def __init__(self, shared: JsonObject, log: DiagnosticLog) -> None:
        self._shared = shared
        self._log = log

    def with_definitions(self, schema: JsonValue) -> JsonValue:
        """A schema that stands alone: it sees the definitions that all schemas of the flow share."""
        if not self._shared or type(schema) is not dict:
            return schema
        return {**schema, _DEFINITIONS: {**self._shared, **_object(schema.get(_DEFINITIONS))}}

    def compile(self, schema: JsonValue, place: str) -> SchemaCheck | None:
        if schema is None:
            return None
        try:
            return compile_schema(schema)
        except SchemaError as error:
            self._refuse(error, place)
            return None

    def variables(self, schema: JsonValue, place: str) -> tuple[JsonObject | None, DeclaredVariables]:
        if type(schema) is not dict:
            if schema is not None:
                self._log.report(
                    2002, "the variables' schema is an object with their names under 'properties'", place, Level.FATAL
                )
            return None, DeclaredVariables(None)
        try:
            declared = DeclaredVariables(schema)
        except SchemaError as error:
            self._refuse(error, place)
            return schema, DeclaredVariables(None)
        for name, one in _object(schema.get("properties")).items():
            self._check_extras(name, _object(one), f"{place}/properties/{escape_pointer_token(name)}")
            at = f"{place}/properties/{escape_pointer_token(name)}/default"
            if name not in declared.defaults:
                continue
            if name in declared.secret_names:
                message = f"the default of the secret variable {name!r} stands in the flow for all to read; give it with the run"
                self._log.report(2002, message, at)
            own = self.compile_quietly({**_object(one), _DEFINITIONS: _object(schema.get(_DEFINITIONS))})
            violation = None if own is None else own.violation(declared.defaults[name])
            if violation is not None and name not in declared.secret_names:
                self._log.report(2002, f"the default of variable {name!r} does not fit its schema: {violation.message}", at)
        return schema, declared

    def _check_extras(self, name: str, schema: JsonObject, place: str) -> None:
        """A secret that was not marked as one because of a slip would be shown to all, so the slip is fatal."""
        if type(schema.get("is_secret", False)) is not bool:
            self._log.report(2002, f"'is_secret' of variable {name!r} is true or false", f"{place}/is_secret", Level.FATAL)
        if type(schema.get("env_var", "")) is not str:
            self._log.report(2002, f"'env_var' of variable {name!r} is a string", f"{place}/env_var", Level.FATAL)

    @staticmethod
    def compile_quietly(schema: JsonObject) -> SchemaCheck | None:
        """For one variable's own schema; where it needs the whole around it, its default is checked with a run's variables."""
        try:
            return compile_schema(schema)
        except SchemaError:
            return None

    def _refuse(self, error: SchemaError, place: str) -> None:
        shared = error.pointer.split("/")[1:3]
        if len(shared) == 2 and shared[0] == _DEFINITIONS and shared[1].replace("~1", "/").replace("~0", "~") in self._shared:
            place = "/schemas"
        self._log.report(2002, error.message, place + error.pointer, Level.FATAL)


def _object(value: JsonValue) -> JsonObject:
    return value if type(value) is dict else {}
