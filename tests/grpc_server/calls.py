"""What several tests ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from flowspan.errors import FlowspanError
from flowspan.protobuf.segments import decode_segments
from flowspan.protobuf.status import STATUS_TRAILER, error_from_status
from flowspan.v1 import json_value_pb2, run_service_pb2
from flowspan.view.events import Segment
from tests.grpc_server.fake_runtime import FLOW_ID


def submit_request(*inputs: bytes, **options: Any) -> run_service_pb2.SubmitRunRequest:
    return run_service_pb2.SubmitRunRequest(
        options=run_service_pb2.RunOptions(**{"flow_id": FLOW_ID, **options}),
        inputs=[json_value_pb2.JsonValue(json=data) for data in inputs],
    )


def error_of(error: grpc.aio.AioRpcError) -> FlowspanError:
    trailers = dict(error.trailing_metadata())
    trailer = trailers.get(STATUS_TRAILER)
    return error_from_status(error.code().name, error.details() or "", trailer if isinstance(trailer, bytes) else None)


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, FlowspanError]:
    """How a call is refused; fails if it is not."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error_of(error)
    raise AssertionError(f"the call was answered: {answer}")


async def read_all(stream: Any) -> list[Any]:
    messages = []
    while (message := await stream.read()) is not grpc.aio.EOF:
        messages.append(message)
    return messages


async def until(condition: Callable[[], bool]) -> None:
    """Bounded at 5 s; gRPC's threads hand over to the loop when they like."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def segments_of(messages: list[Any]) -> list[Segment]:
    return [segment for message in messages for segment in decode_segments(message)]
