"""Idempotency tokens: what makes a repeated execution recognisable. Gateways and component servers derive the same."""

from __future__ import annotations

import hashlib
from typing import Final

_BASE32_PAIRS: Final = tuple(
    (high + low).encode() for high in "abcdefghijklmnopqrstuvwxyz234567" for low in "abcdefghijklmnopqrstuvwxyz234567"
)
"""Base32 of ten bits; four times as fast as `base64.b32encode` on a digest."""


class IdempotencyTokens:
    """Tokens of all items of one step of one run.

    A token is the first 26 digits of the lower-case base32 (RFC 4648) of a SHA-256 over run id, item index and step id, each
    as UTF-8 text with its length in bytes and a colon before it, so that no two triples run together. The same for each
    attempt, also after a restart.
    """

    __slots__ = ("_head", "_tail")

    def __init__(self, run_id: str, step_id: str) -> None:
        run, step = run_id.encode(), step_id.encode()
        self._head = hashlib.sha256(b"%d:%b" % (len(run), run))
        self._tail = b"%d:%b" % (len(step), step)

    def of(self, item_index: int) -> bytes:
        digest = self._head.copy()
        item = b"%d" % item_index
        digest.update(b"%d:%b%b" % (len(item), item, self._tail))
        n = int.from_bytes(digest.digest()[:17], "big") >> 6
        p = _BASE32_PAIRS
        return (
            p[n >> 120] + p[n >> 110 & 1023] + p[n >> 100 & 1023] + p[n >> 90 & 1023] + p[n >> 80 & 1023] + p[n >> 70 & 1023]
            + p[n >> 60 & 1023] + p[n >> 50 & 1023] + p[n >> 40 & 1023] + p[n >> 30 & 1023] + p[n >> 20 & 1023]
            + p[n >> 10 & 1023] + p[n & 1023]
        )  # fmt: skip


def idempotency_token(run_id: str, item_index: int, step_id: str) -> str:
    """One token of `IdempotencyTokens`."""
    return IdempotencyTokens(run_id, step_id).of(item_index).decode()
