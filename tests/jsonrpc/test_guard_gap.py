"""The quick look for long names: certain when it says that there is none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowspan.jsonrpc.guard import _has_long_gap


@given(st.lists(st.integers(0, 40), max_size=20), st.integers(1, 24))
def test_a_gap_longer_than_the_limit_is_never_overlooked(gaps: list[int], length: int) -> None:
    data = b'"'.join(b"x" * gap for gap in gaps)
    inner = [len(piece) for piece in data.split(b'"')]
    if any(gap > length for gap in inner):
        assert _has_long_gap(data, length)
