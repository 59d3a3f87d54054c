"""Expected and actual side by side, as a unified diff of indented JSON.

The actual side holds what `--update` would write: members that the expectation does not name are no difference, and a number
that is equal by value keeps the expected spelling. So every marked line is a mismatch.
"""

from __future__ import annotations

from difflib import unified_diff
from typing import Final

from gateway.authoring.flow_tests.exact_values import ExactObject, indented
from gateway.authoring.flow_tests.matching import settled_result

MAX_LINES: Final = 20_000
"""Of both sides together; comparing more takes longer than anybody reads."""
CONTEXT_LINES: Final = 3


def difference(expected: ExactObject, actual: ExactObject) -> list[str]:
    """Lines without line ends, with the usual head and marks; none if the two agree."""
    left = indented(expected).splitlines()
    right = indented(settled_result(expected, actual)).splitlines()
    if len(left) + len(right) > MAX_LINES:
        return [f"--- expected: {len(left)} lines", f"+++ actual: {len(right)} lines; too long to be compared here"]
    return list(unified_diff(left, right, "expected", "actual", n=CONTEXT_LINES, lineterm=""))
