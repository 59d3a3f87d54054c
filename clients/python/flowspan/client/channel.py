"""The connections of a client: one for calls, one for watches, so that a slow watcher never holds up a call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import cached_property, partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from flowspan.client.retry import RetryPolicy
from flowspan.errors import FlowspanError, Reason, RequestCancelledError
from flowspan.protobuf.status import STATUS_TRAILER, error_from_status
from flowspan.v1 import (
    blob_service_pb2_grpc,
    component_service_pb2_grpc,
    flow_service_pb2_grpc,
    run_service_pb2_grpc,
    worker_service_pb2_grpc,
)

if TYPE_CHECKING:
    from flowspan.v1.blob_service_pb2_grpc import BlobServiceAsyncStub
    from flowspan.v1.component_service_pb2_grpc import ComponentServiceAsyncStub
    from flowspan.v1.flow_service_pb2_grpc import FlowServiceAsyncStub
    from flowspan.v1.run_service_pb2_grpc import RunServiceAsyncStub
    from flowspan.v1.worker_service_pb2_grpc import WorkerServiceAsyncStub

Q = TypeVar("Q", bound=Message)
A = TypeVar("A")
C = TypeVar("C")
T = TypeVar("T")

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""The gateway's own bound on what it receives; its answers are smaller."""

CHANNEL_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # A peer that hangs is noticed within 13 s; the gateway accepts a ping every 5 s.
    ("grpc.keepalive_time_ms", 8_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A gateway that restarts is back within 2 s; the usual back-off would wait far longer.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Without it the channels of one target would share one connection after all.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),  # retries are ours: with a request id, or not at all
)
COMMIT_TIMEOUT_S: Final = 60.0
"""Bound of the answer to a streamed submit or blob: its size decides how long the last commit takes."""

_HEALTH_CHECK: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = b"\x08\x01"
"""grpc.health.v1.HealthCheckResponse{status: SERVING}"""

_CUT_WHILE_SENDING: Final = "Internal error from Core"
"""What grpc.aio says of a call whose connection broke while a message was being sent; no gateway says so."""

_LOOPBACK: Final = ("127.", "localhost:", "[::1]:")


def error_from_rpc(failure: grpc.RpcError) -> FlowspanError:
    """What a call ended with, as an error of the table."""
    call = cast(grpc.aio.AioRpcError, failure)
    trailer = next((value for name, value in call.trailing_metadata() or () if name == STATUS_TRAILER), None)
    if trailer is None and call.details() == _CUT_WHILE_SENDING:
        return error_from_status("UNAVAILABLE", "the connection broke while the request was being sent", None)
    if trailer is None and call.code() is grpc.StatusCode.CANCELLED:
        # Not by us (that is a CancelledError), and the gateway would say why: a server that stops drops calls so.
        return error_from_status("UNAVAILABLE", "the gateway ended the call without an answer; it may be stopping", None)
    return error_from_status(call.code().name, call.details() or "", cast("bytes | None", trailer))


class RawStubs:
    """The generated stubs, over this client's connection and with its token. Arguments and answers are messages."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.runs = cast("RunServiceAsyncStub", run_service_pb2_grpc.RunServiceStub(channel))
        self.flows = cast("FlowServiceAsyncStub", flow_service_pb2_grpc.FlowServiceStub(channel))
        self.blobs = cast("BlobServiceAsyncStub", blob_service_pb2_grpc.BlobServiceStub(channel))
        self.components = cast("ComponentServiceAsyncStub", component_service_pb2_grpc.ComponentServiceStub(channel))
        self.health = cast("grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]", channel.unary_unary(_HEALTH_CHECK, None, None))


class BlockingStubs:
    """As `RawStubs`, for code without an event loop."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.runs = run_service_pb2_grpc.RunServiceStub(channel)
        self.flows = flow_service_pb2_grpc.FlowServiceStub(channel)
        self.blobs = blob_service_pb2_grpc.BlobServiceStub(channel)
        self.components = component_service_pb2_grpc.ComponentServiceStub(channel)


class _CallChannel:
    """What generated stubs need of a channel. Adds the token, and lets a call be given bytes in place of a message."""

    def __init__(self, channel: grpc.aio.Channel | grpc.Channel, token: str | None) -> None:
        self._channel = channel
        self._metadata = () if token is None else (("authorization", f"Bearer {token}"),)

    def __getattr__(self, kind: str) -> Any:
        make = getattr(self._channel, kind)

        def multicallable(path: str, request_serializer: Any = None, response_deserializer: Any = None, **options: Any) -> Any:
            call = make(path, request_serializer and _encoded, response_deserializer, **options)
            return partial(call, metadata=self._metadata)

        return multicallable


def _encoded(request: Message | bytes) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()


