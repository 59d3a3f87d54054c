"""The budget of bytes under way: turns are fair, stalled writes stop counting, nothing leaks."""

from __future__ import annotations

import asyncio

from gateway.grpc_server.write_budget import WriteBudget
from tests.grpc_server.calls import until


async def test_writes_wait_for_room_and_go_in_turn() -> None:
    budget = WriteBudget(100, stall_s=60)
    first = await budget.take(80)
    order: list[int] = []

    async def write(size: int) -> None:
        share = await budget.take(size)
        order.append(size)
        budget.give_back(share)

    # The small one would fit at once, but whoever came first goes first: a large write never starves.
    async with asyncio.TaskGroup() as group:
        group.create_task(write(90))
        await until(lambda: len(budget._waiters) == 1)
        group.create_task(write(10))
        await until(lambda: len(budget._waiters) == 2)
        assert order == []
        budget.give_back(first)
    assert order == [90, 10]
    assert budget.active_bytes == 0


async def test_a_message_larger_than_the_budget_goes_out_alone() -> None:
    budget = WriteBudget(100, stall_s=60)
    share = await budget.take(1_000)
    assert budget.active_bytes == 1_000
    budget.give_back(share)
    assert budget.active_bytes == 0


async def test_stalled_writes_hold_up_nobody_for_longer_than_their_time() -> None:
    budget = WriteBudget(100, stall_s=0.02)
    stalled = [await budget.take(50), await budget.take(50)]
    async with asyncio.timeout(5):
        share = await budget.take(100)
    assert (budget.active_bytes, budget.stalled_bytes) == (100, 100)
    for held in (*stalled, share):
        budget.give_back(held)
    assert (budget.active_bytes, budget.stalled_bytes) == (0, 0)


async def test_a_cancelled_wait_passes_its_turn_on() -> None:
    budget = WriteBudget(100, stall_s=60)
    first = await budget.take(100)
    waiting = asyncio.ensure_future(budget.take(100))
    behind = asyncio.ensure_future(budget.take(10))
    await until(lambda: len(budget._waiters) == 2)
    waiting.cancel()
    await asyncio.wait([waiting])
    budget.give_back(first)
    async with asyncio.timeout(5):
        budget.give_back(await behind)
    assert budget.active_bytes == 0


async def test_a_turn_that_was_given_to_a_cancelled_wait_is_not_lost() -> None:
    budget = WriteBudget(100, stall_s=60)
    first = await budget.take(100)
    waiting = asyncio.ensure_future(budget.take(100))
    behind = asyncio.ensure_future(budget.take(100))
    await until(lambda: len(budget._waiters) == 2)
    budget.give_back(first)
    waiting.cancel()  # in the same step in which it was woken
    await asyncio.wait([waiting])
    async with asyncio.timeout(5):
        budget.give_back(await behind)
    assert budget.active_bytes == 0
