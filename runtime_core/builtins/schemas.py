"""JSON Schemas of what built-ins take and give. Pure data; an object takes no members but those that are named."""

from __future__ import annotations

from typing import Any, Final

from flowspan.errors import FlowErrorCode

Schema = dict[str, Any]

ANY: Final[Schema] = {}
TEXT: Final[Schema] = {"type": "string"}


def record(properties: dict[str, Schema], *required: str, **more: Any) -> Schema:
    """An object with these members and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False, **more}


def optional(schema: Schema) -> Schema:
    """`schema`, or null, which means absent. `schema` has one `type`."""
    return {**schema, "type": [schema["type"], "null"]}


def whole_number(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def one_of(*fields: str) -> dict[str, Any]:
    """Exactly one of these members is there (and not null)."""
    return {"oneOf": [{"required": [field]} for field in fields]}


FLOW_ID: Final[Schema] = {"type": "string", "pattern": "^(sha256:)?[0-9a-f]{64}$", "description": "The blob id of a flow."}
FLOW_OR_ID: Final[Schema] = {"type": ["object", "string"], "description": "A flow (write it below `$literal`), or the id of one."}

FLOW_RESULT: Final[Schema] = {
    "oneOf": [
        record({"outcome": {"const": "success"}, "value": ANY}, "outcome", "value"),
        record(
            {
                "outcome": {"const": "failed"},
                "error": record(
                    {"code": {"enum": [code.value for code in FlowErrorCode]}, "message": TEXT, "data": ANY}, "code", "message"
                ),
            },
            "outcome",
            "error",
        ),
        record({"outcome": {"const": "skipped"}, "reason": TEXT}, "outcome"),
    ]
}

MESSAGE: Final[Schema] = record({"role": TEXT, "content": TEXT}, "role", "content")
