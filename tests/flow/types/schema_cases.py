"""Values, and schemas that are made so that they take a value that is known: what a sound check may never refuse."""

from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import strategies as st

EXAMPLES: Final = 4_000 if os.environ.get("FLOWSPAN_DEEP") else 250
"""Of each property of types; `make deep-tests` looks longer."""

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, 1.0, -2.0]), st.sampled_from(["", "a", "abc"])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
PATHS = st.lists(st.one_of(NAMES, st.integers(0, 2)), min_size=1, max_size=3)

_TYPES = {type(None): "null", bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


def _type_of(value: Any) -> str:
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return _TYPES[type(value)]


@st.composite
def schemas_of(draw: st.DrawFn, value: Any, depth: int = 0) -> Any:
    """A schema that takes `value`, and often little else."""
    kind = draw(st.integers(0, 9 if depth < 3 else 4))
    if kind == 0:
        return draw(st.sampled_from([True, {}, {"description": "x"}, {"not": False}]))
    if kind == 1:
        return {"enum": draw(st.permutations([value, *draw(st.lists(VALUES, max_size=2))]))}
    if kind == 2:
        return {"const": value}
    if kind == 5:
        other = draw(st.sampled_from(["string", "null", "object", "array"]))
        return {"anyOf": draw(st.permutations([draw(schemas_of(value, depth + 1)), {"type": other}]))}
    if kind == 6:
        return {"allOf": [draw(schemas_of(value, depth + 1)), draw(schemas_of(value, depth + 1))]}
    if kind == 7:
        return {**draw(_plain(value, depth)), "anyOf": [draw(schemas_of(value, depth + 1)), False]}
    return draw(_plain(value, depth))


@st.composite
def _plain(draw: st.DrawFn, value: Any, depth: int) -> Any:
    schema: dict[str, Any] = {}
    name = _type_of(value)
    named = draw(st.sampled_from([None, name, sorted({name, "null"}), sorted({"string", name})]))
    if named is not None:
        schema["type"] = named if name != "integer" or draw(st.booleans()) else "number"
    if isinstance(value, dict):
        if draw(st.booleans()):
            declared = draw(st.lists(NAMES, unique=True, max_size=3))
            schema["properties"] = {
                key: draw(schemas_of(value[key], depth + 1)) if key in value else draw(schemas_of(draw(VALUES), depth + 1))
                for key in declared
            }
        if value and draw(st.booleans()):
            schema["required"] = draw(st.lists(st.sampled_from(sorted(value)), unique=True))
        if draw(st.booleans()) and all(key in schema.get("properties", {}) for key in value):
            schema["additionalProperties"] = False
    elif isinstance(value, list):
        if value and draw(st.booleans()):
            schema["prefixItems"] = [draw(schemas_of(element, depth + 1)) for element in value[:2]]
        rest = value[len(schema.get("prefixItems", [])) :]
        if not rest:
            schema["items"] = draw(st.sampled_from([False, True, {"type": "string"}]))
        elif draw(st.booleans()):
            schema["items"] = {"anyOf": [draw(schemas_of(element, depth + 1)) for element in rest]}
        if draw(st.booleans()):
            schema |= {"minItems": len(value), "maxItems": len(value) + 1}
    elif isinstance(value, int | float) and not isinstance(value, bool):
        schema |= draw(st.sampled_from([{}, {"minimum": value}, {"maximum": value}, {"exclusiveMaximum": value + 1}]))
    elif isinstance(value, str):
        schema |= draw(st.sampled_from([{}, {"minLength": len(value)}, {"maxLength": len(value)}]))
    return schema


@st.composite
def values_with_schemas(draw: st.DrawFn, count: int = 1) -> tuple[Any, list[Any]]:
    """A value, and schemas that take it; sometimes below a reference."""
    value = draw(VALUES)
    made = []
    for _ in range(count):
        schema = draw(schemas_of(value))
        if draw(st.integers(0, 4)) == 0:
            schema = {"$ref": "#/$defs/one", "$defs": {"one": schema}}
        made.append(schema)
    return value, made
