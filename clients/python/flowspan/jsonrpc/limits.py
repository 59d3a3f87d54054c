"""Figures that bound what one peer can make this process hold, read or walk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """Bounds of one pipe and of the JSON on it.

    A *value* is what users wrote: an input, an output, a blob. `max_depth` is a promise about values, so the objects that
    the protocol wraps around a value do not count against it: a message is allowed `max_depth` plus the levels that its
    direction needs.

    Attributes:
        max_line_bytes: longest accepted line, without its newline. Longer lines are dropped unread.
        max_discard_bytes: how much of one over-long line is skipped before the peer counts as broken for good.
        sniff_bytes: how much of an over-long line is kept to find out which call it belonged to.
        max_depth: nested arrays and objects of a value; a scalar has depth 0.
        max_nodes: JSON values in one payload, containers and scalars together; member names do not count.
        max_number_chars: characters of one number literal, its sign and exponent included.
        max_key_bytes: bytes of one member name as it is written, escapes included, quotes excluded.
        max_id_bytes: bytes of a request id as UTF-8 (strings) or in decimal (integers).
        request_envelope_depth: levels around a value in a request (message, params, list of inputs).
        response_envelope_depth: levels around a value in a response (message, result). A reader of `results` needs five
            (message, result, results, entry, FlowResult): see `CLIENT_LIMITS`.
        unchecked_bytes: derived: a payload up to this size cannot break the limits of depth, nodes or key length.
    """

    max_line_bytes: int = 32 * MIB
    max_discard_bytes: int = 256 * MIB
    sniff_bytes: int = 4 * KIB
    max_depth: int = 64
    max_nodes: int = 200_000
    max_number_chars: int = 64
    max_key_bytes: int = 1024
    max_id_bytes: int = 128
    request_envelope_depth: int = 3
    response_envelope_depth: int = 2
    unchecked_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        for name in ("max_line_bytes", "max_discard_bytes", "max_depth", "max_nodes", "max_number_chars", "max_key_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"FrameLimits.{name} must be at least 1, not {getattr(self, name)}")
        # Depth d needs d brackets on each side, n nodes need n - 1 commas between them, and a name needs quotes and a colon.
        bound = min(2 * self.max_depth, 2 * self.max_nodes - 1, self.max_key_bytes + 4)
        object.__setattr__(self, "unchecked_bytes", bound)


DEFAULT_LIMITS: Final = FrameLimits()
"""The gateway's side of a pipe: outputs come back directly in `result`."""

CLIENT_LIMITS: Final = FrameLimits(response_envelope_depth=5)
"""The component server's side: answers of `runs/get` hold values inside FlowResults inside `results`."""
