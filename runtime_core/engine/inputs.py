"""The inputs of an open run: a window over what the store keeps, so that a million items cost no memory.

Chunks are loaded ahead of the items that start next and dropped behind them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from runtime_core.ports import InputChunk

AHEAD_ITEMS: Final = 1_000
"""Load the next chunk when fewer items than this are left: the largest maxConcurrency, so that a full restart never waits."""


FEW_ITEMS: Final = 8
"""A chunk with so few is one of large inputs: asking for each by itself would cost as much again as reading it."""

AHEAD_BYTES: Final = 4 << 20
"""... or when fewer bytes are: many runs of large inputs must not fill the memory."""


class InputWindow:
    """Inputs of one run, by item index.

    Args:
        total: items of the run.
        load: fetches the chunk that holds an item, blob references resolved.
    """

    __slots__ = ("_chunks", "_fetched", "_load", "_loading_from", "_total")

    def __init__(self, total: int, chunks: Sequence[InputChunk], load: Callable[[int], Awaitable[InputChunk]]) -> None:
        self._total = total
        self._load = load
        self._chunks = [chunk for chunk in chunks if chunk.inputs and not chunk.blob_refs]
        self._loading_from: int | None = None
        self._fetched: InputChunk | None = None

    def loaded(self, first_item: int, count: int) -> int:
        """How many of the items from `first_item` on, up to `count`, can be taken now."""
        end = first_item
        for chunk in self._chunks:
            if chunk.first_item <= end < chunk.first_item + len(chunk.inputs):
                end = chunk.first_item + len(chunk.inputs)
                if end - first_item >= count:
                    break
        return min(end - first_item, count)

    def take(self, first_item: int, count: int) -> list[bytes]:
        """Inputs of items that start; at most `loaded()` of them. Chunks that lie wholly behind are dropped."""
        out: list[bytes] = []
        position = first_item
        end = first_item + count
        for chunk in self._chunks:
            offset = position - chunk.first_item
            if 0 <= offset < len(chunk.inputs):
                part = chunk.inputs[offset : offset + end - position]
                out += part
                position += len(part)
                if position == end:
                    break
        if len(out) != count:
            raise LookupError(f"inputs {position}..{end - 1} are not loaded")
        if self._chunks and self._chunks[0].first_item + len(self._chunks[0].inputs) <= end:
            self._chunks = [chunk for chunk in self._chunks if chunk.first_item + len(chunk.inputs) > end]
        return out

    def next_to_load(self, first_item: int) -> int | None:
        """The item whose chunk is to be loaded now, if the window runs short; None if not, or while one is loading.
        It counts as loading from now on, until `load` has ended."""
        if self._loading_from is not None:
            return None
        self._fetched = None
        ahead = self.loaded(first_item, AHEAD_ITEMS)
        if ahead >= AHEAD_ITEMS or first_item + ahead >= self._total:
            return None
        if ahead and len(self._chunks) > 1 and sum(self._size(chunk) for chunk in self._chunks[1:]) >= AHEAD_BYTES:
            return None
        self._loading_from = first_item + ahead
        return first_item + ahead

    @staticmethod
    def _size(chunk: InputChunk) -> int:
        return sum(map(len, chunk.inputs))

    async def load(self, item_index: int) -> None:
        """Fetch the chunk that holds `item_index` and keep it; if it has only few items, those behind it as well, as far as the
        window goes. What was fetched can be taken at once."""
        self._loading_from = item_index
        try:
            size = 0
            while True:
                chunk = await self._load(self._loading_from)
                self._chunks.append(chunk)
                self._chunks.sort(key=lambda one: one.first_item)
                size += self._size(chunk)
                self._loading_from = chunk.first_item + len(chunk.inputs)
                if size >= AHEAD_BYTES or len(chunk.inputs) > FEW_ITEMS or self._loading_from >= self._total:
                    return
        finally:
            self._loading_from = None

    async def fetch(self, item_index: int) -> bytes:
        """One item's input, whether or not it is in the window (recovery)."""
        chunk = self._fetched
        if chunk is None or not chunk.first_item <= item_index < chunk.first_item + len(chunk.inputs):
            chunk = self._fetched = await self._load(item_index)
        return chunk.inputs[item_index - chunk.first_item]
