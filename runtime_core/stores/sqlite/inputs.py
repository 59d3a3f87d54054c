"""Run inputs as chunk rows: many items in one row, decoded with a handful of C calls.

Layout, little-endian: u32 number of items, u32 number of blob references, u32 length of each item, u32 position of each
blob reference (relative to the chunk), then the items' bytes without separators.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final

from runtime_core.ports import InputChunk

TARGET_CHUNK_BYTES: Final = 128 * 1024
"""A row ends once it has this much: few rows per run, and a read of one item decodes little beside it."""
MAX_CHUNK_ITEMS: Final = 8192
"""Bounds the lengths array of a row of tiny items."""
_HEADER: Final = struct.Struct("<II")
_U32: Final = "I"


def _packed(values: Sequence[int]) -> bytes:
    numbers = array(_U32, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _unpacked(data: bytes) -> array[int]:
    numbers = array(_U32)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def encode_chunk(inputs: Sequence[bytes], blob_refs: Sequence[int]) -> bytes:
    """One row. `blob_refs`: positions within `inputs`, rising."""
    header = _HEADER.pack(len(inputs), len(blob_refs))
    return b"".join((header, _packed([len(value) for value in inputs]), _packed(blob_refs), *inputs))


def decode_chunk(first_item: int, data: bytes) -> InputChunk:
    """The chunk of a row.

    Raises:
        ValueError: the row is not one that `encode_chunk` made.
    """
    if len(data) < _HEADER.size:
        raise ValueError("input chunk is shorter than its header")
    count, ref_count = _HEADER.unpack_from(data)
    lengths_end = _HEADER.size + 4 * count
    body = lengths_end + 4 * ref_count
    if len(data) < body:
        raise ValueError("input chunk is shorter than its arrays")
    ends = list(accumulate(_unpacked(data[_HEADER.size : lengths_end]), initial=body))
    if ends[-1] != len(data):
        raise ValueError("input chunk does not have the length that its items add up to")
    inputs = [data[start:end] for start, end in pairwise(ends)]
    return InputChunk(first_item, inputs, frozenset(_unpacked(data[lengths_end:body])))


def split_chunk(chunk: InputChunk) -> Iterator[tuple[int, int, bytes]]:
    """Rows of a chunk of any size: (first item, number of items, encoded row)."""
    inputs = chunk.inputs
    refs = sorted(chunk.blob_refs)
    total = len(inputs)
    start = ref_start = 0
    while start < total:
        end, size = start, 0
        limit = min(total, start + MAX_CHUNK_ITEMS)
        while end < limit and size < TARGET_CHUNK_BYTES:
            size += len(inputs[end])
            end += 1
        ref_end = ref_start
        while ref_end < len(refs) and refs[ref_end] < end:
            ref_end += 1
        local_refs = [position - start for position in refs[ref_start:ref_end]]
        yield chunk.first_item + start, end - start, encode_chunk(inputs[start:end], local_refs)
        start, ref_start = end, ref_end
