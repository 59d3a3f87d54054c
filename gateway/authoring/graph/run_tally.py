"""How the steps of a flow fared in a run, counted from the run's log.

The log says less than one might wish, for reasons of speed: it has an event for each step only where items have several and
not all run inside the gateway, and none for the step whose end ends its item. That one is inferred where only one step can
have been it; what cannot be told is left open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from flowspan.view.events import AttemptEnded, Event, ItemCompleted, Outcome, StepCompleted
from gateway.authoring.graph.model import OUTPUT_ID, FlowGraph, Node, NodeKind, NodeStatus
from gateway.authoring.graph.references import SourceKind, references
from runtime_core.flow.document import Flow, OnErrorAction
from runtime_core.flow.graph import reachable_steps

_WORDS = {
    Outcome.SUCCESS: "success",
    Outcome.FAILED: "failed",
    Outcome.SKIPPED: "skipped",
    Outcome.CANCELLED: "cancelled",
}


class RunTally:
    """Counts one run. Give it all events in order, then ask for `statuses`.

    Memory: a number for each item that is under way, and one for each way through the flow that items have taken.

    Args:
        flow: what the run runs. Overrides change neither ids nor positions of its steps.
        failed_at: by item, the pointer of what failed (`/steps/2/input`, `/output`, `/input`), where that is known.
    """

    def __init__(self, flow: Flow, failed_at: Mapping[int, str] | None = None) -> None:
        self._flow = flow
        self._failed_at = failed_at or {}
        self._seen: dict[int, int] = {}
        self._steps: Counter[tuple[int, str]] = Counter()
        self._items: Counter[str] = Counter()
        self._failing: set[int] = set()
        self._ends: Counter[tuple[int, Outcome, str, bool]] = Counter()
        self._is_journaled = False
        self.untold_failures = 0
        """Failed items of which `statuses` could not tell at which step they did; known once it was asked."""

    def apply(self, events: Iterable[Event | None]) -> None:
        """Count events that follow those before."""
        for event in events:
            if type(event) is StepCompleted:
                self._is_journaled = True
                self._seen[event.item_index] = self._seen.get(event.item_index, 0) | 1 << event.step_index
                word = self._word(event.step_index, event.outcome)
                self._steps[event.step_index, word] += 1
                if word == "failed":
                    self._failing.add(event.item_index)
            elif type(event) is AttemptEnded:
                self._steps[event.step_index, "repeated"] += 1
            elif type(event) is ItemCompleted:
                self._items[_WORDS[event.outcome]] += 1
                place = self._failed_at.get(event.item_index, "") if event.outcome is Outcome.FAILED else ""
                is_told = event.item_index in self._failing
                self._failing.discard(event.item_index)
                self._ends[self._seen.pop(event.item_index, 0), event.outcome, place, is_told] += 1

    def statuses(self) -> dict[str, NodeStatus]:
        """By node id: all steps, and the output with the items."""
        counts = Counter(self._steps)
        needs, reached = self._structure()
        self.untold_failures = 0
        for (seen, outcome, place, is_told), items in self._ends.items():
            step = self._last_step(seen, place, needs, reached)
            if step is not None:
                counts[step, self._word(step, outcome)] += items
            elif outcome is Outcome.FAILED and not place and not is_told:
                self.untold_failures += items
        found = {OUTPUT_ID: NodeStatus(**self._items)}
        for index in range(len(self._flow.steps)):
            words = ("success", "failed", "skipped", "cancelled", "repeated")
            found[f"/steps/{index}"] = NodeStatus(**{word: counts[index, word] for word in words})
        return found

    def _last_step(self, seen: int, place: str, needs: list[set[int]], reached: set[int]) -> int | None:
        """The step whose end ended an item, if there is but one that can have been it."""
        parts = place.split("/")
        if len(parts) > 2 and parts[1] == "steps":
            return int(parts[2])
        if place:
            return None
        if not self._is_journaled and len(reached) > 1:
            return None
        ready = [step for step in reached if not seen >> step & 1 and all(seen >> need & 1 for need in needs[step])]
        return ready[0] if len(ready) == 1 else None

    def _structure(self) -> tuple[list[set[int]], set[int]]:
        """Per step the steps that it cannot begin without; and the steps that may run at all."""
        flow = self._flow
        indexes = {step.id: index for index, step in enumerate(flow.steps)}
        needs: list[set[int]] = []
        mentions: list[set[int]] = []
        for step in flow.steps:
            certain: set[int] = set()
            all_of_them: set[int] = set()
            for expression in (step.skip, step.input):
                for reference in references(expression, ""):
                    if reference.source is SourceKind.STEP:
                        all_of_them.add(indexes[reference.name])
                        if reference.is_certain:
                            certain.add(indexes[reference.name])
            needs.append(certain)
            mentions.append(all_of_them)
        roots = [indexes[one.name] for one in references(flow.output, "") if one.source is SourceKind.STEP]
        roots += [index for index, step in enumerate(flow.steps) if step.must_execute]
        return needs, reachable_steps(mentions, roots)

    def _word(self, step: int, outcome: Outcome) -> str:
        """The outcome with `onError` applied, as what follows has seen it."""
        if outcome is Outcome.FAILED and step < len(self._flow.steps):
            on_error = self._flow.steps[step].on_error
            if on_error.has_default:
                return "success"
            if on_error.action is OnErrorAction.SKIP:
                return "skipped"
        return _WORDS[outcome]


def with_statuses(graph: FlowGraph, statuses: Mapping[str, NodeStatus], *, title: str, note: str) -> FlowGraph:
    """The picture of a run: the same graph, its steps and its output with how they fared."""

    def told(node: Node) -> Node:
        if node.kind not in (NodeKind.STEP, NodeKind.OUTPUT):
            return node
        return replace(node, status=statuses.get(node.id, NodeStatus()))

    return replace(graph, nodes=tuple(told(node) for node in graph.nodes), title=title, note=note)
