"""Lengths of time as flows write them: a number of seconds, or `1h2m3s`, `1m30s`, `250ms`."""

from __future__ import annotations

import math
import re
from typing import Final

_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?)"
DURATION_PATTERN: Final = rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?"
"""Of the whole text, which also holds a digit; a regular expression that every engine reads, for JSON Schemas."""
_TEXT: Final = re.compile(DURATION_PATTERN)
_UNIT_S: Final = (3600.0, 60.0, 1.0, 0.001)
MAX_DURATION_S: Final = 365 * 86_400.0
"""A year: beyond it a figure is a mistake (milliseconds taken for seconds), and timers overflow far later."""


def parse_duration_s(value: object) -> float | None:
    """Seconds in (0, one year], or None if `value` is no such length of time."""
    seconds = 0.0
    if type(value) is int or type(value) is float:
        if not abs(value) <= MAX_DURATION_S:
            return None
        seconds = float(value)
    elif type(value) is str and value and (match := _TEXT.fullmatch(value)) is not None:
        seconds = math.fsum(float(part) * unit for part, unit in zip(match.groups(), _UNIT_S, strict=True) if part is not None)
    return seconds if 0.0 < seconds <= MAX_DURATION_S else None
