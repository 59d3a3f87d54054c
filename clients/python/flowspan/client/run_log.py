"""The log of a run as it is, event by event. For results there is `AsyncClient.watch`, which is what programs want."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import grpc.aio

from flowspan.client.async_client import AsyncClient
from flowspan.client.channel import error_from_rpc
from flowspan.errors import FlowspanError, Reason
from flowspan.protobuf.segments import decode_segments
from flowspan.v1.run_service_pb2 import WatchOptions, WatchRunRequest, WatchRunResponse
from flowspan.view.events import Segment

READ_TIMEOUT_S: Final = 30.0
"""For one message of what the log holds already."""


async def read_log(
    client: AsyncClient, run_id: str, through_seq: int, *, payloads: bool = True, after_seq: int = 0
) -> AsyncGenerator[Segment, None]:
    """The segments of a run's log up to event `through_seq`, such as `RunStatus.as_of_seq`; the last one may go beyond.

    Args:
        after_seq: to begin behind this event; the first segment may begin before.
        payloads: whether events have theirs; without, a long log is quickly read.

    Raises:
        FlowspanError: as the gateway says; TIMEOUT if it stops sending. Nothing is resumed: ask again.
    """
    options = WatchOptions(omit_payloads=not payloads)
    call = client.raw.runs.WatchRun(WatchRunRequest(run_id=run_id, after_seq=after_seq, options=options))
    seq = after_seq
    try:
        while seq < through_seq:
            async with asyncio.timeout(READ_TIMEOUT_S):
                message = await call.read()
            if not isinstance(message, WatchRunResponse):
                return
            for segment in decode_segments(message):
                yield segment
            seq = message.through_seq
    except TimeoutError:
        raise FlowspanError(f"the gateway did not move for {READ_TIMEOUT_S} s", reason=Reason.TIMEOUT) from None
    except grpc.RpcError as failure:
        raise error_from_rpc(failure) from None
    finally:
        call.cancel()
