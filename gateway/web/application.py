"""The ASGI application: lets in, finds what is asked for, and answers every failure."""

from __future__ import annotations

from typing import Final

from flowspan.errors import OverloadedError
from gateway.grpc_server.call import Call, call_of
from gateway.grpc_server.status import failure_of
from gateway.web.access import Access
from gateway.web.connect import ConnectFace
from gateway.web.exchange import CallerGone, Exchange, Receive, Scope, Send
from gateway.web.failures import answer_error, head_too_large, method_not_allowed, unknown_path
from gateway.web.health import CHECK, HealthService
from gateway.web.limits import MAX_HEAD_BYTES, MAX_REQUESTS
from gateway.web.operations import OPERATIONS, PUBLIC, Operation
from gateway.web.paths import PathTable
from gateway.web.request import Faces, WebRequest
from gateway.web.settings import WebSettings

_METADATA: Final = ("flowspan-namespace", "flowspan-task-token", "traceparent")


class Application:
    """One listener's application."""

    def __init__(self, settings: WebSettings, faces: Faces) -> None:
        self._access: Final = Access(settings)
        self._faces: Final = faces
        health = HealthService(faces.is_serving, [one.descriptor.full_name for one in faces.services])
        self._connect: Final = ConnectFace([*faces.services, health])
        self._table: Final = PathTable(OPERATIONS)
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        self._in_progress += 1
        try:
            await self._serve(exchange)
        except CallerGone:
            pass
        except Exception as error:
            if exchange.has_begun:
                failure_of(error, exchange.path)  # told in the log if it is a bug
                exchange.abort()
            else:
                await answer_error(exchange, failure_of(error, exchange.path))
        finally:
            self._in_progress -= 1

    async def _serve(self, exchange: Exchange) -> None:
        if exchange.head_bytes > MAX_HEAD_BYTES:
            raise head_too_large(exchange.head_bytes)
        self._access.check_place(exchange)
        if self._connect.knows(exchange.path):
            if exchange.method == "OPTIONS":
                await self._access.answer_preflight(exchange, "POST")
                return
            if exchange.method != "POST":
                raise method_not_allowed(exchange.method, ["POST"])
            if exchange.path != CHECK:
                self._admit(exchange)
            await self._connect.serve(exchange, self._call(exchange))
            return
        found = self._table.find(exchange.path)
        if found is None:
            raise unknown_path(exchange.path)
        if exchange.method == "OPTIONS":
            await self._access.answer_preflight(exchange, ", ".join(found))
            return
        entry = found.get(exchange.method)
        if entry is None:
            raise method_not_allowed(exchange.method, list(found))
        operation, arguments = entry
        if operation.name not in PUBLIC:
            self._admit(exchange)
        await self._answer(operation, WebRequest(exchange, self._call(exchange), self._faces, arguments))

    def _admit(self, exchange: Exchange) -> None:
        self._access.check_token(exchange)
        if self._in_progress > MAX_REQUESTS:
            raise OverloadedError(f"{MAX_REQUESTS} requests are being answered; ask again later", retryAfterMs=1_000)

    def _call(self, exchange: Exchange) -> Call:
        metadata = [(name, exchange.headers[name]) for name in _METADATA if name in exchange.headers]
        return call_of(metadata, is_authenticated=self._access.is_authenticated)

    async def _answer(self, operation: Operation, request: WebRequest) -> None:
        answer = await operation.handle(request)
        if answer is not None:
            await request.exchange.answer(answer.status, answer.body, answer.content_type, answer.headers)
