"""A queue as the engine sees it: the slots of all workers that serve it now.

Whoever has said hello takes calls, in proportion to what it has free. A worker that falls silent or loses its connection keeps
what it holds for `AWAY_S`; then that is repeated elsewhere. Nothing here waits, and nothing calls the engine back before it
returns.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from flowspan.errors import FlowErrorCode, FlowspanError, InvalidArgumentError, Reason
from flowspan.jsonrpc import WireError, printable
from gateway.call_failures import call_failure, too_long
from gateway.catalog import OfferedComponent, PluginHealth, PluginStatus
from gateway.workers.sharing import share_out
from gateway.workers.told_crashes import SKIP_CODE, tells_crash
from gateway.workers.worker import QueueSettings, Worker, WorkerHello, WorkerLink
from runtime_core.calls import CallFailure, CallResult, CallSkip, ComponentCall
from runtime_core.ports import EngineSink, SinkFactory

_log = structlog.get_logger("flowspan.workers")

TICK_S: Final = 1.0
"""How often silence is looked for."""
CANCEL_ACK_S: Final = 1.0
MAX_WORKERS: Final = 10_000
MAX_INPUT_BYTES: Final = 3_500_000
"""Of one execution: what fits a message that every client takes, beside its frame."""
MAX_REMEMBERED_LOSSES: Final = 65_536
"""Executions whose worker was lost once; beyond it the oldest are forgotten."""

LossKey = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker that was let in. `unwanted`: of what it holds, what nobody waits for."""

    worker: Worker
    unwanted: frozenset[int]


