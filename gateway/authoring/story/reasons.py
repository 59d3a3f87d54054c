"""Why each step ran, or did not: in words, from the item's replay and from who mentions whom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import msgspec

from flowspan.view.events import Outcome
from gateway.authoring.graph.references import Reference, SourceKind, references
from gateway.authoring.story.decisions import decisions, untaken, was_read
from gateway.authoring.story.replay import Replay
from runtime_core.flow.expressions import FAILED, IDLE, IN_FLIGHT, SKIPPED, SUCCESS, WAITING
from runtime_core.model.json_value import JsonObject

MAX_NAMED = 3
"""Steps or places that one sentence names."""


@dataclass(frozen=True, slots=True)
class Mention:
    """`reader` (a step's index; the number of steps for the output) mentions a step."""

    reader: int
    reference: Reference


class Reasons:
    """Answers questions about one replayed item."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._plan = replay.plan
        self._steps = replay.plan.flow.steps
        self._states = replay.execution.states
        self._indexes = {step.id: index for index, step in enumerate(self._steps)}
        self.output = len(self._steps)

    def why(self, step: int) -> str:
        """Why a step ended as it did or did not run, or why it was called: one sentence without a full stop."""
        state = self._states[step]
        if step in self._replay.inputs:
            return self._why_needed(step)
        if state == SKIPPED:
            if self._replay.execution.payloads[step] == self._plan.steps[step].skipped_payload:
                return "its skip condition holds"
            return self._why_through(step, SKIPPED, "skipped") or "a part of its input is skipped"
        if state == FAILED:
            through = self._why_through(step, FAILED, "failed")
            place = _place(self._replay.execution.payloads[step])
            field = self._steps[step].skip_field
            own = "its skip condition cannot be resolved" if f"/{field}" in place else "its input cannot be resolved"
            return through or own
        if state == IDLE:
            return self._why_idle(step)
        if state == WAITING:
            return "the item ended before what it waits for was there"
        return "" if state == SUCCESS else "it was not called any more"

    def why_output(self) -> str:
        """Which part of the flow decided how the item ended."""
        execution, result = self._replay.execution, self._replay.execution.result
        if result is None:
            waiting = [self._steps[step].id for step in execution.in_flight()]
            return f"it was ended while {_listed('step', waiting)} ran" if waiting else "it was ended from outside"
        if self._states[self.output] <= IN_FLIGHT and not self._replay.order:
            return "nothing ran: the input was refused"
        must = [step for step in self._plan.must_execute if self._states[step] == FAILED]
        if result.outcome is Outcome.FAILED and self._states[self.output] != FAILED and must:
            return f"step {self._steps[must[0]].id}, which must run, failed"
        if self._states[self.output] == FAILED:
            return self._why_through(self.output, FAILED, "failed") or "the output's expression cannot be resolved"
        if self._states[self.output] == SKIPPED:
            return self._why_through(self.output, SKIPPED, "skipped") or "a part of the output is skipped"
        read = list(dict.fromkeys(self._named(one) for one in self._read_by(self.output)))
        ways = [f"{_arm_words(label)} of {pointer}" for pointer, label in self._taken_by[self.output].items()]
        made = f"made of {', '.join(read)}" if read else "a constant"
        return f"{made}; taken: {', '.join(ways)}" if ways else made

    @cached_property
    def _mentions(self) -> list[list[Reference]]:
        """Per reader its references, skip condition first."""
        found: list[list[Reference]] = []
        for index, step in enumerate(self._steps):
            pointer = f"/steps/{index}"
            skip = references(step.skip, f"{pointer}/{step.skip_field}")
            found.append([*skip, *references(step.input, f"{pointer}/input")])
        found.append(list(references(self._plan.flow.output, "/output")))
        return found

    @cached_property
    def _readers(self) -> dict[int, list[Mention]]:
        """Per step who mentions it."""
        found: dict[int, list[Mention]] = {}
        for reader, mentioned in enumerate(self._mentions):
            for reference in mentioned:
                if reference.source is SourceKind.STEP:
                    found.setdefault(self._indexes[reference.name], []).append(Mention(reader, reference))
        return found

    @cached_property
    def _taken_by(self) -> list[dict[str, str]]:
        """Per reader which way its branches went."""
        found: list[dict[str, str]] = []
        execution = self._replay.execution
        for index, step in enumerate(self._plan.steps):
            pointer = f"/steps/{index}"
            taken: dict[str, str] = {}
            if self._states[index] != IDLE:
                if step.skip is not None:
                    taken |= decisions(step.skip, f"{pointer}/{self._steps[index].skip_field}", execution)
                taken |= decisions(step.input, f"{pointer}/input", execution)
            found.append(taken)
        found.append(decisions(self._plan.output, "/output", execution))
        return found

    def _read_by(self, reader: int) -> list[Reference]:
        """What a reader has read, or would have."""
        taken = self._taken_by[reader]
        return [reference for reference in self._mentions[reader] if was_read(reference.arms, taken)]

    def _why_needed(self, step: int) -> str:
        who = [mention for mention in self._readers.get(step, ()) if self._states[mention.reader] != IDLE]
        read = [mention for mention in who if was_read(mention.reference.arms, self._taken_by[mention.reader])]
        names = list(dict.fromkeys(self._reader_name(mention.reader) for mention in read))
        late = next((mention for mention in read if step not in self._plan.needed and mention.reference.arms), None)
        if late is not None:
            arm = late.reference.arms[-1]
            return f"{self._reader_name(late.reader)} needs it: {_arm_words(arm.label)} of {arm.pointer} was taken"
        if self._plan.steps[step].must_execute:
            return "it must run"
        return f"{_joined(names)} need{'s' if len(names) == 1 else ''} it" if names else "it was needed"

    def _why_idle(self, step: int) -> str:
        mentions = self._readers.get(step, [])
        if not mentions:
            return "nothing refers to it"
        parts: list[str] = []
        for mention in mentions:
            name = self._reader_name(mention.reader)
            if mention.reader != self.output and self._states[mention.reader] == IDLE:
                parts.append(f"{name} would need it, and did not run")
                continue
            taken = self._taken_by[mention.reader]
            arm = untaken(mention.reference.arms, taken)
            if arm is not None:
                parts.append(f"{name} needs it only for {_arm_words(arm.label)} of {arm.pointer}, which was not taken")
            else:
                parts.append(f"{name} ended without it")
        shown = list(dict.fromkeys(parts))
        more = f"; and {len(shown) - MAX_NAMED} others" if len(shown) > MAX_NAMED else ""
        return "; ".join(shown[:MAX_NAMED]) + more

    def _why_through(self, reader: int, state: int, word: str) -> str:
        """The first step that a reader has read and that ended so."""
        for reference in self._read_by(reader):
            if reference.source is SourceKind.STEP and self._states[self._indexes[reference.name]] == state:
                same = self._replay.execution.payloads[self._indexes[reference.name]]
                if state != FAILED or same == self._replay.execution.payloads[reader]:
                    return f"{'it' if reader != self.output else 'the output'} reads step {reference.name}, which {_was(word)}"
        return ""

    def _reader_name(self, reader: int) -> str:
        return "the output" if reader == self.output else f"step {self._steps[reader].id}"

    def _named(self, reference: Reference) -> str:
        if reference.source is SourceKind.STEP:
            return f"step {reference.name}"
        return "the input" if reference.source is SourceKind.INPUT else f"variable {reference.name}"


def _arm_words(label: str) -> str:
    if label == "nothing":
        return "no element"
    return f"element {label}" if label.isdigit() else f"`{label}`"


def _was(word: str) -> str:
    return "was skipped" if word == "skipped" else word


def _joined(names: list[str]) -> str:
    shown = names[:MAX_NAMED]
    if len(names) > MAX_NAMED:
        return f"{', '.join(shown)} and {len(names) - MAX_NAMED} others"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _listed(word: str, names: list[str]) -> str:
    return f"{word} {names[0]}" if len(names) == 1 else f"{word}s {', '.join(names)}"


def _place(payload: bytes) -> str:
    """Where in the flow an error says it arose, or nothing."""
    try:
        error: JsonObject = msgspec.json.decode(payload)
        data = error.get("data")
        place = data.get("path") if isinstance(data, dict) else None
    except (msgspec.MsgspecError, AttributeError):
        return ""
    return place if isinstance(place, str) else ""
