"""How each step of an item may have ended, by all that the run's log tells of the item.

The log has no inputs, no variables, and no event for a step that no component was called for. So this is the item's execution
(`runtime_core.flow.execution`) once more, over sets: what is not known may be anything, the flow's expressions say what
follows from what is known, forwards from the steps that were logged and backwards from how the item ended. An answer is a set
that holds the truth, and often nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from flowspan.view.events import Outcome
from gateway.authoring.graph.kinds import FAILURE, FALSY, SETTLED, VALUE, Facts, FlowReader, Kind, kind_of_constant, members_of
from runtime_core.flow.document import OnErrorAction
from runtime_core.flow.expressions import (
    ArrayOf,
    Coalesce,
    Conditional,
    Constant,
    Expression,
    InputPath,
    ObjectOf,
    StepOutput,
    Variable,
)
from runtime_core.flow.plan import PlannedStep


class End(IntFlag):
    """How a step may have ended.

    `NONE`: it never began, or was under way when its item ended. `THROUGH`: it failed for it reads what had failed.
    `CANCELLED`: it was under way when its item was cancelled.
    """

    NONE = 1
    SUCCESS = 2
    SKIPPED = 4
    FAILED = 8
    THROUGH = 16
    CANCELLED = 32


_PASSES: Final = ((Kind.SKIP, End.SKIPPED), (Kind.BROKEN, End.FAILED), (Kind.THROUGH, End.THROUGH))


@dataclass(frozen=True, slots=True)
class LoggedStep:
    """A step that the log says has ended. `outcome`: of the call, `onError` not applied. `facts`: None if not known."""

    index: int
    outcome: Outcome
    facts: Facts | None


@dataclass(frozen=True, slots=True)
class ItemError:
    """What is known of the error of an item that failed.

    Attributes:
        origin: the step whose logged failure it is, or -1.
        place: the expression that failed, as a pointer into the flow, or empty.
        is_refusal: the input does not fit, and nothing ran.
        is_foreign: it arose outside of the flow's steps and expressions, such as a result that is too large.
    """

    origin: int = -1
    place: str = ""
    is_refusal: bool = False
    is_foreign: bool = False

    @property
    def is_elsewhere(self) -> bool:
        """It arose in no step."""
        return self.is_refusal or self.is_foreign or self.place.startswith("/output")


@dataclass(frozen=True, slots=True)
class Way:
    """What the log tells of an item that has ended; equal for all items that went the same way.

    Attributes:
        logged: in the order of the steps. `last`: the one of them that was logged last, or -1.
        begun: other steps of which an attempt has ended.
        error: with the outcome FAILED; None if it is not known.
    """

    logged: tuple[LoggedStep, ...]
    last: int
    begun: tuple[int, ...]
    outcome: Outcome
    error: ItemError | None


class _ContradictionError(Exception):
    """The item cannot have gone this way through this flow: the run's is another one, by overrides."""


