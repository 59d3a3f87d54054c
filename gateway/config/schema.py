"""The JSON Schema of `flowspan.yml`, for editors and for messages that name the nearest key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.config.model import Config


def config_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the file, short forms included."""
    schema = Config.model_json_schema()
    members = schema["properties"]
    name = {"type": "string", "description": "A plugin's name."}
    routes = members["routes"]["additionalProperties"]
    members["routes"]["additionalProperties"] = {"anyOf": [name, {**routes, "items": {"anyOf": [name, routes["items"]]}}]}
    members["listen"] = {**members["listen"], "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    del members["listen"]["type"], members["listen"]["items"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "flowspan.yml"}


def known_members(place: Sequence[int | str]) -> list[str]:
    """Keys that may stand in the mapping at this place of the file; none where it is not a mapping of ours."""
    schema = config_schema()
    found = [schema]
    for part in place:
        found = [inner for outer in found for inner in _step(outer, part, schema)]
    return sorted({key for part in found for key in part.get("properties", {})})


def _step(outer: dict[str, Any], part: int | str, schema: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(part, int):
        inner = outer.get("items")
    else:
        free = next(iter(outer.get("patternProperties", {}).values()), outer.get("additionalProperties"))
        inner = outer.get("properties", {}).get(part, free)
    return _resolved(inner, schema) if isinstance(inner, dict) else []


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas that a reference or a choice stands for."""
    if "$ref" in part:
        return _resolved(schema["$defs"][part["$ref"].rpartition("/")[2]], schema)
    choices = part.get("anyOf") or part.get("oneOf")
    return [found for choice in choices for found in _resolved(choice, schema)] if choices else [part]
