"""A result is what a case expects: objects by containment, arrays by length, numbers by value, the rest exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authoring.flow_tests.exact_values import ExactValue, FloatLiteral, decode_exact, replaced_at
from gateway.authoring.flow_tests.matching import (
    ABSENT,
    mismatches,
    plain_result,
    result_edits,
    result_mismatches,
    settled,
    settled_result,
)

from .values import SCALARS, TEXTS, VALUES, exact


def found(expected: Any, actual: Any) -> list[tuple[str, Any, Any]]:
    return [(one.pointer, one.expected, one.actual) for one in result_mismatches(exact(expected), exact(actual))]


def success(value: Any) -> dict[str, Any]:
    return {"outcome": "success", "value": value}


def failed(**error: Any) -> dict[str, Any]:
    return {"outcome": "failed", "error": error}


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (success({"a": 1}), success({"a": 1, "b": 2})),
        (success({}), success({"a": 1})),
        (success([{"a": 1}, {}]), success([{"a": 1, "b": 2}, {"c": 3}])),
        (success(None), success(None)),
        ({"outcome": "success"}, success({"anything": 1})),
        ({"outcome": "success", "result": 1}, success(1)),
        (failed(code="TIMEOUT"), failed(code="TIMEOUT", message="late")),
        (failed(message="late"), failed(code="TIMEOUT", message="late", data={"a": 1})),
        (failed(data={"a": {}}), failed(code="TIMEOUT", message="late", data={"a": {"b": 1}, "c": 2})),
        ({"outcome": "failed", "error": None}, failed(code="TIMEOUT", message="late")),
        ({"outcome": "failed"}, failed(code="TIMEOUT", message="late")),
        ({"outcome": "skipped"}, {"outcome": "skipped", "reason": "why"}),
        ({"outcome": "skipped", "reason": None}, {"outcome": "skipped"}),
    ],
)
def test_an_expectation_holds_for_a_result_that_contains_it(expected: Any, actual: Any) -> None:
    assert found(expected, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual", "mismatch"),
    [
        (success({"a": {"b": 1}}), success({"a": {"b": 2}}), ("/value/a/b", 1, 2)),
        (success({"a/b~": 1}), success({"a/b~": 2}), ("/value/a~1b~0", 1, 2)),
        (success({"a": None}), success({}), ("/value/a", None, ABSENT)),
        (success([1, 2]), success([1, 2, 3]), ("/value", [1, 2], [1, 2, 3])),
        (success([1, 2]), success([1, 3]), ("/value/1", 2, 3)),
        (success(1), success(True), ("/value", 1, True)),
        (success("1"), success(1), ("/value", "1", 1)),
        (success([]), success({}), ("/value", [], {})),
        (success(None), success(False), ("/value", None, False)),
        (success("a"), success("a "), ("/value", "a", "a ")),
        (success(1), failed(code="TIMEOUT", message="late"), ("/outcome", "success", "failed")),
        (failed(code="TIMEOUT"), failed(code="INVALID_INPUT", message=""), ("/error/code", "TIMEOUT", "INVALID_INPUT")),
        (failed(message="late"), failed(code="TIMEOUT", message="too late"), ("/error/message", "late", "too late")),
        ({"outcome": "skipped", "reason": "a"}, {"outcome": "skipped"}, ("/reason", "a", ABSENT)),
        ({"outcome": "success", "result": 1}, success(2), ("/value", 1, 2)),
    ],
)
def test_a_mismatch_names_the_place_and_both_sides(expected: Any, actual: Any, mismatch: tuple[str, Any, Any]) -> None:
    assert found(expected, actual) == [mismatch]


def test_every_mismatch_of_a_value_is_told() -> None:
    assert [place for place, _, _ in found(success({"a": 1, "b": [1], "c": 3}), success({"a": 2, "b": [0], "c": 3}))] == [
        "/value/a",
        "/value/b/0",
    ]


@pytest.mark.parametrize(
    ("left", "right", "is_same"),
    [
        ("1", "1.0", True),
        ("1", "1e0", True),
        ("100", "1E+2", True),
        ("0", "-0", True),
        ("0", "-0.0", True),
        ("0.30", "0.3", True),
        ("9007199254740993", "9007199254740993", True),
        ("9007199254740993", "9007199254740992", False),
        ("9007199254740993", "9007199254740992.0", False),
        ("9007199254740993", "9007199254740993.0", True),
        ("10000000000000000000000", "1e22", True),
        ("100000000000000000000000", "1e23", True),
        ("123456789012345678901234567890", "123456789012345678901234567891", False),
        ("0.1", "0.1000000000000000055511151231257827", True),
        ("0.1", "0.10000000000000002", False),
        ("1", "1.0000000000000002", False),
    ],
)
def test_numbers_are_compared_by_value_without_rounding_integers(left: str, right: str, is_same: bool) -> None:
    one, other = decode_exact(left.encode()), decode_exact(right.encode())
    assert (not list(mismatches(one, other))) is is_same
    assert (not list(mismatches(other, one))) is is_same


def test_a_message_is_short_however_large_the_values_are() -> None:
    (mismatch,) = result_mismatches(exact(success("x" * 10_000)), exact(success(list(range(10_000)))))
    assert len(mismatch.message) < 300
    assert mismatch.message.startswith('expected "xxx') and "got [0, 1, 2" in mismatch.message


def test_a_message_about_arrays_counts_their_members() -> None:
    (mismatch,) = result_mismatches(exact(success([1])), exact(success([1, 2])))
    assert mismatch.message == "expected 1 member, got 2: expected [1], got [1, 2]"


@given(VALUES)
def test_a_value_matches_itself(value: ExactValue) -> None:
    assert list(mismatches(value, value)) == []
    assert settled(value, value) == value


@given(st.dictionaries(TEXTS, VALUES), st.dictionaries(TEXTS, VALUES))
def test_an_object_matches_whatever_adds_members_to_it(less: dict[str, ExactValue], more: dict[str, ExactValue]) -> None:
    assert list(mismatches(less, {**more, **less})) == []


@given(st.lists(VALUES, max_size=4), VALUES)
def test_an_array_matches_no_longer_one(members: list[ExactValue], extra: ExactValue) -> None:
    assert [one.place for one in mismatches(members, [*members, extra])] == [()]
    assert [one.place for one in mismatches([*members, extra], members)] == [()]


@given(st.integers(-(10**60), 10**60), st.integers(-(10**60), 10**60))
def test_integers_match_exactly_if_they_are_equal(left: int, right: int) -> None:
    assert (not list(mismatches(left, right))) is (left == right)
    assert (not list(mismatches(left, FloatLiteral(f"{right}.0")))) is (left == right)


@given(VALUES, VALUES)
def test_what_settles_a_mismatch_matches_and_takes_nothing_more(expected: ExactValue, actual: ExactValue) -> None:
    kept = settled(expected, actual)
    assert list(mismatches(kept, actual)) == []
    if not list(mismatches(expected, actual)):
        assert kept == expected
    if isinstance(expected, dict) and isinstance(actual, dict) and isinstance(kept, dict):
        assert kept.keys() == expected.keys() & actual.keys()


RESULTS = st.one_of(
    VALUES.map(lambda value: {"outcome": "success", "value": value}),
    st.builds(
        lambda code, message, data: {"outcome": "failed", "error": {"code": code, "message": message, "data": data}},
        TEXTS,
        TEXTS,
        VALUES,
    ),
    TEXTS.map(lambda reason: {"outcome": "skipped", "reason": reason}),
    st.just({"outcome": "skipped"}),
)
OLDER = VALUES.map(lambda value: {"outcome": "success", "result": value})


@given(st.one_of(RESULTS, OLDER), RESULTS)
def test_edits_make_an_expectation_hold_and_leave_one_that_holds_alone(expected: Any, actual: Any) -> None:
    edits = result_edits(expected, actual)
    assert bool(edits) is bool(result_mismatches(expected, actual))
    written = expected
    for edit in edits:
        written = replaced_at(written, edit.place, edit.value)
    assert result_mismatches(written, actual) == []
    assert plain_result(written) == plain_result(settled_result(expected, actual))


@given(SCALARS, SCALARS)
def test_edits_reach_no_further_than_what_differs(kept: ExactValue, other: ExactValue) -> None:
    expected = {"outcome": "success", "value": {"same": kept, "list": [kept, {"x": "old"}]}}
    actual = {"outcome": "success", "value": {"same": kept, "list": [kept, {"x": other, "y": 1}], "more": 1}}
    edits = result_edits(expected, actual)  # type: ignore[arg-type]
    assert [edit.place for edit in edits] == ([] if other == "old" else [("value", "list", 1, "x")])
