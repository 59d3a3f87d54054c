"""The log of a run, read by a client event by event."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowspan.client import AsyncClient
from flowspan.client.run_log import read_log
from flowspan.errors import FlowspanError, Reason
from flowspan.view.events import ItemCompleted, RunCompleted

from .house import house, one_step


async def test_all_events_come_with_and_without_payloads(tmp_path: Path) -> None:
    target = f"unix:{tmp_path / 'g'}"
    async with house(listen=target) as h, AsyncClient(target) as client:
        status = await client.run(one_step("/builtin/noop"), list(range(500)))
        seq = (await client.get(status.run_id)).as_of_seq
        whole = [event async for segment in read_log(client, status.run_id, seq) for event in segment.events]
        bare = [event async for segment in read_log(client, status.run_id, seq, payloads=False) for event in segment.events]
        assert h.gateway.addresses == (target,)
    assert len(whole) == len(bare) == seq
    assert isinstance(whole[-1], RunCompleted)
    payloads = {event.item_index: event.payload for event in whole if isinstance(event, ItemCompleted)}
    assert payloads == {index: b"%d" % index for index in range(500)}
    assert {event.payload for event in bare if isinstance(event, ItemCompleted)} == {b""}


async def test_a_run_that_is_not_there_is_an_error_of_the_table(tmp_path: Path) -> None:
    target = f"unix:{tmp_path / 'g'}"
    async with house(listen=target), AsyncClient(target) as client:
        with pytest.raises(FlowspanError) as caught:
            async for _ in read_log(client, "01890000-0000-7000-8000-000000000000", 1):
                pass
    assert caught.value.reason is Reason.RUN_NOT_FOUND
