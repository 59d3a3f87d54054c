"""From a JSON Schema to a type.

Keywords that the model cannot express are left out, which makes the type wider (see `shapes`). References are followed within
the document only; one that leads elsewhere means anything. What is no schema means anything too: that is said by whoever
compiles schemas (`runtime_core.flow.schemas`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runtime_core.flow.types.shapes import (
    ALL_KINDS,
    ANY,
    ARRAY,
    BOOLEAN,
    INTEGER,
    NEVER,
    NULL,
    NUMBER,
    OBJECT,
    SCALARS,
    STRING,
    ConstantKey,
    Shape,
    Type,
    joined,
    kind_of,
    meet,
    shape_of_value,
)
from runtime_core.model.json_value import JsonObject, JsonValue

MAX_COMBINED: Final = 20_000
"""Subschemas of one document that are combined (`anyOf`, `allOf`, `$ref`); the rest of a hostile one means anything."""
MAX_CHAIN: Final = 32
"""References and combinations that lead to one another at one place."""
MAX_LOOK: Final = 200
"""Values of a subschema that are looked through for references."""
_WRAPPER: Final = frozenset(("$ref", "$defs", "definitions", "$schema"))

_KIND_NAMES: Final[dict[JsonValue, int]] = {
    "null": NULL,
    "boolean": BOOLEAN,
    "integer": INTEGER,
    "number": NUMBER,
    "string": STRING,
    "array": ARRAY,
    "object": OBJECT,
}
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength")
_ANYTHING: Final = ANY.shapes


class SchemaReader:
    """Reads the schemas of one document; each place is read at most once.

    Args:
        root: the schema; `#` in a reference means it.
    """

    def __init__(self, root: JsonValue) -> None:
        self._root = root
        self._types: dict[int, tuple[JsonValue, Type]] = {}
        self._left = MAX_COMBINED
        self._chain = 0
        # Up to draft 7, nothing that stands beside `$ref` counts.
        self._reference_stands_alone = _is_old_draft(root)

    def type_of(self, schema: JsonValue) -> Type:
        """The type of a schema that stands somewhere in the root."""
        if schema is True or type(schema) is not dict:
            return NEVER if schema is False else ANY
        held = self._types.get(id(schema))
        if held is None:
            # The schema is kept, so that its id stays its own.
            held = self._types[id(schema)] = (schema, Type(make=lambda: self._shapes(schema)))
            held[1].schema = own = self._self_contained(schema)
            held[1].is_root = own is self._root and _mentions_references(schema)
        return held[1]

    def _self_contained(self, schema: JsonObject) -> JsonObject | None:
        """The schema, if it says the same wherever it stands. A root that only leads to one of its definitions is that one."""
        if schema is self._root:
            reference = schema.get("$ref")
            target = self._target(reference) if type(reference) is str and schema.keys() <= _WRAPPER else True
            return target if type(target) is dict and not _mentions_references(target) else schema
        return None if _mentions_references(schema) else schema

    def _shapes(self, schema: JsonObject) -> tuple[Shape, ...]:
        self._left -= 1
        if self._left < 0 or self._chain >= MAX_CHAIN:
            return _ANYTHING
        self._chain += 1
        try:
            reference = schema.get("$ref")
            if type(reference) is str and self._reference_stands_alone:
                return self.type_of(self._target(reference)).shapes
            shapes = self._own(schema)
            if type(reference) is str:
                shapes = meet(self.type_of(self._target(reference)).shapes, shapes)
            for part in _list(schema, "allOf"):
                shapes = meet(shapes, self.type_of(part).shapes)
            for keyword in ("anyOf", "oneOf"):
                parts = _list(schema, keyword)
                if parts and len(parts) <= self._left:
                    shapes = meet(joined(shape for part in parts for shape in self.type_of(part).shapes), shapes)
            return shapes
        finally:
            self._chain -= 1

    def _own(self, schema: JsonObject) -> tuple[Shape, ...]:
        """What the schema says without its references and combinations."""
        own = self._facts(schema)
        if "const" in schema:
            return meet((own,), _of_values([schema["const"]]))
        values = schema.get("enum")
        return meet((own,), _of_values(values)) if type(values) is list else (own,)

    def _facts(self, schema: JsonObject) -> Shape:
        bounds = {name: bound for name in _BOUNDS if _is_number(bound := schema.get(name))}
        kinds = _kinds(schema.get("type"))
        if schema.get("nullable") is True:
            kinds |= NULL
        properties = _dict(schema, "properties")
        required = schema.get("required")
        names = frozenset(name for name in required if type(name) is str) if type(required) is list else frozenset()
        prefix, items = _items(schema)
        return Shape(
            kinds=kinds,
            prefix=tuple(self.type_of(part) for part in prefix),
            items=self._unless_anything(items),
            min_items=_count(schema, "minItems") or 0,
            max_items=_count(schema, "maxItems"),
            properties={name: self.type_of(part) for name, part in properties.items()},
            required=names,
            additional=self._additional(schema),
            bounds=bounds,  # type: ignore[arg-type]
        )

    def _additional(self, schema: JsonObject) -> Type | None:
        # Which names a pattern takes is not looked into.
        return None if _dict(schema, "patternProperties") else self._unless_anything(schema.get("additionalProperties"))

    def _unless_anything(self, schema: JsonValue) -> Type | None:
        return self.type_of(schema) if schema is False or (type(schema) is dict and schema) else None

    def _target(self, reference: str) -> JsonValue:
        """Where a reference leads; True (anything) where it leads elsewhere, or nowhere."""
        if reference != "#" and not reference.startswith("#/"):
            return True
        found = _at(self._root, reference)
        return True if found is None else found


def read_schema(schema: JsonValue) -> Type:
    """The type of a schema that stands alone."""
    return SchemaReader(schema).type_of(schema)


def _mentions_references(schema: JsonValue) -> bool:
    """Whether it may need what stands around it; a large schema counts as one that does."""
    stack: list[JsonValue] = [schema]
    for _ in range(MAX_LOOK):
        if not stack:
            return False
        one = stack.pop()
        if type(one) is dict:
            if any(keyword in one for keyword in ("$ref", "$dynamicRef", "$recursiveRef")):
                return True
            stack += one.values()
        elif type(one) is list:
            stack += one
    return True


def _at(root: JsonValue, reference: str) -> JsonValue:
    """The value at a fragment that is a JSON pointer; None: nothing."""
    for token in reference.split("/")[1:]:
        name = token.replace("%25", "%").replace("~1", "/").replace("~0", "~")
        if type(root) is dict:
            root = root.get(name)
        elif type(root) is list and name.isdecimal() and len(name) < 6 and int(name) < len(root):
            root = root[int(name)]
        else:
            return None
    return root


def _of_values(values: list[JsonValue]) -> tuple[Shape, ...]:
    constants: dict[ConstantKey, JsonValue] = {}
    kinds = 0
    shapes: list[Shape] = []
    for value in values:
        kind = kind_of(value)
        if kind & SCALARS:
            constants[kind, value] = value
            kinds |= kind
        else:
            shapes.append(shape_of_value(value))
    if constants:
        shapes.append(Shape(kinds=kinds, constants=constants))
    return joined(shapes)


def _kinds(names: JsonValue) -> int:
    kinds = 0
    for name in names if type(names) is list else [names]:
        kinds |= _KIND_NAMES.get(name, 0) if type(name) is str else 0
    return kinds or ALL_KINDS


def _items(schema: JsonObject) -> tuple[list[JsonValue], JsonValue]:
    """The schemas of the first elements and of all others; older drafts have a list under `items`."""
    items = schema.get("items")
    if type(items) is list:
        return items, schema.get("additionalItems")
    return _list(schema, "prefixItems"), items


def _list(schema: JsonObject, keyword: str) -> list[JsonValue]:
    value = schema.get(keyword)
    return value if type(value) is list else []


def _dict(schema: JsonObject, keyword: str) -> Mapping[str, JsonValue]:
    value = schema.get(keyword)
    return value if type(value) is dict else {}


def _count(schema: JsonObject, keyword: str) -> int | None:
    value = schema.get(keyword)
    return int(value) if type(value) in (int, float) and value >= 0 else None  # type: ignore[arg-type,operator]


def _is_number(value: JsonValue) -> bool:
    return type(value) is int or type(value) is float


def _is_old_draft(root: JsonValue) -> bool:
    draft = root.get("$schema") if type(root) is dict else None
    return type(draft) is str and "/draft-0" in draft
