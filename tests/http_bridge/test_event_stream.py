"""Server-sent events from bytes of any cut."""

from __future__ import annotations

import pytest

from flowspan.errors import LimitExceededError
from gateway.http_bridge.event_stream import EventStream

STREAM = (
    b'\xef\xbb\xbfdata: {"a":1}\n\n: a comment\nevent: message\nid: 7\ndata:{"b":\ndata: 2}\r\n\r\nretry: 5\n\n'
    b"data\n\ndata: x\r\r"
)
EVENTS = [b'{"a":1}', b'{"b":\n2}', b"", b"x"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_any_cut_gives_the_same_events(size: int) -> None:
    stream = EventStream(1000)
    events: list[bytes] = []
    for start in range(0, len(STREAM), size):
        events += stream.feed(STREAM[start : start + size])
    assert events == EVENTS


def test_an_event_that_has_not_ended_is_none() -> None:
    assert EventStream(1000).feed(b"data: 1\n") == []


@pytest.mark.parametrize("data", [b"data: " + b"x" * 200, b"data: x\n" * 40, b"data: " + b"x" * 200 + b"\n\n"])
def test_an_event_beyond_the_limit_is_refused(data: bytes) -> None:
    with pytest.raises(LimitExceededError):
        EventStream(100).feed(data)
