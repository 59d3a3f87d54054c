"""What an expression reads, and behind which branches each reference stands.

A walk over the expression as its author wrote it (docs/flow-language.md, expressions); the flow was checked before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from runtime_core.flow.expression_syntax import RESERVED_KEYS
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue


class SourceKind(StrEnum):
    """What a reference reads."""

    STEP = "step"
    INPUT = "input"
    VARIABLE = "variable"


class BranchKind(StrEnum):
    """What decides whether a part of an expression is evaluated."""

    IF = "if"
    COALESCE = "coalesce"
    ON_SKIP = "onSkip"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way through a branch.

    Attributes:
        pointer: of the member that branches, such as `/output/$if`; of the object that holds `onSkip` or `default`.
        label: `if` (the condition), `then`, `else`; `1`, `2`, ... of `$coalesce`; `if skipped`; `default`.
        is_certain: evaluated in any case: a condition, and the first element of `$coalesce`.
    """

    kind: BranchKind
    pointer: str
    label: str
    is_certain: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """A place that reads something.

    Attributes:
        name: the step's id or the variable's path; empty for the input.
        path: what is read of it, as written; empty: the whole.
        pointer: where the reference stands in the flow.
        arms: the branches around it, outermost first.
    """

    source: SourceKind
    name: str
    path: str
    pointer: str
    arms: tuple[Arm, ...] = ()

    @property
    def is_certain(self) -> bool:
        """Read in any case, if the expression is evaluated."""
        return all(arm.is_certain for arm in self.arms)


@dataclass(frozen=True, slots=True)
class Literal:
    """A `$literal`, which may hold a flow."""

    value: JsonValue
    pointer: str


def references(value: JsonValue, pointer: str) -> Iterator[Reference]:
    """All references of the expression at `pointer`, in the order of the document."""
    for found in walk(value, pointer):
        if type(found) is Reference:
            yield found


def walk(value: JsonValue, pointer: str, arms: tuple[Arm, ...] = ()) -> Iterator[Reference | Literal]:
    """References and literals. As deep as the document, which is bounded where it is read."""
    if type(value) is list:
        for index, member in enumerate(value):
            yield from walk(member, f"{pointer}/{index}", arms)
    if type(value) is not dict:
        return
    reserved = next((key for key in RESERVED_KEYS if key in value), None)
    if reserved is None:
        for key, member in value.items():
            yield from walk(member, f"{pointer}/{escape_pointer_token(key)}", arms)
    elif reserved == "$literal":
        yield Literal(value["$literal"], f"{pointer}/$literal")
    elif reserved == "$if":
        for key, label in (("$if", "if"), ("then", "then"), ("else", "else")):
            arm = Arm(BranchKind.IF, f"{pointer}/$if", label, key == "$if")
            yield from walk(value.get(key), f"{pointer}/{key}", (*arms, arm))
    elif reserved == "$coalesce":
        elements = value["$coalesce"]
        for index, element in enumerate(elements if type(elements) is list else ()):
            arm = Arm(BranchKind.COALESCE, f"{pointer}/$coalesce", str(index + 1), index == 0)
            yield from walk(element, f"{pointer}/$coalesce/{index}", (*arms, arm))
    elif reserved == "$step":
        yield from _step(value, pointer, arms)
    elif reserved == "$input":
        path = _text(value["$input"])
        yield Reference(SourceKind.INPUT, "", "" if path == "$" else path, pointer, arms)
    else:
        yield Reference(SourceKind.VARIABLE, _text(value["$variable"]), "", pointer, arms)
        arm = Arm(BranchKind.DEFAULT, pointer, "default", False)
        yield from walk(value.get("default"), f"{pointer}/default", (*arms, arm))


def _step(value: JsonObject, pointer: str, arms: tuple[Arm, ...]) -> Iterator[Reference | Literal]:
    path = _text(value.get("path"))
    yield Reference(SourceKind.STEP, _text(value["$step"]), "" if path == "$" else path, pointer, arms)
    on_skip = value.get("onSkip")
    if type(on_skip) is dict and on_skip.get("action") == "useDefault":
        arm = Arm(BranchKind.ON_SKIP, pointer, "if skipped", False)
        yield from walk(on_skip.get("defaultValue"), f"{pointer}/onSkip/defaultValue", (*arms, arm))


def _text(value: JsonValue) -> str:
    return value if type(value) is str else ""
