"""A whole core in one process: the real engine and a real store around a component server that a test plays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from flowspan.protobuf.segments import ProtobufSegmentCodec
from flowspan.view.events import Segment
from flowspan.view.fold import RunFold
from flowspan.view.status import FlowError, RunStatus
from runtime_core.api import SubmitRun
from runtime_core.builtins.server import BuiltinServer
from runtime_core.calls import CallAnswer, CallFailure, CallNaming, CallResult, ComponentCall
from runtime_core.engine.runtime import Runtime
from runtime_core.limits import Limits
from runtime_core.ports import EngineSink, Route, SecretBox, Store
from runtime_core.stores.memory import MemoryStore

WAIT_S = 5.0


class SystemClock:
    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        return time.monotonic()


class PlayedServer:
    """A component server whose answers a test decides.

    `behave(call)`: the answer, or None to leave the call open (see `answer`). Answers come after `start`, in one batch.
    """

    def __init__(self, behave: Callable[[ComponentCall], CallAnswer | None], capacity: int = 256) -> None:
        self.name = "played"
        self.behave = behave
        self.capacity = capacity
        self.broken: CallFailure | None = None
        self.waiting_for: str | None = None
        self.is_up = True
        self.keeps_timeouts = False
        self.sink: EngineSink | None = None
        self.open: dict[int, ComponentCall] = {}
        self.parked: set[int] = set()
        self.alone: set[int] = set()
        self.seen: list[tuple[int, str, int]] = []
        self.most_open = 0
        self.cancelled: list[ComponentCall] = []
        self._answers: list[CallResult] = []

    def journals(self, component: str) -> bool:
        return True

    def free_slots(self) -> int:
        if not self.is_up or self.alone & (self.open.keys() - self.parked):
            return 0
        return max(0, self.capacity - len(self.open) + len(self.parked))

    def start(self, calls: Sequence[ComponentCall]) -> None:
        for call in calls:
            self.open[call.number] = call
            self.seen.append((call.item_index, call.template.step_id, call.attempt))
            answer = self.behave(call)
            if answer is not None:
                self.answer(call, answer)
        self.most_open = max(self.most_open, len(self.open) - len(self.parked))

    def answer(self, call: ComponentCall, answer: CallAnswer) -> None:
        if not self._answers:
            asyncio.get_running_loop().call_soon(self._flush)
        self._answers.append((call, answer))

    def _flush(self) -> None:
        answers, self._answers = self._answers, []
        for call, _ in answers:
            self._forget(call)
        assert self.sink is not None
        self.sink.on_results(answers)

    def crash(self, failure: CallFailure) -> None:
        """The process dies with everything that is open; a new one is there at once."""
        calls = list(self.open.values())
        for call in calls:
            self._forget(call)
        self._answers.clear()
        assert self.sink is not None
        self.sink.on_crash(self, calls, [], failure)

    def instant(self, component: str) -> None:
        return None

    def can_start_alone(self) -> bool:
        return self.is_up and len(self.open) == len(self.parked)

    def start_alone(self, calls: Sequence[ComponentCall]) -> None:
        self.alone.update(call.number for call in calls)
        self.start(calls)

    def park(self, call: ComponentCall) -> None:
        if call.number in self.open:
            self.parked.add(call.number)

    def try_unpark(self, call: ComponentCall) -> bool:
        if call.number not in self.parked:
            return True
        if len(self.open) - len(self.parked) >= self.capacity:
            return False
        self.parked.discard(call.number)
        return True

    def time_out(self, calls: Sequence[ComponentCall]) -> None:
        for call in calls:
            self._forget(call)

    async def cancel(self, calls: Sequence[ComponentCall]) -> int:
        self.cancelled += calls
        return len(calls)

    def _forget(self, call: ComponentCall) -> None:
        self.open.pop(call.number, None)
        self.parked.discard(call.number)
        self.alone.discard(call.number)


class Routes:
    def __init__(self, **servers: object) -> None:
        self.servers = servers

    def resolve(self, path: str) -> Route | FlowError:
        _, prefix, component = path.split("/", 2)
        server = self.servers.get(prefix)
        if server is None:
            return FlowError("COMPONENT_NOT_FOUND", f"no route for {path}")
        return Route(server, "/" + component)  # type: ignore[arg-type]


class House:
    """The core and its played server."""

    def __init__(self, runtime: Runtime, server: PlayedServer, store: Store, builtins: BuiltinServer) -> None:
        self.runtime = runtime
        self.server = server
        self.store = store
        self.builtins = builtins

    async def flow(self, document: bytes) -> str:
        return await self.runtime.put_blob(document, blob_type="flow")

    async def submit(self, flow_id: str, inputs: Sequence[bytes], **options: object) -> RunStatus:
        return await self.runtime.submit_run(SubmitRun(flow_id, inputs, **options))  # type: ignore[arg-type]

    async def follow(self, run_id: str, after_seq: int = 0, fold: RunFold | None = None) -> RunFold:
        """The run consumed to its end."""
        fold = fold or RunFold()
        async with asyncio.timeout(WAIT_S * 6):
            watch = await self.runtime.watch_run(run_id, after_seq=after_seq)
            while (batch := await watch.next_batch()) is not None:
                for row in batch.rows:
                    fold.apply_all(self.runtime.codec.decode(row))
            await watch.aclose()
        return fold

    async def log(self, run_id: str) -> list[Segment]:
        """Every segment of an ended run."""
        segments: list[Segment] = []
        watch = await self.runtime.watch_run(run_id)
        while (batch := await watch.next_batch()) is not None:
            for row in batch.rows:
                segments += self.runtime.codec.decode(row)
        await watch.aclose()
        return segments

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Give the loop turns until something holds; bounded."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0)


ONE_STEP = b'{"name":"one","steps":[{"id":"a","component":"/p/a","input":{"$input":"$"}}],"output":{"$step":"a"}}'


def echo(call: ComponentCall) -> bytes:
    return call.input


def connect_builtins(builtins: BuiltinServer, runtime: Runtime) -> None:
    """As a gateway does it."""
    builtins.connect(
        sink=runtime.dispatcher,
        api=runtime,
        naming=runtime.naming,
        codec=runtime.codec,
        result_bytes=runtime.limits.result_bytes,
    )


@asynccontextmanager
async def house(
    behave: Callable[[ComponentCall], CallAnswer | None] = echo,
    *,
    capacity: int = 256,
    store: Store | None = None,
    limits: Limits | None = None,
    secrets: SecretBox | None = None,
) -> AsyncIterator[House]:
    server = PlayedServer(behave, capacity)
    builtins = BuiltinServer()
    failures: list[BaseException] = []
    store = store or MemoryStore()
    runtime = Runtime(
        store=store,
        router=Routes(p=server, builtin=builtins),
        codec=ProtobufSegmentCodec(),
        clock=SystemClock(),
        limits=limits or Limits(),
        naming=CallNaming("0123456789abcdef", "abcdef"),
        on_fatal=failures.append,
        secrets=secrets,
    )
    server.sink = runtime.dispatcher
    connect_builtins(builtins, runtime)
    await runtime.open()
    try:
        yield House(runtime, server, store, builtins)
    finally:
        builtins.close()
        await builtins.wait_closed()
        await runtime.close()
    assert not failures
    assert builtins.open_tasks == 0
