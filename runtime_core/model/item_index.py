"""The sealed index of a finished run: for every item the number of its result event, and how the item ended.

It is written in the terminal commit, so that pages, filters and order by index never scan the log of a finished run;
it can be rebuilt from the log at any time.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_VERSION: Final = 1
_HEADER_BYTES: Final = 1 + 8 + 8
_SMALL_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class ItemIndex:
    """`seqs[i]`: sequence number of item i's ItemCompleted, 0 if it has none. `outcomes[i]`: its `Outcome`, 0 if none.

    `result_bytes`: size of all payloads together.
    """

    seqs: array[int]
    outcomes: bytearray
    result_bytes: int


def seal_index(index: ItemIndex) -> bytes:
    """The index as bytes (little endian, compressed)."""
    seqs = index.seqs
    if sys.byteorder == "big":
        seqs = array("Q", seqs)
        seqs.byteswap()
    header = bytes([_VERSION]) + len(index.outcomes).to_bytes(8, "little") + index.result_bytes.to_bytes(8, "little")
    raw = seqs.tobytes() + bytes(index.outcomes)
    return header + (_compress_small(raw) if len(raw) <= _SMALL_BYTES else zlib.compress(raw, 1))


@lru_cache(maxsize=256)
def _compress_small(raw: bytes) -> bytes:
    """Runs of few items, most of which end alike."""
    return zlib.compress(raw, 1)


def open_index(data: bytes) -> ItemIndex:
    """The inverse of `seal_index`.

    Raises:
        ValueError: the bytes are not an index of a known version.
    """
    if not data or data[0] != _VERSION:
        raise ValueError("not an item index of a known version")
    total = int.from_bytes(data[1:9], "little")
    result_bytes = int.from_bytes(data[9:_HEADER_BYTES], "little")
    body = zlib.decompress(data[_HEADER_BYTES:])
    seqs = array("Q", body[: total * 8])
    if sys.byteorder == "big":
        seqs.byteswap()
    return ItemIndex(seqs, bytearray(body[total * 8 :]), result_bytes)
