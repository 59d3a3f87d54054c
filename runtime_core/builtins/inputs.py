"""Inputs of built-ins, read once and strictly: what is wrong is said with the field's name. Pure.

Unknown fields are refused, because nothing would come of them. An explicit null of an optional field means that it is absent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from flowspan.errors import InvalidArgumentError
from flowspan.flows.near_names import near_name

T = TypeVar("T", bound=msgspec.Struct)

_PLACE: Final = re.compile(r" - at `\$\.?(.*)`\Z")
_FIELD: Final = re.compile(r"field `([^`]*)`")
_UNKNOWN: Final = "Object contains unknown field"

MAX_NAME_CHARS: Final = 64
"""Of a word that is not allowed, in the message."""

ABSENT: Final = msgspec.Raw()
"""Default of optional fields whose value is not looked into."""


class InputReader(Generic[T]):
    """Reads the input of one component. `shape`: a msgspec Struct that forbids unknown fields."""

    def __init__(self, shape: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(shape)
        self._fields = [field.encode_name for field in msgspec.structs.fields(shape)]

    def read(self, data: bytes) -> T:
        """Raises InvalidArgumentError; `details["field"]` names the field, if one is to blame."""
        try:
            return self._decoder.decode(data)
        except msgspec.DecodeError as error:
            raise self._refused(str(error)) from None

    def _refused(self, problem: str) -> InvalidArgumentError:
        details: dict[str, Any] = {}
        place = _PLACE.search(problem)
        if place is not None:
            details["field"] = place[1]
            problem = f"{place[1]}: {problem[: place.start()]}"
        elif (field := _FIELD.search(problem)) is not None:
            details["field"] = field[1]
            if problem.startswith(_UNKNOWN):
                near = near_name(field[1], self._fields)
                hint = f"did you mean {near}?" if near is not None else f"known are {', '.join(self._fields)}"
                problem = f"unknown field {field[1]}; {hint}"
            elif "missing required" in problem:
                problem = f"the field {field[1]} is missing"
        return InvalidArgumentError(problem.replace("`", ""), **details)


def one_of(field: str, value: str, allowed: Sequence[str]) -> str:
    """`value`, if it is allowed.

    Raises:
        InvalidArgumentError: it is not. The message never shows a part of a text: a part of a secret is not known as one.
    """
    if value not in allowed:
        found = repr(value) if len(value) <= MAX_NAME_CHARS else f"a text of {len(value)} characters"
        raise InvalidArgumentError(f"{field} must be one of {', '.join(allowed)}, not {found}", field=field)
    return value


def whole(field: str, value: int | float, least: int, most: int) -> int:
    """A whole number in [least, most]; `10.0` is one, as in JSON Schema.

    Raises:
        InvalidArgumentError: it is none.
    """
    if value != value // 1 or not least <= value <= most:
        raise InvalidArgumentError(f"{field} must be a whole number in {least}..{most}, not {value!r}", field=field)
    return int(value)


def is_given(raw: msgspec.Raw) -> bool:
    """Whether an optional field has a value."""
    data = bytes(raw)
    return bool(data) and data != b"null"
