"""Runs that a former gateway left open: taken over, folded from their logs, and gone on with.

Finished items are never run again. Items that had started and not finished are repeated: their steps whose completion is
in the log are not, and what may have been in flight gets a later attempt with the same idempotency token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import structlog

from flowspan.errors import DataLossError, FlowspanError, NotFoundError
from flowspan.view.events import (
    AttemptEnded,
    ItemCompleted,
    ItemsStarted,
    Outcome,
    RunRecovered,
    RunStatusCode,
    Segment,
    StepCompleted,
)
from flowspan.view.status import RunDescription
from runtime_core.engine.open_run import CANCELLED_PAYLOAD, OpenRun
from runtime_core.engine.settings import RunSettings
from runtime_core.flow.execution import ItemExecution, ReadyCall
from runtime_core.flow.variables import NO_VARIABLES
from runtime_core.limits import BATCH_BYTES
from runtime_core.model.machine import RunMachine
from runtime_core.ports import RunRecord

if TYPE_CHECKING:
    from runtime_core.engine.runtime import Runtime


log = structlog.get_logger(__name__)


class _Underway:
    """What the log says of items that have started and not finished."""

    def __init__(self) -> None:
        self.history: dict[int, list[StepCompleted | RunRecovered]] = {}
        self.ended_attempts: dict[int, list[AttemptEnded]] = {}

    def take(self, segment: Segment) -> None:
        history, attempts = self.history, self.ended_attempts
        for event in segment.events:
            match event:
                case ItemCompleted(item_index):
                    history.pop(item_index, None)
                    attempts.pop(item_index, None)
                case ItemsStarted(first_item, count):
                    for item_index in range(first_item, first_item + count):
                        history[item_index] = []
                case StepCompleted(item_index):
                    history[item_index].append(event)
                case AttemptEnded(item_index):
                    attempts.setdefault(item_index, []).append(event)
                case RunRecovered():
                    for past in history.values():
                        past.append(event)
                case _:
                    pass


async def recover_run(runtime: Runtime, record: RunRecord, *, cancel_reason: str | None = None) -> OpenRun | None:
    """Take one run over and make it go on, or end with `cancel_reason`, for which its secrets are not needed. None if another
    gateway was faster.

    Raises:
        PreconditionError: its secrets cannot be unsealed.
        FlowspanError: its flow or its log cannot be read; the run stays as it is.
    """
    description = msgspec.json.decode(record.description, type=RunDescription)
    settings = msgspec.json.decode(record.settings, type=RunSettings)
    plan = await runtime.flows.plan(record.namespace, description.flow_id, _bytes(settings.overrides))
    variables = NO_VARIABLES if cancel_reason is not None else runtime.variables.restore(plan, settings)
    if not await runtime.store.adopt_run(record, runtime.epoch):
        return None
    machine = RunMachine(description.total, description.max_concurrency)
    underway = _Underway()
    while machine.seq < record.next_seq - 1:
        rows = await runtime.store.read_rows(record.run_key, machine.seq, BATCH_BYTES)
        if not rows:
            raise FlowspanError(f"the log of run {description.run_id} ends at {machine.seq}, not at {record.next_seq - 1}")
        for row in rows:
            for segment in runtime.codec.decode(row.data):
                machine.replay(segment)
                underway.take(segment)
    run = runtime.runs.make_run(record.namespace, description, settings, plan, variables, machine)
    run.run_key = record.run_key
    run.epoch = runtime.epoch
    run.committed = machine.tally()
    run.committed_seq = machine.seq
    runtime.dispatcher.attach(run)
    machine.recover(runtime.epoch)
    for events in underway.ended_attempts.values():
        for event in events:
            run.count_ended_attempt(event)
    parent, is_cancelled = await _find_parent(runtime, record.namespace, description.parent_run_id, settings.detached)
    if is_cancelled:
        machine.request_cancel("its parent was cancelled while it was submitted")
    if cancel_reason is not None:
        machine.request_cancel(cancel_reason)
    try:
        for item_index, history in underway.history.items():
            if cancel_reason is not None:
                machine.complete_item(item_index, Outcome.CANCELLED, CANCELLED_PAYLOAD)
                continue
            _restart(run, item_index, await run.inputs.fetch(item_index), history)
    except (DataLossError, NotFoundError) as error:
        log.error("inputs_lost", run_id=run.run_id, message=error.message)
        machine.request_cancel(f"inputs cannot be read: {error.message}")
        for item_index in underway.history:
            if item_index not in run.items:
                machine.complete_item(item_index, Outcome.CANCELLED, CANCELLED_PAYLOAD)
    runtime.runs.admit(run, parent)
    if run.is_cancelling:
        runtime.dispatcher.leave(run)
        run.cancel_items([*run.items, *run.storing])
    else:
        runtime.dispatcher.enter(run)
    runtime.dispatcher.touch(run)
    return run


async def _find_parent(
    runtime: Runtime, namespace: str, parent_run_id: str | None, is_detached: bool
) -> tuple[OpenRun | None, bool]:
    """The nearest open run above a run from which a cancel reaches it, and whether one has reached it before."""
    while parent_run_id is not None:
        run = runtime.open_runs.get(parent_run_id)
        if run is not None:
            return run, run.is_cancelling and not is_detached
        stored = await runtime.store.find_run(namespace, parent_run_id)
        if stored is None or is_detached:
            break
        if stored.status is RunStatusCode.CANCELLED:
            return None, True
        parent_run_id = msgspec.json.decode(stored.description, type=RunDescription).parent_run_id
        is_detached = msgspec.json.decode(stored.settings, type=RunSettings).detached
    return None, False


def _restart(run: OpenRun, item_index: int, item_input: bytes, history: list[StepCompleted | RunRecovered]) -> None:
    execution = ItemExecution(run.plan, item_input, run.variables.bound)
    in_flight: dict[int, ReadyCall] = {ready.step.index: ready for ready in execution.start()}
    for event in history:
        if isinstance(event, RunRecovered):
            execution.interrupted()
            continue
        in_flight.pop(event.step_index, None)
        for ready in execution.recall(event.step_index, event.outcome, event.payload):
            in_flight[ready.step.index] = ready
    execution.interrupted()
    run.restart_item(item_index, execution, in_flight.values())


def _bytes(raw: msgspec.Raw | None) -> bytes | None:
    return None if raw is None else bytes(raw)
