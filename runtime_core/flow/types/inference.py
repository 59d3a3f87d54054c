"""The types of expressions, and what is wrong with their paths.

Union at every fork: both branches of `$if`, all elements of `$coalesce`, `onSkip` and reference defaults. A path that leads
nowhere in every value of a type is an error. In the condition of an `$if` the same is a warning: there a failure counts as
false, and a flow may mean just that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from flowspan.flows.paths import Path, PathSyntaxError, format_path, parse_path
from runtime_core.flow.diagnostics import DiagnosticLog, Level
from runtime_core.flow.expression_syntax import RESERVED_KEYS
from runtime_core.flow.types.access import Access, access
from runtime_core.flow.types.shapes import (
    NULL,
    NULL_TYPE,
    UNKNOWN,
    Type,
    array_shape,
    object_shape,
    type_of_value,
    union,
    without_kinds,
)
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Inferred:
    """What an expression gives. `may_skip`: it may be skipped instead of having a value."""

    type: Type
    may_skip: bool = False


@dataclass(frozen=True, slots=True)
class StepType:
    """What references to a step get.

    Attributes:
        output: of a step that succeeded, a default of `onError` among it.
        answer: what its component answers with.
        untyped_component: the component that is known to declare no output schema, where nobody else says what it is either.
    """

    output: Type
    answer: Type
    may_skip: bool = False
    untyped_component: str | None = None


class ExpressionTypes:
    """Infers expressions of one flow; steps are added in their order.

    Args:
        input_type: of items.
        variables: types of declared variables; None: the flow declares none.
        has_schemas: whether the flow declares any schema at all; then paths into an input without one are reported, once.
        log: where findings go.
    """

    def __init__(
        self, input_type: Type, variables: Mapping[str, Type] | None, log: DiagnosticLog, *, has_schemas: bool = False
    ) -> None:
        self._input = input_type
        self._variables = variables or {}
        self._log = log
        self._steps: dict[str, StepType] = {}
        self._told_untyped: set[str] = set()
        self._may_tell_of_input = has_schemas and not input_type.is_known
        self._in_condition = 0

    def add_step(self, step_id: str, step: StepType) -> None:
        """Later expressions may refer to it."""
        self._steps.setdefault(step_id, step)

    def infer(self, value: JsonValue, pointer: str) -> Inferred:
        """The type of the expression at `pointer`; the recursion is as deep as the document nests."""
        if type(value) is dict:
            for reserved in RESERVED_KEYS:
                if reserved in value:
                    return _INFER[reserved](self, value, pointer)
            members = {name: self.infer(member, f"{pointer}/{escape_pointer_token(name)}") for name, member in value.items()}
            shape = object_shape({name: member.type for name, member in members.items()})
            return Inferred(Type((shape,)), any(member.may_skip for member in members.values()))
        if type(value) is list:
            elements = [self.infer(element, f"{pointer}/{index}") for index, element in enumerate(value)]
            shape = array_shape(tuple(element.type for element in elements))
            return Inferred(Type((shape,)), any(element.may_skip for element in elements))
        return Inferred(NULL_TYPE if value is None else type_of_value(value))

    def _literal(self, value: JsonObject, pointer: str) -> Inferred:
        return Inferred(type_of_value(value["$literal"]))

    def _if(self, value: JsonObject, pointer: str) -> Inferred:
        self._in_condition += 1
        self.infer(value["$if"], f"{pointer}/$if")
        self._in_condition -= 1
        branches = [self.infer(value.get(name), f"{pointer}/{name}") for name in ("then", "else")]
        return Inferred(union(branch.type for branch in branches), any(branch.may_skip for branch in branches))

    def _coalesce(self, value: JsonObject, pointer: str) -> Inferred:
        listed = value["$coalesce"]
        elements = [
            self.infer(element, f"{pointer}/$coalesce/{index}")
            for index, element in enumerate(listed if type(listed) is list else [])
        ]
        if not elements:
            return Inferred(NULL_TYPE)
        # Null is the value only if no element has another one; a skipped last element leaves the nulls before it.
        last = elements[-1]
        may_be_null = last.type.may_be(NULL) or (last.may_skip and any(one.type.may_be(NULL) for one in elements))
        types = [without_kinds(one.type, NULL) for one in elements] + ([NULL_TYPE] if may_be_null else [])
        return Inferred(union(types), all(one.may_skip for one in elements))

    def _step(self, value: JsonObject, pointer: str) -> Inferred:
        name, on_skip = value["$step"], value.get("onSkip")
        default: Inferred | None = None
        if type(on_skip) is dict and on_skip.get("action") == "useDefault":
            default = self.infer(on_skip.get("defaultValue"), f"{pointer}/onSkip/defaultValue")
        step = self._steps.get(name) if type(name) is str else None
        if step is None:
            return Inferred(UNKNOWN, True)
        path = _path(value.get("path"))
        found = access(step.output, path, null_has_all=True)
        self._tell(found, path, f"{pointer}/path", f"the output of step {name!r}")
        if path and step.untyped_component is not None and name not in self._told_untyped:
            self._told_untyped.add(str(name))
            self._log.report(
                1100,
                f"component {step.untyped_component} declares no output schema, so {format_path(path)} of step {name!r} cannot "
                "be checked; declare its output in schemas.properties.steps",
                f"{pointer}/path",
            )
        if not step.may_skip:
            return Inferred(found.type)
        if default is None:
            return Inferred(found.type, True)
        return Inferred(union((found.type, default.type)), default.may_skip)

    def _item_input(self, value: JsonObject, pointer: str) -> Inferred:
        path = _path(value["$input"])
        found = access(self._input, path)
        self._tell(found, path, f"{pointer}/$input", "the input")
        if path and self._may_tell_of_input:
            self._may_tell_of_input = False
            self._log.report(
                1003,
                f"the flow declares schemas, but none for its input, so {format_path(path)} cannot be checked; "
                "declare schemas.properties.input",
                f"{pointer}/$input",
            )
        return Inferred(found.type)

    def _variable(self, value: JsonObject, pointer: str) -> Inferred:
        default = self.infer(value["default"], f"{pointer}/default") if "default" in value else None
        path = _path(value["$variable"])
        declared = self._variables.get(path[0]) if path and type(path[0]) is str else None
        found = Access(UNKNOWN) if declared is None else access(declared, path[1:])
        self._tell(found, path[1:], f"{pointer}/$variable", f"variable {path[0]!r}" if path else "the variable")
        if default is None:
            return Inferred(found.type)
        return Inferred(union((found.type, default.type)), default.may_skip)

    def _tell(self, found: Access, path: Path, pointer: str, what: str) -> None:
        obstacle = found.obstacle
        if obstacle is None:
            return
        before = f" at {format_path(path[: obstacle.at])}" if obstacle.at else ""
        hint = self._hint(path[obstacle.at], obstacle.known)
        if obstacle.code == 1003:
            message = f"the schema of {what} declares {obstacle.message}{before}{hint}"
        else:
            message = f"path {format_path(path)}: {what} has {obstacle.message}{before}{hint}"
        # Where null has every place, or a failure counts as false, the path may be right.
        is_certain = not found.type.shapes and not self._in_condition
        self._log.report(obstacle.code, message, pointer, None if is_certain else Level.WARNING)

    def _hint(self, segment: str | int, known: Collection[str]) -> str:
        if type(segment) is not str or not known:
            return ""
        nearest = self._log.nearest(segment, known)
        if nearest or len(known) > _MAX_NAMED:
            return nearest
        return f"; there {'is' if len(known) == 1 else 'are'} {', '.join(sorted(known))}"


_MAX_NAMED: Final = 8

_INFER: Final = {
    "$literal": ExpressionTypes._literal,
    "$if": ExpressionTypes._if,
    "$coalesce": ExpressionTypes._coalesce,
    "$step": ExpressionTypes._step,
    "$input": ExpressionTypes._item_input,
    "$variable": ExpressionTypes._variable,
}


def _path(text: JsonValue) -> Path:
    """The path of a reference that was compiled; the whole value for what is no path."""
    try:
        return parse_path(text) if type(text) is str else ()
    except PathSyntaxError:
        return ()
