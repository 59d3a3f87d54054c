"""A connection without pipes: what a gateway writes goes in, what the server writes is kept, all on one loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

from flowspan.components import ComponentServer
from flowspan.components.connection import Connection
from tests.components.played_gateway import Message, execute_params

WAIT_S = 5.0


class MemoryPair:
    """Both ends of a conversation with the components of `server`."""

    def __init__(self, server: ComponentServer) -> None:
        self.written: list[bytes] = []
        self.inbox: list[Message] = []
        self.ended = False
        self._news = asyncio.Event()
        self._last_id = 0
        self._thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self.connection = Connection(server.registry, server.capacity, self._loop, self._write, self._end)
        self.request("initialize", {"runtimeProtocolVersion": 1})
        self.inbox.clear()

    def _write(self, data: bytes) -> None:
        if threading.get_ident() == self._thread:
            self._take_bytes(data)
        else:
            self._loop.call_soon_threadsafe(self._take_bytes, data)

    def _take_bytes(self, data: bytes) -> None:
        self.written.append(data)
        self.inbox += [json.loads(line) for line in data.splitlines()]
        self._news.set()

    def _end(self) -> None:
        self.ended = True

    def receive(self, *messages: Message) -> None:
        """Messages of the gateway, in one read."""
        self.connection.receive(b"".join(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n" for message in messages))

    def request(self, method: str, params: object) -> int:
        self._last_id += 1
        self.receive({"id": self._last_id, "method": method, "params": params})
        return self._last_id

    def execute(self, component: str, value: object, **more: object) -> int:
        return self.request("components/execute", execute_params(component, value, **more))

    async def take(self, wanted: Callable[[Message], bool]) -> Message:
        async with asyncio.timeout(WAIT_S):
            while True:
                for index, message in enumerate(self.inbox):
                    if wanted(message):
                        return self.inbox.pop(index)
                self._news.clear()
                await self._news.wait()

    async def answer_to(self, request_id: object) -> Message:
        return await self.take(lambda message: message.get("id") == request_id and "method" not in message)

    async def next(self, method: str) -> Message:
        return await self.take(lambda message: message.get("method") == method)

    async def output(self, component: str, value: object, **more: object) -> Any:
        answer = await self.answer_to(self.execute(component, value, **more))
        assert "error" not in answer, answer
        return answer["result"]["output"]

    async def error(self, component: str, value: object) -> Message:
        error: Message = (await self.answer_to(self.execute(component, value)))["error"]
        return error

    def answer(self, request: Message, result: object) -> None:
        self.receive({"id": request["id"], "result": result})

    def refuse(self, request: Message, code: int, message: str, **data: object) -> None:
        self.receive({"id": request["id"], "error": {"code": code, "message": message, "data": data}})

    def close(self) -> None:
        self.connection.close()
