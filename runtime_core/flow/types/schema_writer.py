"""From a type back to a JSON Schema: what `infer` writes into a flow. What is written is never narrower than the type."""

from __future__ import annotations

from typing import Final

from runtime_core.flow.types.shapes import (
    ALL_KINDS,
    ARRAY,
    BOOLEAN,
    FRACTION,
    INTEGER,
    NULL,
    OBJECT,
    STRING,
    Shape,
    Type,
)
from runtime_core.model.json_value import JsonObject, JsonValue, encode_json

MAX_DEPTH: Final = 12
"""Levels that are written; what is deeper means anything."""
MAX_PARTS: Final = 200
"""Subschemas of one schema that are written: types share parts, and a schema repeats them."""

_NAMES: Final = (
    (OBJECT, "object"),
    (ARRAY, "array"),
    (STRING, "string"),
    (INTEGER | FRACTION, "number"),
    (INTEGER, "integer"),
    (FRACTION, "number"),
    (BOOLEAN, "boolean"),
    (NULL, "null"),
)


def write_schema(one: Type, *, stands_alone: bool = True) -> JsonObject:
    """The schema of a type; `{}` where nothing is known. A schema that was read is given back as it was written.

    Args:
        stands_alone: it is not a part of another schema, so it may refer to itself.
    """
    return _Writer().write(one, 0 if stands_alone else 1)


class _Writer:
    def __init__(self) -> None:
        self._left = MAX_PARTS

    def write(self, one: Type, depth: int) -> JsonObject:
        if one.schema is not None and not (one.is_root and depth):
            return one.schema
        self._left -= 1
        if not one.is_known or depth > MAX_DEPTH or self._left < 0 or not one.shapes or one.is_anything():
            return {}
        plain = 0
        parts: list[JsonObject] = []
        for shape in one.shapes:
            kinds = _plain_kinds(shape)
            plain |= kinds
            if not kinds:
                parts.append(self._shape(shape, depth))
        if plain:
            parts.append({"type": _type(plain)})
        if len(parts) > 1:
            parts = list({encode_json(part): part for part in parts}.values())
        if len(parts) == 1:
            return parts[0]
        return {} if any(not part for part in parts) else {"anyOf": list(parts)}

    def _shape(self, shape: Shape, depth: int) -> JsonObject:
        if shape.constants is not None:
            return {"enum": list(shape.constants.values())}
        schema: JsonObject = {} if shape.kinds == ALL_KINDS else {"type": _type(shape.kinds)}
        if shape.kinds & OBJECT:
            if shape.properties:
                schema["properties"] = {name: self.write(member, depth + 1) for name, member in shape.properties.items()}
            if shape.required:
                schema["required"] = list[JsonValue](sorted(shape.required))
            if shape.additional is not None and not shape.is_literal:
                schema["additionalProperties"] = self.write(shape.additional, depth + 1) if shape.additional.shapes else False
        if shape.kinds & ARRAY:
            schema |= self._array(shape, depth)
        return schema | dict(shape.bounds)

    def _array(self, shape: Shape, depth: int) -> JsonObject:
        elements: list[JsonValue] = [self.write(element, depth + 1) for element in shape.prefix]
        if shape.is_literal:
            # Elements alike: an array that happens to have so many today.
            if elements and all(element == elements[0] for element in elements):
                return {"items": elements[0]} if elements[0] else {}
            return {"prefixItems": elements} if any(elements) else {}
        schema: JsonObject = {"prefixItems": elements} if elements else {}
        if shape.items is not None:
            schema["items"] = self.write(shape.items, depth + 1) if shape.items.shapes else False
        if shape.min_items:
            schema["minItems"] = shape.min_items
        if shape.max_items is not None:
            schema["maxItems"] = shape.max_items
        return schema


def _plain_kinds(shape: Shape) -> int:
    """Its kinds, if they say all about it; single values of the flow itself stand for their kind."""
    if shape.constants is not None:
        if not shape.is_literal:
            return 0
        # Who writes 1.0 means a number that happens to be whole.
        return shape.kinds | (FRACTION | INTEGER if any(type(value) is float for value in shape.constants.values()) else 0)
    if shape.kinds & (ARRAY | OBJECT) or shape.bounds:
        return 0
    return shape.kinds


def _type(kinds: int) -> JsonValue:
    names: list[JsonValue] = []
    for kind, name in _NAMES:
        if kinds & kind == kind:
            names.append(name)
            kinds &= ~kind
    return names[0] if len(names) == 1 else names
