"""Values come back with the same meaning, and equal meaning has one canonical form."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.errors import FlowspanError, InvalidArgumentError, LimitExceededError, Reason
from runtime_core.model.json_scan import Position, scan_json
from runtime_core.model.json_value import (
    blob_id_of_binary,
    blob_id_of_json,
    canonical_float,
    canonical_json,
    canonical_of_value,
    decode_json,
    depth_of,
    encode_json,
)

VECTORS: list[dict[str, str]] = json.loads((Path(__file__).parent.parent / "vectors" / "canonical_json.json").read_text())

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=25,
)


def same(left: Any, right: Any) -> bool:
    """Equality that tells 1 from 1.0, true from 1 and -0.0 from 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key], random) for key in keys}
    return [shuffled(member, random) for member in value] if isinstance(value, list) else value


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_vectors_of_the_canonical_form_hold(vector: dict[str, str]) -> None:
    assert canonical_json(vector["json"].encode()).decode() == vector["canonical"]
    assert canonical_json(vector["canonical"].encode()).decode() == vector["canonical"]
    assert blob_id_of_json(vector["json"].encode()) == vector["blobId"]


@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert same(decode_json(encode_json(value)), value)
    assert same(decode_json(canonical_of_value(value)), value)


@given(VALUES)
def test_the_canonical_form_is_its_own_canonical_form(value: Any) -> None:
    form = canonical_of_value(value)
    assert canonical_json(form) == form


@given(VALUES, st.randoms(use_true_random=False), st.sampled_from([None, 0, 3]), st.booleans())
def test_key_order_white_space_and_escapes_do_not_change_the_canonical_form(
    value: Any, random: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(shuffled(value, random), indent=indent, ensure_ascii=ascii_only)
    assert canonical_json(text.encode()) == canonical_of_value(value)


@given(FLOATS)
def test_a_canonical_float_reads_back_and_never_looks_like_an_integer(number: float) -> None:
    text = canonical_float(number)
    assert same(decode_json(text.encode()), number)
    assert "." in text or "e" in text


@given(FLOATS.filter(bool))
def test_a_canonical_float_has_an_exponent_exactly_where_ecmascript_writes_one(number: float) -> None:
    assert ("e" in canonical_float(number)) == (not 1e-6 <= abs(number) < 1e21)


def test_a_binary_blob_is_named_by_its_bytes() -> None:
    assert blob_id_of_binary(b"abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_one_and_one_point_zero_are_two_blobs() -> None:
    assert blob_id_of_json(b"1") != blob_id_of_json(b"1.0")


@pytest.mark.parametrize(
    ("text", "pointer", "first", "second"),
    [
        ('{"a":1,\n "a":2}', "/a", (1, 2), (2, 2)),
        ('{"x":[1,{"k":1,"k":1}]}', "/x/1/k", (1, 10), (1, 16)),
        ('{"a/b":{"~":1,"~":1}}', "/a~1b/~0", (1, 9), (1, 15)),
        ('{"a":1,"\\u0061":2}', "/a", (1, 2), (1, 8)),
        ('{"k\\u003a":1,"k:":2}', "/k:", (1, 2), (1, 14)),
        ('{"a":1,"a":2,"b\\u003a":3}', "/a", (1, 2), (1, 8)),
        ('{"a":1,"a":2,"b\\u003A":3}', "/a", (1, 2), (1, 8)),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_positions(
    text: str, pointer: str, first: tuple[int, int], second: tuple[int, int]
) -> None:
    with pytest.raises(InvalidArgumentError, match="twice") as caught:
        decode_json(text.encode())
    details = caught.value.details
    assert (details["pointer"], details["firstLine"], details["firstColumn"], details["line"], details["column"]) == (
        pointer,
        *first,
        *second,
    )


@pytest.mark.parametrize("text", ['{"a":{"a":1},"b":{"a":1}}', '{"k\\u003a":1,"k":2}', '["a:","a:"]', '[{"a":1},{"a":1}]'])
def test_equal_keys_of_different_objects_are_fine(text: str) -> None:
    assert decode_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"tru",
        b"NaN",
        b"Infinity",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"[1,]",
        b"1 2",
        b"'a'",
        b'"\\ud800"',
        b'"\\udc00x"',
        b'"\n"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"1e400",
        b"-1e400",
        b"\xef\xbb\xbf1",
    ],
)
def test_what_is_not_json_is_refused_with_its_place(data: bytes) -> None:
    with pytest.raises(FlowspanError) as caught:
        decode_json(data, what="the input")
    assert caught.value.reason is Reason.PARSE_ERROR
    assert caught.value.message.startswith("the input is not JSON")
    assert caught.value.details["line"] >= 1


def test_a_mistake_on_a_later_line_is_placed_there() -> None:
    with pytest.raises(FlowspanError, match="line 2, column 5"):
        decode_json('{"ä":\n "é": 1}'.encode())


def test_sixty_four_levels_are_read_and_sixty_five_are_not() -> None:
    assert depth_of(decode_json(b"[" * 64 + b"]" * 64)) == 64
    for depth in (65, 5_000):
        with pytest.raises(LimitExceededError) as caught:
            decode_json(b"[" * depth + b"]" * depth)
        assert caught.value.details["limit"] == "jsonDepth"


def test_wide_values_are_not_taken_for_deep_ones() -> None:
    assert decode_json(b"[" + b"[]," * 200 + b"{}]") == [[]] * 200 + [{}]


def test_sixty_four_digits_are_read_and_sixty_five_are_not() -> None:
    assert decode_json(b"9" * 64) == 10**64 - 1
    with pytest.raises(LimitExceededError, match="more than 64 digits"):
        decode_json(b"[" + b"9" * 65 + b"]")


def test_a_long_row_of_digits_in_text_is_no_number() -> None:
    assert decode_json(b'"' + b"9" * 5_000 + b'"') == "9" * 5_000


def test_places_of_values_are_found() -> None:
    text = '{\n  "a": [1,\n  {"b": null}],\n  "c": "x"\n}'
    duplicate, found = scan_json(text, ["", "/a", "/a/0", "/a/1/b", "/c", "/zz"])
    assert duplicate is None
    assert found == {
        "": Position(1, 1),
        "/a": Position(2, 8),
        "/a/0": Position(2, 9),
        "/a/1/b": Position(3, 9),
        "/c": Position(4, 8),
    }


@given(VALUES)
def test_the_scan_of_any_json_ends_and_finds_no_duplicate(value: Any) -> None:
    assert scan_json(json.dumps(value))[0] is None
