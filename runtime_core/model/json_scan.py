"""A slow, exact reader of JSON text that knows where everything stands.

The fast reader (`json_value`) finds out *that* something is wrong; this one says *where*: both positions of a duplicate
key, the place of a value that a diagnostic names. It builds no values and does not recurse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

_BRACKET: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')
_TOKEN: Final = re.compile(r'[ \t\r\n]*(?:("(?:[^"\\]|\\.)*")|([\[\]{},:])|([^\s\[\]{},:"]+))')


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; both count from 1, columns in characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True, slots=True)
class DuplicateKey:
    """A key that stands twice in one object; `pointer` is the JSON pointer of the member."""

    key: str
    pointer: str
    first: Position
    second: Position


@dataclass(frozen=True, slots=True)
class _Open:
    pointer: str
    keys: dict[str, int] | None
    """Keys seen with their offsets; None for an array."""


def escape_pointer_token(name: str) -> str:
    """One reference token of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def position_at(text: str, offset: int) -> Position:
    """Line and column of a character offset."""
    return Position(line=text.count("\n", 0, offset) + 1, column=offset - text.rfind("\n", 0, offset))


def position_of_depth(text: str, depth: int) -> Position | None:
    """Where the first array or object begins that stands inside `depth` others; the text need not be whole."""
    open_now = 0
    for match in _BRACKET.finditer(text):
        mark = match.group()
        if mark in ("[", "{"):
            open_now += 1
            if open_now > depth:
                return position_at(text, match.start())
        elif mark in ("]", "}"):
            open_now -= 1
    return None


def scan_json(text: str, wanted: Iterable[str] = ()) -> tuple[DuplicateKey | None, dict[str, Position]]:
    """Walk a JSON text once.

    Args:
        text: JSON that the fast reader took; of other text the walk covers what precedes the mistake.
        wanted: JSON pointers whose places are asked for; the walk ends where the last of them was found.

    Returns:
        The first duplicate key or None, and the places of those wanted values that exist.
    """
    wanted = set(wanted)
    found: dict[str, Position] = {}
    stack: list[_Open] = []
    pointer = ""
    index = 0
    indexes: list[int] = []
    expects_key = False
    offset = 0
    while (match := _TOKEN.match(text, offset)) is not None:
        offset = match.end()
        string, mark, _ = match.groups()
        start = match.start(match.lastindex or 0)
        if string is not None and expects_key:
            try:
                key: str = msgspec.json.decode(string.encode(), type=str)
            except (msgspec.MsgspecError, UnicodeError):
                break
            frame = stack[-1]
            keys = frame.keys if frame.keys is not None else {}
            pointer = f"{frame.pointer}/{escape_pointer_token(key)}"
            if key in keys:
                return DuplicateKey(key, pointer, position_at(text, keys[key]), position_at(text, start)), found
            keys[key] = start
            expects_key = False
        elif mark in ("}", "]"):
            if not stack:
                break
            stack.pop()
            index = indexes.pop()
            expects_key = False
        elif mark == ",":
            if not stack:
                break
            if stack[-1].keys is not None:
                expects_key = True
            else:
                index += 1
                pointer = f"{stack[-1].pointer}/{index}"
        elif mark == ":":
            expects_key = False
        else:
            if pointer in wanted and pointer not in found:
                found[pointer] = position_at(text, start)
                if len(found) == len(wanted):
                    break
            if mark in ("{", "["):
                indexes.append(index)
                index = 0
                stack.append(_Open(pointer, {} if mark == "{" else None))
                expects_key = mark == "{"
                if mark == "[":
                    pointer = f"{pointer}/0"
    return None, found
