"""Compiled expressions: what a step's input, its skip condition or a flow's output is made of.

A node is evaluated against one item and gives one of

* a value: JSON bytes that are passed on unread (`bytes`), or a decoded JSON value;
* `Failure` or `Skip`: why there is no value;
* `PENDING`: outputs of steps are missing; their indexes were added to `item.missing`.

Nodes hold nothing of an item and are shared by all items of all runs. Evaluation is lazy: a branch that is not taken is
not looked at, and only what has to be looked into is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec

from flowspan.errors import FlowErrorCode
from flowspan.flows.paths import Path, format_path
from runtime_core.flow.paths import NOT_FOUND as _NOT_FOUND
from runtime_core.flow.paths import walk
from runtime_core.model.json_value import JsonValue

# What is known of a step of an item. Plain numbers in a bytearray: there is one per step and item.
IDLE: Final = 0
WAITING: Final = 1
IN_FLIGHT: Final = 2
SUCCESS: Final = 3
SKIPPED: Final = 4
FAILED: Final = 5


class Failure:
    """There is no value. `payload`: JSON `{"code", "message", "data"?}`."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


class Skip:
    """The value is skipped. `payload`: JSON `{"reason"?}`."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


class Pending:
    """The type of `PENDING`."""

    __slots__ = ()


PENDING: Final = Pending()
Evaluation = JsonValue | bytes | Failure | Skip | Pending
BoundVariable = bytes | Failure | None
"""What a run has for a reference to a variable: its JSON, why there is none, or None: nobody gave it a value."""


class ItemValues(Protocol):
    """What an expression may read of an item."""

    input: bytes
    states: bytearray
    payloads: list[bytes]
    missing: list[int]
    variables: Sequence[BoundVariable]

    def input_value(self) -> JsonValue | Failure: ...

    def output_value(self, step_index: int) -> JsonValue | Failure: ...


class Expression(Protocol):
    """A compiled expression.

    Attributes:
        strict: steps without whose outcome it can never be evaluated.
        is_lazy: whether it may turn out to need more than those.
        weight: of how many values, of the input, steps and variables, its value is made at most.
    """

    strict: frozenset[int]
    is_lazy: bool
    weight: int

    def evaluate(self, item: ItemValues) -> Evaluation: ...


_encode: Final = msgspec.json.Encoder().encode
_NONE: Final[frozenset[int]] = frozenset()
_FALSY: Final = (b"null", b"false")
_MESSAGE_CHARS: Final = 1_000


def expression_failure(message: str, pointer: str | None = None) -> Failure:
    """An `EXPRESSION_FAILURE`; `pointer` says where in the flow the expression stands and goes into `data.path`."""
    if len(message) > _MESSAGE_CHARS:  # a path can be as long as a flow, and every item would carry it
        message = f"{message[: _MESSAGE_CHARS // 2]} ... {message[-_MESSAGE_CHARS // 2 :]}"
    error: dict[str, object] = {"code": FlowErrorCode.EXPRESSION_FAILURE.value, "message": message}
    if pointer is not None:
        error["data"] = {"path": pointer}
    return Failure(_encode(error))


def is_truthy(value: JsonValue | bytes) -> bool:
    """Only null and false are falsy; 0, "", [] and {} are not."""
    if type(value) is bytes:
        return value.strip() not in _FALSY
    return value is not None and value is not False


def is_null(value: JsonValue | bytes) -> bool:
    """Whether the value is JSON null, decoded or not."""
    return value is None or (type(value) is bytes and value.strip() == b"null")


def encode_value(value: JsonValue | bytes) -> bytes:
    """The value's JSON; bytes go through untouched."""
    return value if type(value) is bytes else _encode(value)


class Constant:
    """A value that no item changes, encoded once."""

    __slots__ = ("encoded",)
    strict = _NONE
    is_lazy = False
    weight = 0

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded

    def evaluate(self, item: ItemValues) -> Evaluation:
        return self.encoded