class Connection:
    """Channels to one gateway, opened by the first call and bound to the event loop of that call.

    Args:
        target: `unix:/path` or `host:port`.
        token: sent with every call; None: no token.
        tls: True, or trusted root certificates in PEM; False: plain text.
        timeout_s: bound of a unary call, its retries included.
    """

    def __init__(self, target: str, token: str | None, tls: bool | bytes, timeout_s: float, policy: RetryPolicy) -> None:
        self.target = target
        self.timeout_s = timeout_s
        self.policy = policy
        self.is_closed = False
        self._blocking_channel: grpc.Channel | None = None
        self._token = token
        self._tls = tls
        self._channels: list[grpc.aio.Channel] = []

    @cached_property
    def stubs(self) -> RawStubs:
        """For calls."""
        return self._open()

    @cached_property
    def watch_stubs(self) -> RawStubs:
        """For watches."""
        return self._open()

    @cached_property
    def worker_stub(self) -> WorkerServiceAsyncStub:
        """For the stream of a worker, on a connection of its own."""
        return cast("WorkerServiceAsyncStub", worker_service_pb2_grpc.WorkerServiceStub(self._open_channel()))

    @cached_property
    def blocking_stubs(self) -> BlockingStubs:
        """For raw calls without an event loop."""
        channel = self._blocking_channel = self._channel(grpc.insecure_channel, grpc.secure_channel)
        return BlockingStubs(cast(grpc.Channel, _CallChannel(channel, self._token)))

    def _open(self) -> RawStubs:
        return RawStubs(self._open_channel())

    def _open_channel(self) -> grpc.aio.Channel:
        channel = self._channel(grpc.aio.insecure_channel, grpc.aio.secure_channel)
        self._channels.append(channel)
        return cast(grpc.aio.Channel, _CallChannel(channel, self._token))

    def _channel(self, insecure: Callable[..., C], secure: Callable[..., C]) -> C:
        if self.is_closed:
            raise RequestCancelledError("the client is closed")
        options = list(CHANNEL_OPTIONS)
        if self.target.startswith(_LOOPBACK):
            options.append(("grpc.enable_http_proxy", 0))
        if not self._tls:
            return insecure(self.target, options=options)
        roots = self._tls if isinstance(self._tls, bytes) else None
        return secure(self.target, grpc.ssl_channel_credentials(roots), options=options)

    async def unary(self, method: grpc.aio.UnaryUnaryMultiCallable[Q, A], request: Q, *, repeat: bool = True) -> A:
        """Call until it succeeds, fails for good, or the time or the retries are used up. The bytes are the same each time.

        Raises:
            FlowspanError: as the gateway said, or TIMEOUT or UNAVAILABLE with `from_peer` False.
        """
        encoded = cast(Q, request.SerializeToString())
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.timeout_s

        async def once() -> A:
            return await self.step(method(encoded, timeout=max(deadline - clock(), 0.001)))

        return await self._repeated(once, deadline if repeat else -inf)

    async def upload(
        self, method: grpc.aio.StreamUnaryMultiCallable[Q, A], messages: Sequence[bytes] | AsyncIterator[bytes]
    ) -> A:
        """Send a stream of encoded messages; repeated like a unary call if they are at hand."""

        async def once() -> A:
            call = method()
            try:
                if isinstance(messages, Sequence):
                    for message in messages:
                        await self.step(call.write(cast(Q, message)), self.timeout_s)
                else:
                    async for message in messages:
                        await self.step(call.write(cast(Q, message)), self.timeout_s)
                await self.step(call.done_writing(), self.timeout_s)
            except asyncio.InvalidStateError:
                pass  # the gateway has answered before it has read everything: the answer says why
            except BaseException:
                call.cancel()
                raise
            return await self.step(cast(Awaitable[A], call), COMMIT_TIMEOUT_S)

        return await self._repeated(once, inf if isinstance(messages, Sequence) else -inf)

    async def download(self, method: grpc.aio.UnaryStreamMultiCallable[Q, A], request: Q) -> Sequence[A]:
        """All messages of a stream."""
        encoded = cast(Q, request.SerializeToString())

        async def once() -> Sequence[A]:
            call = method(encoded)
            received: list[A] = []
            try:
                while (message := await self.step(call.read(), self.timeout_s)) is not grpc.aio.EOF:
                    received.append(cast(A, message))
            finally:
                call.cancel()
            return received

        return await self._repeated(once, inf)

    async def is_serving(self) -> bool:
        """What the standard health service says; its two messages are small enough to be written by hand."""
        health = self.stubs.health
        answer: bytes = await self._repeated(lambda: self.step(health(b"", timeout=self.timeout_s)), inf)
        return answer == _SERVING

    async def _repeated(self, once: Callable[[], Awaitable[T]], deadline: float) -> T:
        """`deadline`: on the loop's clock; no retry begins after it."""
        retry = 0
        while True:
            try:
                return await once()
            except FlowspanError as error:
                delay_s = self.policy.delay_s(retry, random.random(), error)
                late = asyncio.get_running_loop().time() + delay_s >= deadline
                if late or retry >= self.policy.max_retries or not error.retryable or self.is_closed:
                    raise
            retry += 1
            await asyncio.sleep(delay_s)

    async def step(self, step: Awaitable[T], timeout_s: float | None = None) -> T:
        """One step (a read, a write, the answer) of a streaming call, bounded by `timeout_s`; None: by keepalive only."""
        try:
            async with asyncio.timeout(timeout_s):
                return await step
        except TimeoutError:
            raise FlowspanError(f"the gateway did not move for {timeout_s} s", reason=Reason.TIMEOUT) from None
        except grpc.RpcError as failure:
            raise error_from_rpc(failure) from None
        except asyncio.CancelledError:
            self.raise_if_closed()
            raise

    def raise_if_closed(self) -> None:
        """Tell a call that ended because the client was closed from a task that was cancelled: gRPC shows both alike."""
        task = asyncio.current_task()
        if self.is_closed and (task is None or not task.cancelling()):
            raise RequestCancelledError("the client was closed during the call") from None

    async def aclose(self) -> None:
        """End all calls. Harmless if repeated."""
        self.is_closed = True
        channels, self._channels = self._channels, []
        for channel in channels:
            await channel.close()
        if self._blocking_channel is not None:
            self._blocking_channel.close()
