"""One simulated life: gateways that come and go on one disk, played component servers, clients, and faults. One seed, one
thread, virtual time."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Coroutine
from typing import Any, Final, NoReturn, TypeVar
from unittest.mock import patch

import structlog

from flowspan.errors import ConflictError, FlowspanError, NotFoundError, PreconditionError, RecursionLimitError
from flowspan.view.events import Event
from flowspan.view.status import ResultOrder
from runtime_core.api import SubmitRun
from runtime_core.builtins.server import BuiltinServer
from runtime_core.calls import CallNaming
from runtime_core.engine import submits
from runtime_core.engine.runtime import Runtime
from runtime_core.engine.watches import RunWatcher
from runtime_core.limits import Limits
from runtime_core.model.ids import new_run_id
from runtime_core.model.json_value import blob_id_of_json
from runtime_core.ports import RunFilter
from tests.engine.house import Routes, connect_builtins
from tests.sim.disk import SimDisk, SimStore
from tests.sim.oracle import Oracle
from tests.sim.played_component import SimServer
from tests.sim.virtual_loop import NothingLeftError, VirtualLoop

T = TypeVar("T")
LIMITS: Final = Limits(call_timeout_s=20.0, cancel_grace_s=3.0, result_bytes=4 << 20)
FAULTS_S: Final = 40.0
"""Virtual seconds in which things go wrong."""
SETTLED_S: Final = 4_000.0
"""By then every run has ended, whatever retries and time-outs it goes through."""


def _step(step_id: str, component: str, given: object, **more: object) -> dict[str, object]:
    return {"id": step_id, "component": component, "input": given, **more}


INPUT: Final = {"$input": "$"}
RETRY: Final = {"action": "retry", "maxRetries": 2}
FLOWS: Final = [
    json.dumps(flow, separators=(",", ":")).encode()
    for flow in (
        {"steps": [_step("a", "/p/a", INPUT, onError=RETRY)], "output": {"$step": "a"}},
        {"steps": [_step("a", "/p/a", INPUT), _step("b", "/q/b", {"$step": "a"})], "output": {"$step": "b"}},
        {
            "steps": [_step("a", "/p/a", INPUT), _step("b", "/q/b", INPUT, onError={"action": "skip"})],
            "output": {"$coalesce": [{"$step": "a"}, {"$step": "b"}]},
        },
        {  # items that end while something still runs, is queued, retried, tried alone, or waits for sub-runs
            "steps": [_step("a", "/p/a", INPUT), _step("b", "/q/b", INPUT, onError=RETRY), _step("c", "/q/c", {"$step": "b"})],
            "output": [{"$step": "a"}, {"$step": "b"}, {"$step": "c"}],
        },
        {
            "steps": [
                _step("a", "/p/a", INPUT),
                _step("b", "/q/b", {"$literal": "nest both"}),
                _step("m", "/p/m", INPUT, mustExecute=True, onError=RETRY),
            ],
            "output": [{"$step": "a"}, {"$step": "b"}],
        },
        {
            "steps": [_step("n", "/builtin/noop", INPUT), _step("a", "/q/a", {"$step": "n"}, onError=RETRY)],
            "output": {"$step": "a"},
        },
        {"steps": [_step("a", "/nowhere/a", INPUT)], "output": {"$step": "a"}},
        {"steps": [], "output": INPUT},
        {"steps": [_step("n", "/builtin/noop", INPUT), _step("m", "/builtin/noop", {"$step": "n"})], "output": {"$step": "m"}},
    )
]
WORDS = ("plain", "plain", "plain", "fail", "nest", "nest nest", "nest both", "nest detached", "nest leave")
WORDS += ("poison", "large")


class DisconnectedError(Exception):
    """The gateway died under a call."""


class SimClock:
    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_us(self) -> int:
        return 1_700_000_000_000_000 + int(self._loop.time() * 1e6)

    def monotonic_s(self) -> float:
        return self._loop.time()


class Gateway:
    """One incarnation."""

    def __init__(self, world: World, store: SimStore) -> None:
        self.world = world
        self.store = store
        self.is_dead = False
        self.calls: set[asyncio.Task[Any]] = set()
        self.servers = [SimServer(world, self, "p", world.capacities[0]), SimServer(world, self, "q", world.capacities[1])]
        builtins = BuiltinServer()
        self.runtime = Runtime(
            store=store,
            router=Routes(p=self.servers[0], q=self.servers[1], builtin=builtins),  # type: ignore[arg-type]
            codec=world.oracle.codec,
            clock=SimClock(world.loop),
            limits=LIMITS,
            naming=CallNaming("0123456789abcdef", f"{next(world.incarnations):06x}"),
            on_fatal=world.fail,
        )
        connect_builtins(builtins, self.runtime)
        self.builtins = builtins

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """A call over a wire: it fails when the gateway dies."""
        if self.is_dead:
            work.close()
            raise DisconnectedError
        task = asyncio.ensure_future(work)
        self.calls.add(task)
        task.add_done_callback(self.calls.discard)
        try:
            return await task
        except asyncio.CancelledError:
            if self.is_dead:
                raise DisconnectedError from None
            task.cancel()
            if task.done() and not task.cancelled() and task.exception() is None and isinstance(task.result(), RunWatcher):
                await task.result().aclose()  # opened for a caller that had gone: its server ends it
            raise

    def check_slots(self) -> None:
        for server in self.servers:
            server.check()
        for lane in self.runtime.dispatcher.lanes.values():
            assert lane.reserved >= 0
            assert lane.suspects_pending >= 0

    async def kill(self) -> None:
        self.is_dead = True
        self.store.die()
        self.runtime.dispatcher.close()
        self.builtins.close()
        tasks = [*self.calls, *self.runtime._tasks, *(task for server in self.servers for task in server.tasks.values())]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def stop(self) -> None:
        """A graceful end."""
        await self.runtime.drain(2.0)
        self.is_dead = True
        self.builtins.close()
        await self.runtime.close()
        await self.kill()


class World:
    """Everything that one seed decides."""

    Disconnected = DisconnectedError

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.rng = random.Random(seed)
        self.loop = loop
        self.oracle = Oracle()
        self.disk = SimDisk(self.rng, self.oracle)
        self.capacities = (self.rng.choice((1, 2, 8)), self.rng.choice((1, 3)))
        self.incarnations = itertools.count(1)
        self.has_faults = True
        self.gateway: Gateway | None = None
        self.up = asyncio.Event()
        self.known: dict[str, bool] = {}
        self.cancelled: set[str] = set()
        self.flow_ids: list[str] = [str(blob_id_of_json(flow)) for flow in FLOWS]
        self.tasks: set[asyncio.Task[None]] = set()
        main = asyncio.current_task()
        assert main is not None
        self.main: asyncio.Task[None] = main

    def fail(self, error: BaseException) -> None:
        self.oracle.violations.append(repr(error))
        self.main.cancel()

    # --- what the played parts ask

    def learn(self, run_id: str, *, detached: bool = False) -> None:
        """Somebody was told that this run is accepted: it may never be lost."""
        assert run_id in self.oracle.runs, f"{run_id}: acknowledged before it was durable"
        if run_id not in self.known:
            self.known[run_id] = detached
            self._spawn(self._watch(run_id))

    def flow_for(self, given: bytes) -> str:
        return self.flow_ids[hash_of(given) % 4]

    def nested_input(self, given: bytes, tag: bytes) -> bytes:
        return given.replace(b"nest", tag, 1)

    # --- life

    async def live(self) -> None:
        await self._start_gateway(first=True)
        self._spawn(self._faults())
        for client in range(self.rng.choice((1, 2, 4))):
            self._spawn(self._submitter(client))
        self._spawn(self._poller())
        await asyncio.sleep(FAULTS_S)
        self.has_faults = False
        self.disk.is_full = False
        await self.up.wait()
        gateway = self.gateway
        assert gateway is not None
        await self._restart(gracefully=False)
        await self._settle()
        self._check_rest()

    async def _settle(self) -> None:
        async with asyncio.timeout(SETTLED_S):
            while self.tasks or self.oracle.open_runs():
                await asyncio.sleep(1.0)
        # A call that an item has left behind is over at its time-out, at the latest.
        await asyncio.sleep(LIMITS.call_timeout_s + LIMITS.cancel_grace_s + 1)

    def _check_rest(self) -> None:
        """Slots, reservations and everything that is kept per run have gone back to nothing."""
        gateway = self.gateway
        assert gateway is not None
        runtime = gateway.runtime
        dispatcher = runtime.dispatcher
        assert set(self.known) <= self.oracle.runs.keys()
        assert not runtime.open_runs
        left = {
            "calls": dispatcher.calls,
            "parked": dispatcher.parking._parked,
            "waits": dispatcher.parking._waits,
            "trees": runtime.runs._trees,
            "rates": runtime.runs._rates,
            "watchers": runtime.watching._watchers,
            "tree watchers": runtime.watching._tree_watchers,
            "tasks": runtime._tasks,
        }
        assert not any(left.values()), f"left over: { {name: things for name, things in left.items() if things} }"
        assert len(dispatcher.lanes) <= 3
        for lane in dispatcher.lanes.values():
            assert (lane.reserved, len(lane.resuming), lane.suspects_pending, len(lane.queue)) == (0, 0, 0, 0)
            assert lane.suspects.is_idle
            assert not lane.suspect_calls
        for server in gateway.servers:
            assert not server.open.keys() - server.excused, f"{server.name} still runs {server.open}"
        self._check_children()

    def _check_children(self) -> None:
        """Sub-runs of a run that was cancelled are cancelled, unless they had ended or are detached."""
        for run in self.oracle.runs.values():
            parent = self.oracle.runs.get(run.parent or "")
            if parent is not None and parent.cancelled and not self.known.get(run.run_id, True):
                assert run.status is not None

    async def _start_gateway(self, *, first: bool = False) -> None:
        gateway = Gateway(self, self.disk.store())
        await gateway.runtime.open()
        self.gateway = gateway
        if first:
            for flow in FLOWS:
                await gateway.runtime.put_blob(flow, blob_type="flow")
        self.up.set()

    async def _restart(self, *, gracefully: bool) -> None:
        assert self.gateway is not None
        self.up.clear()
        gateway = self.gateway
        if gracefully:
            await gateway.stop()
        else:
            await gateway.kill()
        await asyncio.sleep(self.rng.choice((0.0, 0.5)))
        await self._start_gateway()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    async def _faults(self) -> None:
        rng = self.rng
        await asyncio.sleep(rng.random() * 3)
        while self.has_faults:
            gateway = self.gateway
            assert gateway is not None
            match rng.randrange(9):
                case 0:
                    await self._restart(gracefully=rng.random() < 0.4)
                case 1 | 2:
                    rng.choice(gateway.servers).crash()
                case 3:
                    self.disk.is_full = True
                    await asyncio.sleep(rng.choice((0.1, 4.0)))
                    self.disk.is_full = False
                case 4:
                    server = rng.choice(gateway.servers)
                    server.set_broken(True)
                    await asyncio.sleep(rng.choice((0.1, 2.0)))
                    server.set_broken(False)
                case 5:
                    server = rng.choice(gateway.servers)
                    server.capacity = rng.choice((len(server.open) - len(server.parked), 4)) or 1
                    server.capacity = max(server.capacity, len(server.open) - len(server.parked))
                    gateway.runtime.dispatcher.on_slots(server)
                case 6 if rng.random() < 0.2 and self.known:
                    gateway.store.steal(rng.choice(list(self.known)))
                case _:
                    pass
            await asyncio.sleep(rng.random() * 6)

    # --- clients

    async def _attempt(self, work: Any) -> Any:
        """Call until it is answered; None if it is refused for good."""
        while True:
            await self.up.wait()
            gateway = self.gateway
            assert gateway is not None
            try:
                return await gateway.call(work(gateway.runtime))
            except (NotFoundError, ConflictError, PreconditionError, RecursionLimitError):
                return None
            except (FlowspanError, DisconnectedError):
                await asyncio.sleep(0.3)

    async def _submitter(self, client: int) -> None:
        rng = self.rng
        for number in range(rng.choice((1, 3))):
            await asyncio.sleep(rng.random() * 10)
            flow = rng.choice(self.flow_ids)
            total = rng.choice((0, 1, 3, 12))
            inputs = [b'"%s"' % rng.choice(WORDS).encode() for _ in range(total)]
            command = SubmitRun(
                flow,
                inputs,
                max_concurrency=rng.choice((1, 2, 5, None)),
                request_id=f"{client}-{number}",
                deadline_s=rng.choice((None, None, None, 5.0)),
            )
            status = await self._attempt(lambda runtime, command=command: runtime.submit_run(command))
            if status is None:
                continue
            run_id = status.description.run_id
            self.learn(run_id)
            again = await self._attempt(lambda runtime, command=command: runtime.submit_run(command))
            assert again is None or again.description.run_id == run_id, "one request made two runs"
            if rng.random() < 0.3:
                self._spawn(self._watch_tree(run_id))
            if rng.random() < 0.35:
                self._spawn(self._cancel(run_id))
            elif rng.random() < 0.3:
                self._spawn(self._retry(run_id))

    async def _cancel(self, run_id: str) -> None:
        await asyncio.sleep(self.rng.choice((0.0, 0.001, 1.0, 5.0)))
        floor = self.oracle.floor(run_id)
        answer = await self._attempt(lambda runtime: runtime.cancel_run(run_id, reason="enough"))
        if answer is not None:
            status, _ = answer
            run = self.oracle.runs[run_id]
            assert run.cancelled or run.status is not None, f"{run_id}: a cancel was answered before it was durable"
            self.oracle.on_status(status, floor)

    async def _retry(self, run_id: str) -> None:
        while self.oracle.runs[run_id].status is None:
            await asyncio.sleep(2.0)
        status = await self._attempt(lambda runtime: runtime.retry_run(run_id, request_id="r"))
        if status is not None:
            self.learn(status.description.run_id)
            assert status.description.source_run_id == run_id

    async def _poller(self) -> None:
        rng = self.rng
        while self.has_faults:
            await asyncio.sleep(rng.random() * 2)
            if not self.known:
                continue
            run_id = rng.choice(list(self.known))
            floor = self.oracle.floor(run_id)
            match rng.randrange(4):
                case 0:
                    status = await self._attempt(lambda runtime, run_id=run_id: runtime.get_run(run_id, max_bytes=1 << 24))
                    if status is not None:
                        self.oracle.on_status(status, floor)
                case 1:
                    order = rng.choice(list(ResultOrder))
                    status = await self._attempt(
                        lambda runtime, run_id=run_id, order=order: runtime.get_run(run_id, order=order, max_bytes=1 << 26)
                    )
                    if status is not None:
                        self.oracle.on_status(status, floor)
                case 2:
                    page = await self._attempt(
                        lambda runtime: runtime.list_runs(RunFilter("default"), page_size=1_000, page_token=None)
                    )
                    listed = {status.description.run_id for status in page.runs}
                    assert self.known.keys() - self.oracle.deleted <= listed | self._young(listed)
                case _:
                    await self._pages(run_id)

    def _young(self, listed: set[str]) -> set[str]:
        """Runs that were learned of while the list was read."""
        return {run_id for run_id in self.known if run_id not in listed and max(listed, default="") < run_id}

    async def _pages(self, run_id: str) -> None:
        """All results in pages by index, while the run goes on."""
        token: str | None = None
        last = -1
        while True:
            page = await self._attempt(
                lambda runtime, token=token: runtime.list_run_items(run_id, page_size=2, page_token=token, max_bytes=1 << 26)
            )
            if page is None:
                return
            for result in page.items:
                assert result.item_index > last, "pages repeat or go back"
                last = result.item_index
            token = page.next_page_token
            if token is None:
                return
            await asyncio.sleep(0.1)

    async def _watch(self, run_id: str) -> None:
        """Follow a run over all restarts with one cursor: every event once."""
        rng = self.rng
        cursor = 0
        while True:
            await self.up.wait()
            gateway = self.gateway
            assert gateway is not None
            try:
                watch = await gateway.call(gateway.runtime.watch_run(run_id, after_seq=cursor))
                try:
                    while True:
                        async with asyncio.timeout(rng.choice((None, None, 0.7)) if self.has_faults else None):
                            batch = await gateway.call(watch.next_batch())
                        if batch is None:
                            break
                        cursor = self._check_batch(run_id, cursor, batch.rows, batch.through_seq)
                        await asyncio.sleep(rng.choice((0.0, 0.0, 0.5)))
                finally:
                    await watch.aclose()
                run = self.oracle.runs[run_id]
                assert run.status is not None, f"{run_id}: a watch ends before its run"
                assert cursor == len(run.events), f"{run_id}: a watch ends at {cursor} of {len(run.events)}"
                return
            except TimeoutError:
                continue
            except NotFoundError:
                assert run_id in self.oracle.deleted, f"{run_id}: said to be gone"
                return
            except (FlowspanError, DisconnectedError):
                await asyncio.sleep(0.3)

    def _check_batch(self, run_id: str, cursor: int, rows: Any, through_seq: int) -> int:
        for row in rows:
            for segment in self.oracle.codec.decode(row):
                assert segment.first_seq <= cursor + 1, f"{run_id}: a watch misses events after {cursor}"
                self.oracle.on_seen(run_id, segment.first_seq, segment.events)
                cursor = max(cursor, segment.last_seq)
        assert cursor == through_seq
        return cursor

    async def _watch_tree(self, root_id: str) -> None:
        """Follow a run and its sub-runs. At the end nothing of what was durable when the watch ended is missing."""
        cursors: dict[str, int] = {root_id: 0}
        while True:
            await self.up.wait()
            gateway = self.gateway
            assert gateway is not None
            try:
                watch = await gateway.call(
                    gateway.runtime.watch_run(root_id, after_seq=cursors[root_id], whole_tree=True, tree_after_seq=cursors)
                )
                try:
                    while (batch := await gateway.call(watch.next_batch())) is not None:
                        run_id = batch.run_id
                        cursors[run_id] = self._check_batch(run_id, cursors.get(run_id, 0), batch.rows, batch.through_seq)
                finally:
                    await watch.aclose()
            except NotFoundError:
                return
            except (FlowspanError, DisconnectedError):
                await asyncio.sleep(0.3)
                continue
            for run in self.oracle.runs.values():
                if run.run_id == root_id or run.parent in cursors:
                    assert cursors.get(run.run_id) == len(run.events), f"{run.run_id}: missing in the watch of tree {root_id}"
            return


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


def hash_of(data: bytes) -> int:
    return sum(data)


def trace_of(seed: int) -> dict[str, list[Event]]:
    """The logs of all runs of one life."""
    return {run_id: run.events for run_id, run in live(seed).runs.items()}


def live(seed: int) -> Oracle:
    """Live one life; raises AssertionError with the seed at the first thing that must not be."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    random.seed(seed)
    entropy = random.Random(seed)
    world: World | None = None

    def run_id_of(unix_ms: int, _: bytes) -> str:
        return new_run_id(unix_ms, entropy.randbytes(10))

    async def main() -> None:
        nonlocal world
        world = World(seed, loop)
        await world.live()

    structlog.configure(processors=[_drop])
    try:
        with patch.object(submits, "new_run_id", run_id_of):
            loop.run_until_complete(main())
        assert world is not None
        assert not world.oracle.violations, world.oracle.violations[0]
        assert not loop.failures, loop.failures[0]
        return world.oracle
    except asyncio.CancelledError:
        assert world is not None
        raise AssertionError(f"seed {seed}: {world.oracle.violations[0]}") from None
    except NothingLeftError:
        raise AssertionError(f"seed {seed}: everybody waits for ever; {loop.failures[:1]}") from None
    except (AssertionError, TimeoutError) as error:
        stuck = "" if world is None else str({one: run.status for one, run in world.oracle.runs.items() if run.status is None})
        raise AssertionError(f"seed {seed}: {error or 'runs that never end'} {stuck} {loop.failures[:2]}") from error
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.set_exception_handler(lambda loop, context: None)
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        structlog.reset_defaults()
        asyncio.set_event_loop(None)
