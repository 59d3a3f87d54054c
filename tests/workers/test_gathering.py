"""Results that come one by one are taken over together, and never overtaken."""

from __future__ import annotations

import asyncio

import pytest

from flowspan.errors import InvalidArgumentError
from flowspan.v1 import worker_service_pb2 as pb
from gateway.grpc_server.worker_link import StreamLink
from gateway.grpc_server.worker_results import FEW, ResultsIntake
from tests.workers.fakes import Bench


class _CountingSink:
    def __init__(self, bench: Bench) -> None:
        self.batches: list[int] = []
        tell = bench.sink.on_results

        def on_results(results: list) -> None:  # type: ignore[type-arg]
            self.batches.append(len(results))
            tell(results)

        bench.sink.on_results = on_results  # type: ignore[method-assign]


def _message(sequence: int, *numbers: int) -> pb.WorkerResults:
    return pb.WorkerResults(sequence=sequence, executions=numbers, outputs=[b"1"] * len(numbers))


async def _acknowledged(link: StreamLink) -> list[int]:
    said: list[int] = []

    async def write(data: bytes) -> None:
        message = pb.ConnectResponse.FromString(data)
        if message.HasField("acknowledged"):
            said.append(message.acknowledged.through_sequence)

    link.close("the test is over")
    await link.pump(write)
    return said


async def test_single_results_of_a_busy_worker_are_one_batch() -> None:
    bench = Bench()
    sink = _CountingSink(bench)
    joined, _ = bench.join(capacity=100)
    calls = bench.calls(100)
    bench.queue.start(calls)
    link = StreamLink(1.0)
    intake = ResultsIntake(bench.queue, joined.worker, link)
    for sequence, call in enumerate(calls[:20], 1):
        intake.take(_message(sequence, call.number))
    assert not sink.batches
    async with asyncio.timeout(5):
        while not sink.batches:
            await asyncio.sleep(0.001)
    assert sink.batches == [20]
    assert await _acknowledged(link) == [20]


async def test_a_worker_with_little_to_do_is_heard_at_once() -> None:
    bench = Bench()
    sink = _CountingSink(bench)
    joined, _ = bench.join(capacity=100)
    calls = bench.calls(4)
    bench.queue.start(calls)
    intake = ResultsIntake(bench.queue, joined.worker, StreamLink(1.0))
    for sequence, call in enumerate(calls, 1):
        intake.take(_message(sequence, call.number))
    assert sink.batches == [1, 1, 1, 1]


async def test_a_large_message_takes_those_before_it_along() -> None:
    bench = Bench()
    sink = _CountingSink(bench)
    joined, _ = bench.join(capacity=100)
    calls = bench.calls(100)
    bench.queue.start(calls)
    intake = ResultsIntake(bench.queue, joined.worker, StreamLink(1.0))
    intake.take(_message(1, calls[0].number))
    intake.take(_message(2, *(call.number for call in calls[1 : FEW + 2])))
    assert sink.batches == [FEW + 2]
    intake.settle()
    assert sink.batches == [FEW + 2]


async def test_lists_of_different_lengths_are_refused() -> None:
    bench = Bench()
    joined, _ = bench.join()
    intake = ResultsIntake(bench.queue, joined.worker, StreamLink(1.0))
    with pytest.raises(InvalidArgumentError, match="send as many"):
        intake.take(pb.WorkerResults(executions=[1, 2], outputs=[b"1"]))
