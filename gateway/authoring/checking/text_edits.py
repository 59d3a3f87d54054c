"""Adds members to the objects of a JSON or YAML text and leaves every other character as it is: comments, quotes, the way
numbers are written. A writer that parses and prints again cannot promise that.

The result is read again and compared; a layout that cannot be edited is refused, never damaged.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from flowspan.errors import FlowspanError, InvalidArgumentError
from gateway.authoring.checking.json_objects import find_json_objects
from gateway.authoring.checking.text_objects import TextObject
from gateway.authoring.checking.yaml_objects import find_yaml_objects
from runtime_core.flow.source import SourceDocument, read_document
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue, canonical_of_value

BEFORE: Final = ("steps", "output", "test", "examples")
"""A new member of the document goes before the first of these."""


@dataclass(frozen=True, slots=True)
class _Addition:
    """New members of the object at a pointer."""

    pointer: str
    members: JsonObject


def add_members(document: SourceDocument, additions: JsonObject) -> bytes:
    """The document with `additions` merged into it: objects member by member, and only what is not there yet.

    Raises:
        InvalidArgumentError: the text is laid out in a way that cannot be edited (a part stands behind an alias, ...).
    """
    if type(document.value) is not dict:
        raise InvalidArgumentError("the document is no object")
    merged, found = _merge(document.value, additions, "")
    if not found:
        return document.data
    mark = BOM_UTF8 if document.data.startswith(BOM_UTF8) else b""
    if mark:  # it belongs to neither language: offsets do not count it, and JSON behind one is read as YAML
        document = read_document(document.data.removeprefix(mark))
    text = document.data.decode()
    find = find_yaml_objects if document.is_yaml else find_json_objects
    objects = find(text, {one.pointer for one in found})
    edits: list[tuple[int, int, str]] = []
    for one in found:
        place = objects.get(one.pointer)
        if place is None:
            raise _not_editable(one.pointer)
        edits.append(_edit(text, place, one))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    data = text.encode()
    try:
        same = canonical_of_value(read_document(data, is_yaml=document.is_yaml).value) == canonical_of_value(merged)
    except FlowspanError:
        same = False
    if not same:
        raise _not_editable(found[0].pointer)
    return mark + data


def _merge(held: JsonObject, more: JsonObject, pointer: str) -> tuple[JsonObject, list[_Addition]]:
    """The object with what is new, and where it goes. Null counts as absent, and is replaced."""
    merged = dict(held)
    new: JsonObject = {}
    found: list[_Addition] = []
    for name, value in more.items():
        there = held.get(name)
        if there is None:
            new[name] = merged[name] = value
        elif type(there) is dict and type(value) is dict:
            merged[name], inside = _merge(there, value, f"{pointer}/{escape_pointer_token(name)}")
            found += inside
    if any(name in held for name in new):
        raise _not_editable(f"{pointer}/{next(name for name in new if name in held)}")
    return merged, ([_Addition(pointer, new)] if new else []) + found


def _edit(text: str, place: TextObject, addition: _Addition) -> tuple[int, int, str]:
    newline = "\r\n" if "\r\n" in text else "\n"
    at = place.end
    before = next((place.members[name] for name in BEFORE if name in place.members), None) if not addition.pointer else None
    if place.is_block:
        block = _block(addition.members, place.column, newline)
        if before is not None:
            return (start := _above_comments(text, text.rfind("\n", 0, before) + 1)), start, block
        if at and text[at - 1] != "\n":
            line_end = text.find("\n", at)
            if line_end < 0:
                return len(text), len(text), newline + block
            at = line_end + 1
        return at, at, block
    is_spread = place.is_json and newline in text[place.start : place.end]
    indent, separator = ("", ", ") if not is_spread else (place.indent, f",{newline}{place.indent}")
    members = separator.join(_json_members(addition.members, indent if is_spread else None, place.unit, newline))
    if before is not None and place.is_json:
        return before, before, members + separator
    if not place.members:
        return at, at, members
    return at, at, separator + members


def _json_members(members: Mapping[str, JsonValue], indent: str | None, unit: str, newline: str) -> Iterable[str]:
    for name, value in members.items():
        text = json.dumps(value, ensure_ascii=False, indent=None if indent is None else unit)
        if indent is not None:
            text = text.replace("\n", newline + indent)
        yield f"{json.dumps(name, ensure_ascii=False)}: {text}"


class _Dumper(yaml.SafeDumper):
    """Writes out what stands there twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _block(members: JsonObject, column: int, newline: str) -> str:
    written: str = yaml.dump(members, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20)
    return "".join(f"{' ' * column}{line}{newline}" if line else newline for line in written.splitlines())


def _above_comments(text: str, at: int) -> int:
    """The start of the lines of comment right above a line."""
    while at:
        above = text.rfind("\n", 0, at - 1) + 1
        if not text[above:at].lstrip().startswith("#"):
            break
        at = above
    return at


def _not_editable(pointer: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{pointer or 'the document'} is laid out in a way that cannot be added to (null, an alias, ...); "
        "write the schemas there by hand: --json prints them"
    )
