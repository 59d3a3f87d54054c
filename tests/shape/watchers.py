"""A client in a process of its own, so that nothing of what it does is counted as the gateway's.

Usage: watchers.py TARGET. For each line {"runId", "watchers"} it follows the run so often to its end and prints
{"messages": [of each], "bytes": [of each]}. A line {"flowId", "inputs", "atOnce"} before submits a run and prints {"runId"}.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import grpc.aio

from flowspan import AsyncClient
from flowspan.v1.run_service_pb2 import WatchRunRequest

OPTIONS = [("grpc.max_receive_message_length", 64 << 20)]


async def follow(channel: grpc.aio.Channel, run_id: str) -> tuple[int, int]:
    open_watch: Any = channel.unary_stream(
        "/flowspan.v1.RunService/WatchRun", request_serializer=WatchRunRequest.SerializeToString
    )
    watching = open_watch(WatchRunRequest(run_id=run_id))
    messages = size = 0
    while (message := await watching.read()) is not grpc.aio.EOF:
        messages += 1
        size += len(message)
    return messages, size


async def main(target: str) -> None:
    async with AsyncClient(target, timeout_s=60) as client, grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            if "flowId" in order:
                run = await client.submit(order["flowId"], order["inputs"], max_concurrency=order["atOnce"])
                answer: dict[str, Any] = {"runId": run.run_id}
            else:
                seen = await asyncio.gather(*[follow(channel, order["runId"]) for _ in range(order["watchers"])])
                answer = {"messages": [one[0] for one in seen], "bytes": [one[1] for one in seen]}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
