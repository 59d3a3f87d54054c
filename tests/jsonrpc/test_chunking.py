"""The meaning of bytes does not depend on how they were cut into reads, and no bytes do harm."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from flowspan.jsonrpc import (
    FrameLimits,
    NoiseReceived,
    ProtocolViolation,
    ResponsesReceived,
    Session,
    SessionEvent,
)
from flowspan.jsonrpc.framing import Block, Frame, LineFramer

from .pair import small_limits

LIMITS = small_limits(max_line_bytes=200, max_discard_bytes=400, sniff_bytes=64, max_depth=6, max_nodes=20, max_key_bytes=16)

PIECES = [
    b'{"jsonrpc":"2.0","id":1,"result":{"output":1}}',
    b'{"jsonrpc":"2.0","id":2,"result":[[[[[[[[[[1]]]]]]]]]]}',
    b'{"jsonrpc":"2.0","id":"1-1","error":{"code":-32004,"message":"m"}}',
    b'{"jsonrpc":"2.0","id":3,"result":1e999}',
    b'{"jsonrpc":"2.0","id":4,"result":"\xff"}',
    b'{"jsonrpc":"2.0","id":5,"result":"' + b"x" * 300 + b'"}',
    b'{"jsonrpc":"2.0","id":6,"result":"\xf0\x9f\x98\x80"}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":1}}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","params":[1]}',
    b'{"jsonrpc":"2.0","method":"n"}',
    b'{"jsonrpc":"1.0","id":8,"result":1}',
    b'{"jsonrpc":"2.0","id":9}',
    b'{"jsonrpc":"2.0","id":1.5,"method":"m"}',
    b"{}",
    b"[]",
    b"print output",
    b"x" * 250,
    b"y" * 700,
    b"{" + b"z" * 250,
    b'{"jsonrpc":"2.0"',
    b',"id":10,"result":1}',
    b"\xef\xbb\xbf{}",
    b"\x00",
    b"",
    b"\r",
    b"Content-Length: 5",
]

streams = st.lists(
    st.tuples(st.sampled_from(PIECES) | st.binary(max_size=20), st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b""])), max_size=14
).map(lambda parts: b"".join(body + end for body, end in parts))


def new_session() -> Session:
    session = Session(2, LIMITS)
    session.register(range(1, 11))
    session.request("m", b"{}")
    session.forget([9])
    return session


def meaning_of(events: list[SessionEvent]) -> list[object]:
    """Events with the batches taken apart: what one read bundles, two may not."""
    flat: list[object] = []
    for event in events:
        if isinstance(event, ResponsesReceived):
            assert event.answers
            flat += event.answers
        elif isinstance(event, NoiseReceived):
            if flat and isinstance(flat[-1], NoiseReceived):
                before = flat.pop()
                assert isinstance(before, NoiseReceived)
                text = "\n".join(part for part in (before.text, event.text) if part)
                event = NoiseReceived(text, before.lines + event.lines, before.size_bytes + event.size_bytes)
            flat.append(event)
        else:
            flat.append(event)
    return flat


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@settings(max_examples=500, deadline=None)
@given(streams, st.lists(st.integers(min_value=0), max_size=12))
def test_any_cut_of_the_same_bytes_gives_the_same_events(data: bytes, places: list[int]) -> None:
    whole, pieces = new_session(), new_session()
    expected = meaning_of(whole.receive(data))
    found: list[SessionEvent] = []
    for chunk in cut(data, places):
        found += pieces.receive(chunk)
    assert meaning_of(found) == expected
    assert pieces.partial_bytes == whole.partial_bytes and pieces.partial_line == whole.partial_line
    assert pieces.statistics() == whole.statistics()


@settings(max_examples=100, deadline=None)
@given(streams)
def test_byte_by_byte_gives_the_same_events(data: bytes) -> None:
    whole, single = new_session(), new_session()
    found: list[SessionEvent] = []
    for byte in data:
        found += single.receive(bytes([byte]))
    assert meaning_of(found) == meaning_of(whole.receive(data))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.binary(max_size=120) | streams, max_size=10))
def test_no_bytes_raise_and_what_is_held_stays_bounded(chunks: list[bytes]) -> None:
    session = new_session()
    for chunk in chunks:
        for event in session.receive(chunk):
            if isinstance(event, ProtocolViolation):
                assert len(event.quoted) <= 200 and event.quoted.isprintable()
                assert event.reply is None or (event.reply.endswith(b"}\n") and event.reply.count(b"\n") == 1)
            if isinstance(event, ResponsesReceived):
                assert all((result is None) != (error is None) for _, result, error in event.answers)
        assert len(session.partial_line) <= LIMITS.max_line_bytes
        assert session.partial_bytes <= LIMITS.max_line_bytes + LIMITS.max_discard_bytes
    unanswered = session.close()
    assert len(unanswered) == len(set(unanswered)) <= 11


json_text = st.recursive(
    st.sampled_from([b"1", b"null", b'"x"', b"-0.0", b"1e999", b"true", b'"\\ud800"', b"12345678901234567890", b"0.1"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: b"[" + b",".join(parts) + b"]"),
    max_leaves=6,
)
members = st.lists(
    st.tuples(st.sampled_from([b"jsonrpc", b"id", b"method", b"params", b"result", b"error", b"extra"]), json_text), max_size=6
)


@settings(max_examples=400, deadline=None)
@given(st.lists(members, max_size=5))
def test_objects_with_arbitrary_members_never_raise(objects: list[list[tuple[bytes, bytes]]]) -> None:
    lines = [b"{" + b",".join(b'"%s":%s' % member for member in found) + b"}\n" for found in objects]
    whole, single = new_session(), new_session()
    found: list[SessionEvent] = []
    for line in lines:
        found += single.receive(line)
    assert meaning_of(whole.receive(b"".join(lines))) == meaning_of(found)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.binary(max_size=30).map(lambda body: body.replace(b"\n", b"")), max_size=12),
    st.lists(st.integers(min_value=0), max_size=9),
)
def test_the_framer_neither_loses_nor_invents_lines(bodies: list[bytes], places: list[int]) -> None:
    limits = FrameLimits(max_line_bytes=20, max_discard_bytes=1000, sniff_bytes=8)
    framer = LineFramer(limits)
    frames: list[Frame] = []
    for chunk in cut(b"".join(body + b"\n" for body in bodies), places):
        frames += framer.feed(chunk)
    lines: list[object] = []
    for frame in frames:
        if isinstance(frame, Block):
            lines += frame.data.split(b"\n")[:-1]
        else:
            lines.append((frame.head, frame.size_bytes))
    assert lines == [body if len(body) <= 20 else (body[:8], len(body)) for body in bodies]
    assert framer.partial_bytes == 0


def test_what_is_held_never_exceeds_the_line_limit() -> None:
    framer = LineFramer(FrameLimits(max_line_bytes=100, max_discard_bytes=1000, sniff_bytes=8))
    for size in range(1, 500):
        framer.feed(b"x")
        assert framer.partial_bytes == size
        assert len(framer.partial_line) <= 8
