"""Paths into values: their grammar and their canonical text.

Text without a leading `$` is one literal field name; dots do not split it. With `$`: `.name`, `[n]`, `["name"]`, `['name']`,
and nothing else: no wildcards, no slices, no filters, nothing that is evaluated. Empty text and `$` mean the whole value.
"""

from __future__ import annotations

import re
from typing import Final

Path = tuple[str | int, ...]
"""Field names and array indexes (>= 0), outermost first; `()` is the whole value."""

WHOLE: Final[Path] = ()

_NAME: Final = r"(?:[A-Za-z0-9_-]|[^\x00-\x7f])+"
_INDEX: Final = r"0|[1-9][0-9]{0,19}"
_DOUBLE: Final = r"""(?:[^"\\]|\\["'\\])*"""
_SINGLE: Final = r"""(?:[^'\\]|\\["'\\])*"""
FIELD_PATTERN: Final = rf"""\.{_NAME}|\["{_DOUBLE}"\]|\['{_SINGLE}'\]"""
"""One step into an object, as a regular expression that every engine reads; for JSON Schemas."""
INDEX_PATTERN: Final = rf"\[(?:{_INDEX})\]"
"""One step into an array."""

_SEGMENT: Final = re.compile(
    rf"""\.(?P<name>{_NAME})|\[(?P<index>{_INDEX})\]|\["(?P<double>{_DOUBLE})"\]|\['(?P<single>{_SINGLE})'\]"""
)
_PLAIN_NAME: Final = re.compile(rf"{_NAME}\Z")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_SHOWN_CHARS: Final = 200


class PathSyntaxError(ValueError):
    """A text is not a path. The message names the character, its offset (from 0) and the whole path."""


def parse_path(text: str) -> Path:
    """Read a path.

    Raises:
        PathSyntaxError: a character that the grammar does not allow.
    """
    if not text:
        return WHOLE
    if text[0] != "$":
        return (text,)
    segments: list[str | int] = []
    offset = 1
    while offset < len(text):
        match = _SEGMENT.match(text, offset)
        if match is None:
            raise PathSyntaxError(_complaint(text, offset))
        kind = match.lastgroup
        found = match.group(kind or 0)
        if kind == "index":
            segments.append(int(found))
        elif kind == "name":
            segments.append(found)
        else:
            segments.append(_ESCAPE.sub(r"\1", found))
        offset = match.end()
    return tuple(segments)


def format_path(path: Path) -> str:
    """The canonical text: `$.name` for plain names, `$['a.b']` for others, `$[0]`. Reading it gives `path` again."""
    parts = ["$"]
    for segment in path:
        if isinstance(segment, int):
            parts.append(f"[{segment}]")
        elif _PLAIN_NAME.match(segment):
            parts.append(f".{segment}")
        else:
            quoted = segment.replace("\\", "\\\\").replace("'", "\\'")
            parts.append(f"['{quoted}']")
    return "".join(parts)


def _complaint(text: str, offset: int) -> str:
    """Where exactly: the end, the first character that cannot start a segment, or the one that breaks a begun segment."""
    shown = text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "..."
    at = offset
    if text[offset] == ".":
        at += 1
    elif text[offset] == "[":
        at = _bracket_fault(text, offset + 1)
    if at >= len(text):
        return f"path {shown!r} ends in the middle of a segment, at offset {len(text)}"
    return f"path {shown!r}: unexpected {text[at]!r} at offset {at}; allowed are .name, [0], [\"name\"] and ['name']"


def _bracket_fault(text: str, at: int) -> int:
    """Offset of the first character after `[` that fits neither an index nor a quoted name."""
    if at < len(text) and text[at] in "\"'":
        quote = text[at]
        at += 1
        while at < len(text) and text[at] != quote:
            if text[at] == "\\":
                if text[at + 1 : at + 2] not in ('"', "'", "\\"):
                    return at
                at += 1
            at += 1
        return at + 1
    start = at
    while at < len(text) and text[at] in "0123456789":
        at += 1
    if at > start + 1 and text[start] == "0":
        return start
    return at
