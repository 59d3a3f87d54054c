"""Watchers in a process of their own, to be stalled or killed: TARGET RUN_ID COUNT READS.

Opens COUNT streams, reads READS messages of each, prints a line and then reads nothing more.
"""

import asyncio
import sys

import grpc

from flowspan.v1 import run_service_pb2 as pb
from flowspan.v1 import run_service_pb2_grpc


async def main(target: str, run_id: str, count: int, reads: int) -> None:
    streams = []
    for _ in range(count):
        # A connection each, as watchers on different machines have.
        channel = grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)])
        streams.append((channel, run_service_pb2_grpc.RunServiceStub(channel).WatchRun(pb.WatchRunRequest(run_id=run_id))))
    for _, stream in streams:
        for _ in range(max(reads, 1)):
            await stream.read()
    print("watching", flush=True)
    await asyncio.sleep(600)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
