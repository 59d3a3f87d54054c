"""Component servers that answer, fail, hang, crash, wait for sub-runs and repeat themselves, as the seed will have it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flowspan.errors import FlowErrorCode, FlowspanError
from runtime_core.api import SubmitRun
from runtime_core.calls import CallFailure, CallResult, ComponentCall

if TYPE_CHECKING:
    from tests.sim.world import Gateway, World

GONE = CallFailure(FlowErrorCode.UNREACHABLE, "the process ended")


class SimServer:
    """One process with slots. Checks that the engine keeps to them."""

    keeps_timeouts = False

    def __init__(self, world: World, gateway: Gateway, name: str, capacity: int) -> None:
        self.world = world
        self.gateway = gateway
        self.name = name
        self.capacity = capacity
        self.broken: CallFailure | None = None
        self.is_up = True
        self.open: dict[int, ComponentCall] = {}
        self.parked: set[int] = set()
        self.alone: set[int] = set()
        self.waiting: dict[int, int] = {}
        self.excused: set[int] = set()
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self._answers: list[CallResult] = []
        self._unsent: list[ComponentCall] = []

    @property
    def waiting_for(self) -> str | None:
        return None if self.is_up else f"plugin {self.name} restarts"

    def journals(self, component: str) -> bool:
        return True

    def free_slots(self) -> int:
        if not self.is_up or self.broken is not None or self.alone & (self.open.keys() - self.parked):
            return 0
        return max(0, self.capacity - len(self.open) + len(self.parked))

    def start(self, calls: Sequence[ComponentCall]) -> None:
        assert len(calls) <= self.free_slots(), f"{len(calls)} calls for {self.free_slots()} slots of {self.name}"
        rng = self.world.rng
        if self.world.has_faults and rng.random() < 0.02:
            self._unsent += calls
            asyncio.get_running_loop().call_soon(self.crash)
            self.is_up = False
            return
        for call in calls:
            self.open[call.number] = call
        for call in calls:
            items = {
                one.item_index
                for server in self.gateway.servers
                for one in server.open.values()
                if one.template.run_id == call.template.run_id
            }
            self.world.oracle.on_start(call, len(items))
            self.tasks[call.number] = asyncio.get_running_loop().create_task(self._execute(call))
        self.check()

    def check(self) -> None:
        """Capacity: what runs and does not wait; who went on after a failed wait is excused."""
        running = [number for number in self.open if not self.waiting.get(number) and number not in self.excused]
        assert len(running) <= self.capacity, f"{len(running)} executions run in {self.capacity} slots of {self.name}"

    def instant(self, component: str) -> None:
        return None

    def can_start_alone(self) -> bool:
        return self.is_up and self.broken is None and len(self.open) == len(self.parked)

    def start_alone(self, calls: Sequence[ComponentCall]) -> None:
        assert self.can_start_alone()
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
        rng = self.world.rng
        unconfirmed = 0
        for call in calls:
            fate = rng.random()
            if fate < 0.4:
                self.answer(call, CallFailure(FlowErrorCode.CANCELLED, "cancelled"))
            elif fate < 0.7:
                unconfirmed += 1
                asyncio.get_running_loop().call_later(rng.random() * 2, self.answer, call, b'"late"')
            else:
                unconfirmed += 1
        await asyncio.sleep(rng.choice((0.0, 0.01, 1.0)))
        return unconfirmed

    def answer(self, call: ComponentCall, answer: bytes | CallFailure) -> None:
        if self.gateway.is_dead:
            return
        if not self._answers:
            asyncio.get_running_loop().call_soon(self._flush)
        self._answers.append((call, answer))

    def _flush(self) -> None:
        answers, self._answers = self._answers, []
        if self.gateway.is_dead:
            return
        for call, _ in answers:
            self._forget(call)
        self.gateway.runtime.dispatcher.on_results(answers)
        self.gateway.check_slots()
        if self.world.has_faults and self.world.rng.random() < 0.05:  # a peer that says everything twice
            self.gateway.runtime.dispatcher.on_results(answers)

    def _forget(self, call: ComponentCall) -> None:
        self.open.pop(call.number, None)
        self.parked.discard(call.number)
        self.alone.discard(call.number)
        self.waiting.pop(call.number, None)
        self.excused.discard(call.number)
        task = self.tasks.pop(call.number, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def crash(self) -> None:
        """The process dies; another one is there after a while."""
        if self.gateway.is_dead:
            return
        calls = list(self.open.values())
        unsent, self._unsent = self._unsent, []
        self._answers.clear()
        for call in calls:
            self._forget(call)
        self.is_up = False
        self.gateway.runtime.dispatcher.on_crash(self, calls, unsent, GONE)
        asyncio.get_running_loop().call_later(self.world.rng.choice((0.0, 0.1, 3.0)), self._come_back)

    def _come_back(self) -> None:
        self.is_up = True
        if not self.gateway.is_dead:
            self.gateway.runtime.dispatcher.on_slots(self)

    def set_broken(self, is_broken: bool) -> None:
        self.broken = CallFailure(FlowErrorCode.RESOURCE_UNAVAILABLE, "it does not start") if is_broken else None
        self.gateway.runtime.dispatcher.on_slots(self)

    # --- what components do

    async def _execute(self, call: ComponentCall) -> None:
        world = self.world
        try:
            await self._run(call)
        except world.Disconnected:
            return

    async def _run(self, call: ComponentCall) -> None:
        world = self.world
        rng = world.rng
        if b"poison" in call.input:
            await asyncio.sleep(rng.choice((0.0, 0.01)))
            self.crash()
            return
        await asyncio.sleep(rng.choice((0.0, 0.0, 0.001, 0.05, 0.5, 2.0)))
        roll = rng.random()
        if b"nest" in call.input and call.template.depth < 4:
            await self._nest(call)
        elif world.has_faults and roll < 0.03:
            await asyncio.sleep(1_000_000)  # never answers
        elif world.has_faults and roll < 0.05:
            self.crash()
            return
        elif b"fail" in call.input and roll < 0.6:
            code = rng.choice((FlowErrorCode.COMPONENT_FAILED, FlowErrorCode.UNREACHABLE, FlowErrorCode.INVALID_INPUT))
            self.answer(call, CallFailure(code, "it failed"))
            return
        self.answer(call, b'{"large":"%s"}' % (b"x" * 3_600_000) if b"large" in call.input else call.input)

    async def _nest(self, call: ComponentCall) -> None:
        """Submit sub-runs and wait for them: one after another or at once."""
        world = self.world
        rng = world.rng
        waits = 2 if b"both" in call.input else 1
        try:
            if waits == 1:
                await self._sub_run(call, b"first")
            else:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._sub_run(call, b"first"))
                    group.create_task(self._sub_run(call, b"second"))
        except (FlowspanError, TimeoutError, ExceptionGroup):
            self.excused.add(call.number)  # refused or ended by an error: it goes on without its slot
        await asyncio.sleep(rng.choice((0.0, 0.01)))

    async def _sub_run(self, call: ComponentCall, tag: bytes) -> None:
        gateway, world = self.gateway, self.world
        rng = world.rng
        runtime = gateway.runtime
        token = runtime.naming.task_token(call.number)
        inner = world.nested_input(call.input, tag)
        status = await gateway.call(
            runtime.submit_run(
                SubmitRun(
                    world.flow_for(inner),
                    [inner, b'"plain"'],
                    max_concurrency=1,
                    task_token=token,
                    detached=b"detached" in call.input,
                )
            )
        )
        world.learn(status.description.run_id, detached=b"detached" in call.input)
        if b"leave" in call.input:
            return
        async with asyncio.timeout(rng.choice((None, None, None, 1.0))):
            self.waiting[call.number] = self.waiting.get(call.number, 0) + 1
            watch = None
            try:
                watch = await gateway.call(runtime.watch_run(status.description.run_id, task_token=token))
                while await gateway.call(watch.next_batch()) is not None:
                    pass
                await gateway.call(watch.wait_for_slot())
            except BaseException:
                if call.number in self.open:
                    self.excused.add(call.number)
                raise
            finally:
                if call.number in self.open:
                    self.waiting[call.number] -= 1
                    self.check()
                if watch is not None:
                    await watch.aclose()
