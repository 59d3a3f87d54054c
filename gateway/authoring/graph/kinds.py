"""What an expression may give, as far as that can be told without an item's input; and what a flow sees of its steps' outputs."""

from __future__ import annotations

from enum import IntFlag
from typing import Final

import msgspec

from flowspan.flows.paths import Path
from runtime_core.flow.expressions import ArrayOf, Coalesce, Conditional, Expression, InputPath, ObjectOf, StepOutput, Variable
from runtime_core.flow.graph import reachable_steps
from runtime_core.flow.paths import NOT_FOUND, walk
from runtime_core.flow.plan import FlowPlan
from runtime_core.model.json_value import JsonValue


class Kind(IntFlag):
    """What an expression may give. `BROKEN`: it fails by itself; `THROUGH`: by a step that failed."""

    NOTHING = 0
    TRUTHY = 1
    NULL = 2
    FALSE = 4
    SKIP = 8
    BROKEN = 16
    THROUGH = 32
    PENDING = 64


VALUE: Final = Kind.TRUTHY | Kind.NULL | Kind.FALSE
FALSY: Final = Kind.NULL | Kind.FALSE
FAILURE: Final = Kind.BROKEN | Kind.THROUGH
SETTLED: Final = VALUE | Kind.SKIP | FAILURE
_NONE: Final[frozenset[object]] = frozenset()
_SCALARS: Final = (b"null", b"false")

Facts = tuple[Kind, ...]
"""Of a step's output: what each path gives at which the flow reads it."""


class FlowReader:
    """A flow as the replay over sets needs it.

    Attributes:
        plan: compiled without overrides, which a client cannot see.
        paths: per step the paths at which expressions read its output, in the order of `Facts`.
        required: members that every item's input has, or it was refused.
        reachable: steps that may run at all.
        readers: by the pointer of a reference the step that it reads, or -1.
    """

    def __init__(self, plan: FlowPlan) -> None:
        self.plan = plan
        schema = plan.flow.schemas.input
        required = schema.get("required") if isinstance(schema, dict) and schema.get("type") == "object" else None
        self.required: frozenset[object] = (
            frozenset(one for one in required if type(one) is str) if isinstance(required, list) else _NONE
        )
        self.paths: list[dict[Path, int]] = [{} for _ in plan.steps]
        self.readers: dict[str, int] = {reference.pointer: -1 for reference in plan.variables}
        mentions: list[set[int]] = []
        for step in plan.steps:
            mentions.append(self._collect(step.input) | (set() if step.skip is None else self._collect(step.skip)))
        self.reachable = reachable_steps(mentions, [*self._collect(plan.output), *plan.must_execute])
        self.defaults: tuple[Facts | None, ...] = tuple(
            None if step.default_payload is None else self.facts(step.index, step.default_payload) for step in plan.steps
        )

    def facts(self, step: int, payload: bytes) -> Facts:
        """What the flow may see of a step's output; JSON."""
        paths = self.paths[step]
        if not paths:
            return ()
        try:
            value = msgspec.json.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return tuple(SETTLED if path else VALUE for path in paths)
        return tuple(_kind_at(value, path) for path in paths)

    def _collect(self, expression: Expression) -> set[int]:
        """Note its references; the steps that it mentions."""
        found: set[int] = set()
        stack = [expression]
        while stack:
            node = stack.pop()
            if isinstance(node, StepOutput):
                self.paths[node.index].setdefault(node.path, len(self.paths[node.index]))
                self.readers[node.pointer] = node.index
                found.add(node.index)
                if node.on_skip is not None:
                    stack.append(node.on_skip)
            elif isinstance(node, InputPath):
                self.readers[node.pointer] = -1
            elif isinstance(node, Variable):
                if node.default is not None:
                    stack.append(node.default)
            else:
                stack += members_of(node)
        return found


def members_of(node: Expression) -> tuple[Expression, ...]:
    if isinstance(node, ObjectOf):
        return tuple(member for _, member in node.members)
    if isinstance(node, ArrayOf):
        return node.members
    if isinstance(node, Conditional):
        return (node.condition, node.then, node.otherwise)
    return node.elements if isinstance(node, Coalesce) else ()


def kind_of(value: JsonValue) -> Kind:
    if value is None:
        return Kind.NULL
    return Kind.FALSE if value is False else Kind.TRUTHY


def _kind_at(value: JsonValue, path: Path) -> Kind:
    if not path or value is None:
        return kind_of(value)
    found = walk(value, path)
    return Kind.BROKEN if found is NOT_FOUND else kind_of(found)  # type: ignore[arg-type]


def kind_of_constant(encoded: bytes) -> Kind:
    """Of a constant's JSON."""
    return kind_of(msgspec.json.decode(encoded)) if encoded in _SCALARS else Kind.TRUTHY
