"""From a service object to gRPC handlers.

A service has one coroutine per method of its descriptor, under the method's name, in one of four forms:

* unary: `(request, call) -> response`
* server stream: `(request, call, write) -> None`, where `write` takes serialized messages
* client stream: `(requests, call) -> response`, where `requests` is a `RequestReader`
* both: `(requests, call, write) -> None`

Messages are parsed and serialized here and not by gRPC, so that bytes which are no message get an answer of ours and
messages that are already bytes go out as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from flowspan.errors import FlowspanError, InvalidArgumentError, LimitExceededError, Reason
from gateway.grpc_server.call import Context, read_call
from gateway.grpc_server.limits import MAX_SEND_BYTES, READ_TIMEOUT_S
from gateway.grpc_server.status import refuse

MessageT = TypeVar("MessageT", bound=Message)

Write = Callable[[bytes], Awaitable[None]]
"""Hands one serialized message to gRPC; done when flow control has let it through."""


class Service(Protocol):
    """An implementation of a service of `flowspan.v1`."""

    @property
    def descriptor(self) -> ServiceDescriptor: ...


class RequestReader(Generic[MessageT]):
    """The messages of a caller's stream, one after the other. `tells_breaks`: a stream that broke is told from one that was
    closed; only while nothing was answered yet."""

    def __init__(self, context: Context, message_class: type[MessageT], *, tells_breaks: bool = True) -> None:
        self._tells_breaks: Final = tells_breaks
        self._context: Final = context
        self._message_class: Final = message_class

    async def next(self, timeout_s: float = READ_TIMEOUT_S) -> MessageT | None:
        """The next message; None when the caller has closed the stream. `timeout_s`: how long the caller may be silent.

        Raises:
            InvalidArgumentError: the bytes are not such a message.
            asyncio.CancelledError, FlowspanError: as `next_bytes`.
        """
        data = await self.next_bytes(timeout_s)
        return None if data is None else self.parse(data)

    def parse(self, data: bytes) -> MessageT:
        """What `next` makes of the bytes of a message."""
        return parse(self._message_class, data)

    async def next_bytes(self, timeout_s: float = READ_TIMEOUT_S) -> bytes | None:
        """The next message as it came; None when the caller has closed the stream.

        Raises:
            asyncio.CancelledError: the stream broke.
            FlowspanError: TIMEOUT: the caller was silent for too long.
        """
        try:
            async with asyncio.timeout(timeout_s):
                data: object = await self._context.read()
        except TimeoutError:
            raise FlowspanError(
                f"the stream brought nothing for {timeout_s:.0f} s; send all messages without long pauses, or begin again",
                reason=Reason.TIMEOUT,
            ) from None
        if isinstance(data, bytes):
            return data
        # A stream that broke reads like one that was closed. The caller's headers are due anyway, and gRPC refuses to
        # send them on a call that is dead.
        if self._tells_breaks:
            await self._context.send_initial_metadata(())
        return None


def parse(message_class: type[MessageT], data: bytes) -> MessageT:
    """InvalidArgumentError unless `data` is such a message (invalid UTF-8 in a text field included)."""
    try:
        return message_class.FromString(data)
    except DecodeError:
        raise InvalidArgumentError(
            f"the bytes are not a {message_class.DESCRIPTOR.full_name}; was the client made from another version of its proto?"
        ) from None


def serialize(message: Message) -> bytes:
    """LimitExceededError if the message is too large for clients with default limits."""
    data = message.SerializeToString()
    if len(data) > MAX_SEND_BYTES:
        raise LimitExceededError(
            f"the answer has {len(data)} bytes, at most {MAX_SEND_BYTES} fit; ask for less, or use a call that streams",
            reason=Reason.QUOTA_EXCEEDED,
            limit="answer",
            max=MAX_SEND_BYTES,
            actual=len(data),
        )
    return data


def generic_handler(service: Service, *, is_authenticated: bool) -> grpc.GenericRpcHandler:
    """All methods of a service.

    Raises:
        AttributeError: the service lacks a method of its descriptor.
    """
    descriptor = service.descriptor
    handlers = {method.name: _handler(method, getattr(service, method.name), is_authenticated) for method in descriptor.methods}
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def _handler(
    method: MethodDescriptor, implementation: Callable[..., Any], is_authenticated: bool
) -> grpc.RpcMethodHandler[bytes, bytes]:
    request_class = GetMessageClass(method.input_type)
    name = method.full_name

    async def unary(data: bytes, context: Context) -> bytes:
        try:
            call = read_call(context, is_authenticated=is_authenticated)
            return serialize(await implementation(parse(request_class, data), call))
        except Exception as error:
            return await _end(context, error, name)

    async def server_stream(data: bytes, context: Context) -> None:
        try:
            call = read_call(context, is_authenticated=is_authenticated)
            await implementation(parse(request_class, data), call, context.write)
        except Exception as error:
            await _end(context, error, name)

    async def client_stream(_requests: object, context: Context) -> bytes:
        try:
            call = read_call(context, is_authenticated=is_authenticated)
            return serialize(await implementation(RequestReader(context, request_class), call))
        except Exception as error:
            return await _end(context, error, name)

    async def both_streams(_requests: object, context: Context) -> None:
        try:
            call = read_call(context, is_authenticated=is_authenticated)
            await implementation(RequestReader(context, request_class, tells_breaks=False), call, context.write)
        except Exception as error:
            await _end(context, error, name)

    if method.client_streaming and method.server_streaming:
        return grpc.stream_stream_rpc_method_handler(both_streams)
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(client_stream)
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(server_stream)
    return grpc.unary_unary_rpc_method_handler(unary)


async def _end(context: Context, error: Exception, method: str) -> bytes:
    """Answer with the error, unless nobody is there to hear it."""
    if isinstance(error, grpc.aio.InternalError):
        # A read or write on a call whose caller is gone. Not a bug: the call counts as cancelled.
        raise asyncio.CancelledError from None
    if isinstance(error, grpc.aio.BaseError):
        raise error
    await refuse(context, error, method)
