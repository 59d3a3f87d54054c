"""`flowspan.v1.WorkerService`: the stream of each worker, from protobuf to the queue that it serves and back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from flowspan.errors import FlowspanError, InvalidArgumentError, Reason
from flowspan.jsonrpc import check_payload, printable
from flowspan.v1 import worker_service_pb2 as pb
from gateway.catalog import OfferedComponent
from gateway.grpc_server.call import Call
from gateway.grpc_server.handlers import RequestReader, Write
from gateway.grpc_server.worker_link import StreamLink
from gateway.grpc_server.worker_results import ResultsIntake
from gateway.workers.paths import PathPattern
from gateway.workers.queue import Joined, WorkerQueue
from gateway.workers.worker import MAX_CAPACITY, Worker, WorkerHello
from runtime_core.calls import CallNaming

PROTOCOL_VERSION: Final = 1
HELLO_TIMEOUT_S: Final = 10.0
MAX_WORKER_ID_CHARS: Final = 64
MAX_COMPONENTS: Final = 10_000
MAX_HELD: Final = 1_000_000
"""Those that wait for sub-runs hold no slot, so this has little to do with capacity."""


class WorkerService:
    """One coroutine per worker and connection.

    Args:
        queues: by the name that workers use.
        naming: of executions; tokens and span ids are made of it.
    """

    descriptor: Final[ServiceDescriptor] = pb.DESCRIPTOR.services_by_name["WorkerService"]

    def __init__(self, queues: Mapping[str, WorkerQueue], naming: CallNaming) -> None:
        self._queues = queues
        self._naming = naming

    async def Connect(self, requests: RequestReader[pb.ConnectRequest], call: Call, write: Write) -> None:
        """The stream, from hello to its end.

        Raises:
            FlowspanError: NOT_FOUND for an unknown queue, INVALID_ARGUMENT for a bad hello or broken order, UNAVAILABLE when the
                gateway ends the stream.
        """
        first = await requests.next(HELLO_TIMEOUT_S)
        if first is None:
            return
        queue, hello = self._read_hello(first)
        link = StreamLink(queue.away_s)
        joined = queue.join(hello, link)
        link.say(pb.ConnectResponse(welcome=self._welcome(queue, joined)))
        worker = joined.worker
        pump = asyncio.get_running_loop().create_task(link.pump(write))
        listen = asyncio.get_running_loop().create_task(self._listen(requests, queue, worker, link))
        try:
            await asyncio.wait((pump, listen), return_when=asyncio.FIRST_COMPLETED)
            for task in (listen, pump):
                if task.done():
                    task.result()
        finally:
            for task in (pump, listen):
                task.cancel()
            await asyncio.gather(pump, listen, return_exceptions=True)
            queue.on_disconnected(worker, link)
        if link.closed_because is not None:
            raise FlowspanError(f"the stream is over: {link.closed_because}", reason=Reason.UNAVAILABLE)

    async def _listen(
        self, requests: RequestReader[pb.ConnectRequest], queue: WorkerQueue, worker: Worker, link: StreamLink
    ) -> None:
        """Until the worker has closed its side, or another stream of it has taken over."""
        results = ResultsIntake(queue, worker, link)
        try:
            while (message := await requests.next(queue.away_s)) is not None:
                if worker.link is not link:
                    return
                queue.heard(worker)
                if message.HasField("results"):
                    results.take(message.results)
                else:
                    results.settle()
                    self._take(message, queue, worker, link)
        finally:
            if worker.link is link:
                results.settle()

    def _take(self, message: pb.ConnectRequest, queue: WorkerQueue, worker: Worker, link: StreamLink) -> None:
        """Whatever is no result."""
        kind = message.WhichOneof("message")
        if kind == "heartbeat":
            link.beat()
            if message.heartbeat.started:
                queue.on_started(worker, message.heartbeat.started)
        elif kind == "progress":
            progress = message.progress
            queue.on_progress(worker, progress.execution, progress.fraction, progress.message)
        elif kind == "cancelled":
            queue.on_cancelled(worker, message.cancelled.dropped, message.cancelled.running)
        elif kind == "leaving":
            queue.on_leaving(worker, message.leaving.given_back)
        elif kind == "hello":
            raise InvalidArgumentError("hello is the first message, and only that; open another stream", field="hello")

    def _read_hello(self, message: pb.ConnectRequest) -> tuple[WorkerQueue, WorkerHello]:
        if message.WhichOneof("message") != "hello":
            raise InvalidArgumentError("the first message of a worker is its hello", field="hello")
        hello = message.hello
        queue = self._queues.get(hello.queue)
        if queue is None:
            known = ", ".join(sorted(self._queues)) or "none"
            raise FlowspanError(
                f"there is no queue {printable(hello.queue, 100)!r}; plugins of type worker configure them: {known}",
                reason=Reason.COMPONENT_NOT_FOUND,
                field="queue",
            )
        if PROTOCOL_VERSION not in hello.protocol_versions:
            raise FlowspanError(
                f"the worker speaks versions {sorted(hello.protocol_versions)} of this protocol, the gateway {PROTOCOL_VERSION}: "
                "update the older one",
                reason=Reason.FAILED_PRECONDITION,
            )
        if not hello.worker_id or len(hello.worker_id) > MAX_WORKER_ID_CHARS:
            raise InvalidArgumentError(f"worker_id has 1 to {MAX_WORKER_ID_CHARS} characters", field="workerId")
        if not 1 <= hello.capacity <= MAX_CAPACITY:
            raise InvalidArgumentError(f"capacity is 1 to {MAX_CAPACITY}, not {hello.capacity}", field="capacity")
        if len(hello.components) > MAX_COMPONENTS or len(hello.held) > MAX_HELD:
            raise InvalidArgumentError(
                f"a hello names at most {MAX_COMPONENTS} components and {MAX_HELD} executions", field="components"
            )
        components = dict(_components(hello.components))
        held = frozenset(hello.held)
        return queue, WorkerHello(components, hello.capacity, hello.worker_id, hello.session, held, hello.sdk)

    def _welcome(self, queue: WorkerQueue, joined: Joined) -> pb.WorkerWelcome:
        return pb.WorkerWelcome(
            protocol_version=PROTOCOL_VERSION,
            session=queue.session,
            heartbeat_seconds=queue.heartbeat_s,
            away_seconds=queue.away_s,
            token_prefix=self._naming.token_prefix,
            span_prefix=self._naming.span_prefix,
            unwanted=sorted(joined.unwanted),
        )


def _components(listed: Sequence[pb.WorkerComponent]) -> Iterator[tuple[str, OfferedComponent]]:
    names: set[str] = set()
    for one in listed:
        name = one.name if one.name.startswith("/") else "/" + one.name
        if name == "/" or name in names:
            what = "a component needs a name" if name == "/" else f"component {printable(name)!r} is named twice"
            raise InvalidArgumentError(what, field="components")
        names.add(name)
        PathPattern(name)  # refuses what cannot be matched
        for schema in (one.input_schema, one.output_schema):
            if schema.json:
                check_payload(schema.json)
        yield name, OfferedComponent(name, one.description or None, one.input_schema.json or None, one.output_schema.json or None)
