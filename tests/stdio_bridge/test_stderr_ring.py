"""What is kept of a component server's stderr, and what reaches the log."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stdio_bridge.stderr_ring import StderrRing, printable


def test_lines_come_whole_whatever_the_cut() -> None:
    ring = StderrRing()
    assert ring.feed(b"one\ntw", 0.0) == ["one"]
    assert ring.feed(b"o\r\n\nthr", 0.0) == ["two", ""]
    assert ring.take_rest() == "thr"
    assert ring.take_rest() is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        (b"tab\tstays", "tab\tstays"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("Grüße \U0001f600".encode(), "Grüße \U0001f600"),
        ("a\u202eb\u2028c\u0085d".encode(), "a\\u202eb\\u2028c\\x85d"),
        (b"over\rwrite\x00", "over\\x0dwrite\\x00"),
    ],
)
def test_nothing_that_steers_a_terminal_gets_through(data: bytes, text: str) -> None:
    """Catalogue C11."""
    assert printable(data) == text


def test_a_long_line_is_cut_and_the_next_one_is_whole() -> None:
    ring = StderrRing(max_line_bytes=8)
    assert ring.feed(b"12345678\n123456789\nnext\n", 0.0) == ["12345678", "12345678…", "next"]
    assert ring.feed(b"x" * 100, 0.0) == []
    assert ring.feed(b"x" * 100 + b"\nafter\n", 0.0) == ["xxxxxxxx…", "after"]


def test_only_so_many_lines_a_second_reach_the_log_and_the_rest_is_counted() -> None:
    ring = StderrRing(max_lines_per_s=3)
    assert ring.feed(b"".join(b"%d\n" % n for n in range(10)), 5.0) == ["0", "1", "2"]
    assert ring.feed(b"10\n11\npart", 5.9) == []
    assert ring.take_suppressed() == 9
    assert ring.take_suppressed() == 0
    assert ring.feed(b"ial\nnext\n", 6.0) == ["partial", "next"]


def test_the_tail_is_the_end_of_the_stream_from_a_line_start() -> None:
    ring = StderrRing(max_ring_bytes=64)
    for number in range(1000):
        ring.feed(b"line %d\n" % number, 0.0)
    assert ring.tail(20) == "line 998\nline 999"
    assert len(ring.tail(10_000)) <= 128
    assert ring.tail(10_000).endswith("line 998\nline 999")
    assert ring.tail(0) == ""


def test_the_tail_of_one_endless_line_is_its_end() -> None:
    ring = StderrRing()
    ring.feed(b"a" * 10_000 + b"the end", 0.0)
    assert ring.tail(10) == "aaathe end"


def test_a_flood_costs_little_per_chunk() -> None:
    """Catalogue C10: 256 MiB, well under what a core needs to notice; a quadratic ring would take minutes."""
    ring = StderrRing()
    chunk = b"noise noise noise noise noise\n" * 8738
    began_at = time.process_time()
    for index in range(1024):
        ring.feed(chunk, index / 400)
    assert time.process_time() - began_at < 4.0
    assert ring.take_suppressed() == 8738 * 1024 - 300


@given(st.lists(st.binary(max_size=60)), st.integers(1, 40), st.integers(1, 5))
def test_any_cut_of_the_stream_gives_the_same_lines_and_counts(pieces: list[bytes], max_line: int, per_s: int) -> None:
    cut, whole = (StderrRing(max_line_bytes=max_line, max_lines_per_s=per_s) for _ in range(2))
    stream = b"".join(pieces)
    lines = [line for piece in pieces for line in cut.feed(piece, 1.0)]
    assert lines == whole.feed(stream, 1.0)
    assert len(lines) <= per_s
    suppressed = cut.take_suppressed()
    assert suppressed == whole.take_suppressed()
    assert len(lines) + suppressed == stream.count(b"\n")
    assert cut.tail(1000) == whole.tail(1000)
    assert cut.take_rest() == whole.take_rest()
