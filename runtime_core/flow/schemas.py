"""JSON Schemas, compiled: what inputs and variables are checked against.

JSON Schema 2020-12, or the older draft that `$schema` names. Nothing is ever fetched: a reference leads to a place in the same
schema. Regular expressions run on an engine that is linear in the text, so there are no look-arounds and no back references.
What a check may cost is bounded when the schema is compiled.
"""

from __future__ import annotations

import re
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
MAX_STEPS: Final = 50_000_000
"""Of one check: parts of the value, times the subschemas that may look at the same one. About a second."""
MAX_ACCOUNT: Final = 50_000
"""Parts of the value times parts of the schema, up to which an account of alternatives that all failed is asked for: it names
every error of each, at some microseconds and hundreds of bytes."""
MAX_WIDE_INTEGERS: Final = 256
"""Integers beyond 64 bits in a value whose items are to be unique: these are compared each with each."""
MAX_PATTERNS: Final = 2_000
_PATTERN_BYTES: Final = 1 << 20
"""Size of one compiled regular expression: counted repetitions multiply."""
_ALL_PATTERNS_BYTES: Final = 128 << 20
"""Where there are many, each may be smaller only: a mebibyte takes ten milliseconds."""
_LIGHT_PATTERN_BYTES: Final = 64 << 10
"""A pattern of this size takes less than a microsecond per character, whatever the text."""
_ONE_COUNT: Final = re.compile(r"\^[^*+?{}]*\{\d+(?:,\d+)?\}[^*+?{}]*\Z")
"""Anchored, with one counted repetition, as `^.{1,255}$`: of any size no dearer than a small one."""
MAX_HEAVY_CHARS: Final = 20_000
"""Text in a value whose schema has heavier patterns: up to fifty microseconds per character."""
_FEW: Final = 16
"""With no more subschemas than this at a place, a value of any size that is accepted elsewhere is checked in time."""

_DRAFTS: Final[dict[str, Callable[..., Any]]] = {
    "http://json-schema.org/draft-04/schema": jsonschema_rs.Draft4Validator,
    "http://json-schema.org/draft-06/schema": jsonschema_rs.Draft6Validator,
    "http://json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema_rs.Draft201909Validator,
}
_LATEST: Final[Callable[..., Any]] = jsonschema_rs.Draft202012Validator
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
_IN_PLACE: Final = frozenset(
    ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"),
)
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

    __slots__ = ("_is_heavy", "_is_recursive", "_is_valid", "_parts_told", "_places", "_validator")

    def __init__(self, validator: Any, places: _Places) -> None:
        self._validator = validator
        self._is_valid: Callable[[JsonValue], bool] = validator.is_valid
        self._places = None if places.width <= _FEW and not places.wants_unique else places
        self._is_recursive = places.is_recursive
        self._is_heavy = any(_is_heavy(pattern) for pattern in places.patterns)
        # How large a value may be for its violation to have a place; None: of any size.
        self._parts_told: int | None = None
        if places.has_branches:
            self._parts_told = 0 if places.is_recursive else MAX_ACCOUNT // places.size

    def violation(self, value: JsonValue) -> Violation | None:
        """The first thing that is wrong with a value, or None. About a third of a microsecond for a small valid value."""
        if self._places is not None and (why := _too_costly(value, self._places)) is not None:
            return Violation(why, "")
        if self._is_heavy and _has_more_text(value, MAX_HEAVY_CHARS):
            return Violation(
                f"the value has more than {MAX_HEAVY_CHARS} characters of text, too many for the patterns of its schema; anchor "
                "them with ^ and keep their counted repetitions small",
                "",
            )
        if self._is_valid(value):
            return None
        if self._parts_told is not None and not (self._parts_told and _is_small(value, self._parts_told)):
            return Violation("the value does not fit its schema", "")
        try:
            # Not `iter_errors`: it finds all errors before it gives the first, and they may be exponentially many.
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as found:
            error = found
        else:
            return Violation("the value does not fit its schema", "")
        message = error.message
        if len(message) > MAX_MESSAGE_CHARS:
            message = f"{message[: MAX_MESSAGE_CHARS // 2]} ... {message[-MAX_MESSAGE_CHARS // 2 :]}"
        return Violation(message, self._pointer(value, error))

    def _pointer(self, value: JsonValue, error: jsonschema_rs.ValidationError) -> str:
        """Where in the value the error is. Its path leaves out names that are empty, so where the value has some, the full
        account tells (unless the schema is recursive: that could be endless)."""
        pointer = pointer_to(error.instance_path)
        if not self._is_recursive and _has_empty_name(value):
            for told in self._validator.evaluate(value).errors():
                place = told["instanceLocation"]
                if told["error"] == error.message and place.replace("/", "") == pointer.replace("/", ""):
                    return str(place)
        return pointer


def compile_schema(schema: JsonValue, *, mask: str | None = None) -> SchemaCheck:
    """Make a check of a schema.

    Args:
        schema: an object or a boolean.
        mask: stands in messages for the values that are checked, where they may be secret.

    Raises:
        SchemaError: it is no schema; a reference leads nowhere or out of it; a regular expression is not linear or too
            large, or there are too many; references multiply its parts beyond 20,000.
    """
    places = _Places(schema)
    places.check()
    draft = schema.get("$schema") if type(schema) is dict else None
    make = _DRAFTS.get(draft.rstrip("#")) if type(draft) is str else None
    try:
        validator = (make or _LATEST)(schema, pattern_options=_pattern_options(len(places.patterns)), offline=True, mask=mask)
    except jsonschema_rs.ValidationError as error:
        raise _unusable(error, places) from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"no JSON Schema: {error}", "") from error
    return SchemaCheck(validator, places)


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


