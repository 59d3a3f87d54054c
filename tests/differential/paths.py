"""Paths, read letter by letter ("Paths" in section 3)."""

from __future__ import annotations

from tests.differential.exact_json import Json

Segment = str | int


class BadPathError(ValueError):
    """No path."""


class NowhereError(Exception):
    """The value has no such place."""


def read_path(text: str) -> list[Segment]:
    """The segments, outermost first; `[]` is the whole value."""
    # "Empty or absent: the whole value."
    if text == "":
        return []
    # "Without a leading `$`: one literal field name; dots do not split it."
    if not text.startswith("$"):
        return [text]
    # "With `$`: `.name`, `[n]` (n >= 0), `["name"]`, `['name']`, also names that contain `.` or `]`. Nothing else."
    segments: list[Segment] = []
    rest = text[1:]
    while rest:
        if rest[0] == ".":
            name = ""
            rest = rest[1:]
            while rest and (rest[0].isalnum() or rest[0] in "_-"):
                name, rest = name + rest[0], rest[1:]
            if not name:
                raise BadPathError(text)
            segments.append(name)
        elif rest[0] == "[" and rest[1:2] in ("'", '"'):
            quote, name, rest = rest[1], "", rest[2:]
            while rest and rest[0] != quote:
                if rest[0] == "\\":
                    rest = rest[1:]
                name, rest = name + rest[:1], rest[1:]
            if not rest.startswith(quote + "]"):
                raise BadPathError(text)
            segments.append(name)
            rest = rest[2:]
        elif rest[0] == "[" and "]" in rest:
            digits, rest = rest[1:].split("]", 1)
            if not digits.isascii() or not digits.isdigit() or str(int(digits)) != digits:
                raise BadPathError(text)
            segments.append(int(digits))
        else:
            raise BadPathError(text)
    return segments


def write_path(segments: list[Segment]) -> str:
    """The canonical form that messages show: `zz` is `$.zz` (decision 32), `a.b` is `$['a.b']` (section 3)."""
    text = "$"
    for segment in segments:
        if isinstance(segment, int):
            text += f"[{segment}]"
        elif segment and all(letter.isalnum() or letter in "_-" for letter in segment):
            text += f".{segment}"
        else:
            text += "['" + segment.replace("\\", "\\\\").replace("'", "\\'") + "']"
    return text


def look_up(value: Json, segments: list[Segment]) -> Json:
    """The value at a path. Raises NowhereError, also for null in the middle (decision 32)."""
    for segment in segments:
        is_member = isinstance(segment, str) and isinstance(value, dict) and segment in value
        is_element = isinstance(segment, int) and isinstance(value, list) and segment < len(value)
        if not is_member and not is_element:
            raise NowhereError
        value = value[segment]
    return value