class Variable:
    """`{"$variable": PATH}`: what the run's variables have at a slot of the plan, else the reference's own default."""

    __slots__ = ("default", "is_lazy", "slot", "undefined", "weight")
    strict = _NONE

    def __init__(self, slot: int, default: Expression | None, undefined: Failure) -> None:
        self.slot = slot
        self.default = default
        self.undefined = undefined
        self.is_lazy = default is not None and (default.is_lazy or bool(default.strict))
        self.weight = 1 if default is None else max(1, default.weight)

    def evaluate(self, item: ItemValues) -> Evaluation:
        value = item.variables[self.slot]
        if value is not None:
            return value
        return self.undefined if self.default is None else self.default.evaluate(item)


class WholeInput:
    """`{"$input": "$"}`: the item's input, unread."""

    __slots__ = ()
    strict = _NONE
    is_lazy = False
    weight = 1

    def evaluate(self, item: ItemValues) -> Evaluation:
        return item.input


class InputPath:
    """A place in the item's input."""

    __slots__ = ("path", "pointer")
    strict = _NONE
    is_lazy = False
    weight = 1

    def __init__(self, path: Path, pointer: str) -> None:
        self.path = path
        self.pointer = pointer

    def evaluate(self, item: ItemValues) -> Evaluation:
        value = item.input_value()
        if type(value) is Failure:
            return value
        found = walk(value, self.path)  # type: ignore[arg-type]
        if found is _NOT_FOUND:
            return expression_failure(f"Input path {format_path(self.path)} not found", self.pointer)
        return found  # type: ignore[return-value]


class StepOutput:
    """The output of an earlier step, whole or at a path; `on_skip` stands in for a skipped one."""

    __slots__ = ("index", "is_lazy", "on_skip", "path", "pointer", "strict", "weight")

    def __init__(self, index: int, path: Path, on_skip: Expression | None, pointer: str) -> None:
        self.index = index
        self.path = path
        self.on_skip = on_skip
        self.pointer = pointer
        self.strict = frozenset((index,))
        self.is_lazy = on_skip is not None and (on_skip.is_lazy or bool(on_skip.strict))
        self.weight = 1 if on_skip is None else max(1, on_skip.weight)

    def evaluate(self, item: ItemValues) -> Evaluation:
        index = self.index
        state = item.states[index]
        if state == SUCCESS:
            if not self.path:
                return item.payloads[index]
            value = item.output_value(index)
            if value is None or type(value) is Failure:
                return value
            found = walk(value, self.path)  # type: ignore[arg-type]
            if found is _NOT_FOUND:
                return expression_failure(f"Path {format_path(self.path)} not found", self.pointer)
            return found  # type: ignore[return-value]
        if state == FAILED:
            return Failure(item.payloads[index])
        if state == SKIPPED:
            return Skip(item.payloads[index]) if self.on_skip is None else self.on_skip.evaluate(item)
        item.missing.append(index)
        return PENDING


class ObjectOf:
    """An object whose members are resolved one by one.

    The first failed member in document order is its failure, whatever stands behind it; that is known as soon as nothing
    before it is pending. Failed and pending members come before skipped ones.
    """

    __slots__ = ("is_lazy", "members", "strict", "weight")

    def __init__(self, members: tuple[tuple[str, Expression], ...]) -> None:
        self.members = members
        self.strict = _NONE.union(*(node.strict for _, node in members))
        self.is_lazy = any(node.is_lazy for _, node in members)
        self.weight = sum(node.weight for _, node in members)

    def evaluate(self, item: ItemValues) -> Evaluation:
        resolved: dict[str, object] = {}
        obstacle: Skip | Pending | None = None
        for key, node in self.members:
            value = node.evaluate(item)
            kind = type(value)
            if kind is bytes:
                resolved[key] = msgspec.Raw(value)  # type: ignore[arg-type]
            elif kind is Failure:
                return value if type(obstacle) is not Pending else PENDING
            elif kind is Pending:
                obstacle = PENDING
            elif kind is Skip:
                obstacle = obstacle or value  # type: ignore[assignment]
            else:
                resolved[key] = value
        return resolved if obstacle is None else obstacle  # type: ignore[return-value]


