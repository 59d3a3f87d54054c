"""How long a write may take: one timer for all, and none of the writes that end in time notices."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.grpc_server.write_deadlines import WriteDeadlines, WriteUnderWay
from tests.sim.virtual_loop import VirtualLoop


async def _write(deadlines: WriteDeadlines, takes_s: float) -> bool:
    """Whether it was cancelled for being late."""
    under_way: WriteUnderWay = deadlines.begin()
    try:
        await asyncio.sleep(takes_s)
    except asyncio.CancelledError:
        if under_way.has_passed():
            return True
        raise
    finally:
        deadlines.end(under_way)
    return False


def test_writes_that_take_too_long_end_and_the_others_do_not() -> None:
    async def scene() -> None:
        deadlines = WriteDeadlines(10.0)
        loop = asyncio.get_running_loop()

        async def begin_at(at_s: float, takes_s: float) -> tuple[bool, float]:
            await asyncio.sleep(at_s)
            return await _write(deadlines, takes_s), loop.time() - at_s

        ends = await asyncio.gather(begin_at(0, 99), begin_at(1, 9.5), begin_at(3, 99), begin_at(4, 1), begin_at(40, 99))
        assert [late for late, _ in ends] == [True, False, True, False, True]
        assert [took_s for _, took_s in ends] == pytest.approx([10, 9.5, 10, 1, 10])
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]

    loop = VirtualLoop()
    try:
        loop.run_until_complete(scene())
    finally:
        loop.close()


async def test_who_is_cancelled_by_others_is_cancelled() -> None:
    writing = asyncio.ensure_future(_write(WriteDeadlines(10.0), 99))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing


class TimerCountingLoop(VirtualLoop):
    """Counts the timers that are set."""

    timers = 0

    def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        self.timers += 1
        return super().call_at(*args, **options)


def test_a_thousand_writes_share_a_timer() -> None:
    async def scene() -> None:
        deadlines = WriteDeadlines(10.0)
        for _ in range(1_000):
            deadlines.end(deadlines.begin())

    loop = TimerCountingLoop()
    try:
        loop.run_until_complete(scene())
        assert loop.timers == 1
    finally:
        loop.close()
