"""JSON Schemas, compiled: what inputs and variables are checked against.

JSON Schema 2020-12, or the older draft that `$schema` names. Nothing is ever fetched: a reference leads to a place in the same
schema. Regular expressions run on an engine that is linear in the text, so there are no look-arounds and no back references.
What a check may cost is bounded when the schema is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jsonschema_rs

from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue

MAX_PARTS: Final = 20_000
"""Subschemas of one schema, each counted as often as references repeat it: the most steps of a check at one place."""
MAX_MESSAGE_CHARS: Final = 500
"""Messages quote the value; a large one is cut."""
_PATTERN_BYTES: Final = 1 << 20
"""Size of one compiled regular expression: counted repetitions multiply."""

_DRAFTS: Final[dict[str, Callable[..., Any]]] = {
    "http://json-schema.org/draft-04/schema": jsonschema_rs.Draft4Validator,
    "http://json-schema.org/draft-06/schema": jsonschema_rs.Draft6Validator,
    "http://json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema_rs.Draft201909Validator,
}
_LATEST: Final[Callable[..., Any]] = jsonschema_rs.Draft202012Validator
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=2 * _PATTERN_BYTES)
_SCHEMA_MAPS: Final = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"))
_SCHEMA_LISTS: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems", "items"))
_ONE_SCHEMA: Final = frozenset(
    (
        "not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames", "additionalItems",
        "unevaluatedItems", "unevaluatedProperties", "contentSchema",
    )
)  # fmt: skip
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_DEFINITIONS: Final = frozenset(("$defs", "definitions"))
_BRANCHES: Final = frozenset(("allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas"))


class SchemaError(ValueError):
    """A value is no schema that can be used. `pointer`: JSON pointer of the place within the schema."""

    def __init__(self, message: str, pointer: str) -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a value does not fit. `pointer`: JSON pointer of the place within the value, `""` for the whole."""

    message: str
    pointer: str


class SchemaCheck:
    """A compiled schema; shared by all values that it checks. Make it with `compile_schema`."""

    __slots__ = ("_is_valid", "_tells_place", "_validator")

    def __init__(self, validator: Any, tells_place: bool) -> None:
        self._validator = validator
        self._is_valid: Callable[[JsonValue], bool] = validator.is_valid
        self._tells_place = tells_place

    def violation(self, value: JsonValue) -> Violation | None:
        """The first thing that is wrong with a value, or None. About a third of a microsecond for a small valid value."""
        if self._is_valid(value):
            return None
        if not self._tells_place:
            return Violation("the value does not fit its schema", "")
        error = next(iter(self._validator.iter_errors(value)))
        message = error.message
        if len(message) > MAX_MESSAGE_CHARS:
            message = f"{message[: MAX_MESSAGE_CHARS // 2]} ... {message[-MAX_MESSAGE_CHARS // 2 :]}"
        return Violation(message, pointer_to(error.instance_path))


def compile_schema(schema: JsonValue, *, mask: str | None = None) -> SchemaCheck:
    """Make a check of a schema.

    Args:
        schema: an object or a boolean.
        mask: stands in messages for the values that are checked, where they may be secret.

    Raises:
        SchemaError: it is no schema; a reference leads nowhere or out of it; a regular expression is not linear or too
            large; references multiply its parts beyond 20,000.
    """
    places = _Places(schema)
    places.check()
    draft = schema.get("$schema") if type(schema) is dict else None
    make = _DRAFTS.get(draft.rstrip("#")) if type(draft) is str else None
    try:
        validator = (make or _LATEST)(schema, pattern_options=_PATTERNS, offline=True, mask=mask)
    except jsonschema_rs.ValidationError as error:
        raise _unusable(error, places) from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"no JSON Schema: {error}", "") from error
    return SchemaCheck(validator, not (places.is_recursive and places.has_branches))


def pointer_to(path: Iterator[str | int] | list[str | int]) -> str:
    """The JSON pointer of a path."""
    return "".join(f"/{escape_pointer_token(str(segment))}" for segment in path)


def _unusable(error: jsonschema_rs.ValidationError, places: _Places) -> SchemaError:
    pointer = pointer_to(list(error.instance_path))
    if not pointer:
        for place, reference in places.references:
            if reference in error.message or reference.lstrip("#") in error.message:
                return SchemaError(f"$ref {reference!r}: {_first_line(error.message)}", place)
    keyword = pointer.rpartition("/")[2]
    if keyword == "pattern" or "/patternProperties/" in pointer:
        return SchemaError(
            f"{_first_line(error.message)} that can be used: it is malformed, too large (counted repetitions multiply), or "
            "needs look-around or back references",
            pointer,
        )
    return SchemaError(f"no JSON Schema: {_first_line(error.message)}", pointer)


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:MAX_MESSAGE_CHARS]


