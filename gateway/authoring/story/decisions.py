"""Which way the branches of an expression went, for one item."""

from __future__ import annotations

from gateway.authoring.graph.references import Arm, BranchKind
from runtime_core.flow.expressions import (
    SKIPPED,
    ArrayOf,
    Coalesce,
    Conditional,
    Evaluation,
    Expression,
    Failure,
    ItemValues,
    ObjectOf,
    Pending,
    Skip,
    StepOutput,
    Variable,
    is_null,
    is_truthy,
)
from runtime_core.model.json_scan import escape_pointer_token

NOTHING = "nothing"
"""The label of a `$coalesce` that found no value."""


def decisions(expression: Expression, pointer: str, item: ItemValues) -> dict[str, str]:
    """By the pointer of a branch (as in `Arm.pointer`) the label of the arm that was taken; of branches that were reached."""
    found: dict[str, str] = {}
    _decide(expression, pointer, item, found)
    item.missing.clear()
    return found


def was_read(arms: tuple[Arm, ...], taken: dict[str, str]) -> bool:
    """Whether a reference behind these arms was evaluated, as far as its branches tell."""
    return untaken(arms, taken) is None


def untaken(arms: tuple[Arm, ...], taken: dict[str, str]) -> Arm | None:
    """The outermost arm that the item did not go through."""
    for arm in arms:
        label = taken.get(arm.pointer)
        if label is None:
            if not arm.is_certain:
                return arm
        elif arm.kind is BranchKind.COALESCE:
            if label != NOTHING and int(arm.label) > int(label):
                return arm
        elif not arm.is_certain and label != arm.label:
            return arm
    return None


def _decide(expression: Expression, pointer: str, item: ItemValues, found: dict[str, str]) -> None:
    if isinstance(expression, ObjectOf):
        for key, member in expression.members:
            _decide(member, f"{pointer}/{escape_pointer_token(key)}", item, found)
    elif isinstance(expression, ArrayOf):
        for index, member in enumerate(expression.members):
            _decide(member, f"{pointer}/{index}", item, found)
    elif isinstance(expression, Conditional):
        _decide(expression.condition, f"{pointer}/$if", item, found)
        condition = expression.condition.evaluate(item)
        if not isinstance(condition, Pending):
            is_met = _has_value(condition) and is_truthy(condition)  # type: ignore[arg-type]
            found[f"{pointer}/$if"] = "then" if is_met else "else"
            _decide(expression.then if is_met else expression.otherwise, f"{pointer}/{'then' if is_met else 'else'}", item, found)
    elif isinstance(expression, Coalesce):
        _decide_coalesce(expression, f"{pointer}/$coalesce", item, found)
    elif isinstance(expression, StepOutput):
        if expression.on_skip is not None and item.states[expression.index] == SKIPPED:
            found[pointer] = "if skipped"
            _decide(expression.on_skip, f"{pointer}/onSkip/defaultValue", item, found)
    elif isinstance(expression, Variable) and expression.default is not None and item.variables[expression.slot] is None:
        found[pointer] = "default"
        _decide(expression.default, f"{pointer}/default", item, found)


def _decide_coalesce(expression: Coalesce, pointer: str, item: ItemValues, found: dict[str, str]) -> None:
    for index, element in enumerate(expression.elements):
        _decide(element, f"{pointer}/{index}", item, found)
        value = element.evaluate(item)
        if isinstance(value, Pending):
            found[pointer] = str(index + 1)
            return
        if isinstance(value, Failure) or (_has_value(value) and not is_null(value)):  # type: ignore[arg-type]
            found[pointer] = str(index + 1)
            return
    found[pointer] = NOTHING


def _has_value(value: Evaluation) -> bool:
    return not isinstance(value, Failure | Skip | Pending)