class ArrayOf:
    """An array whose members are resolved one by one; as in `ObjectOf`."""

    __slots__ = ("is_lazy", "members", "strict", "weight")

    def __init__(self, members: tuple[Expression, ...]) -> None:
        self.members = members
        self.strict = _NONE.union(*(node.strict for node in members))
        self.is_lazy = any(node.is_lazy for node in members)
        self.weight = sum(node.weight for node in members)

    def evaluate(self, item: ItemValues) -> Evaluation:
        resolved: list[object] = []
        obstacle: Skip | Pending | None = None
        for node in self.members:
            value = node.evaluate(item)
            kind = type(value)
            if kind is bytes:
                resolved.append(msgspec.Raw(value))  # type: ignore[arg-type]
            elif kind is Failure:
                return value if type(obstacle) is not Pending else PENDING
            elif kind is Pending:
                obstacle = PENDING
            elif kind is Skip:
                obstacle = obstacle or value  # type: ignore[assignment]
            else:
                resolved.append(value)
        return resolved if obstacle is None else obstacle  # type: ignore[return-value]


def branches_within(expression: Expression) -> Iterator[Expression]:
    """Members of an object or array, at any depth, of which it may turn out late what they need. Iterative."""
    if not expression.is_lazy:
        return
    stack = [expression] if type(expression) in (ObjectOf, ArrayOf) else []
    while stack:
        one = stack.pop()
        if type(one) is ObjectOf:
            stack += [member for _, member in reversed(one.members) if member.is_lazy]
        elif type(one) is ArrayOf:
            stack += [member for member in reversed(one.members) if member.is_lazy]
        else:
            yield one


class Conditional:
    """`$if`: a failed or skipped condition counts as false; only the taken branch is evaluated."""

    __slots__ = ("condition", "is_lazy", "otherwise", "strict", "then", "weight")

    def __init__(self, condition: Expression, then: Expression, otherwise: Expression) -> None:
        self.condition = condition
        self.then = then
        self.otherwise = otherwise
        self.strict = condition.strict
        branches = (then, otherwise)
        self.is_lazy = condition.is_lazy or any(branch.is_lazy or branch.strict for branch in branches)
        self.weight = max(then.weight, otherwise.weight)

    def evaluate(self, item: ItemValues) -> Evaluation:
        condition = self.condition.evaluate(item)
        kind = type(condition)
        if kind is Pending:
            return PENDING
        if kind is Failure or kind is Skip or not is_truthy(condition):  # type: ignore[arg-type]
            return self.otherwise.evaluate(item)
        return self.then.evaluate(item)


class Coalesce:
    """`$coalesce`: the first value that is neither null nor skipped; a failed element fails the whole at once.

    All null: null. Only skipped ones: skipped. Null and skipped ones: null, for a null is a value and a skip is none.
    """

    __slots__ = ("elements", "is_lazy", "strict", "weight")

    def __init__(self, elements: tuple[Expression, ...]) -> None:
        self.elements = elements
        self.strict = elements[0].strict if elements else _NONE
        self.is_lazy = any(node.is_lazy for node in elements) or any(node.strict for node in elements[1:])
        self.weight = max((node.weight for node in elements), default=0)

    def evaluate(self, item: ItemValues) -> Evaluation:
        skipped: Skip | None = None
        saw_null = False
        for node in self.elements:
            value = node.evaluate(item)
            kind = type(value)
            if kind is Pending or kind is Failure:
                return value
            if kind is Skip:
                skipped = skipped or value  # type: ignore[assignment]
            elif is_null(value):  # type: ignore[arg-type]
                saw_null = True
            else:
                return value
        return None if saw_null or skipped is None else skipped
