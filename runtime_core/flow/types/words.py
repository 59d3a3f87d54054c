"""Types in the words of messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runtime_core.flow.types.shapes import ARRAY, BOOLEAN, FRACTION, INTEGER, NULL, NUMBER, OBJECT, STRING, Type
from runtime_core.model.json_value import JsonValue, encode_json

MAX_SHOWN_CONSTANTS: Final = 5
_MAX_CHARS: Final = 40

_WORDS: Final = (
    (OBJECT, "an object"),
    (ARRAY, "an array"),
    (STRING, "a string"),
    (NUMBER, "a number"),
    (INTEGER, "an integer"),
    (FRACTION, "a number"),
    (BOOLEAN, "a boolean"),
    (NULL, "null"),
)


def describe(one: Type) -> str:
    """Such as `a string or null`, `"a" or "b"`, `anything`."""
    if not one.shapes:
        return "nothing"
    if one.is_anything():
        return "anything"
    words: dict[str, None] = {}
    for shape in one.shapes:
        if shape.constants is not None and len(shape.constants) <= MAX_SHOWN_CONSTANTS:
            words.update(dict.fromkeys(show(value) for value in shape.constants.values()))
        else:
            words.update(dict.fromkeys(_kind_words(shape.kinds)))
    return joined_by_or(list(words))


def show(value: JsonValue) -> str:
    """A value as JSON, cut where it is long."""
    text = encode_json(value).decode()
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}..."


def joined_by_or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _kind_words(kinds: int) -> list[str]:
    words = []
    for kind, word in _WORDS:
        if kinds & kind == kind:
            words.append(word)
            kinds &= ~kind
    return words
