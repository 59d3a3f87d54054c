"""The services of `flowspan.v1` over Connect and gRPC-Web: the very objects that serve gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flowspan.errors import FlowspanError, InvalidArgumentError, LimitExceededError, Reason
from gateway.grpc_server.call import Call
from gateway.grpc_server.handlers import Service, parse, serialize
from gateway.grpc_server.status import failure_of
from gateway.web.connect_wire import (
    HEAD_BYTES,
    MEDIA_TYPES,
    MediaType,
    Protocol,
    check_flags,
    connect_end,
    envelope,
    error_object,
    grpc_web_end,
    opened,
    timeout_of,
)
from gateway.web.exchange import JSON, CallerGone, Exchange
from gateway.web.failures import HttpError, headers_of
from gateway.web.limits import MAX_BODY_BYTES, STOP_GRACE_S
from gateway.web.presence import while_connected

_NAMED_ENCODINGS: Final = ("content-encoding", "connect-content-encoding", "grpc-encoding")
_LONGEST_TIMEOUT_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class _Procedure:
    name: str
    request: type[Message]
    response: type[Message]
    takes_stream: bool
    gives_stream: bool
    implementation: Callable[..., Awaitable[Any]]


class ConnectFace:
    """Serves every method of the services that HTTP/1.1 can carry: all but those with streams both ways."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._procedures: Final = {
            f"/{service.descriptor.full_name}/{method.name}": _Procedure(
                method.full_name,
                GetMessageClass(method.input_type),
                GetMessageClass(method.output_type),
                method.client_streaming,
                method.server_streaming,
                getattr(service, method.name),
            )
            for service in services
            for method in service.descriptor.methods
            if not (method.client_streaming and method.server_streaming) and hasattr(service, method.name)
        }

    def knows(self, path: str) -> bool:
        return path in self._procedures

    async def serve(self, exchange: Exchange, call: Call) -> None:
        """Answer the call, whatever becomes of it.

        Raises:
            HttpError: the body is of a type that no protocol of this face uses.
            CallerGone: there is nobody to answer.
        """
        procedure = self._procedures[exchange.path]
        media = MEDIA_TYPES.get(exchange.content_type())
        is_streaming = procedure.takes_stream or procedure.gives_stream
        if media is None or (media.protocol is not Protocol.GRPC_WEB and is_streaming is (media.protocol is Protocol.UNARY)):
            takes = [
                name
                for name, one in MEDIA_TYPES.items()
                if one.protocol is Protocol.GRPC_WEB or (one.protocol is Protocol.STREAM) is is_streaming
            ]
            raise HttpError(
                415,
                f"{procedure.name} takes a Content-Type of {', '.join(takes)}",
                reason=Reason.INVALID_REQUEST,
                headers=(("accept-post", ", ".join(takes)),),
            )
        if media.protocol is Protocol.UNARY:
            await self._unary(exchange, call, procedure, media)
        else:
            await self._enveloped(exchange, call, procedure, media)

    async def _unary(self, exchange: Exchange, call: Call, procedure: _Procedure, media: MediaType) -> None:
        try:
            _check_encoding(exchange)
            request = _decode(procedure.request, await exchange.body(MAX_BODY_BYTES), media)
            async with _deadline(exchange):
                answer = _encode(await procedure.implementation(request, call), media)
        except CallerGone:
            raise
        except Exception as error:
            failure = failure_of(error, procedure.name)
            body = msgspec.json.encode(error_object(failure))
            await exchange.answer(failure.http_status, body, JSON, headers_of(failure))
            return
        await exchange.answer(200, answer, media.name)

    async def _enveloped(self, exchange: Exchange, call: Call, procedure: _Procedure, media: MediaType) -> None:
        """Errors are the last envelope of an answer that went well as far as HTTP is concerned."""
        end = grpc_web_end if media.protocol is Protocol.GRPC_WEB else connect_end
        failure: FlowspanError | None = None
        try:
            _check_encoding(exchange)
            async with _deadline(exchange):
                if procedure.takes_stream:
                    requests = _EnvelopeReader(exchange, procedure.request, media)
                    await _write(exchange, media, serialize(await procedure.implementation(requests, call)), procedure)
                else:
                    request = _decode(procedure.request, opened(await exchange.body(MAX_BODY_BYTES + HEAD_BYTES)), media)
                    if not procedure.gives_stream:
                        await _write(exchange, media, serialize(await procedure.implementation(request, call)), procedure)
                    elif not await while_connected(exchange, self._stream(exchange, call, procedure, media, request)):
                        raise CallerGone
        except CallerGone:
            raise
        except Exception as error:
            failure = failure_of(error, procedure.name)
        if not exchange.has_begun:
            await exchange.begin(media.name)
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await exchange.end(end(failure))
        except TimeoutError:
            exchange.abort()  # it was let go because it does not read

    async def _stream(self, exchange: Exchange, call: Call, procedure: _Procedure, media: MediaType, request: Message) -> None:
        async def write(data: bytes) -> None:
            await _write(exchange, media, data, procedure)

        await procedure.implementation(request, call, write)


