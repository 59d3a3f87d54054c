"""W3C trace context as the engine keeps it. An opaque value for all but the edges."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from runtime_core.engine.entropy import random_bytes

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class TraceContext(NamedTuple):
    """`trace_id`: 32 hex digits; `span_id`: 16, of the caller; `sampled`: the caller's decision."""

    trace_id: str
    span_id: str
    sampled: bool = True


def parse_traceparent(text: str | None) -> TraceContext | None:
    """The context of a `traceparent`; None if there is none or it is malformed (which is never an error: W3C)."""
    match = _TRACEPARENT.match(text or "")
    if match is None:
        return None
    return TraceContext(match[1], match[2], bool(int(match[3], 16) & 1))


def new_trace_id() -> str:
    return random_bytes(16).hex()


def new_span_id() -> str:
    return random_bytes(8).hex()
