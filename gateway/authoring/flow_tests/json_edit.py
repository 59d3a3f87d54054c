"""Parts of a JSON text written anew; every other character stays. What is written follows the text's own layout."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.authoring.flow_tests.exact_values import ExactValue, encode_exact
from gateway.authoring.flow_tests.matching import Edit, Place

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_KEY_OF_OWN_LINE: Final = re.compile(r'[\[{][ \t]*\r?\n([ \t]+)["\[{\w-]')
_SCALAR_OR_STRING: Final = json.JSONDecoder()
MAX_ONE_LINE_CHARS: Final = 100
"""A value that stood on one line is written on one line up to this length."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of an object (`name`) or an array (None); offsets of where it begins, and of its value."""

    name: str | None
    begin: int
    start: int
    end: int


def edit_json(text: str, edits: Sequence[Edit]) -> str:
    """The text with these parts replaced. The last token of a place may be a member that is not there yet: it is added at the
    end of its object.

    Args:
        text: JSON that was read before: well formed, no key twice, of bounded depth.
        edits: places that do not contain each other.
    """
    layout = _Layout(text)
    known: dict[int, list[_Member]] = {}
    splices = [_splice(text, edit, layout, known) for edit in edits]
    for start, end, new in sorted(splices, reverse=True):
        text = text[:start] + new + text[end:]
    return text


class _Layout:
    """How a text is laid out: its line ends, its indentation (empty: it stands on one line), its separators."""

    def __init__(self, text: str) -> None:
        found = _KEY_OF_OWN_LINE.search(text)
        self.newline: Final = "\r\n" if "\r\n" in text else "\n"
        self.unit: Final = "" if found is None else found[1]
        self.is_spaced: Final = bool(self.unit) or '": ' in text

    def on_one_line(self, value: ExactValue) -> str:
        return msgspec.json.format(encode_exact(value), indent=0 if self.is_spaced else -1).decode()

    def on_many_lines(self, value: ExactValue, margin: str) -> str:
        """`margin`: white space before the line that the value begins on."""
        lines = msgspec.json.format(encode_exact(value), indent=1).decode().split("\n")
        spread = [lines[0]]
        for line in lines[1:]:
            stripped = line.lstrip(" ")  # strings hold no line ends, so a line begins outside of one
            spread.append(margin + self.unit * (len(line) - len(stripped)) + stripped)
        return self.newline.join(spread)


def _splice(text: str, edit: Edit, layout: _Layout, known: dict[int, list[_Member]]) -> tuple[int, int, str]:
    """From where to where the text is replaced, and by what. `known`: members by where their holder begins."""
    start = _skip(text, 0)
    place: Place = edit.place
    for depth, token in enumerate(place):
        if start not in known:
            known[start] = _members(text, start)
        members = known[start]
        found = next((part for index, part in enumerate(members) if token in (part.name, index)), None)
        if found is None:
            assert depth == len(place) - 1 and isinstance(token, str)
            return _addition(text, members[-1], token, edit.value, layout)
        start, end = found.start, found.end
    old = text[start:end]
    is_kept_short = old[0] in "[{" and "\n" not in old
    return start, end, _written(text, start, edit.value, layout, is_kept_short=is_kept_short)


def _addition(text: str, last: _Member, name: str, value: ExactValue, layout: _Layout) -> tuple[int, int, str]:
    key = json.dumps(name, ensure_ascii=False)
    margin = _margin(text, last.begin)
    if not layout.unit or margin is None:
        comma, colon = (", ", ": ") if layout.is_spaced else (",", ":")
        return last.end, last.end, f"{comma}{key}{colon}{layout.on_one_line(value)}"
    return last.end, last.end, f",{layout.newline}{margin}{key}: {layout.on_many_lines(value, margin)}"


def _written(text: str, start: int, value: ExactValue, layout: _Layout, *, is_kept_short: bool) -> str:
    short = layout.on_one_line(value)
    line_start = text.rfind("\n", 0, start) + 1
    fits = start - line_start + len(short) <= MAX_ONE_LINE_CHARS
    if not layout.unit or not isinstance(value, (dict, list)) or not value or (is_kept_short and fits):
        return short
    line = text[line_start:start]
    margin = line[: len(line) - len(line.lstrip(" \t"))]
    return layout.on_many_lines(value, margin)


def _margin(text: str, offset: int) -> str | None:
    """The white space before this offset, if nothing else stands before it on its line."""
    before = text[text.rfind("\n", 0, offset) + 1 : offset]
    return before if not before.strip(" \t") and "\n" in text[:offset] else None


def _members(text: str, start: int) -> list[_Member]:
    """The members of the object or array that begins at `start`."""
    is_object = text[start] == "{"
    offset = _skip(text, start + 1)
    members: list[_Member] = []
    while text[offset] not in "}]":
        begin, name = offset, None
        if is_object:
            name, offset = _scan(text, offset)
            offset = _skip(text, _skip(text, offset) + 1)
        _, end = _scan(text, offset)
        members.append(_Member(name, begin, offset, end))
        offset = _skip(text, end)
        if text[offset] == ",":
            offset = _skip(text, offset + 1)
    return members


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    assert match is not None
    return match.end()


def _scan(text: str, offset: int) -> tuple[Any, int]:
    """The value that begins here, and where it ends."""
    return _SCALAR_OR_STRING.raw_decode(text, offset)