class _Places:
    """The subschemas of a schema and how references join them.

    Attributes:
        references: pointer and text of every `$ref`.
        is_recursive: a reference leads to a schema that it stands in.
        has_branches: several subschemas may look at one place. With recursion, an account of errors could grow
            exponentially with the depth of the value, though the verdict does not.
    """

    def __init__(self, schema: JsonValue) -> None:
        self._root = schema
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()
        self._anchors: dict[str, JsonObject] = {}
        self.references: list[tuple[str, str]] = []
        self.is_recursive = False
        self.has_branches = False
        for pointer, part in _parts(schema):
            for anchor in ("$anchor", "$dynamicAnchor"):
                name = part.get(anchor)
                if type(name) is str:
                    self._anchors[name] = part
            for keyword in _REFERENCES:
                reference = part.get(keyword)
                if type(reference) is str:
                    self.references.append((f"{pointer}/{keyword}", reference))
            if "$dynamicRef" in part or "$recursiveRef" in part:
                self.is_recursive = True
            if pointer and type(part.get("$id")) is str:
                raise SchemaError("a schema within a schema has no $id of its own here; refer to it by #/$defs/NAME", pointer)
            self.has_branches = self.has_branches or not _BRANCHES.isdisjoint(part)

    def check(self) -> None:
        """Raises SchemaError: a reference leads elsewhere, or references multiply the schema beyond `MAX_PARTS`."""
        for pointer, reference in self.references:
            if not reference.startswith("#") and reference.rstrip("#") not in _KNOWN_SCHEMAS:
                keyword = pointer.rpartition("/")[2]
                raise SchemaError(
                    f"{keyword} {reference!r} leads out of the document; nothing is fetched: put the schema under $defs and "
                    "refer to #/$defs/NAME",
                    pointer,
                )
        if self._size(self._root) > MAX_PARTS:
            raise SchemaError(f"references repeat parts of the schema more than {MAX_PARTS} times", "")

    def _size(self, part: JsonValue) -> int:
        """Parts that a check at one place may go through, references followed; one that is being counted counts as 1."""
        if type(part) is not dict:
            return 1
        identity = id(part)
        known = self._sizes.get(identity)
        if known is not None:
            return known
        if identity in self._open:
            self.is_recursive = True
            return 1
        self._open.add(identity)
        total = 1 + sum(self._size(child) for _, child in _children(part, with_definitions=False))
        for keyword in _REFERENCES:
            reference = part.get(keyword)
            if type(reference) is str:
                total += self._size(self._target(reference))
        self._open.discard(identity)
        self._sizes[identity] = total = min(total, MAX_PARTS + 1)
        return total

    def _target(self, reference: str) -> JsonValue:
        """Where a reference leads; a whole schema that is known counts as recursive, and what leads nowhere as nothing."""
        if not reference.startswith("#"):
            self.is_recursive = self.has_branches = True
            return None
        if not reference.startswith("#/"):
            return self._anchors.get(reference[1:]) if len(reference) > 1 else self._root
        at: JsonValue = self._root
        for token in reference[2:].split("/"):
            name = token.replace("%25", "%").replace("~1", "/").replace("~0", "~")
            if type(at) is dict:
                at = at.get(name)
            elif type(at) is list and name.isdecimal() and len(name) < 6 and int(name) < len(at):
                at = at[int(name)]
            else:
                return None
        return at


_KNOWN_SCHEMAS: Final = frozenset((*_DRAFTS, "https://json-schema.org/draft/2020-12/schema"))


def _parts(schema: JsonValue) -> Iterator[tuple[str, JsonObject]]:
    """Every subschema that is an object, with its pointer; iterative."""
    stack: list[tuple[str, JsonValue]] = [("", schema)]
    while stack:
        pointer, part = stack.pop()
        if type(part) is dict:
            yield pointer, part
            stack += [(pointer + place, child) for place, child in _children(part, with_definitions=True)]


def _children(part: Mapping[str, JsonValue], *, with_definitions: bool) -> Iterator[tuple[str, JsonValue]]:
    for keyword, value in part.items():
        if type(value) is dict and keyword in _SCHEMA_MAPS:
            if with_definitions or keyword not in _DEFINITIONS:
                for name, child in value.items():
                    yield f"/{escape_pointer_token(keyword)}/{escape_pointer_token(name)}", child
        elif type(value) is list and keyword in _SCHEMA_LISTS:
            for index, child in enumerate(value):
                yield f"/{keyword}/{index}", child
        elif keyword in _ONE_SCHEMA:
            yield f"/{keyword}", value
