"""Runs that a former gateway left open: taken over, folded from their logs, and gone on with.

Finished items are never run again. Items that had started and not finished are repeated: their steps whose completion is
in the log are not, and what may have been in flight gets a later attempt with the same idempotency token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from flowspan.errors import FlowspanError
from flowspan.view.events import AttemptEnded, ItemCompleted, ItemsStarted, RunRecovered, Segment, StepCompleted
from flowspan.view.status import RunDescription
from runtime_core.engine.open_run import OpenRun
from runtime_core.engine.settings import RunSettings
from runtime_core.flow.execution import ItemExecution, ReadyCall
from runtime_core.limits import BATCH_BYTES
from runtime_core.model.machine import RunMachine
from runtime_core.ports import RunRecord

if TYPE_CHECKING:
    from runtime_core.engine.runtime import Runtime


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


async def recover_run(runtime: Runtime, record: RunRecord) -> OpenRun | None:
    """Take one run over and make it go on. None if another gateway was faster.

    Raises:
        FlowspanError: its flow or its log cannot be read; the run stays as it is.
    """
    if not await runtime.store.adopt_run(record, runtime.epoch):
        return None
    description = msgspec.json.decode(record.description, type=RunDescription)
    settings = msgspec.json.decode(record.settings, type=RunSettings)
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
    plan = await runtime.flows.plan(record.namespace, description.flow_id, _bytes(settings.overrides), _bytes(settings.variables))
    run = runtime.make_run(record.namespace, description, settings, plan, machine)
    run.run_key = record.run_key
    run.epoch = runtime.epoch
    run.committed = machine.tally()
    run.committed_seq = machine.seq
    runtime.dispatcher.attach(run)
    machine.recover(runtime.epoch)
    for events in underway.ended_attempts.values():
        for event in events:
            run.count_ended_attempt(event)
    for item_index, history in underway.history.items():
        await _restart(run, item_index, history)
    runtime.admit(run, None)
    if run.is_cancelling:
        run.cancel_items(list(run.items))
    else:
        runtime.dispatcher.enter(run)
    runtime.dispatcher.touch(run)
    return run


async def _restart(run: OpenRun, item_index: int, history: list[StepCompleted | RunRecovered]) -> None:
    execution = ItemExecution(run.plan, await run.inputs.fetch(item_index))
    in_flight: dict[int, ReadyCall] = {ready.step.index: ready for ready in execution.start()}
    for event in history:
        if isinstance(event, RunRecovered):
            execution.interrupted()
            continue
        in_flight.pop(event.step_index, None)
        for ready in execution.recall(event.step_index, event.outcome, event.payload):
            in_flight[ready.step.index] = ready
    execution.interrupted()
    if execution.result is not None:  # the flow's expressions alone end it
        run.machine.complete_item(item_index, execution.result.outcome, execution.result.payload)
        return
    run.restart_item(item_index, execution, in_flight.values())


def _bytes(raw: msgspec.Raw | None) -> bytes | None:
    return None if raw is None else bytes(raw)
