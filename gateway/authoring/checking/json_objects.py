"""Where the objects of a JSON text stand, for a text that the fast reader took."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from gateway.authoring.checking.text_objects import TextObject
from runtime_core.model.json_scan import escape_pointer_token

_TOKEN: Final = re.compile(r'[ \t\r\n]*("(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+)')
_FIRST_INDENT: Final = re.compile(r"\n([ \t]+)\S")


@dataclass(slots=True)
class _Open:
    pointer: str
    start: int
    is_object: bool
    members: dict[str, int] = field(default_factory=dict)
    key: str | None = None
    index: int = 0


def find_json_objects(text: str, wanted: Iterable[str]) -> dict[str, TextObject]:
    """The objects at these JSON pointers."""
    wanted = set(wanted)
    first = _FIRST_INDENT.search(text)
    unit = first.group(1) if first else "  "
    found: dict[str, TextObject] = {}
    stack: list[_Open] = []
    offset = end = 0
    while (match := _TOKEN.match(text, offset)) is not None:
        token, start, offset = match.group(1), match.start(1), match.end()
        frame = stack[-1] if stack else None
        if token in ("}", "]"):
            closed = stack.pop()
            if closed.is_object and closed.pointer in wanted:
                found[closed.pointer] = TextObject(
                    closed.start, end, closed.members, is_json=True, indent=_indent(text, closed, unit), unit=unit
                )
        elif token == ",":
            if frame is not None:
                frame.key, frame.index = None, frame.index + 1
            continue
        elif token == ":":
            continue
        elif frame is not None and frame.is_object and frame.key is None:
            frame.key = msgspec.json.decode(token.encode(), type=str)
            frame.members[frame.key] = start
        elif token in ("{", "["):
            pointer = "" if frame is None else f"{frame.pointer}/{_place(frame)}"
            stack.append(_Open(pointer, start, token == "{"))
        end = offset
    return found


def _place(frame: _Open) -> str:
    return escape_pointer_token(frame.key or "") if frame.is_object else str(frame.index)


def _indent(text: str, one: _Open, unit: str) -> str:
    """The white space before its first member, if that begins a line; else what its depth asks for."""
    first = next(iter(one.members.values()), None)
    if first is not None:
        before = text[text.rfind("\n", 0, first) + 1 : first]
        if not before.strip():
            return before
    return unit * (one.pointer.count("/") + 1)
