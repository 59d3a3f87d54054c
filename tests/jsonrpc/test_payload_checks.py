"""The checks of whole documents, compared with a slow and obvious reading of the same rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowspan.errors import FlowspanError, Reason
from flowspan.jsonrpc import FrameLimits, check_payload, check_payloads, decode_payload, encode_payload, one_line

TINY = FrameLimits(max_depth=3, max_nodes=8, max_number_chars=10, max_key_bytes=6)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('[]{}",:\\ aé\U0001f600\n', max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}":\\é k', max_size=8), inner, max_size=4),
    max_leaves=14,
)


def depth_of(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 0


def nodes_of(value: Any) -> int:
    if isinstance(value, list):
        return 1 + sum(map(nodes_of, value))
    if isinstance(value, dict):
        return 1 + sum(map(nodes_of, value.values()))
    return 1


def longest_number(value: Any) -> int:
    if isinstance(value, list):
        return max(map(longest_number, value), default=0)
    if isinstance(value, dict):
        return max(map(longest_number, value.values()), default=0)
    return len(json.dumps(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def longest_key(value: Any, ascii_only: bool) -> int:
    if isinstance(value, list):
        return max((longest_key(element, ascii_only) for element in value), default=0)
    if isinstance(value, dict):
        own = max((len(json.dumps(key, ensure_ascii=ascii_only).encode()) - 2 for key in value), default=0)
        return max(own, max((longest_key(member, ascii_only) for member in value.values()), default=0))
    return 0


def outcome(data: bytes, limits: FrameLimits) -> tuple[Any, Any] | None:
    try:
        check_payload(data, limits)
    except FlowspanError as error:
        return error.details.get("limit"), error.details.get("actual")
    return None


@settings(max_examples=400, deadline=None)
@given(json_values, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t : ")]))
def test_limits_are_exact_for_any_document(value: Any, ascii_only: bool, separators: tuple[str, str]) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()
    expected: set[tuple[str, int]] = set()
    if depth_of(value) > TINY.max_depth:
        expected.add(("depth", TINY.max_depth + 1))
    for name, actual, most in (
        ("nodes", nodes_of(value), TINY.max_nodes),
        ("number", longest_number(value), TINY.max_number_chars),
        ("key", longest_key(value, ascii_only), TINY.max_key_bytes),
    ):
        if actual > most:
            expected.add((name, actual))
    found = outcome(data, TINY)
    if found is not None and found[0] == "nodes":
        # Far beyond the limit the figure is a floor.
        assert TINY.max_nodes < found[1] <= nodes_of(value)
        return
    assert (found in expected) if expected else found is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text('{}[]",:\\u019eE.-+dn ', max_size=60).map(str.encode))
def test_what_is_accepted_is_what_a_strict_reader_reads(data: bytes) -> None:
    def refuse(literal: str) -> None:
        raise ValueError(literal)

    def finite(literal: str) -> float:
        if float(literal) in (float("inf"), float("-inf")):
            raise ValueError(literal)
        return float(literal)

    try:
        value = json.loads(data.decode("utf-8"), parse_constant=refuse, parse_float=finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
        strict = not data.startswith(b"\xef\xbb\xbf")
    except ValueError:
        strict = False
    assert (outcome(data, FrameLimits()) is None) == strict


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "syntax"),
        (b"{", "syntax"),
        (b"1 2", "syntax"),
        (b"nan", "syntax"),
        (b"NaN", "syntax"),
        (b"[1e400]", "number"),
        (b'"\xff"', "utf8"),
        (b"\xef\xbb\xbf{}", "byte_order_mark"),
        (b'"\\ud800"', "syntax"),
        (b'"\x00"', "syntax"),
    ],
)
def test_refusals_say_why(data: bytes, cause: str) -> None:
    with pytest.raises(FlowspanError) as caught:
        check_payload(data)
    assert caught.value.reason is Reason.PARSE_ERROR and caught.value.details["cause"] == cause


@settings(max_examples=200, deadline=None)
@given(st.lists(json_values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=8), max_size=6))
def test_a_batch_is_judged_like_its_members(payloads: list[bytes]) -> None:
    bad = [index for index, data in enumerate(payloads) if outcome(data, TINY) is not None]
    if not bad:
        check_payloads(payloads, TINY)
        return
    with pytest.raises(FlowspanError) as caught:
        check_payloads(payloads, TINY)
    assert caught.value.details["index"] == bad[0]


def test_members_of_a_batch_cannot_complete_each_other() -> None:
    for payloads in ([b'"\xc3', b'\xa9"'], [b"[1", b"2]"], [b"1e9", b"99"]):
        bad = [index for index, data in enumerate(payloads) if outcome(data, FrameLimits()) is not None]
        if bad:
            with pytest.raises(FlowspanError) as caught:
                check_payloads(payloads)
            assert caught.value.details["index"] == bad[0]
        else:
            check_payloads(payloads)


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_one_line_changes_no_value(value: Any) -> None:
    data = json.dumps(value, indent=2).replace("\n", "\r\n").encode()
    line = one_line(data)
    assert b"\n" not in line and b"\r" not in line and json.loads(line) == value


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_encoded_values_pass_the_check_and_come_back(value: Any) -> None:
    data = encode_payload(value)
    check_payload(data, FrameLimits(max_number_chars=1000))
    assert decode_payload(data) == value


@pytest.mark.parametrize(
    "value", [float("nan"), [None, float("inf")], {"a": {"b": (1.0, -float("inf"))}}, "\ud800", object(), {1j: 1}]
)
def test_values_without_a_json_form_are_refused_and_not_changed(value: object) -> None:
    with pytest.raises(FlowspanError) as caught:
        encode_payload(value)
    assert caught.value.reason is Reason.INVALID_VALUE and caught.value.row.jsonrpc == -32011


def test_exact_numbers_survive_encoding_and_decoding() -> None:
    for text in (b"9007199254740993", b"1" + b"0" * 30, b"1.0", b"-0.0"):
        assert encode_payload(decode_payload(text)) == text


def test_a_value_that_starts_with_a_colon_hides_no_long_name() -> None:
    assert outcome(b'{"a":"b",' + b" " * 2000 + b'":::":1}', FrameLimits()) is None
    assert outcome(b'["a",' + b" " * 2000 + b'":"]', FrameLimits()) is None
    assert outcome(b'["a",":",{"' + b"k" * 1025 + b'":1}]', FrameLimits()) == ("key", 1025)
    assert outcome(b'{"' + b':\\":' * 400 + b'":1}', FrameLimits()) == ("key", 1600)


def test_a_crowd_of_strings_is_refused_before_it_is_walked() -> None:
    found = outcome(b"[" + b",".join([b'"[\\""'] * 3_000_000) + b"]", FrameLimits())
    assert found is not None and found[0] == "nodes" and 200_000 < found[1] <= 3_000_001
