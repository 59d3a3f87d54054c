"""A worker's stream to its gateway: hello, heartbeats, results, and the way back after a lost connection.

Knows nothing of components: whoever executes is a `WorkerHost`. The SDK's component servers are one, a bridge is another.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Collection, Sequence
from typing import Final, Protocol, cast

import grpc.aio

from flowspan.client.channel import Connection
from flowspan.client.retry import RetryPolicy
from flowspan.components.worker.outbox import Outbox
from flowspan.errors import FlowspanError, UnavailableError
from flowspan.v1 import worker_service_pb2 as pb

PROTOCOL_VERSION: Final = 1
WELCOME_TIMEOUT_S: Final = 10.0
RECONNECT: Final = RetryPolicy(first_delay_s=0.1, longest_delay_s=5.0)
"""For ever: a gateway that restarts finds its workers again."""
LAST_ACKNOWLEDGEMENT_S: Final = 5.0
"""How long a worker that leaves waits for its last results to be taken over."""
ADVICE_INTERVAL_S: Final = 30.0
"""How often the log repeats why there is no connection."""

_log = logging.getLogger("flowspan.worker")

ConnectCall = grpc.aio.StreamStreamCall[bytes, pb.ConnectResponse]


class WorkerHost(Protocol):
    """Who executes. Everything is called on the loop's thread and returns at once."""

    def components(self) -> Sequence[pb.WorkerComponent]:
        """What is offered now."""
        ...

    @property
    def capacity(self) -> int: ...

    def held(self) -> Collection[int]:
        """Executions whose results were not acknowledged, those that run included."""
        ...

    def on_welcome(self, welcome: pb.WorkerWelcome, *, is_new_session: bool) -> None:
        """The gateway knows this worker. Of a new session: nothing that is held is wanted any more; else
        `welcome.unwanted` is not."""
        ...

    def on_execute(self, batches: Sequence[pb.WorkerBatch]) -> None: ...

    def on_cancel(self, numbers: Sequence[int]) -> None:
        """To be answered within a second (`WorkerStream.cancelled`)."""
        ...

    def on_acknowledged(self, numbers: Sequence[int]) -> None:
        """Results of these were taken over."""
        ...

    def on_drain(self) -> None:
        """Nothing new comes: `WorkerStream.hang_up` when nothing is held any more."""
        ...


