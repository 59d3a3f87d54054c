"""Accepting runs: checks, links, identity, and the one transaction that makes a run durable."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from flowspan.errors import (
    ConflictError,
    FlowspanError,
    InvalidArgumentError,
    LimitExceededError,
    NotFoundError,
    OverloadedError,
    Reason,
    RecursionLimitError,
    StorageError,
    UnavailableError,
)
from flowspan.view.status import RunDescription, RunStatus
from runtime_core.api import SubmitRun
from runtime_core.calls import ComponentCall
from runtime_core.engine.entropy import random_bytes
from runtime_core.engine.fingerprint import canonical_fingerprint, request_fingerprint
from runtime_core.engine.flows import json_object
from runtime_core.engine.inputs import InputWindow
from runtime_core.engine.open_run import CommitNote, ItemStep, OpenRun
from runtime_core.engine.settings import RunSettings
from runtime_core.engine.trace import new_span_id, new_trace_id, parse_traceparent
from runtime_core.engine.variables import variables_of
from runtime_core.flow.plan import FlowPlan
from runtime_core.limits import DEFAULT_MAX_CONCURRENCY
from runtime_core.model.ids import new_run_id, parse_blob_id
from runtime_core.model.machine import RunMachine
from runtime_core.ports import Append, ExistingRun, InputChunk, NewRun

if TYPE_CHECKING:
    from runtime_core.engine.runtime import Runtime

CHUNK_ITEMS: Final = 2_000
"""Inputs kept in memory with a run that was just submitted, and stored per chunk."""
CHUNK_BYTES: Final = 256 << 10

ABANDONED: Final = "the item that submitted it has ended without it"
"""Why a sub-run is cancelled whose execution nobody needs any more."""

MAX_DEADLINE_S: Final = 366 * 86_400.0
"""Beyond a year a deadline is a mistake in units."""


_Lock = tuple[str, str]
"""(namespace, request key)."""

_encode: Final = msgspec.json.encode


class Parentage(NamedTuple):
    """Where a new run stands in its tree, and in its trace. `sampled`: None where nobody has decided yet."""

    root_run_id: str | None
    parent_run_id: str | None
    parent_item: int | None
    depth: int
    trace_id: str | None
    parent_span_id: str
    sampled: bool | None
    call: ComponentCall | None


class _Request:
    """A submit that was checked as far as that takes no wait.

    Attributes:
        key: its idempotency key, or None. `fingerprint`: of what is submitted.
        counts, occurrence: the how-manieth time its execution submits this; None for a request with a key of its own.
    """

    __slots__ = ("began_s", "command", "counts", "fingerprint", "flow_id", "key", "occurrence", "parentage")

    def __init__(self, command: SubmitRun, flow_id: str, parentage: Parentage, began_s: float) -> None:
        self.command = command
        self.flow_id = flow_id
        self.parentage = parentage
        self.began_s = began_s
        self.key: str | None = None
        self.fingerprint = b""
        self.counts: dict[bytes, int] | None = None
        self.occurrence = 0

    @property
    def lock(self) -> _Lock | None:
        return None if self.key is None else (self.command.namespace, self.key)

    def uncount(self) -> None:
        """What was refused does not count: when it is submitted again it is the same sub-run, here and in the next attempt."""
        if self.counts is not None and self.counts[self.fingerprint] == self.occurrence:
            self.counts[self.fingerprint] -= 1


class _Birth:
    """A run that is being written. It holds the slots of its first items."""

    __slots__ = ("ends", "new_run", "notes", "parent", "run")

    def __init__(self, run: OpenRun, parent: OpenRun | None, appends: Sequence[Append], new_run: NewRun) -> None:
        self.run = run
        self.parent = parent
        self.notes = [append.context for append in appends]
        self.ends = appends[-1].end is not None
        self.new_run = new_run


class Submissions:
    """Accepts runs for a `Runtime`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._in_progress: dict[_Lock, asyncio.Future[None]] = {}
        self._writing: set[asyncio.Future[int | ExistingRun]] = set()

    async def submit(self, command: SubmitRun) -> RunStatus:
        """See `RuntimeApi.submit_run`. A caller that goes away leaves a run that is wholly there or not at all."""
        runtime = self._runtime
        runtime.refuse_if_not_serving()
        _check(command, runtime.limits.items_per_run)
        flow_id = parse_blob_id(command.flow_id, field="flowId")
        request = _Request(command, flow_id, self._parentage(command), runtime.clock.monotonic_s())
        self._identify(request)
        plan = self._plan_at_hand(request)
        if plan is None:
            return await asyncio.shield(runtime.own(self._submit(request)))
        # Most submits wait for nothing but their commit: they need no task of their own.
        try:
            answer = self._begin(request, plan, None)
        except FlowspanError as error:
            return await asyncio.shield(runtime.own(self._refused(request, error)))
        return await answer

    def _plan_at_hand(self, request: _Request) -> FlowPlan | None:
        """The compiled flow, if nothing else is to be waited for before the run can be written."""
        command = request.command
        if command.input_blobs or command.stage_id is not None or command.source_run_id is not None:
            return None
        if request.lock in self._in_progress:
            return None
        return self._runtime.flows.plan_at_hand(command.namespace, request.flow_id, command.overrides)

    async def _submit(self, request: _Request) -> RunStatus:
        """For a submit that waits for more than its commit. Not to be cancelled in the middle."""
        runtime, command = self._runtime, request.command
        await self._wait_for_others(request)
        try:
            plan = await runtime.flows.plan(command.namespace, request.flow_id, command.overrides)
            source = None if command.source_run_id is None else await self._source_settings(command)
            await runtime.blobs.check_inputs([command.inputs[index] for index in sorted(command.input_blobs)], command.namespace)
            await self._wait_for_others(request)
            runtime.refuse_if_not_serving()
            answer = self._begin(request, plan, source)
        except FlowspanError as error:
            return await self._refused(request, error)
        return await answer

    async def _wait_for_others(self, request: _Request) -> None:
        """The same request may be on its way already."""
        while request.lock is not None and (other := self._in_progress.get(request.lock)) is not None:
            await asyncio.shield(other)

    def _begin(self, request: _Request, plan: FlowPlan, source: RunSettings | None) -> asyncio.Future[RunStatus]:
        """Have the run written. The answer comes after the commit; whoever does not wait for it any more may cancel it."""
        runtime, dispatcher, lock = self._runtime, self._runtime.dispatcher, request.lock
        birth = self._prepare(request, plan, source)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[RunStatus] = loop.create_future()
        done: asyncio.Future[None] = loop.create_future()

        def settle(stored: asyncio.Future[int | ExistingRun]) -> None:
            try:
                created = stored.result()
                if isinstance(created, ExistingRun):
                    dispatcher.withdraw(birth.run, birth.notes)
                    _pass_on(runtime.own(self._repeated(request, created)), answer)
                    return
                status = self._admit(request, birth, created)
                if not answer.done():
                    answer.set_result(status)
            except BaseException as error:
                if not birth.run.run_key:
                    dispatcher.withdraw(birth.run, birth.notes)
                if isinstance(error, FlowspanError):
                    _pass_on(runtime.own(self._refused(request, error)), answer)
                elif not answer.done():
                    answer.set_exception(error)
            finally:
                self._writing.discard(stored)
                if lock is not None:
                    del self._in_progress[lock]
                done.set_result(None)

        try:
            stored = asyncio.ensure_future(runtime.store.create_run(birth.new_run))
        except BaseException:
            dispatcher.withdraw(birth.run, birth.notes)
            raise
        if lock is not None:
            self._in_progress[lock] = done
        self._writing.add(stored)
        stored.add_done_callback(settle)
        return answer

    async def _refused(self, request: _Request, error: FlowspanError) -> RunStatus:
        """A submit has come to nothing: the answer of the first one of its key, if there was one; else the error is raised.

        Repeated requests are rare: the creating transaction finds the first one. Only one that comes to nothing is looked up,
        for what it asks for may have been refused by now and accepted then.
        """
        if error.details.get("outcome") != "unknown":
            request.uncount()
        command, key = request.command, request.key
        if not command.request_id or key is None or "outcome" in error.details:
            raise error
        existing = await self._runtime.store.find_request(command.namespace, key)
        if existing is None:
            raise error
        return await self._repeated(request, existing)

    def _prepare(self, request: _Request, plan: FlowPlan, source: RunSettings | None) -> _Birth:
        """The run and what is to be written of it. `source`: of the run that it repeats."""
        runtime, command, parentage = self._runtime, request.command, request.parentage
        given = json_object(command.variables, "variables") or {}
        parent: OpenRun | None = None if parentage.call is None else parentage.call.owner.run
        _refuse_cancelled(parentage.call, command)
        now_us = runtime.clock.now_us()
        total = command.staged_total if command.stage_id is not None else len(command.inputs)
        concurrency = self._concurrency(command)
        run_id = new_run_id(now_us // 1000, random_bytes(10))
        root_run_id = parentage.root_run_id or run_id
        runtime.runs.tree_grows(command.namespace, root_run_id)
        description = RunDescription(
            run_id=run_id,
            flow_id=request.flow_id,
            total=total,
            created_at_us=now_us,
            max_concurrency=concurrency,
            root_run_id=root_run_id,
            flow_name=plan.flow.name,
            flow_label=command.flow_label,
            parent_run_id=parentage.parent_run_id,
            source_run_id=command.source_run_id,
            metadata=command.metadata,
        )
        above = variables_of(parent) if source is None else runtime.variables.inherited(source)
        variables, settings = runtime.variables.accept(plan, given, self._settings(command, parentage, now_us), above)
        machine = RunMachine(total, concurrency)
        encoded = _encode(description)
        machine.accept(encoded)
        chunks = list(_chunks(command))
        run = runtime.runs.make_run(command.namespace, description, settings, plan, variables, machine)
        if chunks and not command.input_blobs:
            run.inputs = InputWindow(total, chunks[:1] if total > CHUNK_ITEMS else chunks, runtime.runs.input_loader(run))
        dispatcher = runtime.dispatcher
        dispatcher.attach(run)
        if command.stage_id is None:
            dispatcher.start_at_once(run)
        appends = run.flush(now_us)
        new_run = NewRun(
            namespace=command.namespace,
            run_id=run_id,
            flow_id=request.flow_id,
            flow_name=plan.flow.name,
            flow_label=command.flow_label,
            root_run_id=root_run_id,
            parent_run_id=parentage.parent_run_id,
            source_run_id=description.source_run_id,
            metadata=command.metadata,
            created_at_us=now_us,
            total=total,
            description=encoded,
            settings=_encode(settings),
            chunks=chunks,
            stage_id=command.stage_id,
            first_row=b"".join([append.row for append in appends]),
            last_seq=appends[-1].last_seq,
            end=appends[-1].end,
            request_key=request.key,
            fingerprint=request.fingerprint,
            key_expires_us=now_us + int(runtime.limits.key_life_s * 1e6),
        )
        return _Birth(run, parent, appends, new_run)

    def _admit(self, request: _Request, birth: _Birth, run_key: int) -> RunStatus:
        """The run is durable: it is known from now on, and what it has started goes out."""
        runtime, run, parent, call = self._runtime, birth.run, birth.parent, request.parentage.call
        dispatcher = runtime.dispatcher
        run.run_key = run_key
        run.epoch = runtime.epoch
        runtime.runs.admit(run, parent, _submitter(call))
        if parent is not None and not request.command.detached:
            if parent.is_cancelling:
                runtime.cancel_unborn(run, "its parent was cancelled while it was submitted")
            elif _is_abandoned(call):
                runtime.cancel_unborn(run, ABANDONED)
        if runtime.observer is not None:
            runtime.observer.on_run_accepted(run.description, runtime.clock.monotonic_s() - request.began_s)
        for note in birth.notes:
            assert isinstance(note, CommitNote)
            dispatcher.perform_first(note)
        if birth.ends:
            dispatcher.leave(run)
            runtime.on_run_ended(run)
        else:
            dispatcher.enter(run)
            dispatcher.touch(run)
        return runtime.runs.status_of(run)

    def _parentage(self, command: SubmitRun) -> Parentage:
        """Whose sub-run this is; refuses what nests too deep."""
        runtime = self._runtime
        call = runtime.dispatcher.execution(command.task_token)
        if call is None:
            trace = parse_traceparent(command.traceparent)
            depth = command.unlinked_depth + 1
            trace_id, span_id, sampled = (trace.trace_id, trace.span_id, trace.sampled) if trace else (command.trace_id, "", None)
            parentage = Parentage(None, None, None, depth, trace_id, span_id, sampled, None)
        else:
            if call.template.namespace != command.namespace:
                raise NotFoundError("no such execution", reason=Reason.NOT_FOUND)
            parent: OpenRun = call.owner.run
            _refuse_cancelled(call, command)
            depth = parent.settings.depth + 1
            parentage = Parentage(
                parent.description.root_run_id,
                parent.run_id,
                call.item_index,
                depth,
                *self._traced(command, call),
                call,
            )
        if depth > runtime.limits.depth:
            raise RecursionLimitError(
                f"sub-runs nest {depth} deep; at most {runtime.limits.depth} levels are allowed",
                limit="depth",
                max=runtime.limits.depth,
                actual=depth,
            )
        return parentage

    async def _source_settings(self, command: SubmitRun) -> RunSettings | None:
        """The settings of the run that is repeated: the new one inherits what that one inherited."""
        assert command.source_run_id is not None
        record = await self._runtime.store.find_run(command.namespace, command.source_run_id)
        return None if record is None else msgspec.json.decode(record.settings, type=RunSettings)

    def _traced(self, command: SubmitRun, call: ComponentCall) -> tuple[str, str, bool | None]:
        """Trace, parent span and sampling decision of a sub-run: what its component says, else its execution's own."""
        template, own_span = call.template, self._runtime.naming.span_id(call.number)
        if command.traceparent is not None and command.traceparent[36:52] == own_span:
            return template.trace_id, own_span, template.sampled  # as it usually is: the context that its component was given
        trace = parse_traceparent(command.traceparent)
        if trace is not None and trace.span_id != own_span:
            return trace.trace_id, trace.span_id, trace.sampled
        if trace is None and command.trace_id is not None and command.trace_id != template.trace_id:
            return command.trace_id, "", None  # a trace of the component's own, in which no span of ours can be the parent
        return template.trace_id, own_span, template.sampled

    def _settings(self, command: SubmitRun, parentage: Parentage, now_us: int) -> RunSettings:
        observer = self._runtime.observer
        trace_id = parentage.trace_id or new_trace_id()
        sampled = parentage.sampled
        if sampled is None:
            sampled = observer is None or observer.samples(trace_id)
        return RunSettings(
            depth=parentage.depth,
            trace_id=trace_id,
            span_id=new_span_id(),
            parent_span_id=parentage.parent_span_id,
            sampled=sampled,
            overrides=None if command.overrides is None else msgspec.Raw(command.overrides),
            deadline_us=None if command.deadline_s is None else now_us + int(command.deadline_s * 1e6),
            detached=command.detached,
            item_labels=tuple(command.item_labels),
            source_items=command.source_items,
            parent_item=parentage.parent_item,
            staged_sha256=command.staged_sha256.hex(),
        )

    def _identify(self, request: _Request) -> None:
        """Give it its idempotency key and its fingerprint.

        A sub-run without a key of its own gets one from its execution, so that a repeated parent finds its child again:
        the parent's token, its component retries, what is submitted, and the how-manieth time.
        """
        command, call = request.command, request.parentage.call
        if command.request_id:
            request.key, request.fingerprint = f"r:{command.request_id}", request_fingerprint(command)
            return
        if call is None:
            return
        fingerprint = request.fingerprint = request_fingerprint(command)
        if call.submits is None:
            call.submits = {}
        counts = request.counts = call.submits
        occurrence = request.occurrence = counts[fingerprint] = counts.get(fingerprint, 0) + 1
        run: OpenRun = call.owner.run
        text = f"{call.idempotency_token}:{run.component_retries(call)}:{fingerprint.hex()}:{occurrence}"
        request.key = "c:" + hashlib.sha256(text.encode()).hexdigest()

    async def _repeated(self, request: _Request, existing: ExistingRun) -> RunStatus:
        """The answer of a request that was made before."""
        runtime, command, call = self._runtime, request.command, request.parentage.call
        if command.stage_id is not None:
            await runtime.store.discard_stage(command.stage_id)
        if existing.fingerprint != request.fingerprint and not await self._means_the_same(command, existing):
            raise ConflictError("the request id was used for a different request; use a new one", runId=existing.run_id)
        child = runtime.runs.find(command.namespace, existing.run_id)
        if child is not None and call is not None and child.parent is call.owner.run:
            self._found_again(child, call)
        return await runtime.queries.get_status(command.namespace, existing.run_id)

    def _found_again(self, child: OpenRun, call: ComponentCall) -> None:
        """An execution has found a sub-run of its run: it is its own, unless another one has submitted it as well."""
        assert child.parent is not None
        siblings, submitter = child.parent.children, _submitter(call)
        known = siblings[child]
        siblings[child] = submitter if known is None or known == submitter else _SHARED
        if siblings[child] == submitter and _is_abandoned(call) and not child.settings.detached:
            self._runtime.cancel_abandoned([child])

    async def _means_the_same(self, command: SubmitRun, existing: ExistingRun) -> bool:
        """Compare canonical forms with the stored run (streamed submits compare as given)."""
        if command.stage_id is not None:
            return False
        stored = await self._runtime.reruns.stored_command(command.namespace, existing.run_id)
        if stored is None or len(stored.inputs) != len(command.inputs):
            return False
        # The stored run knows its bound after defaults and clamping only.
        effective = self._concurrency(command)
        return canonical_fingerprint(stored) == canonical_fingerprint(msgspec.structs.replace(command, max_concurrency=effective))

    def _concurrency(self, command: SubmitRun) -> int:
        return min(command.max_concurrency or DEFAULT_MAX_CONCURRENCY, self._runtime.limits.max_concurrency_cap)


def _pass_on(task: asyncio.Task[RunStatus], answer: asyncio.Future[RunStatus]) -> None:
    """The answer is what the task says; if nobody waits for it any more, the task goes on all the same."""

    def tell(done: asyncio.Task[RunStatus]) -> None:
        if answer.done():
            return
        if done.cancelled():
            answer.cancel()
        elif (error := done.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(done.result())

    task.add_done_callback(tell)


_SHARED: Final[ItemStep] = (-1, -1)
"""Instead of the one execution that submitted a sub-run: there are several, and no item's end ends it."""


def _submitter(call: ComponentCall | None) -> ItemStep | None:
    return None if call is None else (call.item_index, call.template.step_index)


def _is_abandoned(call: ComponentCall | None) -> bool:
    return call is not None and call.is_abandoned


def _refuse_cancelled(call: ComponentCall | None, command: SubmitRun) -> None:
    """Who was cancelled gets no more sub-runs, detached ones aside."""
    if call is None or command.detached:
        return
    parent: OpenRun = call.owner.run
    if parent.is_cancelling:
        what = f"run {parent.run_id} was cancelled; it"
    elif _is_abandoned(call):
        what = f"item {call.item_index} of run {parent.run_id} has ended without this execution, which"
    else:
        return
    raise FlowspanError(f"{what} gets no more sub-runs", reason=Reason.CANCELLED, runId=parent.run_id)


def _check(command: SubmitRun, items_per_run: int) -> None:
    """Refuse what no run can be made of."""
    concurrency = command.max_concurrency
    if concurrency is not None and concurrency < 1:
        raise InvalidArgumentError(f"maxConcurrency must be at least 1, not {concurrency}", field="maxConcurrency")
    if command.deadline_s is not None and not 0 < command.deadline_s <= MAX_DEADLINE_S:
        raise InvalidArgumentError(f"deadlineSecs must be greater than 0 and at most {MAX_DEADLINE_S:.0f}", field="deadlineSecs")
    total = command.staged_total if command.stage_id is not None else len(command.inputs)
    if total > items_per_run:
        raise LimitExceededError(
            f"{total} items; a run has at most {items_per_run}", limit="itemsPerRun", max=items_per_run, actual=total
        )
    if command.item_labels and len(command.item_labels) != total:
        raise InvalidArgumentError(
            f"itemLabels has {len(command.item_labels)} entries for {total} inputs; give one per input or none",
            field="itemLabels",
        )


def _chunks(command: SubmitRun) -> Iterator[InputChunk]:
    """The inputs in pieces of a size that is pleasant to store and to load."""
    inputs: Sequence[bytes] = command.inputs
    blobs = command.input_blobs
    start = size = 0
    for position, one in enumerate(inputs):
        size += len(one)
        if size >= CHUNK_BYTES or position + 1 - start >= CHUNK_ITEMS:
            yield _chunk(inputs, blobs, start, position + 1)
            start, size = position + 1, 0
    if start < len(inputs):
        yield _chunk(inputs, blobs, start, len(inputs))


def _chunk(inputs: Sequence[bytes], blobs: frozenset[int], start: int, end: int) -> InputChunk:
    refs = frozenset(index - start for index in blobs if start <= index < end) if blobs else frozenset()
    return InputChunk(start, inputs[start:end], refs)


def refuse_quota(open_runs: int, limit: int) -> None:
    """Refuse a run when its namespace has too many open ones."""
    if open_runs >= limit:
        raise OverloadedError(
            f"{open_runs} runs are open; at most {limit} may be", limit="openRuns", max=limit, actual=open_runs, retryAfterMs=1000
        )


def refuse_full() -> None:
    raise StorageError("the disk is full; nothing was applied", reason=Reason.STORAGE_FULL, outcome="not_applied")


def refuse_stopping() -> None:
    raise UnavailableError("the gateway is stopping", retryAfterMs=1000)
