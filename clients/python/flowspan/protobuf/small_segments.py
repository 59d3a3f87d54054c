"""Segments of few events, as bytes without the generated code, which takes two to three times as long for them.

Most runs are small: two segments are all that they write. What is written here equals what the generated code writes; events
that are rare are left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flowspan.view.events import Event, ItemCompleted, ItemsStarted, RunAccepted, RunCompleted

MAX_EVENTS: Final = 4
"""From 6 on the generated code is as fast."""
MAX_PAYLOAD_BYTES: Final = 16 * 1024
"""Beyond, the copies count, not the headers."""

_SHORT: Final = tuple(bytes([value]) for value in range(128))


def _varint(value: int) -> bytes:
    if value < 128:
        return _SHORT[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def small_segment(first_seq: int, recorded_at_us: int, events: Sequence[Event]) -> bytes | None:
    """The serialized `flowspan.v1.Segment`; None if the events are too many or of a rare kind."""
    if len(events) > MAX_EVENTS:
        return None
    seconds, micros = divmod(recorded_at_us, 1_000_000)
    # Fields with their default values are left out, as the generated code does.
    moment = (b"\x08" + _varint(seconds) if seconds else b"") + (b"\x10" + _varint(micros * 1000) if micros else b"")
    parts = [b"\x08" + _varint(first_seq) + b"\x12", _varint(len(moment)), moment]
    payloads: list[bytes] = []
    for event in events:
        payload = b""
        if isinstance(event, ItemCompleted):
            payload = event.payload
            item, outcome = event.item_index, event.outcome
            header = b"\x08\x05" + (b"\x10" + _varint(item) if item else b"") + b"\x18" + _SHORT[outcome]
            if event.is_blob:
                header += b"\x48\x01"
        elif isinstance(event, ItemsStarted):
            first, count = event.first_item, event.count
            header = b"\x08\x02" + (b"\x10" + _varint(first) if first else b"") + (b"\x20" + _varint(count) if count else b"")
        elif isinstance(event, RunCompleted):
            header = b"\x08\x08\x50" + _SHORT[event.status]
        elif isinstance(event, RunAccepted):
            header, payload = b"\x08\x01", event.description
        else:
            return None
        if len(payload) > MAX_PAYLOAD_BYTES:
            return None
        parts += (b"\x1a", _SHORT[len(header)], header)
        payloads += (b"\x22", _varint(len(payload)), payload)
    return b"".join(parts + payloads)
