"""What may stand in a JSON Schema inside a flow, as a JSON Schema of its own: the keywords of 2020-12 with their shapes.

Editors check and complete with it offline. The official meta-schema says the same (a test compares them) but is spread over
eight documents and tied together by dynamic references, which few editors follow.
"""

from __future__ import annotations

from typing import Final

from runtime_core.model.json_value import JsonObject

SCHEMA: Final[JsonObject] = {"$ref": "#/$defs/jsonSchema"}
TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", "null")

_TEXT: Final[JsonObject] = {"type": "string"}
_SWITCH: Final[JsonObject] = {"type": "boolean"}
_NUMBER: Final[JsonObject] = {"type": "number"}
_COUNT: Final[JsonObject] = {"type": "integer", "minimum": 0}
_NAMES: Final[JsonObject] = {"type": "array", "items": _TEXT, "uniqueItems": True}
_SCHEMAS: Final[JsonObject] = {"type": "array", "items": SCHEMA, "minItems": 1}
_BY_NAME: Final[JsonObject] = {"type": "object", "additionalProperties": SCHEMA}
_TYPE: Final[JsonObject] = {"enum": list(TYPES)}
_ANCHOR: Final[JsonObject] = {"type": "string", "pattern": "^[A-Za-z_][-A-Za-z0-9._]*$"}

_SHAPES: Final[tuple[tuple[JsonObject, str], ...]] = (
    (_TEXT, "$schema $ref $dynamicRef $comment title description format pattern contentEncoding contentMediaType"),
    (_SWITCH, "uniqueItems deprecated readOnly writeOnly"),
    (_NUMBER, "minimum maximum exclusiveMinimum exclusiveMaximum"),
    (_COUNT, "minLength maxLength minItems maxItems minProperties maxProperties minContains maxContains"),
    (SCHEMA, "items contains additionalProperties propertyNames unevaluatedItems unevaluatedProperties contentSchema"),
    (SCHEMA, "if then else not"),
    (_SCHEMAS, "allOf anyOf oneOf prefixItems"),
    (_BY_NAME, "properties patternProperties dependentSchemas $defs definitions"),
    (_NAMES, "required"),
    (_ANCHOR, "$anchor $dynamicAnchor"),
    ({"type": "string", "pattern": "^[^#]*#?$"}, "$id"),
    ({"type": "object", "additionalProperties": _SWITCH}, "$vocabulary"),
    ({"type": "object", "additionalProperties": {"anyOf": [SCHEMA, _NAMES]}}, "dependencies"),
    ({"type": "object", "additionalProperties": _NAMES}, "dependentRequired"),
    ({"anyOf": [_TYPE, {"type": "array", "items": _TYPE, "minItems": 1, "uniqueItems": True}]}, "type"),
    ({"type": "number", "exclusiveMinimum": 0}, "multipleOf"),
    ({"type": "array"}, "enum examples"),
    ({}, "const default"),
)
KEYWORDS: Final = tuple(name for _, names in _SHAPES for name in names.split())
"""All that 2020-12 knows, and the two that older drafts had in place of `$defs` and `dependentSchemas`."""
_MEANINGS: Final[dict[str, str]] = {
    "type": "The kind of value; a list allows several.",
    "properties": "Schemas of the object's members by name.",
    "required": "Members that must be there.",
    "additionalProperties": "Schema of members that `properties` does not name; `false` allows none.",
    "items": "Schema of the array's elements.",
    "enum": "The values that are allowed.",
    "const": "The one value that is allowed.",
    "default": "The value where none is given.",
    "description": "For people.",
    "format": "Such as `date-time`, `email` or `uri`.",
    "pattern": "A regular expression that the text matches somewhere; anchor it with `^` and `$`.",
    "anyOf": "At least one of these holds.",
    "oneOf": "Exactly one of these holds.",
    "allOf": "All of these hold.",
    "$ref": "Another schema of this document, such as `#/$defs/name`. Remote ones are refused.",
    "$defs": "Schemas for `$ref`.",
    "minimum": "The least number.",
    "maximum": "The greatest number.",
    "minLength": "The least number of characters.",
    "maxLength": "The greatest number of characters.",
    "minItems": "The least number of elements.",
    "maxItems": "The greatest number of elements.",
    "examples": "Values that fit.",
}
"""Keywords that editors offer, in their order; the others are checked only."""


def json_schema_definition() -> JsonObject:
    """The definition `jsonSchema`; `#/$defs/jsonSchema` must lead to it. Unknown keywords are allowed, as in JSON Schema."""
    shapes = {name: shape for shape, names in _SHAPES for name in names.split()}
    described: JsonObject = {name: {"description": meaning, **shapes[name]} for name, meaning in _MEANINGS.items()}
    others: JsonObject = {name: {**shape, "doNotSuggest": True} for name, shape in shapes.items() if name not in described}
    return {
        "description": "A JSON Schema (2020-12): an object of keywords, or true or false.",
        "type": ["object", "boolean"],
        "properties": described | others,
    }
