"""The walk along a path; the grammar of paths is the SDK's, `flowspan.flows.paths`."""

from __future__ import annotations

from typing import Final

from flowspan.flows.paths import Path
from runtime_core.model.json_value import JsonValue


class NotFound:
    """The type of `NOT_FOUND`."""

    __slots__ = ()


NOT_FOUND: Final = NotFound()
"""What a walk gives where the value has no such place; no JSON value is this object."""


def walk(value: JsonValue, path: Path) -> JsonValue | NotFound:
    """The value at `path`, or `NOT_FOUND`: also where the way leads through null or a scalar."""
    for segment in path:
        if type(value) is dict:
            if segment not in value:
                return NOT_FOUND
            value = value[segment]
        elif type(value) is list:
            if type(segment) is not int or segment >= len(value):
                return NOT_FOUND
            value = value[segment]
        else:
            return NOT_FOUND
    return value
