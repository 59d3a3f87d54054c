"""A small OpenAI-compatible endpoint on loopback, whose answers a test decides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request. Names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def says(text: str | None) -> Answer:
    """A chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Answer(body=json.dumps({"id": "x", "choices": [choice], "usage": {}}).encode())


class ModelServer:
    """`answer(asked)`: the answer, or None to never answer."""

    def __init__(self) -> None:
        self.answer: Callable[[Asked], Answer | None] = lambda asked: says("hello")
        self.asked: list[Asked] = []
        self.connections = 0
        self.url = ""

    @property
    def last(self) -> Any:
        """The last request's body."""
        return json.loads(self.asked[-1].body)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                asked = Asked(lines[0].split(" ")[1], headers, body)
                self.asked.append(asked)
                answer = self.answer(asked)
                if answer is None:
                    await reader.read()  # until the peer has gone
                    return
                more = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
                writer.write(
                    f"HTTP/1.1 {answer.status} Said\r\ncontent-length: {len(answer.body)}\r\n{more}\r\n".encode() + answer.body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    model = ModelServer()
    server = await asyncio.start_server(model._serve, "127.0.0.1", 0)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield model