class PossibleEnds:
    """The replay of one way. `ends`: per step, once `find` was called.

    Args:
        is_journaled: whether the run logs the end of each call, but for successes that end their item.
    """

    def __init__(self, reader: FlowReader, way: Way, *, is_journaled: bool) -> None:
        self._plan = reader.plan
        self._reader = reader
        self._way = way
        self._is_journaled = is_journaled
        count = len(reader.plan.steps)
        self.ends = [End.NONE | End.SUCCESS | End.SKIPPED | End.FAILED | End.THROUGH | End.CANCELLED] * count
        self._facts: list[Facts | None] = [None] * count
        self._logged = {step.index for step in way.logged}
        self._is_narrowed = False
        self._has_no_last = False

    def logged(self) -> list[End]:
        """`ends` by the log alone, without the flow's expressions."""
        self._take_logged()
        return self.ends

    def find(self) -> bool:
        """Fill `ends`; False if the log contradicts the flow: then they tell only what was logged."""
        way = self._way
        known = list(self.logged())
        if way.error is not None and way.error.is_refusal:
            self._begin_nowhere()
            return True
        for index in range(len(self.ends)):
            if index not in self._reader.reachable and index not in self._logged:
                self.ends[index] = End.NONE
        try:
            self._narrow()
        except _ContradictionError:
            self.ends = known
            return False
        return True

    # --- what is known at once

    def _take_logged(self) -> None:
        for step in self._way.logged:
            planned = self._plan.steps[step.index]
            end, facts = _END_OF[step.outcome], step.facts
            if step.outcome is Outcome.FAILED:
                if planned.default_payload is not None:
                    end, facts = End.SUCCESS, self._reader.defaults[step.index]
                elif planned.on_error.action is OnErrorAction.SKIP:
                    end = End.SKIPPED
            self.ends[step.index] = end
            self._facts[step.index] = facts

    def _begin_nowhere(self) -> None:
        for index in range(len(self.ends)):
            if index not in self._logged:
                self.ends[index] = End.NONE

    # --- the fixed point

    def _narrow(self) -> None:
        self._forwards()
        self._has_no_last = self._ended_with_a_logged_step()
        self._is_narrowed = True
        while self._is_narrowed:
            self._is_narrowed = False
            self._forwards()
            self._backwards()
            if self._is_journaled:
                self._find_the_last()

    def _keep(self, step: int, allowed: End) -> None:
        """Nothing but `allowed` can be."""
        kept = self.ends[step] & allowed
        if kept != self.ends[step]:
            if not kept:
                raise _ContradictionError
            self.ends[step] = kept
            self._is_narrowed = True

    def _forwards(self) -> None:
        """What follows for each step from those that it reads."""
        plan, way = self._plan, self._way
        past: set[int] = set()
        for ended in way.logged:
            # A logged success did not end its item: whatever was ready by it was looked at.
            if ended.outcome is Outcome.SUCCESS or ended.index != way.last:
                past.add(ended.index)
        has_begun = bool(way.logged or way.begun) or way.outcome is Outcome.CANCELLED
        for index, step in enumerate(plan.steps):
            if index in self._logged or self.ends[index] == End.NONE:
                continue
            ends, needs_more, is_called = self._ends_without_event(step)
            strict = step.input.strict if step.skip is None else step.skip.strict | step.input.strict
            if index in plan.needed and has_begun and not needs_more and strict <= past:
                if not is_called:
                    past.add(index)
                if not is_called or way.outcome is Outcome.CANCELLED:
                    ends &= ~End.NONE
            self._keep(index, ends)
        for index in way.begun:
            if index not in self._logged:
                self._keep(index, self._ends_of_a_call(index) | (End.NONE if way.outcome is not Outcome.CANCELLED else End(0)))

    def _ends_without_event(self, step: PlannedStep) -> tuple[End, bool, bool]:
        """How a step may have ended of whose end there is no event; whether steps that it reads may be missing; whether its
        component may have been called."""
        ends, needs_more, passes, is_called = End.NONE, False, True, False
        if step.skip is not None:
            kind = self._evaluate(step.skip)
            for one, end in (*_PASSES, (Kind.TRUTHY, End.SKIPPED)):
                if kind & one:
                    ends |= end
            needs_more = bool(kind & Kind.PENDING)
            passes = bool(kind & FALSY)
        if passes:
            kind = self._evaluate(step.input)
            for one, end in _PASSES:
                if kind & one:
                    ends |= end
            needs_more = needs_more or bool(kind & Kind.PENDING)
            if kind & VALUE:
                is_called = True
                ends |= self._ends_of_a_call(step.index)
        return ends, needs_more, is_called

    def _ends_of_a_call(self, step: int) -> End:
        """Of a call of which the log does not say that it ended."""
        way, error = self._way, self._way.error
        is_cancelled = way.outcome is Outcome.CANCELLED
        if is_cancelled and (self._is_journaled or self._plan.component_steps == 1):
            return End.CANCELLED
        ends = End.SUCCESS | (End.CANCELLED if is_cancelled else End.NONE)
        if not self._is_journaled:
            return ends | End.SKIPPED | self._failure_of(step)
        if way.outcome is Outcome.FAILED and (error is None or not (error.origin >= 0 or error.place or error.is_foreign)):
            return ends | End.FAILED  # a log that does not say which step failed
        return ends

    def _failure_of(self, step: int) -> End:
        planned = self._plan.steps[step]
        if planned.default_payload is not None:
            return End.SUCCESS
        return End.SKIPPED if planned.on_error.action is OnErrorAction.SKIP else End.FAILED

    def _backwards(self) -> None:
        """What must have been for the item to end as it did."""
        way, plan, error = self._way, self._plan, self._way.error
        if way.outcome is Outcome.SUCCESS:
            self._require(plan.output, VALUE)
        elif way.outcome is Outcome.SKIPPED:
            self._require(plan.output, Kind.SKIP)
        elif way.outcome is Outcome.FAILED and error is not None and not error.is_foreign:
            self._require(plan.output, SETTLED)
        if way.outcome in (Outcome.SUCCESS, Outcome.SKIPPED):
            for index in plan.must_execute:
                self._keep(index, End.SUCCESS | End.SKIPPED)
        elif way.outcome is Outcome.FAILED and error is not None and not error.is_foreign:
            for index in plan.must_execute:
                self._keep(index, ~(End.NONE | End.CANCELLED))
            self._find_the_failure(error)
        for index in range(len(plan.steps)):
            self._require_of_step(index)

    def _find_the_failure(self, error: ItemError) -> None:
        place = error.place
        if error.origin >= 0:
            return
        if place:
            read = self._reader.readers[place]
            parts = place.split("/")
            if parts[1] == "steps":
                self._keep(int(parts[2]), End.FAILED)
            if read >= 0:
                self._keep(read, End.SUCCESS)
        else:
            able = [index for index, ends in enumerate(self.ends) if ends & End.FAILED]
            if not any(self.ends[index] == End.FAILED for index in able) and len(able) == 1:
                self._keep(able[0], End.FAILED)

    def _find_the_last(self) -> None:
        """Of all successes the log leaves out one at most: the one that ended the item."""
        way = self._way
        if way.outcome is Outcome.CANCELLED:
            return
        able = [index for index, ends in enumerate(self.ends) if index not in self._logged and ends & End.SUCCESS]
        certain = [index for index in able if self.ends[index] == End.SUCCESS]
        last = next((step for step in way.logged if step.index == way.last), None)
        if certain:
            able = [index for index in able if index != certain[0]]
        elif last is not None and last.outcome is Outcome.SUCCESS:
            if len(able) == 1:
                self._keep(able[0], End.SUCCESS)
            return
        elif not self._has_no_last:
            return
        for index in able:
            self._keep(index, ~End.SUCCESS)

    def _ended_with_a_logged_step(self) -> bool:
        """Whether the item's failure is that of the last logged step, and nothing was open then. To be asked before anything
        is concluded from how the item ended."""
        way, plan = self._way, self._plan
        if way.error is None or way.error.origin < 0 or way.error.origin != way.last:
            return False
        before = list(self.ends)
        try:
            for index, step in enumerate(plan.steps):
                if index in plan.needed and index not in self._logged:
                    _, needs_more, is_called = self._ends_without_event(step)
                    if not needs_more and not is_called:
                        self.ends[index] &= ~End.NONE
            if any(self.ends[index] & End.NONE for index in plan.must_execute):
                return False
            return not self._evaluate(plan.output) & Kind.PENDING
        finally:
            self.ends = before

    def _require_of_step(self, index: int) -> None:
        """How a step ended says something about what it reads."""
        step, ends = self._plan.steps[index], self.ends[index]
        is_called = index in self._logged or index in self._way.begun or ends == End.SUCCESS or ends == End.CANCELLED
        if ends & End.NONE and not is_called:
            return
        passes = Kind.NOTHING
        for kind, end in _PASSES:
            if ends & end:
                passes |= kind
        if is_called:
            passes = Kind.NOTHING
        if step.skip is not None:
            if is_called:
                self._require(step.skip, FALSY)
            else:
                self._require(step.skip, passes | FALSY | (Kind.TRUTHY if ends & End.SKIPPED else Kind.NOTHING))
                if self._evaluate(step.skip) & ~FALSY:
                    return
        can_be_called = (
            is_called or bool(ends & (End.SUCCESS | End.CANCELLED)) or not self._is_journaled or bool(ends & End.FAILED)
        )
        self._require(step.input, passes | (VALUE if can_be_called else Kind.NOTHING))

    # --- expressions over sets

    def _evaluate(self, node: Expression) -> Kind:
        """All that it may give, as the steps stand when the item has ended."""
        if isinstance(node, Constant):
            return kind_of_constant(node.encoded)
        if isinstance(node, StepOutput):
            return self._evaluate_output(node)
        if isinstance(node, ObjectOf | ArrayOf):
            return self._evaluate_members(members_of(node))
        if isinstance(node, Conditional):
            condition = self._evaluate(node.condition)
            found = condition & Kind.PENDING
            if condition & Kind.TRUTHY:
                found |= self._evaluate(node.then)
            if condition & ~(Kind.TRUTHY | Kind.PENDING):
                found |= self._evaluate(node.otherwise)
            return found
        if isinstance(node, Coalesce):
            return self._evaluate_coalesce(node)
        if isinstance(node, Variable):
            return VALUE | Kind.BROKEN | (Kind.NOTHING if node.default is None else self._evaluate(node.default))
        if isinstance(node, InputPath):
            is_there = len(node.path) == 1 and node.path[0] in self._reader.required
            return VALUE if is_there else VALUE | Kind.BROKEN
        return VALUE

    def _evaluate_output(self, node: StepOutput) -> Kind:
        ends, found = self.ends[node.index], Kind.NOTHING
        if ends & (End.NONE | End.CANCELLED):
            found |= Kind.PENDING
        if ends & (End.FAILED | End.THROUGH):
            found |= Kind.THROUGH
        if ends & End.SKIPPED:
            found |= Kind.SKIP if node.on_skip is None else self._evaluate(node.on_skip)
        if ends & End.SUCCESS:
            facts = self._facts[node.index]
            if facts is None:
                found |= VALUE | (Kind.BROKEN if node.path else Kind.NOTHING)
            else:
                found |= facts[self._reader.paths[node.index][node.path]]
        return found

    def _evaluate_members(self, members: tuple[Expression, ...]) -> Kind:
        found, so_far = Kind.NOTHING, Kind.TRUTHY
        for member in members:
            kind = self._evaluate(member)
            # A failure counts where nothing before it is pending.
            if so_far & ~Kind.PENDING:
                found |= kind & FAILURE
            if so_far & Kind.PENDING and kind & FAILURE:
                found |= Kind.PENDING
            after = so_far & Kind.PENDING if kind & ~FAILURE else Kind.NOTHING
            if kind & Kind.PENDING:
                after |= Kind.PENDING
            if kind & Kind.SKIP:
                after |= Kind.SKIP if so_far & ~Kind.PENDING else Kind.NOTHING
            if kind & VALUE:
                after |= so_far
            so_far = after
            if not so_far:
                break
        return found | so_far

    def _evaluate_coalesce(self, node: Coalesce) -> Kind:
        found, all_skip = Kind.NOTHING, True
        some_null = not node.elements
        for element in node.elements:
            kind = self._evaluate(element)
            found |= kind & ~(Kind.NULL | Kind.SKIP)
            some_null = some_null or bool(kind & Kind.NULL)
            all_skip = all_skip and bool(kind & Kind.SKIP)
            if not kind & (Kind.NULL | Kind.SKIP):
                return found
        return found | (Kind.NULL if some_null else Kind.NOTHING) | (Kind.SKIP if all_skip else Kind.NOTHING)

    def _require(self, node: Expression, allowed: Kind) -> None:
        """It has given something of `allowed`: narrow the steps that it has read for certain."""
        if isinstance(node, StepOutput):
            self._require_output(node, allowed)
        elif isinstance(node, ObjectOf | ArrayOf):
            self._require_members(members_of(node), allowed)
        elif isinstance(node, Conditional):
            self._require_conditional(node, allowed)
        elif isinstance(node, Coalesce):
            for element in node.elements:
                goes_on = Kind.NULL | Kind.SKIP
                self._require(element, goes_on | (allowed & ~Kind.PENDING))
                kind = self._evaluate(element)
                if not kind & goes_on:
                    self._require(element, allowed)
                if kind & ~goes_on or not kind & goes_on:
                    return
        elif not self._evaluate(node) & allowed:
            raise _ContradictionError

    def _require_output(self, node: StepOutput, allowed: Kind) -> None:
        ends, possible = self.ends[node.index], End(0)
        for end in End:
            if ends & end:
                self.ends[node.index] = end  # what would it give, had it ended so?
                if self._evaluate_output(node) & allowed:
                    possible |= end
        self.ends[node.index] = ends
        self._keep(node.index, possible)
        if possible == End.SKIPPED and node.on_skip is not None:
            self._require(node.on_skip, allowed)

    def _require_members(self, members: tuple[Expression, ...], allowed: Kind) -> None:
        if not allowed & (FAILURE | Kind.SKIP):
            for member in members:
                self._require(member, VALUE)
            return
        for member in members:
            self._require(member, VALUE | (allowed & (Kind.SKIP | FAILURE)) | (Kind.SKIP if allowed & FAILURE else Kind.NOTHING))
            if self._evaluate(member) & FAILURE:
                return
        if not allowed & (VALUE | FAILURE):
            able = [member for member in members if self._evaluate(member) & Kind.SKIP]
            if len(able) == 1:
                self._require(able[0], Kind.SKIP)

    def _require_conditional(self, node: Conditional, allowed: Kind) -> None:
        self._require(node.condition, SETTLED)
        if not self._evaluate(node.then) & allowed:
            self._require(node.condition, SETTLED & ~Kind.TRUTHY)
        elif not self._evaluate(node.otherwise) & allowed:
            self._require(node.condition, Kind.TRUTHY)
        condition = self._evaluate(node.condition)
        if not condition & Kind.TRUTHY:
            self._require(node.otherwise, allowed)
        elif not condition & ~Kind.TRUTHY:
            self._require(node.then, allowed)


_END_OF: Final[Mapping[Outcome, End]] = {
    Outcome.SUCCESS: End.SUCCESS,
    Outcome.FAILED: End.FAILED,
    Outcome.SKIPPED: End.SKIPPED,
    Outcome.CANCELLED: End.CANCELLED,
}
