"""A few keywords of JSON Schema 2020-12, the ones that the generators use: which places of a value violate a schema."""

from __future__ import annotations

from tests.differential.exact_json import Json, equal_by_value

TYPES = {"null": type(None), "boolean": bool, "string": str, "array": list, "object": dict}


def violations(schema: Json, value: Json, pointer: str = "") -> list[str]:
    """JSON pointers of the places that do not fit; empty: the value does."""
    if schema is True:
        return []
    found: list[str] = []
    if "type" in schema and not any(has_type(value, name) for name in as_list(schema["type"])):
        found.append(pointer)
    if "enum" in schema and not any(equal_by_value(value, one) for one in schema["enum"]):
        found.append(pointer)
    if "const" in schema and not equal_by_value(value, schema["const"]):
        found.append(pointer)
    if "minimum" in schema and has_type(value, "number") and value < schema["minimum"]:
        found.append(pointer)
    if isinstance(value, dict):
        found += [pointer for name in schema.get("required", []) if name not in value]
        for name, member in value.items():
            if name in schema.get("properties", {}):
                found += violations(schema["properties"][name], member, f"{pointer}/{escaped(name)}")
            elif schema.get("additionalProperties") is False:
                found.append(pointer)
    if isinstance(value, list) and "items" in schema:
        for number, member in enumerate(value):
            found += violations(schema["items"], member, f"{pointer}/{number}")
    return found


def has_type(value: Json, name: str) -> bool:
    """ "1.0 is an integer" (JSON Schema core, 4.2.3); true is no number."""
    if name == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "integer":
        return has_type(value, "number") and (isinstance(value, int) or value.is_integer())
    return isinstance(value, TYPES[name])


def as_list(names: Json) -> list[str]:
    return names if isinstance(names, list) else [names]


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
