"""A worker played by hand over a real stream, and a gateway for it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc.aio

from flowspan.client import AsyncClient
from flowspan.v1 import worker_service_pb2 as pb
from flowspan.v1.worker_service_pb2_grpc import WorkerServiceStub
from gateway.app import Gateway, GatewayParts
from gateway.grpc_server.listener import Listener
from gateway.stdio_bridge.settings import StdioPlugin
from gateway.workers.worker import QueueSettings
from runtime_core.ports import Store
from runtime_core.stores.memory import MemoryStore
from tests.e2e.house import House

WAIT_S = 10.0


class WorkerHouse(House):
    """A gateway with the queue `q` behind `/w`."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.target = gateway.addresses[0]

    @property
    def in_flight(self) -> int:
        return next(plugin.in_flight for plugin in self.gateway.catalog.plugins() if plugin.name == "w")

    def client(self) -> AsyncClient:
        return AsyncClient(self.target)


@asynccontextmanager
async def worker_house(
    *,
    away_s: float = 12.0,
    heartbeat_s: float = 4.0,
    store: Store | None = None,
    target: str | None = None,
    plugins: Sequence[StdioPlugin] = (),
    more_queues: Sequence[QueueSettings] = (),
) -> AsyncIterator[WorkerHouse]:
    """Plugins and further queues are routed by their names."""
    with tempfile.TemporaryDirectory(prefix="fs-w-") as directory:
        settings = QueueSettings("w", "q", away_s=away_s, heartbeat_s=heartbeat_s)
        made = GatewayParts(
            store=store or MemoryStore(),
            plugins=plugins,
            queues=(settings, *more_queues),
            routes={"/builtin": "builtin", "/w": "w", **{f"/{one.name}": one.name for one in (*plugins, *more_queues)}},
            listeners=(Listener(target or f"unix:{directory}/s"),),
            drain_s=0.0,
        )
        async with Gateway(made) as gateway:
            yield WorkerHouse(gateway)


class HandWorker:
    """One stream after the other; every wait is bounded."""

    def __init__(self, target: str, worker_id: str = "by-hand") -> None:
        self._channel = grpc.aio.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])
        self._stub = WorkerServiceStub(self._channel)
        self._call: Any = None
        self._writing = asyncio.Lock()
        self._kept: list[pb.ConnectResponse] = []
        self.worker_id = worker_id
        self.session = ""
        self.sequence = 0
        self.most_held = 0
        self.held: dict[int, tuple[pb.WorkerBatch, int]] = {}
        self.welcome: pb.WorkerWelcome | None = None

    async def hello(self, **changes: Any) -> pb.WorkerWelcome:
        """Open a stream and shake hands."""
        facts: dict[str, Any] = {
            "queue": "q", "capacity": 4, "protocol_versions": [1], "worker_id": self.worker_id, "session": self.session,
            "components": [pb.WorkerComponent(name="/work")], "held": sorted(self.held),
        }  # fmt: skip
        await self.open(pb.ConnectRequest(hello=pb.WorkerHello(**(facts | changes))))
        self.welcome = (await self.next("welcome")).welcome
        self.session = self.welcome.session
        return self.welcome

    async def open(self, first: pb.ConnectRequest) -> None:
        self._call = self._stub.Connect()
        self._kept.clear()
        await self.say(first)

    async def say(self, message: pb.ConnectRequest) -> None:
        # gRPC takes one write at a time, and heartbeats come from another task than answers.
        async with asyncio.timeout(WAIT_S), self._writing:
            await self._call.write(message)

    async def receive(self) -> pb.ConnectResponse | None:
        """The next message; None at the end of the stream."""
        async with asyncio.timeout(WAIT_S):
            try:
                message = await self._call.read()
            except grpc.aio.AioRpcError:
                return None  # `end` says what it was
        if message is grpc.aio.EOF:
            return None
        answer = cast(pb.ConnectResponse, message)
        for batch in answer.execute.batches:
            for position, number in enumerate(batch.executions):
                self.held[number] = (batch, position)
        self.most_held = max(self.most_held, len(self.held))
        return answer

    async def next(self, kind: str) -> pb.ConnectResponse:
        """The next message of this kind; others are kept."""
        for position, kept in enumerate(self._kept):
            if kept.WhichOneof("message") == kind:
                return self._kept.pop(position)
        while (message := await self.receive()) is not None:
            if message.WhichOneof("message") == kind:
                return message
            self._kept.append(message)
        raise AssertionError(f"the stream ended with {await self._call.code()}: {await self._call.details()}")

    async def take(self, count: int) -> list[int]:
        """Until so many executions are held; their numbers."""
        while len(self.held) < count:
            message = await self.receive()
            assert message is not None, await self._call.details()
            if message.WhichOneof("message") != "execute":
                self._kept.append(message)
        return list(self.held)

    def input(self, number: int) -> bytes:
        batch, position = self.held[number]
        return batch.inputs[position]

    def attempt(self, number: int) -> int:
        batch, position = self.held[number]
        return batch.attempts[position]

    def token(self, number: int) -> str:
        assert self.welcome is not None
        return f"{self.welcome.token_prefix}{number:x}"

    async def answer(
        self, outputs: dict[int, bytes] | None = None, failures: Sequence[pb.WorkerFailure] = (), sequence: int | None = None
    ) -> None:
        """Send results, and wait until they were taken over."""
        outputs = outputs or {}
        self.sequence = self.sequence + 1 if sequence is None else sequence
        for number in (*outputs, *(failure.execution for failure in failures)):
            self.held.pop(number, None)
        results = pb.WorkerResults(
            sequence=self.sequence, executions=list(outputs), outputs=list(outputs.values()), failures=failures
        )
        await self.say(pb.ConnectRequest(results=results))
        while (await self.next("acknowledged")).acknowledged.through_sequence < self.sequence:
            pass

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ends."""
        while await self.receive() is not None:
            pass
        return await self._call.code(), await self._call.details()

    def cut(self) -> None:
        """Break the stream, without a word."""
        self._call.cancel()

    async def close_side(self) -> None:
        await self._call.done_writing()

    async def aclose(self) -> None:
        await self._channel.close()


@asynccontextmanager
async def hand_worker(house: WorkerHouse, worker_id: str = "by-hand") -> AsyncIterator[HandWorker]:
    worker = HandWorker(house.target, worker_id)
    try:
        yield worker
    finally:
        await worker.aclose()
