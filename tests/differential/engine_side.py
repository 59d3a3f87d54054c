"""The real engine under a case: Runtime, store and dispatcher in virtual time, around a component server that plays behaviours.

One loop and one gateway serve many cases. A gateway that a case kills leaves its disk to the next one, as in tests/sim.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from flowspan.errors import FlowErrorCode, FlowspanError
from flowspan.protobuf.segments import ProtobufSegmentCodec
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.status import FlowError, ResultOrder
from runtime_core.api import SubmitRun
from runtime_core.builtins.server import BuiltinServer
from runtime_core.calls import CallAnswer, CallFailure, CallNaming, CallSkip, ComponentCall
from runtime_core.engine.runtime import Runtime
from runtime_core.limits import Limits
from runtime_core.ports import ComponentServer, Route
from tests.differential.cases import BUILTINS, PLUGIN, Behaviour, Case
from tests.differential.exact_json import Json, exact, read
from tests.differential.reference import Ok, Skipped
from tests.engine.house import PlayedServer, connect_builtins
from tests.sim.disk import SimDisk, SimStore
from tests.sim.virtual_loop import VirtualLoop

LIMITS: Final = Limits(call_timeout_s=5.0, cancel_grace_s=3.0)
DELAYS_S: Final = (0.0, 0.0, 0.001, 0.01, 0.3)
"""How long a component may take: side by side, in any order."""
EPOCH_S: Final = 1_700_000_000
ENDED_S: Final = 2_000.0
"""By then every run has ended, whatever its retries."""


@dataclass(frozen=True)
class Call:
    """One attempt that reached the component server."""

    attempt: int
    input: bytes
    at_s: float = 0.0


@dataclass(frozen=True)
class ActualItem:
    """What became of an item. `calls`: by step id, in their order; `ended_s`: on the clock of `Call.at_s`."""

    outcome: Outcome
    payload: bytes
    calls: dict[str, list[Call]]
    ended_s: float


@dataclass(frozen=True)
class Actual:
    """What became of a case. `refused`: the error of the submit, if there was one."""

    refused: FlowspanError | None
    status: RunStatusCode | None = None
    items: tuple[ActualItem, ...] = ()
    runs_left: int = 0
    was_killed: bool = False


class _NoOracle:
    """tests/sim watches every commit; here the reference is the judge."""

    def __init__(self) -> None:
        self.deleted: set[str] = set()

    def on_durable(self, run_id: str, first_seq: int, row: bytes) -> None:
        pass


class _Clock:
    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_us(self) -> int:
        return EPOCH_S * 1_000_000 + int(self._loop.time() * 1e6)

    def monotonic_s(self) -> float:
        return self._loop.time()


class _Routes:
    """Two prefixes; no other path leads anywhere."""

    def __init__(self, server: ComponentServer, builtins: ComponentServer) -> None:
        self._servers = {PLUGIN: server, BUILTINS: builtins}

    def resolve(self, path: str) -> Route | FlowError:
        for prefix, server in self._servers.items():
            if path.startswith(prefix):
                return Route(server, "/" + path.removeprefix(prefix))
        return FlowError("COMPONENT_NOT_FOUND", f"no route for {path!r}")


Seen = dict[tuple[str, int, str], list[Call]]
"""Calls by run, item and step."""


class _Server(PlayedServer):
    """Plays the behaviours of one case after another."""

    def __init__(self) -> None:
        super().__init__(self._behave)
        self.is_dead = False
        self.kill_now = asyncio.Event()

    def serve(self, case: Case, seen: Seen) -> None:
        self.case = case
        self.seen_calls = seen
        self.kill_now.clear()

    def _behave(self, call: ComponentCall) -> None:
        step_id = call.template.step_id
        seen = self.seen_calls
        seen.setdefault((call.template.run_id, call.item_index, step_id), []).append(
            Call(call.attempt, call.input, asyncio.get_running_loop().time())
        )
        if sum(map(len, seen.values())) == self.case.kill_after:
            self.kill_now.set()
        behaviour = self.case.behaviours[call.template.component.removeprefix("/")]
        answer = played(behaviour, call.input, call.attempt)
        if answer is not None:
            rng = random.Random(f"{self.case.delays} {call.item_index} {step_id} {call.attempt}")
            delay_s = rng.choice(DELAYS_S) if self.case.delays else 0.0
            asyncio.get_running_loop().call_later(delay_s, self._answer_open, call, answer)

    def _answer_open(self, call: ComponentCall, answer: CallAnswer) -> None:
        if call.number in self.open and not self.is_dead:
            self.answer(call, answer)


def played(behaviour: Behaviour, given: bytes, attempt: int) -> CallAnswer | None:
    """A behaviour's answer as it comes over a wire; None: it hangs."""
    if behaviour.then == "hang" and attempt > len(behaviour.failures) and not (behaviour.picky and read(given) is None):
        return None
    answer = behaviour.answer(read(given), attempt)
    if isinstance(answer, Ok):
        text = exact(answer.value)
        return (f" {text}\n" if behaviour.loosely else text).encode()
    if isinstance(answer, Skipped):
        return CallSkip("not today")
    data = None if answer.data is None else exact(answer.data).encode()
    return CallFailure(FlowErrorCode(answer.code), answer.message or "", data, behaviour.retry_after_s)


