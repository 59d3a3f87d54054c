"""`flowspan run --trace`: what is recorded of the traced items while they run, and their stories afterwards."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from flowspan.client.run_log import read_log
from flowspan.view.events import ItemCompleted, Outcome
from flowspan.view.status import ItemResult, RunDescription, RunStatus
from gateway.authoring.graph.run_tally import RunTally
from gateway.authoring.story.attempts import FailedItem, FailedStep, RecordedAttempt, SubRun
from gateway.authoring.story.page import STYLES, page, plain
from gateway.authoring.story.telling import tell
from gateway.cli.exits import UsageError, say
from gateway.cli.output import ResultWriter
from runtime_core.calls import CallFailure, CallResult, CallSkip
from runtime_core.flow.plan import compile_flow
from runtime_core.flow.source import parse_flow
from runtime_core.model.json_value import JsonValue

if TYPE_CHECKING:
    from flowspan.client import AsyncClient, SubmitOptions
    from gateway.app import GatewayParts
    from runtime_core.ports import Store

FIRST_FAILED: Final = "failed"
"""Stands for the item that fails first."""
NAMESPACE: Final = "default"
"""In which an embedded gateway runs what its command submits."""
MAX_SUB_RUNS: Final = 100
"""Sub-runs that a story names."""
MAX_DEPTH: Final = 2
"""So deep below the traced item a story looks for what has failed."""
MAX_LOOKED_INTO: Final = 3
"""Sub-runs of one item whose first failed item is told."""


class ItemTracer:
    """Records the attempts of traced items, and nothing of others.

    For the item that fails first, attempts of all items that are under way must be kept until their results have come.

    Args:
        wanted: indexes, or `failed`. UsageError if one is neither.
    """

    def __init__(self, wanted: Sequence[str], *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._items: set[int] = set()
        self._wants_failed = False
        for word in wanted:
            if word == FIRST_FAILED:
                self._wants_failed = True
            elif word.isascii() and word.isdigit():
                self._items.add(int(word))
            else:
                raise UsageError(f"--trace {word}: give the index of an item, from 0, or {FIRST_FAILED}")
        self._awaits_failure = self._wants_failed
        self._clock_s = clock_s
        self._attempts: dict[int, list[RecordedAttempt]] = {}
        self._results: dict[int, ItemResult] = {}
        self._store: Store | None = None

    def adopt(self, parts: GatewayParts) -> GatewayParts:
        """Look on at the gateway that these are the parts of."""
        self._store = parts.store
        return replace(parts, on_calls=self.on_calls)

    def on_calls(self, results: Sequence[CallResult]) -> None:
        """Attempts that ended. Sub-runs are of a greater depth, and not traced."""
        for call, answer in results:
            if call.template.depth != 1 or not (self._awaits_failure or call.item_index in self._items):
                continue
            outcome = Outcome.SUCCESS
            if isinstance(answer, CallFailure):
                outcome = Outcome.FAILED
            elif isinstance(answer, CallSkip):
                outcome = Outcome.SKIPPED
            payload = answer if isinstance(answer, bytes) else answer.payload()
            ended_s = self._clock_s()
            self._attempts.setdefault(call.item_index, []).append(
                RecordedAttempt(
                    call.template.step_index, call.attempt, call.input, outcome, payload, call.sent_s or ended_s, ended_s
                )
            )

    def see(self, results: Sequence[ItemResult]) -> None:
        """Results as they came; called for all of them, in a thread."""
        for result in results:
            index = result.item_index
            if self._awaits_failure and result.outcome is Outcome.FAILED:
                self._awaits_failure = False
                self._items.add(index)
                for other in list(self._attempts):
                    if other not in self._items:
                        del self._attempts[other]
            if index in self._items:
                self._results[index] = result
            elif self._awaits_failure:
                self._attempts.pop(index, None)

    async def tell(
        self, client: AsyncClient, run: RunDescription, document: bytes, options: SubmitOptions, *, as_json: bool
    ) -> None:
        """Say the stories on stderr, as long as the gateway is there. `document`, `options`: what was submitted."""
        flow = parse_flow(document).flow
        assert flow is not None  # it was run
        plan = compile_flow(flow, cast(JsonValue, options.get("overrides")))
        bound = plan.bind(cast("Mapping[str, JsonValue]", options.get("variables") or {}))
        if self._awaits_failure:
            say(_object({"story": None, "why": "no item failed"}) if as_json else "flowspan: --trace failed: no item failed")
        for index in sorted(self._items):
            result = self._results.get(index)
            if result is None:
                count = "1 item" if run.total == 1 else f"{run.total:,} items"
                why = f"item {index} has no result: " + (
                    f"the run has {count}, from 0" if index >= run.total else "it was cancelled before it began"
                )
                say(_object({"story": None, "why": why}) if as_json else f"flowspan: --trace {index}: {why}")
                continue
            item_input = await self._input(client, run.run_id, index)
            sub_runs = await self._sub_runs(client, run.run_id, index)
            recorded = self._attempts.get(index, [])
            story = tell(plan, bound, item_input, recorded, result, run_id=run.run_id, sub_runs=sub_runs)
            await asyncio.to_thread(_say_story, story, as_json)

    async def _input(self, client: AsyncClient, run_id: str, index: int) -> bytes:
        """The item's input as the run has it."""
        assert self._store is not None
        record = await self._store.find_run(NAMESPACE, run_id)
        assert record is not None
        chunk = await self._store.read_inputs(record.run_key, index)
        position = index - chunk.first_item
        value = chunk.inputs[position]
        return await client.get_blob_bytes(value.decode("ascii")) if position in chunk.blob_refs else value

    async def _sub_runs(self, client: AsyncClient, run_id: str, index: int, depth: int = 1) -> list[SubRun]:
        """Runs that components of this item have started, oldest first; of some that failed the first failed item."""
        assert self._store is not None
        children = await self._store.child_runs(NAMESPACE, run_id)
        found: list[SubRun] = []
        looked_into = 0
        for child in children:
            if msgspec.json.decode(child.settings, type=_Settings).parentItem == index and len(found) < MAX_SUB_RUNS:
                status = await client.get(child.run_id)
                first: FailedItem | None = None
                if status.items.failed and depth <= MAX_DEPTH and looked_into < MAX_LOOKED_INTO:
                    looked_into += 1
                    first = await self._first_failed(client, status, depth)
                name, items = status.description.flow_name, status.items
                found.append(SubRun(child.run_id, name, status.status.wire_name, items.failed, items.total, first))
        return found

    async def _first_failed(self, client: AsyncClient, status: RunStatus, depth: int) -> FailedItem | None:
        """Of a sub-run that has failed items: the one with the lowest index."""
        page = await client.items(status.run_id, outcomes=[Outcome.FAILED], page_size=1).next_page()
        if not page:
            return None
        index = page[0].item_index
        item_input = await self._input(client, status.run_id, index)
        steps = await _failed_steps(client, status, index)
        below = await self._sub_runs(client, status.run_id, index, depth + 1)
        return FailedItem(index, item_input, page[0].payload, steps, tuple(below))