class WorkerStream:
    """The conversation of one worker, over any number of connections.

    Args:
        connection: channels to the gateway; not closed here.
        sdk: name and release, for people.
    """

    def __init__(self, connection: Connection, queue: str, host: WorkerHost, sdk: str) -> None:
        self._connection = connection
        self._queue = queue
        self._host = host
        self._sdk = sdk
        self._worker_id = secrets.token_hex(12)
        self._session = ""
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._retry = 0
        self._is_leaving = False
        self._wants_end = False
        self._advised_at_s = float("-inf")
        self.outbox = Outbox(self._loop, self._news.set)

    async def serve(self) -> None:
        """Until `leave` has done its work; connections that are lost are made again."""
        while True:
            try:
                await self._connect_once()
                error = None
            except FlowspanError as failure:
                error = failure
            if self._is_leaving:
                return
            if error is not None:
                self._advise(error)
            delay_s = RECONNECT.delay_s(self._retry, random.random(), error or UnavailableError("the stream ended"))
            self._retry += 1
            await asyncio.sleep(delay_s)

    # ---------------------------------------------------------------- what the host says

    def started(self, numbers: Sequence[int]) -> None:
        """The code of these runs since about a second."""
        self.outbox.say(pb.ConnectRequest(heartbeat=pb.WorkerHeartbeat(started=numbers)))

    def progress(self, number: int, fraction: float, message: str | None) -> None:
        self.outbox.say(pb.ConnectRequest(progress=pb.WorkerProgress(execution=number, fraction=fraction, message=message or "")))

    def cancelled(self, dropped: Sequence[int], running: Sequence[int]) -> None:
        self.outbox.say(pb.ConnectRequest(cancelled=pb.WorkerCancelled(dropped=dropped, running=running)))

    def leaving(self, given_back: Sequence[int]) -> None:
        """Nothing new is taken from here on; `given_back` have not begun and never will."""
        self.outbox.say(pb.ConnectRequest(leaving=pb.WorkerLeaving(given_back=given_back)))

    def hang_up(self, *, for_good: bool) -> None:
        """Close the stream in order once all results were taken over."""
        self._wants_end = True
        self._is_leaving |= for_good
        self._news.set()

    # ---------------------------------------------------------------- one connection

    async def _connect_once(self) -> None:
        stub = self._connection.worker_stub
        call = cast(ConnectCall, stub.Connect())
        try:
            welcome = await self._greet(call)
            self._retry = 0
            is_new_session = welcome.session != self._session
            if is_new_session:
                self.outbox.reset()
            else:
                self.outbox.reconnected()
            self._session = welcome.session
            self._wants_end = self._is_leaving
            self._host.on_welcome(welcome, is_new_session=is_new_session)
            _log.info("connected to %s as a worker of queue %s", self._connection.target, self._queue)
            write = self._loop.create_task(self._write(call, welcome.heartbeat_seconds or 4.0, welcome.away_seconds or 12.0))
            read = self._loop.create_task(self._read(call, welcome.away_seconds or 12.0))
            try:
                await asyncio.wait((read, write), return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Both have ended before anybody asks what is held: nothing of this stream may come later.
                call.cancel()
                for task in (read, write):
                    task.cancel()
                outcomes = await asyncio.gather(read, write, return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, Exception):
                    raise outcome
        finally:
            call.cancel()

    async def _greet(self, call: ConnectCall) -> pb.WorkerWelcome:
        hello = pb.WorkerHello(
            queue=self._queue,
            components=self._host.components(),
            capacity=self._host.capacity,
            protocol_versions=[PROTOCOL_VERSION],
            worker_id=self._worker_id,
            session=self._session,
            held=sorted(self._host.held()),
            sdk=self._sdk,
        )
        await self._step_write(call, pb.ConnectRequest(hello=hello).SerializeToString(), WELCOME_TIMEOUT_S)
        message = await self._connection.step(call.read(), WELCOME_TIMEOUT_S)
        if not isinstance(message, pb.ConnectResponse) or not message.HasField("welcome"):
            if message is grpc.aio.EOF:
                raise UnavailableError("the gateway ended the stream ahead of its welcome")
            raise FlowspanError("the gateway did not answer hello with welcome", from_peer=True)
        return message.welcome

    async def _read(self, call: ConnectCall, away_s: float) -> None:
        """Until the gateway ends the stream. The gateway answers each heartbeat, so it is never silent for long."""
        host = self._host
        while True:
            message = await self._connection.step(call.read(), away_s)
            if not isinstance(message, pb.ConnectResponse):
                return
            kind = message.WhichOneof("message")
            if kind == "execute":
                host.on_execute(message.execute.batches)
            elif kind == "acknowledged":
                host.on_acknowledged(self.outbox.acknowledge(message.acknowledged.through_sequence))
                if self._wants_end:
                    self._news.set()
            elif kind == "cancel":
                host.on_cancel(message.cancel.executions)
            elif kind == "drain":
                _log.info("the gateway takes its work elsewhere: %s", message.drain.reason)
                host.on_drain()

    async def _write(self, call: ConnectCall, heartbeat_s: float, away_s: float) -> None:
        outbox, clock = self.outbox, self._loop.time
        # Half of what is allowed: a busy loop may be late.
        interval_s = heartbeat_s / 2
        beat_at_s = clock() + interval_s
        is_closed = False
        while True:
            self._news.clear()
            while (message := outbox.next()) is not None:
                await self._step_write(call, message, away_s)
            if clock() >= beat_at_s:
                beat_at_s = clock() + interval_s
                if not is_closed:
                    await self._step_write(call, _HEARTBEAT, away_s)
            if self._wants_end and outbox.is_empty and not self._host.held() and not is_closed:
                is_closed = True
                await self._connection.step(call.done_writing(), away_s)
            try:
                async with asyncio.timeout_at(beat_at_s):
                    await self._news.wait()
            except TimeoutError:
                if is_closed:
                    return  # the gateway has had its time to close, too

    async def _step_write(self, call: ConnectCall, message: bytes, timeout_s: float) -> None:
        try:
            await self._connection.step(call.write(message), timeout_s)
        except asyncio.InvalidStateError:
            # The call has ended meanwhile; reading says why.
            await self._connection.step(call.read(), timeout_s)
            raise UnavailableError("the stream ended while it was written to") from None

    def _advise(self, error: FlowspanError) -> None:
        """Say why there is no connection, now and then."""
        now_s = self._loop.time()
        if now_s - self._advised_at_s >= ADVICE_INTERVAL_S:
            self._advised_at_s = now_s
            _log.warning(
                "no connection to %s as a worker of queue %s: %s; trying again",
                self._connection.target,
                self._queue,
                error.message,
            )


_HEARTBEAT: Final = pb.ConnectRequest(heartbeat=pb.WorkerHeartbeat()).SerializeToString()
