"""A whole gateway in the test's process with its HTTP listener, and callers of every wire in front of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx

from gateway.app import Gateway, GatewayParts
from gateway.grpc_server.listener import Listener
from gateway.stdio_bridge.settings import StdioPlugin
from gateway.web.settings import WebSettings
from runtime_core.stores.memory import MemoryStore
from tests.e2e.house import House, python_plugin

DOUBLE: dict[str, Any] = {"name": "double", "output": {"n": {"$input": "$.n"}}}
"""Each item gives back its `n`; no component has a part in it."""
WAIT_S = 20.0

_HOLDS = """
import time
from flowspan import ComponentServer
server = ComponentServer(capacity=4)

@server.component
def hold(input: float) -> float:
    time.sleep(input)
    return input

server.run()
"""
HOLD: dict[str, Any] = {
    "name": "hold",
    "steps": [{"id": "a", "component": "/py/hold", "input": {"$input": "$"}}],
    "output": {"$step": "a"},
}
"""Each item takes as many seconds as its input says."""


def holding_plugin(directory: Path) -> StdioPlugin:
    program = directory / "holds.py"
    program.write_text(_HOLDS)
    return python_plugin("py", program)


class WebHouse(House):
    """The gateway, an HTTP client that shows the token, and a gRPC channel."""

    def __init__(self, gateway: Gateway, client: httpx.AsyncClient, channel: grpc.aio.Channel) -> None:
        super().__init__(gateway)
        self.client = client
        self.channel = channel
        assert gateway.web_url is not None
        self.url = gateway.web_url

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async with asyncio.timeout(WAIT_S):
            return await self.client.request(method, path, **options)

    async def store(self, document: dict[str, Any] = DOUBLE) -> str:
        answer = await self.ask("POST", "/v1/flows", json=document)
        assert answer.status_code == 200, answer.text
        flow_id: str = answer.json()["flowId"]
        return flow_id

    async def submitted(self, flow_id: str, inputs: Sequence[Any], **params: Any) -> dict[str, Any]:
        answer = await self.ask("POST", "/v1/runs", json={"flowId": flow_id, "inputs": list(inputs), **params})
        assert answer.status_code == 200, answer.text
        run: dict[str, Any] = answer.json()
        return run


@asynccontextmanager
async def web_house(
    directory: Path, *plugins: StdioPlugin, token: str | None = "a token of some length", **settings: Any
) -> AsyncIterator[WebHouse]:
    parts = GatewayParts(
        store=MemoryStore(),
        plugins=plugins,
        routes={"/builtin": "builtin", **{f"/{plugin.name}": plugin.name for plugin in plugins}},
        listeners=(Listener(f"unix:{directory}/s"),),
        web=WebSettings("127.0.0.1:0", token, **settings),
        drain_s=0.0,
    )
    async with Gateway(parts) as gateway:
        assert gateway.web_url is not None
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=gateway.web_url, headers=headers, timeout=WAIT_S, trust_env=False) as client,
            grpc.aio.insecure_channel(gateway.addresses[0]) as channel,
        ):
            yield WebHouse(gateway, client, channel)


class Event:
    """One server-sent event."""

    def __init__(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        self.id = int(fields["id"]) if "id" in fields else None
        self.name = fields.get("event")
        self.data: Any = json.loads(fields["data"]) if "data" in fields else None


async def events_of(answer: httpx.Response) -> AsyncIterator[Event]:
    """Events of an answer that is being read; what stands behind the last blank line is not one, as browsers have it."""
    text = ""
    async for part in answer.aiter_text():
        *blocks, text = (text + part).split("\n\n")
        for block in blocks:
            event = Event(block)
            if event.name is not None:
                yield event


async def all_events(house: WebHouse, run_id: str, **options: Any) -> list[Event]:
    async with asyncio.timeout(WAIT_S), house.client.stream("GET", f"/v1/runs/{run_id}/events", **options) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream"
        return [event async for event in events_of(answer)]


class RawCaller:
    """Bytes to the HTTP port, and what comes back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All that comes until the gateway closes the connection."""
        async with asyncio.timeout(WAIT_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""


@asynccontextmanager
async def raw_caller(house: WebHouse) -> AsyncIterator[RawCaller]:
    reader, writer = await asyncio.open_connection(*house.address)
    try:
        yield RawCaller(reader, writer)
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass  # reset by the gateway, which some tests ask for
