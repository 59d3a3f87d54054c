"""Documents as YAML 1.2 text. Whatever a reader could take for something else is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from flowspan.flows.values import JsonValue

_PLAIN: Final = re.compile(r"[A-Za-z_/$][A-Za-z0-9_/$.\-]*(?: [A-Za-z0-9_/$.(][A-Za-z0-9_/$.,()\-]*)*\Z")
"""No indicator of YAML can begin or end in it."""
_WORDS: Final = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
"""Not text to some reader, in any case of letters."""
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON lets stand in a text and YAML does not, or not as it is."""
_MAX_KEY_CHARS: Final = 1000
"""A key of more than 1,024 characters has to be announced by a question mark."""


def to_yaml(document: JsonValue) -> str:
    """Block style, two spaces to a level, keys in their order. `document` nests at most 64 deep."""
    if _is_nested(document):
        return "\n".join(_lines(document, "")) + "\n"
    return _scalar(document) + "\n"


def _is_nested(value: JsonValue) -> bool:
    return isinstance(value, (dict, list)) and len(value) > 0


def _lines(value: JsonValue, indent: str) -> Iterator[str]:
    """Lines of an object or array that is not empty."""
    if isinstance(value, dict):
        for key, member in value.items():
            name = _text(key)
            if len(name) > _MAX_KEY_CHARS:
                yield f"{indent}? {name}"
                name = ""
            yield from _entry(f"{indent}{name}:", member, indent)
    elif isinstance(value, list):
        for element in value:
            if _is_nested(element):
                # The first line stands beside the dash.
                first, *others = _lines(element, indent + "  ")
                yield f"{indent}- {first.lstrip(' ')}"
                yield from others
            else:
                yield f"{indent}- {_scalar(element)}"


def _entry(head: str, value: JsonValue, indent: str) -> Iterator[str]:
    if _is_nested(value):
        yield head
        yield from _lines(value, indent + "  ")
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: JsonValue) -> str:
    """Also of an empty object or array."""
    if isinstance(value, str):
        return _text(value)
    return msgspec.json.encode(value).decode()


def _text(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    quoted = msgspec.json.encode(text).decode()
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", quoted)
