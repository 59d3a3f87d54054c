"""Words in a schema that speak of where a value comes from, not of what it is."""

from __future__ import annotations

from typing import Final

from runtime_core.model.json_value import JsonObject, JsonValue

_OF_ORIGIN: Final = frozenset(("default", "env_var", "is_secret"))
_NAMED_SCHEMAS: Final = frozenset(("properties", "patternProperties", "dependentSchemas", "$defs", "definitions"))
_VALUES: Final = frozenset(("const", "enum", "examples"))
"""Here such words are data."""


def without_origin(schema: JsonObject) -> JsonObject:
    """The schema without `default`, `env_var` and `is_secret` at any depth: of a variable they say how it gets its value, and
    what is made of that value gets it from there. The schema itself is not changed."""
    return {
        keyword: _named(part) if keyword in _NAMED_SCHEMAS else part if keyword in _VALUES else _part(part)
        for keyword, part in schema.items()
        if keyword not in _OF_ORIGIN
    }


def _part(part: JsonValue) -> JsonValue:
    if type(part) is dict:
        return without_origin(part)
    return [_part(one) for one in part] if type(part) is list else part


def _named(schemas: JsonValue) -> JsonValue:
    return {name: _part(one) for name, one in schemas.items()} if type(schemas) is dict else schemas
