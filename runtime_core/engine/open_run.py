"""One run that is not finished: its machine, its items on their way, and what others have seen of it.

All methods are synchronous and leave the run whole. Nothing is done to the outside: what is to be written, started or
repeated is collected in a `CommitNote`, which travels with the log row and takes effect after its commit.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from flowspan.errors import BUDGET_OF, ERROR_TABLE, Budget, FlowErrorCode, Reason
from flowspan.view.events import AttemptCause, AttemptEnded, Outcome
from flowspan.view.status import ItemCounts, RunDescription
from runtime_core.calls import CallFailure, ComponentCall
from runtime_core.engine.inputs import InputWindow
from runtime_core.engine.settings import RunSettings
from runtime_core.engine.step_site import InstantSteps, StepSite
from runtime_core.flow.execution import ItemExecution, ReadyCall
from runtime_core.flow.plan import FlowPlan
from runtime_core.flow.retry import decide
from runtime_core.flow.variables import RunVariables
from runtime_core.limits import INLINE_RESULT_BYTES, SEGMENT_BYTES, TAIL_BYTES, TAIL_LARGE_BYTES, TAIL_LARGE_ROWS, Limits
from runtime_core.model.item_index import seal_index
from runtime_core.model.machine import RunMachine, Tally, counts_of
from runtime_core.ports import Append, LogRow, RunEnd, SegmentCodec

if TYPE_CHECKING:
    from runtime_core.engine.audience import Audience
    from runtime_core.engine.lane import Lane, RunLane

log = structlog.get_logger(__name__)

CANCELLED_PAYLOAD: Final = CallFailure(FlowErrorCode.CANCELLED, "the run was cancelled").payload()
"""Result of an item that had started when its run was cancelled."""


ItemStep = tuple[int, int]
"""(item, step): names a call of a run over its attempts."""

INLINE_LIMIT: Final = 1 << 20
"""Results up to here need no second look: every limit below lies above it."""


def _too_large(actual: int, limit: int) -> bytes:
    """The error of an item whose result exceeds the limit."""
    message = f"the result has {actual} bytes; at most {limit} are allowed: put large values into blobs"
    data = msgspec.json.encode({"reason": Reason.LIMIT_EXCEEDED.value, "limit": "resultBytes", "max": limit, "actual": actual})
    return CallFailure(ERROR_TABLE[Reason.LIMIT_EXCEEDED].flow, message, data).payload()


def _our_fault(error: Exception) -> bytes:
    """The error of an item at which the gateway itself failed: that is no reason to stop the others."""
    log.error("item_failed_in_gateway", exc_info=error)
    message = f"the gateway failed at this item ({type(error).__name__}); its log says more"
    return CallFailure(FlowErrorCode.ORCHESTRATOR_ERROR, message).payload()


class Retry(msgspec.Struct, frozen=True, gc=False):
    """A call that is to be repeated `delay_s` after its AttemptEnded is durable. `alone`: as a suspect of a crash."""

    delay_s: float
    call: ComponentCall
    alone: bool = False


class CommitNote:
    """What takes effect when a row is durable.

    Attributes:
        tally: where the run then stands, for others to see; None on all but the last row of a flush.
        granted: calls of items that start, with the lane at which each has a slot reserved.
        queued: calls without a reserved slot.
        retries: calls to repeat.
    """

    __slots__ = ("granted", "queued", "retries", "row", "run", "tally")

    def __init__(self, run: OpenRun, row: LogRow) -> None:
        self.run = run
        self.row = row
        self.tally: Tally | None = None
        self.granted: list[tuple[Lane, list[ComponentCall]]] = []
        self.queued: list[ComponentCall] = []
        self.retries: list[Retry] = []


class OpenRun:
    """A run in memory.

    Args:
        numbers: where call numbers come from.

    Attributes:
        journals_steps: the end of each step is an event: items have several, and not all run inside the gateway. A success
            that ends its item is not.
        items: those that have started and not ended, with their states; None for a plain one (`FlowPlan.is_plain`), whose state
            is made when it is needed.
        parent: the nearest open run above it that a cancel reaches it from, or None. `children`: the other way round, with
            the step whose execution submitted each, as far as that is known since the gateway began.
        abandoned: items that have ended while steps were under way, and these steps; the dispatcher takes them from here.
        storing: items whose result is on its way into a blob: decided, but not ended yet.
        has_left: it wants no slots any more.
        audience: who follows it, or None. `waiters`: who waits for a commit without following it.
        lost: another gateway owns it.
    """

    __slots__ = (
        "_codec",
        "_crashes",
        "_ended_attempts",
        "_failures",
        "_granted",
        "_limits",
        "_lingering",
        "_queued",
        "_redactor",
        "_retries",
        "_tail_bytes",
        "abandoned",
        "audience",
        "children",
        "committed",
        "committed_seq",
        "description",
        "entry",
        "epoch",
        "has_left",
        "inputs",
        "instants",
        "items",
        "journals_steps",
        "lanes",
        "large_results",
        "lost",
        "machine",
        "namespace",
        "numbers",
        "parent",
        "plan",
        "run_key",
        "settings",
        "sites",
        "storing",
        "tail",
        "variables",
        "waiters",
    )

    def __init__(
        self,
        *,
        namespace: str,
        description: RunDescription,
        settings: RunSettings,
        plan: FlowPlan,
        variables: RunVariables,
        machine: RunMachine,
        inputs: InputWindow,
        numbers: Iterable[int],
        codec: SegmentCodec,
        limits: Limits,
    ) -> None:
        self.namespace = namespace
        self.description = description
        self.settings = settings
        self.plan = plan
        self.variables = variables
        self._redactor = variables.redactor
        self.machine = machine
        self.inputs = inputs
        self.numbers = iter(numbers)
        self.run_key = 0
        self.epoch = 0
        self.items: dict[int, ItemExecution | None] = {}
        self.sites: list[StepSite] = []
        self.instants = InstantSteps()
        self.lanes: dict[Lane, RunLane] = {}
        self.entry: RunLane | None = None
        self.parent: OpenRun | None = None
        self.children: dict[OpenRun, ItemStep | None] = {}
        self.committed = machine.tally()
        self.committed_seq = 0
        self.tail: deque[LogRow] = deque()
        self.waiters: list[asyncio.Future[None]] = []
        self.audience: Audience | None = None
        self.has_left = False
        self.lost = False
        self.journals_steps = False
        self.abandoned: dict[int, list[int]] = {}
        self.storing: set[int] = set()
        self.large_results: list[tuple[int, Outcome, bytes]] = []
        self._tail_bytes = 0
        self._codec = codec
        self._limits = limits
        self._lingering: dict[int, int] = {}
        self._ended_attempts: dict[ItemStep, int] = {}
        self._failures: dict[ItemStep, list[int]] = {}
        self._crashes: dict[ItemStep, int] = {}
        self._granted: list[tuple[Lane, list[ComponentCall]]] = []
        self._queued: list[ComponentCall] = []
        self._retries: list[Retry] = []

    # --- facts

    @property
    def run_id(self) -> str:
        return self.description.run_id

    @property
    def is_cancelling(self) -> bool:
        return self.machine.cancel_reason is not None

    def startable(self) -> int:
        """Items that may start now: within the limit, with their inputs at hand. An item that has ended keeps its place while
        a component still runs for it."""
        machine = self.machine
        count = machine.startable
        if self._lingering:
            lingering = len(self._lingering.keys() - self.storing)
            count = max(0, min(count, machine.max_concurrency - machine.running - lingering))
        return self.inputs.loaded(machine.started, count) if count else 0

    def counts(self) -> ItemCounts:
        """Items by state, as durable fact."""
        return counts_of(self.committed, self.machine.total, self.machine.max_concurrency)

    # --- items

    def start_items(self, count: int) -> list[ComponentCall]:
        """Start the next items; return their first calls, which may go out once the claim is durable."""
        machine, plan, items, bound = self.machine, self.plan, self.items, self.variables.bound
        inputs = self.inputs.take(machine.started, count)
        started = machine.start_items(count)
        site = self.sites[0] if len(self.sites) == 1 else None
        if site is not None and site.is_plain:
            items.update(dict.fromkeys(started))
            template = site.template
            # The numbers come last: the end of the others is seen before one is taken.
            return [ComponentCall(number, template, item_index, 1, item_input, site)
                    for item_index, item_input, number in zip(started, inputs, self.numbers, strict=False)]  # fmt: skip
        calls: list[ComponentCall] = []
        for item_index, item_input in zip(started, inputs, strict=True):
            execution = items[item_index] = ItemExecution(plan, item_input, bound)
            try:
                first = self._calls_for(item_index, execution, execution.start())
            except Exception as error:
                self._end_item(item_index, Outcome.FAILED, _our_fault(error))
                continue
            end = execution.result
            if end is not None:
                self._end_item(item_index, end.outcome, end.payload)
            else:
                calls += first
        return calls

    def grant(self, lane: Lane, calls: list[ComponentCall]) -> None:
        """These go out when the next row is durable; their slots are reserved at `lane`."""
        self._granted.append((lane, calls))

    def enqueue(self, calls: list[ComponentCall]) -> None:
        """These join their lanes when the next row is durable."""
        self._queued += calls

    def on_plain_outputs(self, answers: list[tuple[ComponentCall, bytes]]) -> None:
        """A component answered for plain items. An output is its item's result, whichever attempt it comes from."""
        items = self.items
        is_usual = self.machine.cancel_reason is None
        ended: list[tuple[int, bytes]] = []
        for call, output in answers:
            is_usual = is_usual and call.item_index in items and len(output) <= INLINE_LIMIT
            ended.append((call.item_index, output))
        if not is_usual:
            for call, output in answers:
                self.on_output(call, call.owner, output)
            return
        for item_index, _ in ended:
            items.pop(item_index, None)
        self.machine.complete_items(ended)

    def on_output(self, call: ComponentCall, site: StepSite, payload: bytes, outcome: Outcome = Outcome.SUCCESS) -> None:
        """A component answered, or says that its step is skipped."""
        item_index = call.item_index
        if item_index not in self.items:
            self.let_go(call)  # the item has ended without this step
            return
        if self.machine.cancel_reason is not None:
            self._end_item(item_index, Outcome.CANCELLED, CANCELLED_PAYLOAD)
            return
        self._complete_step(call, site, outcome, payload)

    def on_failure(self, call: ComponentCall, site: StepSite, failure: CallFailure) -> None:
        """An attempt failed: it is repeated if its budget allows, else the step has failed."""
        item_index = call.item_index
        if item_index not in self.items:
            self.let_go(call)
            return
        if self.machine.cancel_reason is not None:
            self._end_item(item_index, Outcome.CANCELLED, CANCELLED_PAYLOAD)
            return
        step_index = site.step.index
        budget = Budget.NONE if failure.is_final else BUDGET_OF[failure.code]
        if budget is not Budget.NONE:
            key = (item_index, step_index)
            failures = self._failures.setdefault(key, [0, 0])
            failures[budget is Budget.TRANSPORT] += 1
            delay_s = decide(site.policy, failure.code, failures[0], failures[1], random.random(), failure.retry_after_s)
            if delay_s is not None:
                cause = AttemptCause.TRANSPORT_FAILED if budget is Budget.TRANSPORT else AttemptCause.COMPONENT_FAILED
                self._repeat(call, site, cause, failure, charged=True, delay_s=delay_s, alone=False)
                return
        self._complete_step(call, site, Outcome.FAILED, failure.payload())

    def on_crash(
        self, call: ComponentCall, site: StepSite, failure: CallFailure, *, alone: bool = False, is_guilty: bool = False
    ) -> bool:
        """The process died with this call in flight. True if it is to be tried again (`alone`: as a suspect)."""
        item_index = call.item_index
        if item_index not in self.items:
            self.let_go(call)
            return False
        if self.machine.cancel_reason is not None:
            self._end_item(item_index, Outcome.CANCELLED, CANCELLED_PAYLOAD)
            return False
        if is_guilty:
            key = (item_index, site.step.index)
            crashes = self._crashes[key] = self._crashes.get(key, 0) + 1
            if crashes >= self._limits.attributable_crashes:
                self._complete_step(call, site, Outcome.FAILED, failure.payload())
                return False
        self._repeat(call, site, AttemptCause.SERVER_CRASHED, failure, charged=is_guilty, delay_s=0.0, alone=alone)
        return True

    def linger(self, call: ComponentCall) -> None:
        """The item has ended, and this call of it is still with a component server."""
        call.is_abandoned = True
        self._lingering[call.item_index] = self._lingering.get(call.item_index, 0) + 1

    def let_go(self, call: ComponentCall) -> None:
        """A call is over, whose item had ended before."""
        left = self._lingering.get(call.item_index, 0)
        if left > 1:
            self._lingering[call.item_index] = left - 1
        elif left:
            del self._lingering[call.item_index]

    def request_cancel(self, reason: str) -> bool:
        """Nothing new starts from now on. `reason` is told to all who may see the run. False: it was cancelled before."""
        return self.machine.request_cancel(reason if self._redactor is None else self._redactor.text(reason))

    def cancel_items(self, item_indexes: Iterable[int]) -> None:
        """These had started, and end cancelled now."""
        for item_index in item_indexes:
            if item_index in self.items:
                self._end_item(item_index, Outcome.CANCELLED, CANCELLED_PAYLOAD)
            elif item_index in self.storing:
                self.storing.remove(item_index)
                self.machine.complete_item(item_index, Outcome.CANCELLED, CANCELLED_PAYLOAD)

    def restart_item(self, item_index: int, execution: ItemExecution, in_flight: Iterable[ReadyCall]) -> None:
        """An item that was under way when the gateway died: what was in flight goes out again."""
        self.items[item_index] = execution
        if execution.result is not None:  # the flow's expressions alone end it
            self._end_item(item_index, execution.result.outcome, execution.result.payload)
            return
        for ready in in_flight:
            site = self.sites[ready.step.index]
            chosen = site if site.choice is None else site.choice.site(ready.input)
            self._queued.append(self._new_call(item_index, execution, ready, chosen))

    def count_ended_attempt(self, event: AttemptEnded) -> None:
        """Recovery: an attempt that the log says has ended."""
        key = (event.item_index, event.step_index)
        self._ended_attempts[key] = self._ended_attempts.get(key, 0) + 1
        if event.charged:
            if event.cause is AttemptCause.SERVER_CRASHED:
                self._crashes[key] = self._crashes.get(key, 0) + 1
            else:
                self._failures.setdefault(key, [0, 0])[event.cause is AttemptCause.TRANSPORT_FAILED] += 1

    def component_retries(self, call: ComponentCall) -> int:
        """How many component retries came before this attempt (part of a sub-run's key)."""
        failures = self._failures.get((call.item_index, call.template.step_index))
        return failures[0] if failures else 0

    def end_with_blob(self, item_index: int, outcome: Outcome, blob_id: str) -> None:
        """The item's result is in a blob that is durable."""
        if item_index not in self.storing:
            return
        self.storing.remove(item_index)
        if self.is_cancelling:
            self.machine.complete_item(item_index, Outcome.CANCELLED, CANCELLED_PAYLOAD)
        else:
            self.machine.complete_item(item_index, outcome, blob_id.encode(), is_blob=True)

    # --- the log

    def flush(self, now_us: int) -> list[Append]:
        """Rows for what has happened since the last flush; empty if nothing has."""
        machine = self.machine
        machine.finish(now_us)
        numbered = machine.take_events()
        if numbered is None:
            return []
        appends: list[Append] = []
        first_seq, events = numbered
        start = size = 0
        for position, event in enumerate(events):
            payload = getattr(event, "payload", b"")
            if size and size + len(payload) > SEGMENT_BYTES:
                appends.append(self._row(first_seq + start, now_us, events[start:position]))
                start, size = position, 0
            size += len(payload) + 16
        appends.append(self._row(first_seq + start, now_us, events[start:] if start else events, is_last=True))
        return appends

    def _row(self, first_seq: int, now_us: int, events: object, *, is_last: bool = False) -> Append:
        data = self._codec.encode(first_seq, now_us, events)  # type: ignore[arg-type]
        row = LogRow(first_seq, first_seq + len(events) - 1, data)  # type: ignore[arg-type]
        note = CommitNote(self, row)
        end: RunEnd | None = None
        if is_last:
            tally = note.tally = self.machine.tally()
            note.granted, self._granted = self._granted, []
            note.queued, self._queued = self._queued, []
            note.retries, self._retries = self._retries, []
            if tally.status.is_terminal and tally.completed_at_us is not None:
                counts = counts_of(tally, self.machine.total, self.machine.max_concurrency)
                end = RunEnd(tally.status, tally.completed_at_us, counts, seal_index(self.machine.index()), tally.cancel_reason)
        return Append(self.run_key, self.epoch, row.first_seq, row.last_seq, data, end, note)

    def on_durable(self, note: CommitNote) -> None:
        """A row is on disk: others may see it."""
        row = note.row
        self.tail.append(row)
        self._tail_bytes += len(row.data)
        if self._tail_bytes > TAIL_BYTES:
            self._shorten_tail(TAIL_LARGE_ROWS, TAIL_LARGE_BYTES)
        self.committed_seq = row.last_seq
        if note.tally is not None:
            self.committed = note.tally
        self.wake()

    def forget_large_rows(self) -> None:
        """The run has ended: watchers that are behind read from the store. Nobody knows when the last of them lets go of this."""
        self._shorten_tail(1, TAIL_BYTES)

    def _shorten_tail(self, rows: int, size: int) -> None:
        tail = self.tail
        while self._tail_bytes > TAIL_BYTES and (len(tail) > rows or (self._tail_bytes > size and len(tail) > 1)):
            self._tail_bytes -= len(tail.popleft().data)

    def wake(self) -> None:
        """Let those who wait for its log look again."""
        if self.audience is not None:
            self.audience.on_durable(self.committed_seq, at_once=self.lost or self.committed.status.is_terminal)
        waiters = self.waiters
        if waiters:
            self.waiters = []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    # --- inside

    def _complete_step(self, call: ComponentCall, site: StepSite, outcome: Outcome, payload: bytes) -> None:
        if self._redactor is not None and outcome is not Outcome.SUCCESS:
            payload = self._redactor.payload(payload)
        item_index = call.item_index
        execution = self.items[item_index]
        try:
            if execution is None:  # a plain item: its one call took its input as it stood
                execution = self.items[item_index] = ItemExecution(self.plan, call.input, self.variables.bound)
                execution.start()
            ready = execution.complete(site.step.index, outcome, payload)
            if self.journals_steps and (execution.result is None or outcome is not Outcome.SUCCESS):
                # A success that ends its item is told by the item; of anything else nobody could tell whose it was.
                self.machine.complete_step(item_index, site.step.index, outcome, payload)
            calls = self._calls_for(item_index, execution, ready)
        except Exception as error:
            self._end_item(item_index, Outcome.FAILED, _our_fault(error))
            return
        end = execution.result
        if end is not None:
            self._end_item(item_index, end.outcome, end.payload)
        else:
            self._queued += calls

    def _calls_for(self, item_index: int, execution: ItemExecution, ready: list[ReadyCall]) -> list[ComponentCall]:
        """Calls for what is ready. Steps that need none are done here, and what becomes ready by them as well; the item may
        end on the way, and then the calls are not wanted any more."""
        calls: list[ComponentCall] = []
        instants, sites = self.instants, self.sites
        for one in ready:  # grows on the way
            step_index = one.step.index
            site = sites[step_index]
            if site.choice is not None:
                site = site.choice.site(one.input)
            instant = site.instant
            if instant is not None and instants.left > 0:
                instants.left -= 1
                try:
                    answer = instant(one.input)
                except Exception:
                    answer = None  # it fails again as a call, and is told there
                if type(answer) is bytes:
                    ready += execution.complete(step_index, Outcome.SUCCESS, answer)
                    if execution.result is not None:
                        break
                    if self.journals_steps:
                        self.machine.complete_step(item_index, step_index, Outcome.SUCCESS, answer)
                    continue
            calls.append(self._new_call(item_index, execution, one, site))
        return calls

    def _end_item(self, item_index: int, outcome: Outcome, payload: bytes) -> None:
        if self._redactor is not None and outcome is not Outcome.SUCCESS:
            payload = self._redactor.payload(payload)
        execution = self.items.pop(item_index)
        if execution is not None and self.plan.component_steps > 1 and not self.is_cancelling:
            running = execution.in_flight()
            if running:
                self.abandoned[item_index] = running
        if len(payload) > INLINE_LIMIT:
            if len(payload) > self._limits.result_bytes:
                outcome, payload = Outcome.FAILED, _too_large(len(payload), self._limits.result_bytes)
            elif len(payload) > INLINE_RESULT_BYTES:
                self.large_results.append((item_index, outcome, payload))
                self.storing.add(item_index)
                return
        self.machine.complete_item(item_index, outcome, payload)

    def _new_call(self, item_index: int, execution: ItemExecution, ready: ReadyCall, site: StepSite) -> ComponentCall:
        step_index = ready.step.index
        attempt = 1 + execution.attempt_base(step_index)
        if self._ended_attempts:
            attempt += self._ended_attempts.get((item_index, step_index), 0)
        return ComponentCall(next(self.numbers), site.template, item_index, attempt, ready.input, site)

    def _repeat(
        self,
        call: ComponentCall,
        site: StepSite,
        cause: AttemptCause,
        failure: CallFailure,
        *,
        charged: bool,
        delay_s: float,
        alone: bool,
    ) -> None:
        key = (call.item_index, site.step.index)
        self._ended_attempts[key] = self._ended_attempts.get(key, 0) + 1
        payload = failure.payload() if self._redactor is None else self._redactor.payload(failure.payload())
        self.machine.end_attempt(AttemptEnded(call.item_index, site.step.index, call.attempt, cause, charged, payload))
        again = ComponentCall(next(self.numbers), call.template, call.item_index, call.attempt + 1, call.input, site)
        self._retries.append(Retry(delay_s, again, alone))

    def take_unlogged(self) -> list[ComponentCall]:
        """After a flush that had nothing to write: calls that followed steps which are not journaled. They need no commit:
        what they rest on was durable before those steps ran."""
        queued, self._queued = self._queued, []
        return queued
