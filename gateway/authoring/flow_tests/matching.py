"""Whether a result is what a case expects: objects by containment, arrays by length and member by member, numbers by value,
everything else exactly (docs/flow-language, tests in a flow).

Two functions walk the same way: `mismatches` says where they differ, `settled` gives the nearest expectation that holds. It is
what `--diff` compares with and what `--update` writes, so what an expectation leaves out stays left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.authoring.flow_tests.exact_values import (
    ExactObject,
    ExactValue,
    FloatLiteral,
    is_number,
    same_number,
    shown,
)
from runtime_core.model.json_scan import escape_pointer_token

Place = tuple[str | int, ...]
"""Member names and indexes from the whole to a part."""


class _Absent(Enum):
    ABSENT = "nothing"


ABSENT: Final = _Absent.ABSENT
"""Stands for a member that the actual object does not have."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A part that is not as expected."""

    place: Place
    expected: ExactValue
    actual: ExactValue | _Absent

    @property
    def pointer(self) -> str:
        """JSON pointer into the FlowResult."""
        return pointer_of(self.place)

    @property
    def message(self) -> str:
        """What was expected and what came, each on one line and cut where it is long."""
        if self.actual is ABSENT:
            return f"expected {shown(self.expected)}, but there is no such member"
        if isinstance(self.expected, list) and isinstance(self.actual, list):
            return (
                f"expected {_count(self.expected)}, got {len(self.actual)}: expected {shown(self.expected)}, "
                f"got {shown(self.actual)}"
            )
        return f"expected {shown(self.expected)}, got {shown(self.actual)}"


@dataclass(frozen=True, slots=True)
class Edit:
    """A part of an expectation that has to be written anew."""

    place: Place
    value: ExactValue


def result_mismatches(expected: ExactObject, actual: ExactObject) -> list[Mismatch]:
    """All that is not as expected in a FlowResult; a different outcome is told alone.

    Args:
        expected: in the spelling of the file, checked by `cases`; `result` is read as `value`.
        actual: a FlowResult in the spelling `value`.
    """
    expected = plain_result(expected)
    if expected["outcome"] != actual.get("outcome"):
        return [Mismatch(("outcome",), expected["outcome"], actual.get("outcome"))]
    return list(mismatches(expected, actual))


def mismatches(expected: ExactValue, actual: ExactValue, place: Place = ()) -> Iterator[Mismatch]:
    """The innermost parts that differ, in the order of `expected`. The depth of both is bounded by whoever read them."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, part in expected.items():
            if name in actual:
                yield from mismatches(part, actual[name], (*place, name))
            else:
                yield Mismatch((*place, name), part, ABSENT)
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (part, other) in enumerate(zip(expected, actual, strict=True)):
            yield from mismatches(part, other, (*place, index))
    elif not _is_same_scalar(expected, actual):
        yield Mismatch(place, expected, actual)


def settled(expected: ExactValue, actual: ExactValue) -> ExactValue:
    """The expectation with every part that differs taken from `actual`; members that are not there are dropped."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {name: settled(part, actual[name]) for name, part in expected.items() if name in actual}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [settled(part, other) for part, other in zip(expected, actual, strict=True)]
    return expected if _is_same_scalar(expected, actual) else actual


def settled_result(expected: ExactObject | None, actual: ExactObject) -> ExactObject:
    """The expected FlowResult that `--update` leaves in the file, in the spelling of the file."""
    if expected is None or expected["outcome"] != actual.get("outcome"):
        return expected_from(actual)
    kept = settled(plain_result(expected), actual)
    assert isinstance(kept, dict)
    return {"result" if name == "value" and "result" in expected else name: part for name, part in kept.items()}


def result_edits(expected: ExactObject | None, actual: ExactObject) -> list[Edit]:
    """The fewest parts of an expected FlowResult that have to be written for it to hold; places are those of the file."""
    if expected is None or expected["outcome"] != actual.get("outcome"):
        return [Edit((), expected_from(actual))]
    plain = plain_result(expected)
    if any(name not in actual for name in plain):
        return [Edit((), settled_result(expected, actual))]
    edits: list[Edit] = []
    for name, part in plain.items():
        edits += _edits(part, actual[name], ("result" if name == "value" and "result" in expected else name,))
    return edits


def expected_from(actual: ExactObject) -> ExactObject:
    """A FlowResult as an expectation. An error's data is left out: it tells where and when, and the next run differs there."""
    error = actual.get("error")
    if not isinstance(error, dict):
        return actual
    return {**actual, "error": {name: part for name, part in error.items() if name != "data"}}


def plain_result(expected: ExactObject) -> ExactObject:
    """An expected FlowResult with the older `result` read as `value`, and without members that are null and so absent (the
    value itself may be null)."""
    plain: ExactObject = {}
    for name, part in expected.items():
        if name in ("value", "result"):
            plain["value"] = part
        elif name == "error" and isinstance(part, dict):
            plain[name] = {member: value for member, value in part.items() if value is not None}
        elif part is not None:
            plain[name] = part
    return plain


def pointer_of(place: Place) -> str:
    return "".join(f"/{escape_pointer_token(str(part))}" for part in place)


def _edits(expected: ExactValue, actual: ExactValue, place: Place) -> list[Edit]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        if any(name not in actual for name in expected):
            return [Edit(place, settled(expected, actual))]
        return [edit for name, part in expected.items() for edit in _edits(part, actual[name], (*place, name))]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [edit for index, (part, other) in pairs for edit in _edits(part, other, (*place, index))]
    return [] if _is_same_scalar(expected, actual) else [Edit(place, actual)]


def _is_same_scalar(expected: ExactValue, actual: ExactValue) -> bool:
    if is_number(expected) and is_number(actual):
        assert isinstance(expected, (int, FloatLiteral)) and isinstance(actual, (int, FloatLiteral))
        return same_number(expected, actual)
    return type(expected) is type(actual) and not isinstance(expected, (dict, list)) and expected == actual


def _count(members: list[ExactValue]) -> str:
    return "1 member" if len(members) == 1 else f"{len(members)} members"