class WorkerQueue:
    """`runtime_core.ports.ComponentServer` and `gateway.catalog.OfferingServer` over workers.

    Args:
        session: names this life of the gateway.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: QueueSettings,
        sink: SinkFactory,
        *,
        session: str,
        clock: Callable[[], float],
    ) -> None:
        self.queue: Final = settings.queue
        self.session: Final = session
        self._name: Final = settings.name
        self._sink_factory = sink
        self.heartbeat_s: Final = settings.heartbeat_s
        self.away_s: Final = settings.away_s
        self._max_output_bytes = settings.max_output_bytes
        self._clock = clock
        self._workers: dict[str, Worker] = {}
        self._holders: dict[int, Worker] = {}
        self._waiting: list[ComponentCall] = []
        self._waiting_alone: list[ComponentCall] = []
        self._early: list[CallResult] = []
        self._early_losses: list[ComponentCall] = []
        self._losses: OrderedDict[LossKey, None] = OrderedDict()
        self._cancels: list[tuple[Worker, set[int], asyncio.Future[int]]] = []
        self._joined = asyncio.Event()
        self._idle = asyncio.Event()
        self._lost_workers = 0
        self._is_stopping = False
        self._tick_timer: asyncio.TimerHandle | None = None

    # --- its life

    def open(self) -> None:
        """Begin to look for silence; in the loop."""
        self._tick_timer = asyncio.get_running_loop().call_later(min(TICK_S, self.away_s / 4), self._tick)

    async def close(self, grace_s: float = 0.0) -> None:
        """Workers get nothing new and may answer for `grace_s`; then the streams end."""
        self._is_stopping = True
        for worker in self._workers.values():
            if worker.link is not None:
                worker.link.drain("the gateway stops")
        if grace_s and any(worker.calls for worker in self._workers.values()):
            self._idle.clear()
            try:
                async with asyncio.timeout(grace_s):
                    await self._idle.wait()
            except TimeoutError:
                pass
        for worker in self._workers.values():
            if worker.link is not None:
                worker.link.close("the gateway stops")
        if self._tick_timer is not None:
            self._tick_timer.cancel()

    # --- what the service tells

    def join(self, hello: WorkerHello, link: WorkerLink) -> Joined:
        """A worker said hello.

        Raises:
            FlowspanError: UNAVAILABLE while the gateway stops.
            InvalidArgumentError: another worker has this id.
            LimitExceededError: there are too many.
        """
        if self._is_stopping:
            raise FlowspanError("the gateway stops; connect again in a moment", reason=Reason.UNAVAILABLE)
        now_s = self._clock()
        known = self._workers.get(hello.worker_id)
        if known is not None and hello.session == self.session:
            if known.link is not None:
                known.link.close("the worker has connected again")
            unseen = [number for number in known.calls if number not in hello.held]
            known.connect(hello, link, now_s)
            never_tried = [call for number in unseen if (call := self._take(known, number)) is not None]
            if never_tried:  # they were lost with the old stream, and the worker has never had them
                self._lose_soon(never_tried)
            unwanted = frozenset(hello.held - known.calls.keys() - known.overdue)
            _log.info("worker_returned", queue=self.queue, worker=printable(known.id), held=len(known.calls))
            self._slots_soon()
            return Joined(known, unwanted)
        if known is not None and not self._is_well(known):
            # It has not seen the welcome to its hello, and nothing that came behind it.
            if known.link is not None:
                known.link.close("the worker has connected again")
            self._lose(known, "has begun anew")
        elif known is not None:
            raise InvalidArgumentError("another worker has this worker_id; choose one unlike any other's", field="workerId")
        if len(self._workers) >= MAX_WORKERS:
            raise FlowspanError(
                f"queue {self.queue!r} has {MAX_WORKERS} workers; start another queue", reason=Reason.QUOTA_EXCEEDED
            )
        worker = Worker(hello, link, now_s)
        # Else all that comes singly would go to a newcomer until it has been given as much as the others ever were.
        worker.given = min((other.given for other in self._workers.values()), default=0)
        self._workers[hello.worker_id] = worker
        self._joined.set()
        sdk = printable(hello.sdk, 100)
        _log.info("worker_joined", queue=self.queue, worker=printable(worker.id), capacity=worker.capacity, sdk=sdk)
        self._slots_soon()
        return Joined(worker, hello.held)

    def heard(self, worker: Worker) -> None:
        """A message of the worker came."""
        worker.heard_s = self._clock()

    def on_results(self, worker: Worker, outputs: Iterable[tuple[int, bytes]], failures: Iterable[tuple[int, WireError]]) -> None:
        """Executions ended. Those that the worker does not hold are late, and nobody waits for them."""
        results: list[CallResult] = []
        for number, output in outputs:
            call = self._take(worker, number)
            if call is not None:
                fits = len(output) <= self._max_output_bytes
                results.append((call, output if fits else too_long("output", self._max_output_bytes, len(output))))
        crashed: list[ComponentCall] = []
        crash: CallFailure | None = None
        for number, error in failures:
            call = self._take(worker, number)
            if call is None:
                continue
            failure = call_failure(error, "flowspan")
            if tells_crash(error):
                crash = failure
                crashed.append(call)
            elif error.code == SKIP_CODE:
                results.append((call, CallSkip(error.message or None)))
            else:
                results.append((call, failure))
        if self._cancels:
            self._settle_cancels()
        if results:
            self._sink().on_results(results)
        if crash is not None:
            self._sink().on_crash(self, crashed, (), crash)
        self._after_end(worker)

    def on_progress(self, worker: Worker, number: int, fraction: float, message: str) -> None:
        call = worker.calls.get(number)
        if call is not None and 0.0 <= fraction <= 1.0:
            self._sink().on_progress(call, fraction, printable(message, 1024))

    def on_started(self, worker: Worker, numbers: Iterable[int]) -> None:
        """The code of these runs, and the worker keeps their time-outs."""
        started = [call for number in numbers if (call := worker.calls.get(number)) is not None]
        if started:
            self._sink().on_started(started)

    def on_cancelled(self, worker: Worker, dropped: Sequence[int], running: Sequence[int]) -> None:
        """The answer to a cancel."""
        confirmed = {*dropped, *running}
        for _, numbers, _ in [entry for entry in self._cancels if entry[0] is worker]:
            numbers -= confirmed
        failure = CallFailure(FlowErrorCode.CANCELLED, "the run was cancelled before the call began")
        results: list[CallResult] = [(call, failure) for number in dropped if (call := self._take(worker, number)) is not None]
        self._settle_cancels()
        if results:
            self._sink().on_results(results)
        self._after_end(worker)

    def on_leaving(self, worker: Worker, given_back: Iterable[int]) -> None:
        """The worker takes nothing new; `given_back` were never begun."""
        worker.is_leaving = True
        calls = [call for number in given_back if (call := self._take(worker, number)) is not None]
        self._settle_cancels()
        _log.info("worker_leaves", queue=self.queue, worker=printable(worker.id), held=len(worker.calls), given_back=len(calls))
        if calls:
            failure = CallFailure(FlowErrorCode.UNREACHABLE, f"worker {printable(worker.id)} gave the call back")
            self._sink().on_crash(self, (), calls, failure)
        self._after_end(worker)

    def on_disconnected(self, worker: Worker, link: WorkerLink) -> None:
        """The stream ended. A worker that leaves has ended with it; any other may come back and go on with what it holds."""
        if worker.link is not link:
            return  # it has connected again
        unwritten = link.unwritten()
        unsent = [call for number in unwritten if (call := self._take(worker, number)) is not None]
        worker.link = None
        if unsent:
            failure = CallFailure(FlowErrorCode.UNREACHABLE, f"worker {printable(worker.id)} lost its connection")
            self._sink().on_crash(self, (), unsent, failure)
        self._settle_cancels()
        if worker.is_leaving or not worker.calls:
            self._lose(worker, "closed its connection")
        else:
            _log.warning("worker_away", queue=self.queue, worker=printable(worker.id), held=len(worker.calls))
        self._sink().on_slots(self)

    # --- ComponentServer

    @property
    def name(self) -> str:
        return self._name

    def journals(self, component: str) -> bool:
        return True

    def instant(self, component: str) -> None:
        return None

    @property
    def keeps_timeouts(self) -> bool:
        return True

    @property
    def broken(self) -> CallFailure | None:
        return None

    @property
    def waiting_for(self) -> str | None:
        if any(worker.link is not None and not worker.is_leaving for worker in self._workers.values()):
            return None
        return f"no worker serves queue {self.queue}"

    def free_slots(self) -> int:
        if self._is_stopping:
            return 0
        free = 0
        for worker in self._workers.values():
            free += worker.free
        return max(0, free - len(self._waiting))

    def start(self, calls: Sequence[ComponentCall]) -> None:
        self._assign([*self._waiting, *calls] if self._waiting else calls)

    def can_start_alone(self) -> bool:
        return not self._waiting_alone and any(self._idle_workers())

    def start_alone(self, calls: Sequence[ComponentCall]) -> None:
        component = calls[0].template.component
        able = [worker for worker in self._idle_workers() if worker.offers(component)]
        if not able:
            if any(worker.offers(component) for worker in self._workers.values()):
                self._waiting_alone = list(calls)  # nothing new starts meanwhile, so one of those will be idle
            else:
                self._refuse(component, calls)
            return
        worker = min(able, key=lambda one: one.given)
        ours = [call for call in calls if worker.offers(call.template.component)]
        self._give(worker, ours)
        worker.alone.update(call.number for call in ours if call.number in worker.calls)
        if len(ours) < len(calls):
            self._lose_soon([call for call in calls if call.number not in worker.calls])

    def park(self, call: ComponentCall) -> None:
        worker = self._worker_of(call)
        if worker is not None:
            worker.parked.add(call.number)

    def try_unpark(self, call: ComponentCall) -> bool:
        worker = self._worker_of(call)
        if worker is None or call.number not in worker.parked:
            return True
        if worker.used >= worker.capacity:
            return False
        worker.parked.discard(call.number)
        return True

    def time_out(self, calls: Sequence[ComponentCall]) -> None:
        self._forget_waiting(calls)
        for call in calls:
            worker = self._worker_of(call)
            if worker is None:
                continue
            self._take(worker, call.number)
            if worker.link is not None and not worker.link.withdraw((call.number,)):
                # It may hang there, and then it holds its slot until the worker says otherwise.
                worker.overdue.add(call.number)
                worker.link.cancel((call.number,))

    def cancel(self, calls: Sequence[ComponentCall]) -> Awaitable[int]:
        loop = asyncio.get_running_loop()
        unconfirmed: asyncio.Future[int] = loop.create_future()
        by_worker: dict[Worker, set[int]] = {}
        self._end_early(self._forget_waiting(calls), _NEVER_BEGAN)
        for call in calls:
            worker = self._worker_of(call)
            if worker is not None:
                by_worker.setdefault(worker, set()).add(call.number)
        for worker, numbers in by_worker.items():
            if worker.link is None:
                worker.cancelled |= numbers
                continue
            unwritten = worker.link.withdraw(numbers)
            self._end_early([held for number in unwritten if (held := self._take(worker, number)) is not None], _NEVER_BEGAN)
            numbers -= unwritten
            if numbers:
                worker.link.cancel(sorted(numbers))
        if not any(by_worker.values()):
            unconfirmed.set_result(0)
            return unconfirmed
        self._cancels += [(worker, numbers, unconfirmed) for worker, numbers in by_worker.items()]
        self._settle_cancels()
        if not unconfirmed.done():
            timer = loop.call_later(CANCEL_ACK_S, self._give_up_cancel, unconfirmed)
            unconfirmed.add_done_callback(lambda _: timer.cancel())
        return unconfirmed

    # --- OfferingServer

    @property
    def offered(self) -> Mapping[str, OfferedComponent]:
        """What any of the workers offers."""
        found: dict[str, OfferedComponent] = {}
        for worker in self._workers.values():
            if worker.link is not None:
                found.update(worker.components)
        return found

    async def wait_ready(self, timeout_s: float) -> bool:
        """Until a worker is there. A queue without one is no fault: workers come and go."""
        if not self._workers and not self._is_stopping:
            self._joined.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._joined.wait()
            except TimeoutError:
                return False
        return True

    @property
    def statistics(self) -> dict[str, int]:
        """Counts of now, and of lost workers since the start."""
        workers = self._workers.values()
        return {
            "processes": sum(worker.link is not None for worker in workers),
            "in_flight": len(self._holders) + len(self._waiting) + len(self._waiting_alone),
            "parked": sum(len(worker.parked) for worker in workers),
            "restarts": self._lost_workers,
            "queued_bytes": 0,
        }

    def status(self) -> PluginStatus:
        there = [worker for worker in self._workers.values() if worker.link is not None]
        health = PluginHealth.UP if there else PluginHealth.STARTING
        return PluginStatus(
            self._name,
            "worker",
            health,
            self.waiting_for or ("1 worker" if len(there) == 1 else f"{len(there)} workers"),
            self._lost_workers,
            sum(worker.capacity for worker in there),
            len(self._holders) + len(self._waiting) + len(self._waiting_alone),
        )

    # --- inside

    def _assign(self, calls: Sequence[ComponentCall]) -> None:
        """Spread calls over the workers that offer their components. What busy ones offer waits; what nobody offers fails."""
        self._waiting = []
        by_component: dict[str, list[ComponentCall]] = {}
        for call in calls:
            by_component.setdefault(call.template.component, []).append(call)
        workers = list(self._workers.values())
        for component, group in by_component.items():
            able = [worker for worker in workers if worker.offers(component)]
            if not able:
                self._refuse(component, group)
                continue
            position = 0
            for worker, share in share_out(able, len(group)):
                self._give(worker, group[position : position + share])
                position += share
            self._waiting += group[position:]

    def _refuse(self, component: str, calls: Sequence[ComponentCall]) -> None:
        if not any(worker.link is not None for worker in self._workers.values()):
            self._lose_soon(list(calls))  # the last worker left in this moment: they wait for another one
            return
        message = f"no worker of queue {self.queue!r} offers component {printable(component)!r}"
        self._end_early(calls, CallFailure(FlowErrorCode.COMPONENT_NOT_FOUND, message))

    def _give(self, worker: Worker, calls: Sequence[ComponentCall]) -> None:
        assert worker.link is not None
        if any(len(call.input) > MAX_INPUT_BYTES for call in calls):
            for call in calls:
                if len(call.input) > MAX_INPUT_BYTES:
                    self._end_early([call], too_long("input", MAX_INPUT_BYTES, len(call.input)))
            calls = [call for call in calls if len(call.input) <= MAX_INPUT_BYTES]
        worker.calls.update([(call.number, call) for call in calls])
        self._holders.update([(call.number, worker) for call in calls])
        worker.given += len(calls)
        worker.link.execute(calls)

    def _take(self, worker: Worker, number: int) -> ComponentCall | None:
        call = worker.take(number)
        if call is not None:
            self._holders.pop(number, None)
        return call

    def _forget_waiting(self, calls: Sequence[ComponentCall]) -> list[ComponentCall]:
        """Of these, the ones that no worker has; they wait no more."""
        if not self._waiting and not self._waiting_alone:
            return []
        gone = {id(call) for call in calls}
        found = [call for call in (*self._waiting, *self._waiting_alone) if id(call) in gone]
        self._waiting = [call for call in self._waiting if id(call) not in gone]
        self._waiting_alone = [call for call in self._waiting_alone if id(call) not in gone]
        return found

    def _idle_workers(self) -> list[Worker]:
        if self._is_stopping:
            return []
        return [worker for worker in self._workers.values() if worker.free and not worker.used]

    def _is_well(self, worker: Worker) -> bool:
        return worker.link is not None and self._clock() - worker.heard_s <= self.heartbeat_s

    def _worker_of(self, call: ComponentCall) -> Worker | None:
        return self._holders.get(call.number)

    def _after_end(self, worker: Worker) -> None:
        """Executions of it have ended, or are not its any more."""
        if self._waiting or self._waiting_alone:
            self._slots_soon()
        if worker.is_leaving and not worker.calls and worker.link is not None:
            worker.link.close("nothing is left to do")
        if self._is_stopping and not any(other.calls for other in self._workers.values()):
            self._idle.set()

    def _tick(self) -> None:
        now_s = self._clock()
        for worker in list(self._workers.values()):
            if now_s - worker.heard_s > self.away_s:
                if worker.link is not None:
                    worker.link.close("nothing was heard of the worker")
                self._lose(worker, f"was silent for {now_s - worker.heard_s:.0f} s")
        self._tick_timer = asyncio.get_running_loop().call_later(min(TICK_S, self.away_s / 4), self._tick)

    def _lose(self, worker: Worker, why: str) -> None:
        """The worker is gone: what it held is repeated elsewhere.

        A worker vanishes for many reasons, its network and its machine among them. Only who is there each time is suspected of
        having brought it down.
        """
        if self._workers.get(worker.id) is not worker:
            return
        del self._workers[worker.id]
        sent, unsent = worker.take_all()
        for call in (*sent, *unsent):
            self._holders.pop(call.number, None)
        worker.link = None
        self._settle_cancels()
        self._after_end(worker)
        if not sent and not unsent:
            return
        self._lost_workers += 1
        name = printable(worker.id)
        _log.warning("worker_lost", queue=self.queue, worker=name, why=why, in_flight=len(sent), unsent=len(unsent))
        failure = CallFailure(FlowErrorCode.UNREACHABLE, f"worker {name} of queue {self.queue!r} {why}")
        suspects = [call for call in sent if _key(call) in self._losses]
        others = [call for call in sent if _key(call) not in self._losses]
        for call in sent:
            self._losses[_key(call)] = None
        while len(self._losses) > MAX_REMEMBERED_LOSSES:
            self._losses.popitem(last=False)
        sink = self._sink()
        if others:
            sink.on_lost(self, others, failure)
        if suspects or unsent:
            sink.on_crash(self, suspects, unsent, failure)
        sink.on_slots(self)

    def _end_early(self, calls: Sequence[ComponentCall], failure: CallFailure) -> None:
        """Results of our own making, told soon: the engine must not be called back from within its call."""
        if calls:
            if not self._early:
                asyncio.get_running_loop().call_soon(self._tell_early)
            self._early += [(call, failure) for call in calls]

    def _tell_early(self) -> None:
        early, self._early = self._early, []
        self._sink().on_results(early)

    def _lose_soon(self, calls: list[ComponentCall]) -> None:
        """These never reached a worker."""
        if not self._early_losses:
            asyncio.get_running_loop().call_soon(self._tell_losses)
        self._early_losses += calls

    def _tell_losses(self) -> None:
        calls, self._early_losses = self._early_losses, []
        failure = CallFailure(FlowErrorCode.UNREACHABLE, f"queue {self.queue!r} has no worker that takes calls")
        self._sink().on_crash(self, (), calls, failure)

    def _slots_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._tell_slots)

    def _tell_slots(self) -> None:
        alone, self._waiting_alone = self._waiting_alone, []
        if alone:
            self.start_alone(alone)
        if self._waiting:
            self._assign(self._waiting)
        self._sink().on_slots(self)

    def _settle_cancels(self) -> None:
        """Cancels of which all is confirmed or has ended are answered."""
        if not self._cancels:
            return
        for worker, numbers, _ in self._cancels:
            numbers.intersection_update(worker.calls)
        open_futures = {future for _, numbers, future in self._cancels if numbers}
        for _, _, future in self._cancels:
            if future not in open_futures and not future.done():
                future.set_result(0)
        self._cancels = [entry for entry in self._cancels if not entry[2].done()]

    def _give_up_cancel(self, future: asyncio.Future[int]) -> None:
        if not future.done():
            future.set_result(sum(len(numbers) for _, numbers, other in self._cancels if other is future))
        self._cancels = [entry for entry in self._cancels if entry[2] is not future]

    def _sink(self) -> EngineSink:
        return self._sink_factory()


_NEVER_BEGAN: Final = CallFailure(FlowErrorCode.CANCELLED, "the run was cancelled before the call began")


def _key(call: ComponentCall) -> LossKey:
    return (call.template.run_id, call.item_index, call.template.step_index)
