"""JSON values whose floats keep the text that they were written in, so that what is rewritten or shown is what was there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Final

import msgspec

MAX_SHOWN_CHARS: Final = 120
"""Of one value in a message; `--diff` shows all of it."""


class FloatLiteral:
    """A number with `.`, `e` or `E`, as it was written; equal to one of the same text. (No dataclass, for msgspec would write
    one as an object.)"""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text: Final = text

    @property
    def decimal(self) -> Decimal:
        return Decimal(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FloatLiteral) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"FloatLiteral({self.text!r})"


ExactValue = None | bool | int | FloatLiteral | str | list["ExactValue"] | dict[str, "ExactValue"]
ExactObject = dict[str, ExactValue]


def _written(value: object) -> msgspec.Raw:
    assert isinstance(value, FloatLiteral)
    return msgspec.Raw(value.text.encode())


_DECODE: Final = msgspec.json.Decoder(float_hook=FloatLiteral).decode
_ENCODE: Final = msgspec.json.Encoder(enc_hook=_written).encode


def decode_exact(data: bytes) -> ExactValue:
    """Read JSON that was checked before."""
    value: ExactValue = _DECODE(data)
    return value


def encode_exact(value: ExactValue) -> bytes:
    """Compact JSON, key order kept, numbers as they were read."""
    return _ENCODE(value)


def same_number(left: int | FloatLiteral, right: int | FloatLiteral) -> bool:
    """Whether two numbers have one value: 1 is 1.0, and integers of any size are exact. Two floats are also the same where
    they denote the same double, for that is all that a float is once a component has read it (docs/adr, canonical JSON)."""
    if isinstance(left, FloatLiteral) and isinstance(right, FloatLiteral):
        return left.decimal == right.decimal or (float(left.text) == float(right.text) and isfinite(float(left.text)))
    one = left.decimal if isinstance(left, FloatLiteral) else left
    other = right.decimal if isinstance(right, FloatLiteral) else right
    return one == other


def is_number(value: ExactValue) -> bool:
    return isinstance(value, FloatLiteral) or type(value) is int


def shown(value: ExactValue) -> str:
    """The value as JSON on one line, cut where it is long."""
    text = msgspec.json.format(encode_exact(value), indent=0).decode()
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def indented(value: ExactValue, indent: int = 2) -> str:
    """The value as JSON over many lines."""
    return msgspec.json.format(encode_exact(value), indent=indent).decode()


def replaced_at(value: ExactValue, tokens: Sequence[str | int], new: ExactValue) -> ExactValue:
    """The value with `new` at this place; its last token may be a member that is not there yet. Nothing is changed in place."""
    if not tokens:
        return new
    first, rest = tokens[0], tokens[1:]
    if isinstance(value, Mapping):
        return {**value, str(first): replaced_at(value.get(str(first)), rest, new)}
    assert isinstance(value, list) and isinstance(first, int)
    return [*value[:first], replaced_at(value[first], rest, new), *value[first + 1 :]]
