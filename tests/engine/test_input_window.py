"""The window over a run's inputs: large ones are fetched several at a time, small ones chunk by chunk."""

from __future__ import annotations

import asyncio

from runtime_core.engine.inputs import AHEAD_BYTES, InputWindow
from runtime_core.ports import InputChunk


class Chunks:
    """A store of chunks of `per_chunk` inputs each; `asked`: the items that were asked for."""

    def __init__(self, total: int, per_chunk: int, value: bytes) -> None:
        self.total, self.per_chunk, self.value = total, per_chunk, value
        self.asked: list[int] = []
        self.window = InputWindow(total, (), self.load)

    async def load(self, item_index: int) -> InputChunk:
        self.asked.append(item_index)
        await asyncio.sleep(0)
        first = item_index - item_index % self.per_chunk
        return InputChunk(first, [self.value] * min(self.per_chunk, self.total - first))


async def test_large_inputs_are_fetched_up_to_the_windows_bytes_in_one_go() -> None:
    chunks = Chunks(100, 1, b"x" * (AHEAD_BYTES // 4))
    wanted = chunks.window.next_to_load(0)
    assert wanted == 0
    await chunks.window.load(wanted)
    assert chunks.asked == [0, 1, 2, 3]
    assert chunks.window.loaded(0, 100) == 4


async def test_what_is_fetched_can_be_taken_while_more_is_being_fetched() -> None:
    chunks = Chunks(100, 1, b"x" * (AHEAD_BYTES // 4))
    assert chunks.window.next_to_load(0) == 0
    loading = asyncio.ensure_future(chunks.window.load(0))
    while len(chunks.asked) < 3:
        assert chunks.window.next_to_load(0) is None
        await asyncio.sleep(0)
    assert chunks.window.take(0, 2) == [chunks.value] * 2
    await loading
    assert chunks.window.loaded(2, 100) == 2


async def test_a_chunk_of_many_small_inputs_is_fetched_alone() -> None:
    chunks = Chunks(10_000, 1_000, b"1")
    await chunks.window.load(0)
    assert chunks.asked == [0]


async def test_nothing_is_fetched_beyond_the_last_input() -> None:
    chunks = Chunks(3, 1, b"1")
    await chunks.window.load(0)
    assert chunks.asked == [0, 1, 2]
    assert chunks.window.next_to_load(0) is None
