"""What a component inside the gateway's process is made of. A component answers at once, after a delay, or when it is done.

Whatever its kind, it may raise a `FlowspanError`: the call then fails with the code of the error's row in the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flowspan.errors import FlowspanError
from runtime_core.calls import CallAnswer, CallFailure, ComponentCall

MAX_SHOWN_CHARS: Final = 200
"""Of a value in a message: enough to know it again."""
_PART: Final = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<word>[^"\s,:\[\]{}]+)|[\s,:\[\]{}]|"')
"""Of JSON: a text, a number or a word, what stands between them, or the beginning of a text without an end."""


@dataclass(frozen=True, slots=True)
class Instant:
    """From the input's JSON to the answer; no clock, no IO."""

    answer: Callable[[bytes], CallAnswer]


@dataclass(frozen=True, slots=True)
class Delayed:
    """From the input's JSON to seconds (>= 0), and the answer that is given when they are over."""

    plan: Callable[[bytes], tuple[float, CallAnswer]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work that waits for others: one task per call, cancelled with it."""

    answer: Callable[[ComponentCall], Coroutine[Any, Any, CallAnswer]]


Work = Instant | Delayed | Waiting


def refusal(component: str, error: FlowspanError) -> CallFailure:
    """The failure of a call to `component` whose work raised `error`."""
    retry_after_ms = error.details.get("retryAfterMs")
    retry_after_s = retry_after_ms / 1000 if isinstance(retry_after_ms, int) else None
    data = msgspec.json.encode(error.wire_data())
    return CallFailure(error.row.flow, f"{component}: {error.message}", data, retry_after_s)


def shown(value: bytes) -> str:
    """JSON for a message, cut to a sensible length.

    It is cut before a text or a number, never inside: of a secret that is cut in two nobody could tell any more that it is one.
    """
    text = value.decode("utf-8", "replace")
    if len(text) <= MAX_SHOWN_CHARS:
        return text
    end = 0
    for part in _PART.finditer(text, 0, MAX_SHOWN_CHARS):
        if part[0] == '"' or (part.lastgroup == "word" and part.end() == MAX_SHOWN_CHARS):
            break
        end = part.end()
    return f"{text[:end]}..."
