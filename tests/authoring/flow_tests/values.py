"""JSON texts and values for the properties: any member names, any text, integers of any size, floats in any spelling."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from gateway.authoring.flow_tests.exact_values import ExactValue, FloatLiteral, decode_exact, encode_exact
from runtime_core.flow.source import SourceDocument, read_document

FLOATS = st.builds(
    lambda whole, fraction, exponent: FloatLiteral(f"{whole}.{fraction}{exponent}"),
    st.integers(-(10**9), 10**9),
    st.integers(0, 10**6),
    st.sampled_from(["", "e0", "E+3", "e-2", "e15"]),
)
TEXTS = st.one_of(
    st.sampled_from(["", "null", "yes", "1", "1.0", "a: b", "- x", "#c", "a\nb\n", " a\n b", "é\u2028\x85", "{", "'\"", "\t"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**40), 10**40), FLOATS, TEXTS)
VALUES: st.SearchStrategy[ExactValue] = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)), max_leaves=12
)


def exact(value: Any) -> Any:
    """An exact value from plain Python."""
    return decode_exact(json.dumps(value).encode())


def plain(value: ExactValue) -> Any:
    return json.loads(encode_exact(value))


def document(text: str) -> SourceDocument:
    return read_document(text.encode())