class _EnvelopeReader:
    """The messages of a caller's body, one after the other; as `gateway.grpc_server.handlers.RequestReader`."""

    def __init__(self, exchange: Exchange, message_class: type[Message], media: MediaType) -> None:
        self._exchange: Final = exchange
        self._message_class: Final = message_class
        self._media: Final = media
        self._buffer = bytearray()

    async def next(self) -> Message | None:
        data = await self._next_envelope()
        return None if data is None else _decode(self._message_class, data, self._media)

    async def next_bytes(self) -> bytes | None:
        data = await self._next_envelope()
        if data is None or not self._media.is_json:
            return data
        return _decode(self._message_class, data, self._media).SerializeToString()

    def parse(self, data: bytes) -> Message:
        return parse(self._message_class, data)

    async def _next_envelope(self) -> bytes | None:
        buffer = self._buffer
        if not await self._fill(HEAD_BYTES):
            if buffer:
                raise InvalidArgumentError("the body ends within an envelope")
            return None
        check_flags(buffer[0])
        size = int.from_bytes(buffer[1:HEAD_BYTES], "big")
        if size > MAX_BODY_BYTES:
            raise LimitExceededError(
                f"a message has {size} bytes, at most {MAX_BODY_BYTES} are accepted; send several",
                limit="message",
                max=MAX_BODY_BYTES,
                actual=size,
            )
        if not await self._fill(HEAD_BYTES + size):
            raise InvalidArgumentError("the body ends within an envelope")
        data = bytes(buffer[HEAD_BYTES : HEAD_BYTES + size])
        del buffer[: HEAD_BYTES + size]
        return data

    async def _fill(self, size: int) -> bool:
        while len(self._buffer) < size:
            data = await self._exchange.chunk()
            if data is None:
                return False
            self._buffer += data
        return True


def _deadline(exchange: Exchange) -> _Deadline:
    return _Deadline(timeout_of(exchange.headers))


class _Deadline:
    """Around a call: what takes longer than its caller waits ends with TIMEOUT."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout: Final = asyncio.timeout(None if timeout_s is None else min(timeout_s, _LONGEST_TIMEOUT_S))

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise FlowspanError("the call took longer than its caller waits", reason=Reason.TIMEOUT) from None


def _check_encoding(exchange: Exchange) -> None:
    for name in _NAMED_ENCODINGS:
        encoding = exchange.headers.get(name, "identity")
        if encoding not in ("", "identity"):
            raise FlowspanError(f"{name}: {encoding[:40]!r} is not known; send it as it is", reason=Reason.METHOD_NOT_FOUND)


def _decode(message_class: type[Message], data: bytes, media: MediaType) -> Message:
    if not media.is_json:
        return parse(message_class, data)
    message = message_class()
    try:
        json_format.Parse(data.decode("utf-8"), message, ignore_unknown_fields=True, max_recursion_depth=64)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgumentError(f"the body is no {message.DESCRIPTOR.full_name} in proto3 JSON: {error}") from None
    return message


def _encode(message: Message, media: MediaType) -> bytes:
    data = serialize(message)
    return _as_json(message) if media.is_json else data


def _as_json(message: Message) -> bytes:
    return json_format.MessageToJson(message, indent=None, ensure_ascii=False).encode()


async def _write(exchange: Exchange, media: MediaType, data: bytes, procedure: _Procedure) -> None:
    """One serialized message of the answer."""
    if media.is_json:
        data = _as_json(procedure.response.FromString(data))
    if not exchange.has_begun:
        await exchange.begin(media.name)
    await exchange.write(envelope(0, data))
