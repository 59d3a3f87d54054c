"""Whether an answer is what a case expects; pure.

A mapping in `expect` names the members that count, a list all elements; everything else must be equal, the type included. An
object with one of these keys stands for more:

    {$any: true}            anything, but it must be there
    {$absent: true}         the member must not be there
    {$json: TEXT}           a `…_json` text that says exactly this: kinds of numbers, their values and the order of members
    {$value: VALUE}         the same, written as YAML
    {$length: N}            a list or text of this length
    {$matches: REGEX}       a text in which this is found
    {$between: [LOW, HIGH]} a number
    {$items: [...]}         a list of these, in any order
    {$indexes: [...]}       a list of results with these item indexes, in this order
    {$not: VALUE}           anything but this
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final


class Mismatch(Exception):
    """Where the answer differs from what was expected, and in what."""


ABSENT: Final = object()


def exact(text: str) -> Any:
    """A JSON text as values that are equal only if a user would see the same: integers and floats apart, zero with its sign,
    members in order."""
    return json.loads(
        text,
        parse_int=lambda digits: ("integer", int(digits)),  # 0 is not false
        parse_float=lambda digits: ("float", float(digits).hex()),
        object_pairs_hook=lambda pairs: ("object", pairs),
    )


def match(expected: Any, came: Any, place: str = "") -> None:
    """Raises Mismatch if it is something else."""
    if isinstance(expected, dict):
        for key, check in _SPECIAL.items():
            if key in expected:
                check(expected[key], came, place)
                return
        _require(isinstance(came, dict), expected, came, place)
        for name, value in expected.items():
            match(value, came.get(name, ABSENT), f"{place}/{name}")
    elif isinstance(expected, list):
        _require(isinstance(came, list) and len(came) == len(expected), expected, came, place)
        for position, value in enumerate(expected):
            match(value, came[position], f"{place}/{position}")
    else:
        _require(type(expected) is type(came) and expected == came, expected, came, place)


def _json(expected: str, came: Any, place: str) -> None:
    _require(isinstance(came, str), expected, came, place)
    try:
        is_same = exact(came) == exact(expected)
    except ValueError:
        is_same = False
    _require(is_same, expected, came, place)


def _value(expected: Any, came: Any, place: str) -> None:
    _json(json.dumps(expected, ensure_ascii=False), came, place)


def _any(expected: Any, came: Any, place: str) -> None:
    _require(came is not ABSENT, "something", came, place)


def _absent(expected: Any, came: Any, place: str) -> None:
    _require(came is ABSENT, "nothing", came, place)


def _length(expected: int, came: Any, place: str) -> None:
    _require(isinstance(came, (list, str)) and len(came) == expected, f"length {expected}", came, place)


def _matches(expected: str, came: Any, place: str) -> None:
    _require(isinstance(came, str) and re.search(expected, came) is not None, f"a match of {expected!r}", came, place)


def _between(expected: list[float], came: Any, place: str) -> None:
    is_number = isinstance(came, (int, float)) and not isinstance(came, bool)
    _require(is_number and expected[0] <= came <= expected[1], f"{expected[0]} to {expected[1]}", came, place)


def _items(expected: list[Any], came: Any, place: str) -> None:
    _require(isinstance(came, list) and len(came) == len(expected), expected, came, place)
    left = list(came)
    for value in expected:
        found = next((position for position, element in enumerate(left) if _is_match(value, element)), None)
        _require(found is not None, value, left, place)
        left.pop(found or 0)


def _indexes(expected: list[int], came: Any, place: str) -> None:
    _require(isinstance(came, list), expected, came, place)
    match(expected, [element.get("item_index") if isinstance(element, dict) else element for element in came], place)


def _not(expected: Any, came: Any, place: str) -> None:
    _require(not _is_match(expected, came), f"not {expected!r}", came, place)


def _is_match(expected: Any, came: Any) -> bool:
    try:
        match(expected, came)
    except Mismatch:
        return False
    return True


def _require(holds: bool, expected: Any, came: Any, place: str) -> None:
    if not holds:
        shown = "nothing" if came is ABSENT else _short(came)
        raise Mismatch(f"at {place or '/'}: expected {_short(expected)}, but {shown} came")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 300 else f"{text[:200]} … ({len(text)} characters) … {text[-60:]}"


_SPECIAL: Final[dict[str, Callable[[Any, Any, str], None]]] = {
    "$any": _any,
    "$absent": _absent,
    "$json": _json,
    "$value": _value,
    "$length": _length,
    "$matches": _matches,
    "$between": _between,
    "$items": _items,
    "$indexes": _indexes,
    "$not": _not,
}