class EngineSide:
    """Serves cases; to be closed."""

    def __init__(self) -> None:
        structlog.configure(processors=[_drop])
        self._loop = VirtualLoop()
        asyncio.set_event_loop(self._loop)
        self._incarnations = itertools.count(1)
        self._failures: list[BaseException] = []
        self._disk = SimDisk(random.Random(0), _NoOracle())  # type: ignore[arg-type]
        self._runtime: Runtime | None = None
        self._server = _Server()
        self._builtins = BuiltinServer()
        self._run_count = 0

    def run(self, case: Case) -> Actual:
        """What the engine makes of a case. Raises AssertionError if it hangs or breaks."""
        random.seed(case.delays)
        self._disk.rng.seed(case.delays)
        actual = self._loop.run_until_complete(self._run(case))
        assert not self._failures, f"the engine broke: {self._failures[0]!r}"
        assert not self._loop.failures, f"the engine broke: {self._loop.failures[0]}"
        return actual

    def close(self) -> None:
        self._loop.run_until_complete(self._kill())
        self._loop.close()
        asyncio.set_event_loop(None)
        structlog.reset_defaults()

    async def _run(self, case: Case) -> Actual:
        seen: Seen = {}
        runtime = await self._runtime_for(case, seen)
        flow_id = await runtime.put_blob(exact_in_order(case.flow), blob_type="flow")
        command = SubmitRun(
            flow_id,
            [exact_in_order(given) + b"\n" * (case.delays % 2) for given in case.inputs],
            overrides=None if case.overrides is None else exact_in_order(case.overrides),
            variables=None if case.given is None else exact_in_order(case.given),
        )
        try:
            status = await runtime.submit_run(command)
        except FlowspanError as error:
            return Actual(error, runs_left=self._count_new_runs())
        run_id = status.description.run_id
        async with asyncio.timeout(ENDED_S):
            was_killed = await self._follow_until_killed(run_id)
            if was_killed:
                await self._kill()
                runtime = await self._runtime_for(case, seen)
                await self._follow(run_id)
        status = await runtime.get_run(run_id, order=ResultOrder.BY_INDEX, max_bytes=1 << 24)
        items = tuple(
            ActualItem(
                result.outcome,
                result.payload,
                {step: calls for (run, item, step), calls in seen.items() if (run, item) == (run_id, result.item_index)},
                result.completed_at_us / 1e6 - EPOCH_S,
            )
            for result in status.results or ()
        )
        return Actual(None, status.status, items, self._count_new_runs() - 1, was_killed)

    async def _follow_until_killed(self, run_id: str) -> bool:
        """True: it is time to kill the gateway."""
        ended = asyncio.ensure_future(self._follow(run_id))
        killed = asyncio.ensure_future(self._server.kill_now.wait())
        await asyncio.wait((ended, killed), return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        if ended.done():
            await ended
            return False
        ended.cancel()
        await asyncio.wait((ended,))
        return True

    async def _follow(self, run_id: str) -> None:
        assert self._runtime is not None
        watch = await self._runtime.watch_run(run_id)
        try:
            while await watch.next_batch() is not None:
                pass
        finally:
            await watch.aclose()

    def _count_new_runs(self) -> int:
        """Runs that came into being since the last count."""
        assert self._disk.owner is not None
        count = len(self._disk.owner._runs)
        new, self._run_count = count - self._run_count, count
        return new

    async def _runtime_for(self, case: Case, seen: Seen) -> Runtime:
        """The gateway, or a new one after its death, on what the former ones have committed."""
        if self._runtime is not None:
            self._server.serve(case, seen)
            return self._runtime
        self._server = _Server()
        self._server.serve(case, seen)
        self._builtins = BuiltinServer()
        self._runtime = Runtime(
            store=self._disk.store(),
            router=_Routes(self._server, self._builtins),
            codec=ProtobufSegmentCodec(),
            clock=_Clock(self._loop),
            limits=LIMITS,
            naming=CallNaming("0123456789abcdef", f"{next(self._incarnations):06x}"),
            on_fatal=self._failures.append,
        )
        self._server.sink = self._runtime.dispatcher
        connect_builtins(self._builtins, self._runtime)
        await self._runtime.open()
        return self._runtime

    async def _kill(self) -> None:
        """kill -9, as far as the disk can tell."""
        runtime, self._runtime = self._runtime, None
        if runtime is None:
            return
        self._server.is_dead = True
        assert isinstance(runtime.store, SimStore)
        runtime.store.die()
        runtime.dispatcher.close()
        self._builtins.close()
        tasks = list(runtime._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def exact_in_order(value: Json) -> bytes:
    """JSON as a client would send it: the order of keys means something in a flow."""
    return json.dumps(value, ensure_ascii=False).encode()


def _drop(*_: object) -> Any:
    raise structlog.DropEvent


def inputs_of(calls: Sequence[Call]) -> set[str]:
    """The distinct inputs of a step's attempts."""
    return {exact(read(call.input)) for call in calls}
