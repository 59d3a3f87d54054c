"""Workers played by hand over real streams to a whole gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from flowspan.protobuf.segments import decode_rows
from flowspan.v1 import worker_service_pb2 as pb
from flowspan.view.events import AttemptEnded, Outcome
from flowspan.view.fold import RunFold
from runtime_core.stores.sqlite import SqliteStore
from tests.e2e.house import one_step
from tests.workers.hand_worker import WAIT_S, HandWorker, WorkerHouse, hand_worker, worker_house

FLOW = one_step("/w/work")


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.005)


def _values(fold: RunFold) -> list[Any]:
    return [json.loads(result.payload) for result in sorted(fold.results, key=lambda result: result.item_index)]


async def _submitted(house: WorkerHouse, inputs: int, **options: Any) -> str:
    flow_id = await house.flow(FLOW)
    return (await house.submit(flow_id, [b"%d" % n for n in range(inputs)], **options)).run_id


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"queue": "other"}, grpc.StatusCode.NOT_FOUND, "plugins of type worker configure them: q"),
        ({"protocol_versions": [7]}, grpc.StatusCode.FAILED_PRECONDITION, "versions [7]"),
        ({"protocol_versions": []}, grpc.StatusCode.FAILED_PRECONDITION, "the gateway 1"),
        ({"worker_id": ""}, grpc.StatusCode.INVALID_ARGUMENT, "worker_id"),
        ({"worker_id": "x" * 65}, grpc.StatusCode.INVALID_ARGUMENT, "64 characters"),
        ({"capacity": 0}, grpc.StatusCode.INVALID_ARGUMENT, "1 to 4096"),
        ({"capacity": 5000}, grpc.StatusCode.INVALID_ARGUMENT, "1 to 4096"),
        (
            {"components": [pb.WorkerComponent(name="/a"), pb.WorkerComponent(name="a")]},
            grpc.StatusCode.INVALID_ARGUMENT,
            "twice",
        ),
        ({"components": [pb.WorkerComponent(name="/")]}, grpc.StatusCode.INVALID_ARGUMENT, "needs a name"),
        ({"components": [pb.WorkerComponent(name="/{a}{b}")]}, grpc.StatusCode.INVALID_ARGUMENT, "whole part"),
    ],
)
async def test_a_hello_that_cannot_be_served_is_refused_with_its_reason(
    changes: dict[str, Any], code: grpc.StatusCode, says: str
) -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        with pytest.raises(AssertionError):
            await worker.hello(**changes)
        ended, details = await worker.end()
        assert ended is code and says in details
        assert house.in_flight == 0


async def test_the_first_message_is_hello() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.open(pb.ConnectRequest(heartbeat=pb.WorkerHeartbeat()))
        code, details = await worker.end()
        assert code is grpc.StatusCode.INVALID_ARGUMENT and "hello" in details


async def test_a_second_hello_ends_the_stream() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        await worker.say(pb.ConnectRequest(hello=pb.WorkerHello(queue="q")))
        code, details = await worker.end()
        assert code is grpc.StatusCode.INVALID_ARGUMENT and "hello is the first message" in details


async def test_a_run_goes_through_a_worker_within_its_capacity() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        run_id = await _submitted(house, 50, max_concurrency=50)
        done = 0
        while done < 50:
            numbers = await worker.take(1)
            done += len(numbers)
            await worker.answer({number: worker.input(number) for number in numbers})
        fold = await house.follow(run_id)
        assert _values(fold) == list(range(50))
        assert worker.most_held <= 4


async def test_work_is_spread_over_workers_by_what_they_have_free() -> None:
    async with worker_house() as house, hand_worker(house, "one") as one, hand_worker(house, "two") as two:
        await one.hello(capacity=10)
        await two.hello(capacity=30)
        await _submitted(house, 20, max_concurrency=20)
        await asyncio.gather(one.take(5), two.take(15))
        assert (len(one.held), len(two.held)) == (5, 15)


async def test_results_that_are_late_unknown_or_twice_change_nothing() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        run_id = await _submitted(house, 1)
        (number,) = await worker.take(1)
        await worker.answer({number: b"1", 424242: b"2"})
        await worker.answer({number: b"3"})
        await worker.answer({number: b"1"}, sequence=1)
        assert _values(await house.follow(run_id)) == [1]


async def test_an_output_that_is_no_json_fails_its_attempt_only() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        run_id = await _submitted(house, 4)
        numbers = await worker.take(4)
        outputs = dict(zip(numbers, (b"1", b"{no", b"\xff", b'{"n":12345678901234567890123,"f":1.0,"z":-0.0}'), strict=True))
        await worker.answer(outputs)
        again = await worker.take(2)
        assert {(worker.input(number), worker.attempt(number)) for number in again} == {(b"1", 2), (b"2", 2)}
        await worker.answer({number: worker.input(number) for number in again})
        fold = await house.follow(run_id)
        results = sorted(fold.results, key=lambda result: result.item_index)
        assert [result.payload for result in results] == [b"1", b"1", b"2", outputs[numbers[3]]]


async def test_lists_of_different_lengths_end_the_stream() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        await worker.say(pb.ConnectRequest(results=pb.WorkerResults(executions=[1, 2], outputs=[b"1"])))
        code, details = await worker.end()
        assert code is grpc.StatusCode.INVALID_ARGUMENT and "2 executions" in details


async def test_failures_and_skips_reach_the_item() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        run_id = await _submitted(house, 3)
        failed, invalid, skipped = await worker.take(3)
        await worker.answer(
            {},
            [
                pb.WorkerFailure(execution=failed, code=-32000, message="no luck"),
                pb.WorkerFailure(execution=invalid, code=-32602, message="no number"),
                pb.WorkerFailure(execution=skipped, code=0, message="not today"),
            ],
        )
        fold = await house.follow(run_id)
        results = sorted(fold.results, key=lambda result: result.item_index)
        assert [json.loads(result.payload).get("code") for result in results[:2]] == ["COMPONENT_FAILED", "INVALID_INPUT"]
        assert results[2].outcome is Outcome.SKIPPED


async def test_heartbeats_are_answered() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        welcome = await worker.hello()
        assert (welcome.heartbeat_seconds, welcome.away_seconds) == (4.0, 12.0)
        await worker.say(pb.ConnectRequest(heartbeat=pb.WorkerHeartbeat()))
        await worker.next("heartbeat")


async def test_a_cancel_reaches_the_worker_and_its_answer_the_caller() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        run_id = await _submitted(house, 2)
        dropped, running = await worker.take(2)
        cancel = asyncio.ensure_future(house.api.cancel_run(run_id))
        told = await worker.next("cancel")
        assert sorted(told.cancel.executions) == [dropped, running]
        await worker.say(pb.ConnectRequest(cancelled=pb.WorkerCancelled(dropped=[dropped], running=[running])))
        async with asyncio.timeout(0.9):
            _, unconfirmed = await cancel
        assert unconfirmed == 0
        await worker.answer({}, [pb.WorkerFailure(execution=running, code=-32800, message="stopped")])
        assert (await house.follow(run_id)).status.wire_name == "cancelled"


async def test_a_wait_over_grpc_lends_the_slot() -> None:
    async with worker_house() as house, house.client() as client, hand_worker(house) as worker:
        await worker.hello(capacity=1)
        run_id = await _submitted(house, 1)
        (outer,) = await worker.take(1)
        token = worker.token(outer)
        flow_id = await client.store_flow(FLOW)
        sub = await client.submit(flow_id, [7], task_token=token)
        assert sub.description.parent_run_id == run_id
        waiting = asyncio.ensure_future(client.wait(sub.run_id, task_token=token))
        await worker.take(2)
        (inner,) = worker.held.keys() - {outer}
        await worker.answer({inner: b"8"})
        async with asyncio.timeout(WAIT_S):
            assert (await waiting).status.wire_name == "success"
        await worker.answer({outer: b"9"})
        assert _values(await house.follow(run_id)) == [9]


async def test_a_sub_run_is_found_again_by_a_repeated_parent() -> None:
    async with (
        worker_house() as house,
        house.client() as client,
        hand_worker(house, "one") as one,
        hand_worker(house, "two") as two,
    ):
        await one.hello(capacity=1)
        await _submitted(house, 1)
        (outer,) = await one.take(1)
        flow_id = await client.store_flow(one_step("/builtin/noop"))
        first = await client.submit(flow_id, [7], task_token=one.token(outer))
        await two.hello(capacity=1)
        await one.say(pb.ConnectRequest(leaving=pb.WorkerLeaving()))
        await one.close_side()
        (again,) = await two.take(1)
        assert two.attempt(again) == 2
        second = await client.submit(flow_id, [7], task_token=two.token(again))
        assert second.run_id == first.run_id


async def test_a_stream_that_breaks_ends_nothing() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        run_id = await _submitted(house, 4)
        numbers = await worker.take(4)
        worker.cut()
        lost = numbers[3]
        del worker.held[lost]
        welcome = await worker.hello()
        assert not welcome.unwanted
        await worker.take(4)
        (repeated,) = worker.held.keys() - set(numbers[:3])
        assert worker.attempt(repeated) == 1, "it was never seen, so it counts as never tried"
        await worker.answer({number: worker.input(number) for number in worker.held})
        assert _values(await house.follow(run_id)) == [0, 1, 2, 3]


async def test_what_is_not_wanted_any_more_is_told_on_the_way_back() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        run_id = await _submitted(house, 2)
        first, second = await worker.take(2)
        await worker.answer({first: b"1"})
        worker.cut()
        worker.held[first] = worker.held[second]
        welcome = await worker.hello()
        assert list(welcome.unwanted) == [first]
        await worker.answer({second: b"2"})
        await house.follow(run_id)


async def test_another_session_wants_nothing_of_the_former_one(tmp_path: Path) -> None:
    target = f"unix:{tmp_path}/s"
    async with worker_house(store=SqliteStore(tmp_path / "store"), target=target) as house, hand_worker(house) as worker:
        former = (await worker.hello()).session
        run_id = await _submitted(house, 2)
        numbers = await worker.take(2)
        held = dict(worker.held)
        await house.gateway.stop(grace_s=0.0)
    again = HandWorker(target)
    try:
        async with worker_house(store=SqliteStore(tmp_path / "store"), target=target) as house:
            again.session, again.held = former, held
            welcome = await again.hello()
            assert welcome.session != former
            assert sorted(welcome.unwanted) == sorted(numbers)
            again.held = {}
            numbers = await again.take(2)
            assert {again.attempt(number) for number in numbers} == {2}
            await again.answer({number: again.input(number) for number in numbers})
            assert _values(await house.follow(run_id)) == [0, 1]
    finally:
        await again.aclose()


@pytest.mark.parametrize("how", ["silent", "cut"])
async def test_a_worker_that_is_away_too_long_is_replaced(how: str) -> None:
    async with (
        worker_house(away_s=0.4, heartbeat_s=0.1) as house,
        hand_worker(house, "frozen") as frozen,
        hand_worker(house, "well") as well,
    ):
        await frozen.hello()
        run_id = await _submitted(house, 2)
        await frozen.take(2)
        if how == "cut":
            frozen.cut()
        began_s = asyncio.get_running_loop().time()
        await well.hello()
        beats = asyncio.ensure_future(_beat(well))
        try:
            numbers = await well.take(2)
            took_s = asyncio.get_running_loop().time() - began_s
            assert {well.attempt(number) for number in numbers} == {2}
            await well.answer(dict.fromkeys(numbers, b"1"))
            await house.follow(run_id)
        finally:
            beats.cancel()
        assert took_s < 0.4 * 15 / 12 + 1.0


async def _beat(worker: HandWorker) -> None:
    while True:
        await asyncio.sleep(0.05)
        await worker.say(pb.ConnectRequest(heartbeat=pb.WorkerHeartbeat()))


async def test_a_second_loss_makes_suspects_who_are_tried_alone() -> None:
    async with (
        worker_house() as house,
        hand_worker(house, "one") as one,
        hand_worker(house, "two") as two,
        hand_worker(house, "three") as three,
    ):
        await one.hello()
        run_id = await _submitted(house, 2)
        await one.take(2)
        await two.hello()
        await _leave(one)
        await two.take(2)
        await three.hello()
        await _leave(two)
        numbers = await three.take(1)
        assert [three.attempt(number) for number in numbers] == [3], "a half of the two, alone"
        await three.answer({numbers[0]: b"1"})
        (number,) = await three.take(1)
        await three.answer({number: b"2"})
        fold = await house.follow(run_id)
        assert fold.status.wire_name == "success"


async def _leave(worker: HandWorker) -> None:
    await worker.say(pb.ConnectRequest(leaving=pb.WorkerLeaving()))
    await worker.close_side()
    await worker.end()


async def test_a_worker_that_leaves_is_let_go_when_all_is_done() -> None:
    async with worker_house() as house, hand_worker(house, "one") as one, hand_worker(house, "two") as two:
        await one.hello()
        run_id = await _submitted(house, 2)
        begun, unbegun = await one.take(2)
        await two.hello()
        del one.held[unbegun]
        await one.say(pb.ConnectRequest(leaving=pb.WorkerLeaving(given_back=[unbegun])))
        (again,) = await two.take(1)
        assert two.attempt(again) == 1
        await two.answer({again: b"2"})
        await one.answer({begun: b"1"})
        code, details = await one.end()
        assert code is grpc.StatusCode.UNAVAILABLE and "nothing is left to do" in details
        await house.follow(run_id)


async def test_a_gateway_that_stops_drains_its_workers() -> None:
    async with worker_house() as house, hand_worker(house) as worker:
        await worker.hello()
        await house.gateway.stop(grace_s=0.0)
        drain = await worker.next("drain")
        assert "stops" in drain.drain.reason


async def test_a_loss_is_charged_to_nobody() -> None:
    async with worker_house() as house, hand_worker(house, "one") as one, hand_worker(house, "two") as two:
        await one.hello()
        run_id = await _submitted(house, 1)
        await one.take(1)
        await two.hello()
        await _leave(one)
        (number,) = await two.take(1)
        await two.answer({number: b"1"})
        ended: list[AttemptEnded] = []
        watch = await house.api.watch_run(run_id)
        while (batch := await watch.next_batch()) is not None:
            for segment in decode_rows(b"".join(batch.rows)):
                ended += [event for event in segment.events if isinstance(event, AttemptEnded)]
        await watch.aclose()
        assert not any(event.charged for event in ended)
