"""The ceiling on this machine at this time: see `bench.ceiling.sketch`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import grpc.aio

from bench.figures import Figure
from bench.job import payloads
from bench.measure import Repetition, rate_figure, repeat
from bench.processes import running_program
from bench.scenario import Plan, Scenario
from flowspan.jsonrpc import encode_payload
from flowspan.v1.json_value_pb2 import JsonValue
from flowspan.v1.run_service_pb2 import RunOptions, SubmitRunRequest, WatchRunResponse

OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


async def _measure(plan: Plan, max_concurrency: int) -> Sequence[Figure]:
    items = plan.size(50_000, 10_000)
    inputs = payloads(items)
    with tempfile.TemporaryDirectory(prefix="flowspan-bench-") as directory:
        command = [sys.executable, "-m", "bench.ceiling.sketch", f"{directory}/sketch.sock", str(Path(directory, "sketch.db"))]
        async with running_program(command, {}) as sketch, grpc.aio.insecure_channel(sketch.target, options=OPTIONS) as channel:
            submit = channel.unary_stream(
                "/sketch.Sketch/Submit",
                request_serializer=SubmitRunRequest.SerializeToString,
                response_deserializer=WatchRunResponse.FromString,
            )

            # What a client makes of Python values is not part of the ceiling.
            values = [JsonValue(json=encode_payload(value)) for value in inputs]
            request = SubmitRunRequest(options=RunOptions(max_concurrency=max_concurrency), inputs=values)

            async def once(one: Repetition) -> None:
                seen = bytearray(items)
                async for message in submit(request):
                    for segment in message.segments:
                        for header in segment.headers:
                            seen[header.item_index] += 1
                if seen.count(1) != items:
                    raise RuntimeError(f"the sketch is wrong: {seen.count(0)} results are missing")

            await once(Repetition(sketch.pids))  # warms up
            repetitions = await repeat(plan, sketch.pids, items, once)
    return [rate_figure(f"sketch, K={max_concurrency}", repetitions, maker="sketch")]


async def _measure_256(plan: Plan) -> Sequence[Figure]:
    return await _measure(plan, 256)


async def _measure_16(plan: Plan) -> Sequence[Figure]:
    return await _measure(plan, 16)


SCENARIOS = (
    Scenario("sketch", "the ceiling: the bare path of an item, 256 at once", _measure_256),
    Scenario("sketch-16", "the same, 16 at once", _measure_16),
)