def _pattern_options(count: int) -> Any:
    size = min(_PATTERN_BYTES, _ALL_PATTERNS_BYTES // max(1, count))
    return jsonschema_rs.RegexOptions(size_limit=size, dfa_size_limit=2 * _PATTERN_BYTES)


def _too_costly(value: JsonValue, places: _Places) -> str | None:
    """Why a value is not checked at all, if so."""
    left = MAX_STEPS // places.width
    wide = MAX_WIDE_INTEGERS if places.wants_unique else left
    stack = [value]
    while stack:
        one = stack.pop()
        left -= 1
        if type(one) is list:
            stack += one
        elif type(one) is dict:
            stack += one.values()
        elif type(one) is str:
            left -= len(one) >> 6
        elif type(one) is int and not -(1 << 63) <= one < 1 << 63:
            wide -= 1
            if wide < 0:
                return f"more than {MAX_WIDE_INTEGERS} integers beyond 64 bits, of which some are to be unique, are not checked"
        if left < 0 or len(stack) > left:
            return f"the value is too large to be checked: its schema has up to {places.width} parts for each part of it"
    return None


def _has_empty_name(value: JsonValue) -> bool:
    """Whether some object in a value has a member with the name `""`."""
    stack = [value]
    while stack:
        one = stack.pop()
        if type(one) is dict:
            if "" in one:
                return True
            stack += one.values()
        elif type(one) is list:
            stack += one
    return False


def _is_heavy(pattern: str) -> bool:
    """Whether some text may take long to match."""
    if _ONE_COUNT.match(pattern):
        return False
    light = jsonschema_rs.RegexOptions(size_limit=_LIGHT_PATTERN_BYTES, dfa_size_limit=2 * _PATTERN_BYTES)
    try:
        _LATEST({"pattern": pattern}, pattern_options=light, offline=True)
    except jsonschema_rs.ValidationError:
        return True
    return False


def _has_more_text(value: JsonValue, chars: int) -> bool:
    """Whether the strings and names in a value are longer than this, together."""
    stack = [value]
    while stack:
        one = stack.pop()
        if type(one) is str:
            chars -= len(one)
        elif type(one) is list:
            stack += one
        elif type(one) is dict:
            stack += one
            stack += one.values()
        if chars < 0:
            return True
    return False


def _is_small(value: JsonValue, parts: int) -> bool:
    """Whether a value has no more than so many parts."""
    stack = [value]
    while stack:
        one = stack.pop()
        parts -= 1
        if type(one) is list:
            stack += one
        elif type(one) is dict:
            stack += one.values()
        if len(stack) > parts:
            return False
    return True


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:MAX_MESSAGE_CHARS]


class _Places:
    """The subschemas of a schema and how references join them.

    Attributes:
        references: pointer and text of every `$ref`.
        is_recursive: a reference leads to a schema that it stands in.
        has_branches: several subschemas may look at one place. With recursion, an account of errors could grow
            exponentially with the depth of the value, though the verdict does not.
        patterns: the regular expressions. wants_unique: items of an array are compared with each other.
        size, width: once checked: parts of the whole, and the most of them that may look at one part of a value.
    """

    def __init__(self, schema: JsonValue) -> None:
        self._root = schema
        self._sizes: dict[int, int] = {}
        self._widths: dict[int, tuple[int, int]] = {}
        self.patterns: list[str] = []
        self.wants_unique = False
        self.size = self.width = 1
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
            self.wants_unique = self.wants_unique or part.get("uniqueItems") is True
            own = part.get("pattern")
            if type(own) is str:
                self.patterns.append(own)
            self.patterns += _members(part, "patternProperties")
            if len(self.patterns) > MAX_PATTERNS:
                raise SchemaError(f"more than {MAX_PATTERNS} regular expressions", pointer)

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
        self.size = self._size(self._root)
        if self.size > MAX_PARTS:
            raise SchemaError(f"references repeat parts of the schema more than {MAX_PARTS} times", "")
        self.width = max(self._width(self._root))

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

    def _width(self, part: JsonValue) -> tuple[int, int]:
        """How many parts may look at the place that `part` looks at, and, at most, at one place below it. Different members
        are different places; what a reference repeats while it is being counted, the library looks at once."""
        if type(part) is not dict:
            return 1, 1
        identity = id(part)
        known = self._widths.get(identity)
        if known is not None:
            return known
        if identity in self._open:
            return 1, 1
        self._open.add(identity)
        here, below, by_name = 1, 0, 0
        for place, child in _children(part, with_definitions=False):
            keyword = place.split("/", 2)[1]
            child_here, child_below = self._width(child)
            if keyword in _IN_PLACE:
                here, below = here + child_here, below + child_below
            elif keyword == "properties" or keyword == "prefixItems":
                by_name = max(by_name, child_here, child_below)
            else:
                below += max(child_here, child_below)
        for keyword in _REFERENCES:
            reference = part.get(keyword)
            if type(reference) is str:
                child_here, child_below = self._width(self._target(reference))
                here, below = here + child_here, below + child_below
        self._open.discard(identity)
        self._widths[identity] = found = (min(here, MAX_PARTS), min(below + by_name, MAX_PARTS))
        return found

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


def _members(part: JsonObject, keyword: str) -> JsonObject:
    found = part.get(keyword)
    return found if type(found) is dict else {}


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
