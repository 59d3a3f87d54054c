"""A whole gateway in the test's process, with real component servers in processes of their own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from flowspan.protobuf.segments import decode_rows
from flowspan.view.fold import RunFold
from flowspan.view.status import RunStatus
from gateway.app import Gateway, GatewayParts
from gateway.grpc_server.listener import Listener
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.api import SubmitRun
from runtime_core.ports import Store
from runtime_core.stores.memory import MemoryStore

HERE = Path(__file__).parent
WAIT_S = 10.0


def python_plugin(
    name: str, script: Path | str, *args: str, kind: type[StdioPlugin] = StdioPlugin, **options: Any
) -> StdioPlugin:
    return kind(LaunchSpec(name, sys.executable, (str(script), *args)), **options)


class House:
    """The gateway and shorthands for what tests ask of it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.api = gateway.api

    async def flow(self, document: dict[str, Any]) -> str:
        return await self.api.put_blob(json.dumps(document).encode(), blob_type="flow")

    async def submit(self, flow_id: str, inputs: Sequence[bytes], **options: Any) -> RunStatus:
        return await self.api.submit_run(SubmitRun(flow_id, inputs, **options))

    async def follow(self, run_id: str, after_seq: int = 0, wait_s: float = 50.0) -> RunFold:
        fold = RunFold()
        async with asyncio.timeout(wait_s):
            watch = await self.api.watch_run(run_id, after_seq=after_seq)
            try:
                while (batch := await watch.next_batch()) is not None:
                    for row in batch.rows:
                        fold.apply_all(decode_rows(row))
            finally:
                await watch.aclose()
        return fold

    async def run(self, document: dict[str, Any], inputs: Sequence[bytes], **options: Any) -> RunFold:
        run = await self.submit(await self.flow(document), inputs, **options)
        return await self.follow(run.run_id)


def one_step(component: str, **step: Any) -> dict[str, Any]:
    return {
        "name": "one step",
        "steps": [{"id": "a", "component": component, "input": {"$input": "$"}, **step}],
        "output": {"$step": "a"},
    }


@asynccontextmanager
async def house(*plugins: StdioPlugin, store: Store | None = None, listen: str | None = None) -> AsyncIterator[House]:
    """Plugins are routed by their names: `/NAME/...`."""
    parts = GatewayParts(
        store=store or MemoryStore(),
        plugins=plugins,
        routes={"/builtin": "builtin", **{f"/{plugin.name}": plugin.name for plugin in plugins}},
        listeners=(Listener(listen),) if listen else (),
        drain_s=0.0,
    )
    async with Gateway(parts) as gateway:
        yield House(gateway)


class RawPeer:
    """The test as component server, one line at a time, over the gateway's real pipe to `relay.py`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._inbox: list[dict[str, Any]] = []

    async def send(self, data: bytes) -> None:
        """These very bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def send_message(self, message: dict[str, Any]) -> None:
        await self.send(json.dumps(message).encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        """The next line of the gateway."""
        async with asyncio.timeout(WAIT_S):
            line = await self._reader.readuntil(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    async def expect(self, **members: Any) -> dict[str, Any]:
        """The next message with these members; others are kept for later calls."""
        for position, message in enumerate(self._inbox):
            if all(message.get(key) == value for key, value in members.items()):
                return self._inbox.pop(position)
        while True:
            message = await self.receive()
            if all(message.get(key) == value for key, value in members.items()):
                return message
            self._inbox.append(message)

    async def handshake(self, capabilities: dict[str, Any] | None = None, components: Sequence[str] = ("/work",)) -> None:
        """Answer initialize and components/list as a server of our own dialect does."""
        request = await self.expect(method="initialize")
        result = {"serverProtocolVersion": 1, "server_protocol_version": 1, "capabilities": capabilities or {}}
        await self.send_message({"jsonrpc": "2.0", "id": request["id"], "result": result})
        request = await self.expect(method="components/list")
        await self.send_message(
            {"jsonrpc": "2.0", "id": request["id"], "result": {"components": [{"component": name} for name in components]}}
        )

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def raw_peer_house(
    tmp_path: Path, name: str = "raw", *, store: Store | None = None, **options: Any
) -> AsyncIterator[tuple[House, RawPeer]]:
    """A gateway whose plugin `name` is the test itself; the handshake is still to be answered."""
    path = tmp_path / f"{name}.sock"
    connected: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await connected.put((reader, writer))

    server = await asyncio.start_unix_server(on_connect, path, limit=64 << 20)
    try:
        async with house(python_plugin(name, HERE / "relay.py", str(path), **options), store=store) as h:
            async with asyncio.timeout(WAIT_S):
                peer = RawPeer(*await connected.get())
            try:
                yield h, peer
            finally:
                peer.close()
    finally:
        server.close()
