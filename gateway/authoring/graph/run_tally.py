"""How the steps of a flow fared in a run, counted from the run's log.

The log says less than one might wish, for reasons of speed: it has an event for each step only where items have several and
not all run inside the gateway, none for a step that no component was called for, and none for a success that ends its item.
What is not in it is told by `possible_ends`, where only one thing can have been; the rest is counted as not told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from flowspan.errors import FlowErrorCode, Reason
from flowspan.view.events import AttemptEnded, Event, ItemCompleted, Outcome, StepCompleted
from gateway.authoring.graph.kinds import FlowReader
from gateway.authoring.graph.model import OUTPUT_ID, FlowGraph, Node, NodeKind, NodeStatus
from gateway.authoring.graph.possible_ends import End, ItemError, LoggedStep, PossibleEnds, Way
from runtime_core.flow.document import Flow
from runtime_core.flow.plan import compile_flow

MAX_STEPS_REPLAYED: Final = 50_000
"""Steps times ways through the flow: some seconds. Of ways beyond, the rarest, only what was logged is told."""
_WORDS: Final = {
    Outcome.SUCCESS: "success",
    Outcome.FAILED: "failed",
    Outcome.SKIPPED: "skipped",
    Outcome.CANCELLED: "cancelled",
}
_WORDS_OF_ENDS: Final = {
    End.SUCCESS: "success",
    End.FAILED: "failed",
    End.SKIPPED: "skipped",
    End.CANCELLED: "cancelled",
}
_BEGUN: Final = End.SUCCESS | End.FAILED | End.CANCELLED


class _Underway:
    """What the log has said of an item that has not ended."""

    __slots__ = ("begun", "failures", "last", "logged")

    def __init__(self) -> None:
        self.logged: dict[int, LoggedStep] = {}
        self.last = -1
        self.begun: set[int] = set()
        self.failures: dict[bytes, int] = {}


_NOTHING: Final = _Underway()


class RunTally:
    """Counts one run. Give it all events in order, then ask for `statuses`.

    Memory: a little for each item that is under way, and for each way through the flow that items have taken. Payloads are
    looked into and not kept, but for failures of items that are under way.

    Args:
        flow: what the run runs. Overrides change neither ids nor positions of its steps.

    Attributes:
        untold_failures: failed items of which it is not known in which step they did.
        is_sampled: there were too many ways through the flow to look at all of them.
        contradicts: items whose log is no log of this flow; overrides can do that. These become known with `statuses`.
    """

    def __init__(self, flow: Flow) -> None:
        self._reader = FlowReader(compile_flow(flow))
        self._underway: dict[int, _Underway] = {}
        self._repeated: Counter[int] = Counter()
        self._items: Counter[str] = Counter()
        self._ways: Counter[Way] = Counter()
        self._is_journaled = False
        self.untold_failures = 0
        self.is_sampled = False
        self.contradicts = 0

    @property
    def ended(self) -> int:
        """Items that have ended so far."""
        return self._items.total()

    def apply(self, events: Iterable[Event | None], *, has_payloads: bool = True) -> None:
        """Count events that follow those before; without payloads less can be told."""
        for event in events:
            if type(event) is StepCompleted:
                self._is_journaled = True
                item = self._underway.setdefault(event.item_index, _Underway())
                facts = None
                if event.outcome is Outcome.SUCCESS and has_payloads:
                    facts = self._reader.facts(event.step_index, event.payload)
                item.logged[event.step_index] = LoggedStep(event.step_index, event.outcome, facts)
                item.last = event.step_index
                if event.outcome is Outcome.FAILED and has_payloads:
                    item.failures[event.payload] = event.step_index
            elif type(event) is AttemptEnded:
                self._repeated[event.step_index] += 1
                self._underway.setdefault(event.item_index, _Underway()).begun.add(event.step_index)
            elif type(event) is ItemCompleted:
                self._items[_WORDS[event.outcome]] += 1
                item = self._underway.pop(event.item_index, _NOTHING)
                error = self._error(event, item) if has_payloads and event.outcome is Outcome.FAILED else None
                logged = tuple(item.logged[index] for index in sorted(item.logged))
                begun = tuple(sorted(item.begun - item.logged.keys()))
                self._ways[Way(logged, item.last, begun, event.outcome, error)] += 1

    def statuses(self) -> dict[str, NodeStatus]:
        """By node id: all steps, and the output with the items."""
        count = len(self._reader.plan.steps)
        found: list[Counter[str]] = [Counter(repeated=self._repeated[index]) for index in range(count)]
        self.untold_failures = self.contradicts = 0
        replays = MAX_STEPS_REPLAYED // max(1, count)
        self.is_sampled = len(self._ways) > replays
        for position, (way, items) in enumerate(self._ways.most_common()):
            self._count(way, items, found, is_replayed=position < replays)
        for item in self._underway.values():
            ends = PossibleEnds(
                self._reader, Way(tuple(item.logged.values()), item.last, (), Outcome.SUCCESS, None), is_journaled=True
            )
            for index in item.logged:
                found[index][_WORDS_OF_ENDS[ends.logged()[index]]] += 1
        return {
            OUTPUT_ID: NodeStatus(**self._items),
            **{f"/steps/{index}": NodeStatus(**counts) for index, counts in enumerate(found)},
        }

    def _count(self, way: Way, items: int, found: list[Counter[str]], *, is_replayed: bool) -> None:
        replay = PossibleEnds(self._reader, way, is_journaled=self._is_journaled)
        if not is_replayed:
            replay.logged()
        elif not replay.find():
            self.contradicts += items
        is_told = way.outcome is not Outcome.FAILED or (way.error is not None and way.error.is_elsewhere)
        for index, ends in enumerate(replay.ends):
            word = _WORDS_OF_ENDS.get(ends)
            if word is None and not ends & _BEGUN:
                continue
            found[index][word or "untold"] += items
            if word is None and ends & End.FAILED:
                found[index]["doubtful"] += items
            is_told = is_told or word == "failed"
        if not is_told:
            self.untold_failures += items

    def _error(self, event: ItemCompleted, item: _Underway) -> ItemError | None:
        if event.is_blob:
            return None
        origin = item.failures.get(event.payload, -1)
        if origin >= 0:
            return ItemError(origin=origin)
        try:
            error = msgspec.json.decode(event.payload, type=_Error)
        except msgspec.MsgspecError:
            return None
        data = error.data if isinstance(error.data, dict) else {}
        if data.get("reason") == Reason.INPUT_SCHEMA.value and not item.logged:
            return ItemError(is_refusal=True)
        place = data.get("path")
        if error.code == FlowErrorCode.EXPRESSION_FAILURE.value:
            if place not in self._reader.readers:
                return None
            # Of a flow that it has run a component may say the same; where more than one runs, its failure is in the log.
            is_ours = self._reader.plan.component_steps != 1 or not place.startswith(OUTPUT_ID)
            return ItemError(place=place) if is_ours else None
        if data.get("reason") == Reason.LIMIT_EXCEEDED.value or error.code == FlowErrorCode.ORCHESTRATOR_ERROR.value:
            return ItemError(is_foreign=True)
        return ItemError()


class _Error(msgspec.Struct):
    code: str
    data: object = None


def with_statuses(graph: FlowGraph, statuses: Mapping[str, NodeStatus], *, title: str, note: str) -> FlowGraph:
    """The picture of a run: the same graph, its steps and its output with how they fared."""

    def told(node: Node) -> Node:
        if node.kind not in (NodeKind.STEP, NodeKind.OUTPUT):
            return node
        return replace(node, status=statuses.get(node.id, NodeStatus()))

    return replace(graph, nodes=tuple(told(node) for node in graph.nodes), title=title, note=note)