async def _failed_steps(client: AsyncClient, status: RunStatus, index: int) -> tuple[FailedStep, ...]:
    """In which steps an item failed, by the log of its run."""
    flow = parse_flow((await client.get_flow(status.flow_id)).json).flow
    assert flow is not None
    tally = RunTally(flow)
    async with aclosing(read_log(client, status.run_id, status.as_of_seq)) as segments:
        async for segment in segments:
            events = [event for event in segment.events if getattr(event, "item_index", None) == index]
            tally.apply(events)
            if any(type(event) is ItemCompleted for event in events):
                break
    found: list[FailedStep] = []
    statuses = tally.statuses()
    for position, step in enumerate(flow.steps):
        told = statuses[f"/steps/{position}"]
        if told.failed:
            found.append(FailedStep(step.id, step.component, 1 + told.repeated))
    return tuple(found)


class TracedWriter(ResultWriter):
    """Writes results, and shows them to the tracer."""

    def __init__(self, tracer: ItemTracer, path: Path | None, *, is_single: bool) -> None:
        super().__init__(path, is_single=is_single)
        self._tracer = tracer

    def write(self, results: Sequence[ItemResult]) -> None:
        self._tracer.see(results)
        super().write(results)


class _Settings(msgspec.Struct):
    """What is read of `runtime_core.engine.settings.RunSettings`."""

    parentItem: int | None = None


def _say_story(story: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say(_object({"story": story}))
    elif sys.stderr is not None and sys.stderr.isatty():
        _say_in_colour(story)
    else:
        say(plain(page(story)))


def _say_in_colour(story: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    for line in page(story):
        console.print(Text.assemble(*((text, STYLES.get(style, "")) for style, text in line)), soft_wrap=True)


def _object(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
