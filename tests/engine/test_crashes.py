"""Crashes of component servers and of the gateway: who repeats what, and who is to blame."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from flowspan.errors import FlowErrorCode
from flowspan.view.events import RunStatusCode
from flowspan.view.status import ResultOrder
from runtime_core.calls import CallFailure, ComponentCall
from runtime_core.stores.sqlite import SqliteStore
from tests.engine.house import ONE_STEP, House, house

GONE = CallFailure(FlowErrorCode.UNREACHABLE, "the process ended with signal 9")


def numbers(count: int) -> list[bytes]:
    return [b"%d" % one for one in range(count)]


@pytest.mark.parametrize("poison", [0, 77, 255])
async def test_one_item_that_kills_its_server_among_256_fails_alone(poison: int) -> None:
    """Halves are tried alone until the guilty one is found; three crashes that only it can have caused fail it."""
    crashes = 0
    async with house(lambda call: None) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(300), max_concurrency=256)
        await h.wait_until(lambda: len(h.server.open) == 256)
        for _ in range(400):
            if h.runtime.open_runs.get(run.run_id) is None:
                break
            if any(call.item_index == poison for call in h.server.open.values()):
                crashes += 1
                h.server.crash(GONE)
            else:
                for call in list(h.server.open.values()):
                    h.server.answer(call, b"1")
            for _ in range(20):
                await asyncio.sleep(0)
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.FAILED
        assert (fold.counts().success, fold.counts().failed) == (299, 1)
        failed = next(result for result in fold.results if result.error is not None)
        assert failed.item_index == poison
        assert failed.error is not None
        assert failed.error.code == "UNREACHABLE"
        assert crashes <= 12
        attempts = [attempt for item, _, attempt in h.server.seen if item == poison]
        assert attempts == sorted(set(attempts))


async def test_a_crash_repeats_only_what_was_in_flight() -> None:
    async with house(lambda call: None) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(40), max_concurrency=8)
        await h.wait_until(lambda: len(h.server.open) == 8)
        for call in list(h.server.open.values())[:4]:
            h.server.answer(call, b"1")
        await h.wait_until(lambda: len(h.server.seen) == 12)
        h.server.crash(GONE)
        h.server.behave = lambda call: b"1"
        fold = await h.follow(run.run_id)
        assert fold.counts().success == 40
        tries = Counter(item for item, _, _ in h.server.seen)
        assert sum(tries.values()) == 48
        assert max(tries.values()) == 2


async def restarted(path: Path, document: bytes, crash_after: int, total: int, concurrency: int) -> None:
    """Run until so many calls were seen, drop the engine without a word, go on with a new one on the same files."""

    def behave(call: ComponentCall) -> bytes | None:
        return call.input if len(h.server.seen) <= crash_after else None

    store = SqliteStore(path)
    async with house(behave, store=store) as h:
        run = await h.submit(await h.flow(document), numbers(total), max_concurrency=concurrency)
        await h.wait_until(lambda: len(h.server.seen) > crash_after)
        before = list(h.server.seen)
        finished_before = await finished_items(h, run.run_id)
    async with house(store=SqliteStore(path)) as h:
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.SUCCESS
        assert fold.counts().success == total
        again = Counter((item, step) for item, step, _ in before + h.server.seen)
        repeated = {key for key, count in again.items() if count > 1}
        assert not {item for item, _ in repeated} & finished_before
        assert len({item for item, _ in repeated}) <= concurrency
        for item, step, attempt in h.server.seen:
            earlier = [a for i, s, a in before if (i, s) == (item, step)]
            assert attempt == (earlier[-1] + 1 if earlier else attempt)


async def finished_items(h: House, run_id: str) -> set[int]:
    status = await h.runtime.get_run(run_id, order=ResultOrder.BY_COMPLETION, max_bytes=1 << 24)
    return {result.item_index for result in status.results or ()}


@pytest.mark.parametrize("crash_after", [0, 1, 9, 40, 90])
async def test_a_restart_goes_on_and_repeats_at_most_what_was_running(tmp_path: Path, crash_after: int) -> None:
    await restarted(tmp_path, ONE_STEP, crash_after, 100, 10)


TEN_STEPS = json.dumps(
    {
        "steps": [
            {"id": f"s{n}", "component": f"/p/{n}", "input": {"$input": "$"} if n == 0 else {"$step": f"s{n - 1}"}}
            for n in range(10)
        ],
        "output": {"$step": "s9"},
    }
).encode()


@pytest.mark.parametrize("crash_after", [3, 9, 55, 97])
async def test_a_flow_of_ten_steps_repeats_only_the_steps_in_flight(tmp_path: Path, crash_after: int) -> None:
    await restarted(tmp_path, TEN_STEPS, crash_after, 10, 3)


async def test_a_step_that_was_under_way_in_two_crashes_gets_its_third_attempt(tmp_path: Path) -> None:
    async with house(lambda call: None, store=SqliteStore(tmp_path)) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(2))
        await h.wait_until(lambda: len(h.server.seen) == 2)
    async with house(lambda call: None, store=SqliteStore(tmp_path)) as h:
        await h.wait_until(lambda: len(h.server.seen) == 2)
        assert [attempt for _, _, attempt in h.server.seen] == [2, 2]
    async with house(store=SqliteStore(tmp_path)) as h:
        await h.follow(run.run_id)
        assert [attempt for _, _, attempt in h.server.seen] == [3, 3]


async def test_a_cancelled_run_stays_cancelled_over_a_restart_and_starts_nothing(tmp_path: Path) -> None:
    async with house(lambda call: None, store=SqliteStore(tmp_path)) as h:
        run = await h.submit(await h.flow(ONE_STEP), numbers(50), max_concurrency=5)
        await h.wait_until(lambda: len(h.server.seen) == 5)
        await h.runtime.cancel_run(run.run_id)
    async with house(store=SqliteStore(tmp_path)) as h:
        fold = await h.follow(run.run_id)
        assert fold.status is RunStatusCode.CANCELLED
        assert fold.counts().cancelled == 50
        assert h.server.seen == []


BUILTIN_FIRST = json.dumps(
    {
        "steps": [
            {"id": "n", "component": "/builtin/noop", "input": {"$input": "$"}},
            {"id": "a", "component": "/p/a", "input": {"$step": "n"}},
            {"id": "m", "component": "/builtin/noop", "input": {"$step": "a"}},
            {"id": "b", "component": "/p/b", "input": {"$step": "m"}},
        ],
        "output": {"$step": "b"},
    }
).encode()


@pytest.mark.parametrize("crash_after", [0, 5, 11, 17])
async def test_steps_behind_a_built_in_repeat_with_a_later_attempt_too(tmp_path: Path, crash_after: int) -> None:
    await restarted(tmp_path, BUILTIN_FIRST, crash_after, 10, 3)
