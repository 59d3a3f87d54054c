"""Many watchers in one process that count bytes and decode nothing.

Usage: python -m bench.clients.counting_watchers TARGET. Prints {"grpc"} when it is connected. Then for each line
{"runId", "reading", "stalled"} it opens so many watches, of which the stalled ones read their first message only, and prints
{"bytes": [of each that reads]} when those are at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any, cast

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc.aio

from flowspan.v1.run_service_pb2 import WatchRunRequest

METHOD = "/flowspan.v1.RunService/WatchRun"
OPTIONS = [("grpc.max_receive_message_length", 64 << 20)]

Watching = Any
"""A stream of messages as bytes."""


async def count(watching: Watching) -> int:
    """To the end of the stream; how many bytes it had."""
    total = 0
    while (message := await watching.read()) is not grpc.aio.EOF:
        total += len(cast("bytes", message))
    return total


async def watch_all(channel: grpc.aio.Channel, run_id: str, reading: int, stalled: int) -> list[int]:
    open_watch: Callable[[WatchRunRequest], Watching] = channel.unary_stream(
        METHOD, request_serializer=WatchRunRequest.SerializeToString
    )
    request = WatchRunRequest(run_id=run_id)
    idle: list[Watching] = [open_watch(request) for _ in range(stalled)]
    for one in idle:
        await one.read()
    counted = await asyncio.gather(*[count(open_watch(request)) for _ in range(reading)])
    for one in idle:
        one.cancel()
    return counted


async def main(target: str) -> None:
    async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        await channel.channel_ready()
        print(json.dumps({"grpc": target}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            counted = await watch_all(channel, order["runId"], order["reading"], order["stalled"])
            print(json.dumps({"bytes": counted}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
