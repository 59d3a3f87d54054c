"""A flow made ready to run: expressions compiled, dependencies turned into counters. Shared by all items of all runs that
use the same flow and overrides; nothing in it changes. Variables are bound once per run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from flowspan.errors import InvalidArgumentError
from runtime_core.flow.diagnostics import MAX_SHOWN, DiagnosticLog, flow_invalid, worst_first
from runtime_core.flow.document import Flow, OnError, RetrySettings, Step
from runtime_core.flow.expression_syntax import ExpressionCompiler
from runtime_core.flow.expressions import IDLE, WAITING, Expression, StepOutput, WholeInput, branches_within, encode_value
from runtime_core.flow.graph import dependents_of, reachable_steps
from runtime_core.flow.overrides import apply_overrides
from runtime_core.flow.parse import check_flow
from runtime_core.flow.schemas import SchemaCheck
from runtime_core.flow.variables import RunVariables, VariableReference, bind_variables
from runtime_core.model.ids import StepId
from runtime_core.model.json_value import JsonObject, JsonValue, encode_json


@dataclass(frozen=True, slots=True, eq=False)
class PlannedStep:
    """One step, compiled.

    Attributes:
        index: position in the flow, from 0; `step_index` of events.
        component: path as the flow gives it.
        skip: the condition, or None.
        default_payload: JSON of `onError`'s default value, or None if it has none.
        skipped_payload: the payload of this step when its condition skips it.
        timeout_s: bound on one attempt, or None.
    """

    index: int
    id: StepId
    component: str
    input: Expression
    skip: Expression | None
    on_error: OnError
    default_payload: bytes | None
    skipped_payload: bytes
    must_execute: bool
    timeout_s: float | None
    retry: RetrySettings
    metadata: JsonObject


@dataclass(frozen=True, slots=True, eq=False)
class Lookout:
    """A branch inside a larger value, watched for itself: which way it goes may be known before the value can be built, and
    what it needs then is to begin at once.

    Attributes:
        owner: the node whose value it is a part of.
    """

    owner: int
    expression: Expression


@dataclass(frozen=True, slots=True, eq=False)
class FlowPlan:
    """A compiled flow. Nodes 0 .. n-1 are its steps, node n is its output, those behind are lookouts.

    Attributes:
        flow: the flow with its overrides applied.
        output: the output's expression.
        needed: steps that run in any case, unless they are skipped or their input fails.
        component_steps: how many steps can run at all; an item with more than one journals each.
        lookouts: node n + 1 and on. `lookouts_of`: per step and for the output, the nodes of its own.
        strict: per node, the steps without whose outcome it cannot be evaluated.
        dependents: per step, the nodes that hold it in `strict`.
        initial_states, initial_waiting: per node, where an item begins.
        initial_ready: nodes that wait for nothing, in the order of the document.
        must_execute: indexes of such steps, in the order of the document.
        passed_on: the step whose output is the flow's as it stands, where nothing else is waited for; else -1.
        is_plain: one step takes an item's input as it stands, and its output is the flow's: the way of most runs over many
            items. Such an item needs no state of its own until something goes wrong.
        input_check: what an item's input must fit before anything runs, or None.
        variables: references to variables; `bind` gives each its value.
    """

    flow: Flow
    steps: tuple[PlannedStep, ...]
    output: Expression
    needed: frozenset[int]
    component_steps: int
    lookouts: tuple[Lookout, ...]
    lookouts_of: tuple[tuple[int, ...], ...]
    strict: tuple[frozenset[int], ...]
    dependents: tuple[tuple[int, ...], ...]
    initial_states: bytes
    initial_waiting: tuple[int, ...]
    initial_ready: tuple[int, ...]
    must_execute: tuple[int, ...]
    passed_on: int
    is_plain: bool
    input_check: SchemaCheck | None
    variables: tuple[VariableReference, ...]

    def bind(
        self,
        given: Mapping[str, JsonValue],
        inherited: Mapping[str, JsonValue] = MappingProxyType({}),
        inherited_secrets: frozenset[str] = frozenset(),
    ) -> RunVariables:
        """The variables of a run, looked up once for all its items; unchecked."""
        return bind_variables(self.flow.schemas.declared, self.variables, given, inherited, inherited_secrets)


def compile_flow(flow: Flow, overrides: JsonValue = None) -> FlowPlan:
    """Compile a flow that was checked.

    Args:
        flow: from `check_flow` or `parse_flow`.
        overrides: as a submit carries them; None for none.

    Raises:
        InvalidArgumentError: the overrides name no step, are no patch, or leave no valid flow behind.
        FlowInvalidError: `flow` was never checked.
    """
    if overrides is not None:
        flow = _overridden(flow, overrides)
    log = DiagnosticLog()
    compiler = ExpressionCompiler({step.id: index for index, step in enumerate(flow.steps)}, log)
    steps: list[PlannedStep] = []
    references: list[set[int]] = []
    for index, step in enumerate(flow.steps):
        compiler.begin(index)
        steps.append(_planned(index, step, compiler))
        references.append(compiler.references)
    compiler.begin(len(steps))
    output = compiler.compile(flow.output, "/output")
    if log.has_fatal:
        raise flow_invalid(log.findings)
    must = tuple(step.index for step in steps if step.must_execute)
    passed_on = _passed_on(output, must)
    # The condition comes first: what only the input needs is not needed before it is known not to be skipped.
    strict = (*(step.input.strict if step.skip is None else step.skip.strict for step in steps), output.strict)
    needed = reachable_steps(strict[:-1], [*output.strict, *must])
    alive = [node in needed for node in range(len(steps))] + [True]
    lookouts = _lookouts(steps, output)
    lookouts_of: list[list[int]] = [[] for _ in alive]
    for node, one in enumerate(lookouts, len(alive)):
        lookouts_of[one.owner].append(node)
    # Where a condition may skip a step, what its input needs is not looked for before.
    alive += [alive[one.owner] and (one.owner == len(steps) or steps[one.owner].skip is None) for one in lookouts]
    strict += tuple(one.expression.strict for one in lookouts)
    return FlowPlan(
        flow=flow,
        steps=tuple(steps),
        output=output,
        needed=frozenset(needed),
        component_steps=len(reachable_steps(references, [*compiler.references, *must])),
        lookouts=lookouts,
        lookouts_of=tuple(map(tuple, lookouts_of)),
        strict=strict,
        dependents=dependents_of(strict),
        initial_states=bytes(WAITING if lives else IDLE for lives in alive),
        initial_waiting=tuple(len(nodes) if lives else 0 for nodes, lives in zip(strict, alive, strict=True)),
        initial_ready=tuple(node for node, lives in enumerate(alive) if lives and not strict[node]),
        must_execute=must,
        passed_on=passed_on,
        is_plain=len(steps) == 1
        and passed_on == 0
        and type(steps[0].input) is WholeInput
        and steps[0].skip is None
        and flow.schemas.input_check is None,
        input_check=flow.schemas.input_check,
        variables=tuple(compiler.variables),
    )


def _lookouts(steps: list[PlannedStep], output: Expression) -> tuple[Lookout, ...]:
    found: list[Lookout] = []
    for owner, (expression, may_skip) in enumerate([*((step.input, step.skip is not None) for step in steps), (output, False)]):
        for branch in branches_within(expression):
            # One that waits for the same as its owner is looked at with it.
            if may_skip or branch.strict != expression.strict:
                found.append(Lookout(owner, branch))
    return tuple(found)


def _passed_on(output: Expression, must_execute: tuple[int, ...]) -> int:
    return output.index if type(output) is StepOutput and not output.path and not must_execute else -1


def _overridden(flow: Flow, overrides: JsonValue) -> Flow:
    value = apply_overrides(flow.value, overrides)
    if value is flow.value:
        return flow
    checked = check_flow(value)
    if checked.flow is None:
        worst = worst_first(checked.diagnostics)
        raise InvalidArgumentError(
            f"overrides leave no valid flow: {worst[0].message}, at {worst[0].path}",
            field="overrides",
            diagnostics=[finding.to_json() for finding in worst[:MAX_SHOWN]],
        )
    return checked.flow


def _planned(index: int, step: Step, compiler: ExpressionCompiler) -> PlannedStep:
    on_error = step.on_error
    return PlannedStep(
        index=index,
        id=StepId(step.id),
        component=step.component,
        input=compiler.compile(step.input, f"/steps/{index}/input"),
        skip=None if step.skip is None else compiler.compile(step.skip, f"/steps/{index}/{step.skip_field}"),
        on_error=on_error,
        default_payload=encode_json(on_error.default_value) if on_error.has_default else None,
        skipped_payload=encode_value({"reason": f"the skip condition of step {step.id} holds"}),
        must_execute=step.must_execute,
        timeout_s=step.timeout_s,
        retry=step.retry,
        metadata=step.metadata,
    )
