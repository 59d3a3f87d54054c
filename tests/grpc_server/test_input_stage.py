"""Inputs of a streamed submit: what is committed while more is read, and what is left when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import cast

import pytest

from flowspan.errors import StorageError
from gateway.grpc_server.limits import STAGE_AHEAD_BYTES
from gateway.grpc_server.submit_stream import InputStage
from runtime_core.api import RuntimeApi
from runtime_core.ports import InputChunk

MB = 1_000_000
AHEAD = STAGE_AHEAD_BYTES // MB


class Core:
    """Stages when it is let; `staged`: the items that are durable."""

    def __init__(self) -> None:
        self.is_let = asyncio.Event()
        self.error: Exception | None = None
        self.begun: list[int] = []
        self.staged: list[bytes] = []
        self.steps: list[str] = []

    async def stage_inputs(self, _stage_id: str, chunks: Sequence[InputChunk]) -> None:
        self.begun += [chunk.first_item for chunk in chunks]
        await self.is_let.wait()
        if self.error is not None:
            raise self.error
        self.steps.append("staged")
        self.staged += [value for chunk in chunks for value in chunk.inputs]

    async def discard_stage(self, _stage_id: str) -> None:
        self.steps.append("discarded")


def stage_of(core: Core) -> InputStage:
    return InputStage(cast(RuntimeApi, core))


async def test_messages_are_read_while_earlier_inputs_are_committed_up_to_a_bound() -> None:
    core = Core()
    stage = stage_of(core)
    value = b"1" * MB
    for _ in range(AHEAD):
        await stage.add([value], frozenset())
    too_much = asyncio.ensure_future(stage.add([value], frozenset()))
    await asyncio.wait([too_much], timeout=0.05)
    assert not too_much.done()
    assert core.begun == list(range(AHEAD + 1))
    core.is_let.set()
    await too_much
    digest = await stage.close()
    assert core.staged == [value] * (AHEAD + 1)
    assert digest == sha256(b"1000000:" + value + (b"1000000:" + value) * AHEAD).digest()


@pytest.mark.parametrize("sizes", [[10, 20], [10, MB, 10, MB], [MB, MB], [70_000, 1]])
async def test_the_hash_is_that_of_all_inputs_in_their_order_whatever_their_sizes(sizes: list[int]) -> None:
    core = Core()
    core.is_let.set()
    stage = stage_of(core)
    whole = b""
    for number, size in enumerate(sizes * 3):
        value = b"%d" % number * size
        await stage.add([value, b"0"], frozenset())
        whole += b"%d:%b1:0" % (len(value), value)
    assert await stage.close() == sha256(whole).digest()


async def test_what_fails_behind_the_reader_fails_the_submit() -> None:
    core = Core()
    core.error = StorageError("no room")
    core.is_let.set()
    stage = stage_of(core)
    with pytest.raises(StorageError):
        await stage.add([b"1" * MB] * (2 * AHEAD), frozenset())
    await stage.discard()
    assert core.steps == ["discarded"]


async def test_what_is_discarded_is_discarded_behind_what_is_still_being_staged() -> None:
    core = Core()
    stage = stage_of(core)
    await stage.add([b"1" * MB, b"2" * MB], frozenset())
    discarding = asyncio.ensure_future(stage.discard())
    await asyncio.sleep(0.01)
    core.is_let.set()
    await discarding
    assert core.steps == ["staged", "staged", "discarded"]
