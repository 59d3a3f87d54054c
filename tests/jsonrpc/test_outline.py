"""Large texts are judged by their outline: what is said of them is what a look at the whole says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowspan.errors import FlowspanError
from flowspan.jsonrpc import FrameLimits, check_payload, check_payloads, guard
from flowspan.jsonrpc.messages import decode_block

TINY = FrameLimits(max_depth=3, max_nodes=8, max_number_chars=10, max_key_bytes=70)

texts = st.text('[]{}",:\\ 0e9é\n', max_size=20) | st.integers(0, 90).map(lambda size: "x" * size)
values = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
documents = st.builds(
    lambda value, indent, ascii_only: json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(),
    values,
    st.sampled_from([None, 0, 70]),
    st.booleans(),
)
hostile = st.builds(
    lambda document, cut, piece: document[:cut] + piece + document[cut:],
    documents,
    st.integers(0, 200),
    st.sampled_from([b'"', b"\\", b"\xff", b"\x00", b"[", b"1e999", b"0" * 80, b'"' + b"\\" * 80 + b'"', b":", b"\n"]),
)


def verdict(check: Callable[[], object]) -> object:
    try:
        check()
    except FlowspanError as error:
        return error.reason, error.message, error.details
    return None


def in_whole(check: Callable[[], object]) -> object:
    """What is said without any outline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "outline", lambda data: data)
        return verdict(check)


def by_outline(check: Callable[[], object]) -> object:
    """What is said if even the smallest text has an outline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "_OUTLINED_BYTES", 0)
        patch.setattr(guard, "_BYTES_PER_QUOTE", 1)
        patch.setattr(guard, "_LONG_STRING", 1)
        return verdict(check)


@given(documents | hostile)
@example(b'{"' + b"k" * 71 + b'" \n:1}')
@example(b'{"' + b"k" * 71 + b'"' + b" " * 80 + b":1}")
@example(b'["' + b"\\" * 70 + b'","' + b"x" * 80 + b'"]')
@example(b'["\\"' + b"x" * 80 + b'\\"[[[[", 1]')
@settings(max_examples=600)
def test_a_document_is_judged_alike_by_its_outline(data: bytes) -> None:
    assert by_outline(lambda: check_payload(data, TINY)) == in_whole(lambda: check_payload(data, TINY))


@given(st.lists(documents | hostile, max_size=4))
@settings(max_examples=300)
def test_many_documents_are_judged_alike_by_their_outlines(payloads: list[bytes]) -> None:
    assert by_outline(lambda: check_payloads(payloads, TINY)) == in_whole(lambda: check_payloads(payloads, TINY))


@given(values)
@settings(max_examples=300)
def test_an_outline_differs_from_its_document_in_long_string_values_only(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guard, "_OUTLINED_BYTES", 0)
        patch.setattr(guard, "_BYTES_PER_QUOTE", 1)
        outlined = json.loads(guard.outline(json.dumps(value).encode()))

    def same(before: Any, after: Any) -> bool:
        if isinstance(before, list):
            return len(before) == len(after) and all(map(same, before, after))
        if isinstance(before, dict):
            return list(before) == list(after) and all(same(before[name], after[name]) for name in before)
        return bool(before == after) or (isinstance(before, str) and after == "" and len(json.dumps(before)) > 64)

    assert same(value, outlined)


def test_one_long_string_leaves_next_to_nothing_to_look_at() -> None:
    data = json.dumps({"n": 1, "data": "x" * 1_000_000, "more": "\\" + "y" * 500_000}).encode()
    assert len(guard.outline(data)) < 100


def test_a_text_of_many_strings_is_looked_at_as_it_is() -> None:
    data = json.dumps(["lorem ipsum dolor sit amet " * 3] * 1_000).encode()
    assert guard.outline(data) is data


lines = st.sampled_from(
    [
        b'{"jsonrpc":"2.0","id":1,"result":"%b"}\n' % (b"x" * 20_000),
        b'{"jsonrpc":"2.0","id":1,"result":["\\"%b"]}\n' % (b"}{" * 10_000),
        b'{"jsonrpc":"2.0","id":1,"result":"%b"}\r\n' % (b"x" * 20_000),
        b'{"jsonrpc":"2.0","id":2,"result":1}\n',
        b'{"jsonrpc":"2.0",\n"id":2,"result":1}\n',
        b'{"jsonrpc":"2.0","id":2,"result":1} {"jsonrpc":"2.0","id":2,"result":1}\n',
        b"\n",
        b"a line of a log\n",
        b'{"jsonrpc":"2.0","id":3\n',
    ]
)


@given(st.lists(lines, min_size=1, max_size=5))
def test_a_block_of_long_lines_is_decoded_to_what_its_lines_are(parts: list[bytes]) -> None:
    messages = decode_block(b"".join(parts))
    alone = [decode_block(part) for part in parts]
    if messages is None:
        assert None in alone
    else:
        assert messages == [message for one in alone for message in one or ()]
