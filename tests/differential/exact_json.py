"""JSON as the page means it, by the standard library alone: `1` and `1.0` differ, integers of any size are exact."""

from __future__ import annotations

import json
from typing import Any

Json = Any
"""None, bool, int, float, str, list or dict with text keys."""


def read(text: bytes | str) -> Json:
    """The value; a number with `.`, `e` or `E` is a float, any other an integer (section 1; decision 19)."""
    return json.loads(text)


def exact(value: Json) -> str:
    """One text for equal values: keys sorted, `1` and `1.0` and `-0.0` apart."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def equal_by_value(left: Json, right: Json) -> bool:
    """Equality of JSON Schema and of a JSON patch's `test`: numbers by value, so 1 equals 1.0; true is no number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(equal_by_value(*pair) for pair in zip(left, right, strict=True))
    if isinstance(left, dict):
        return set(left) == set(right) and all(equal_by_value(left[key], right[key]) for key in left)
    return bool(left == right)
