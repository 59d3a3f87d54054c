"""Flows within flows: literals that stand where a built-in takes a flow, and literals that look like one.

What makes such a flow useless is an error of the outer one, not fatal to it: the outer flow can be stored, and the step that
runs the inner one fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from runtime_core.flow.diagnostics import Diagnostic, DiagnosticLog, Level
from runtime_core.flow.document import Flow, Step
from runtime_core.flow.expression_syntax import RESERVED_KEYS
from runtime_core.flow.parse import FLOW_FIELDS, check_flow
from runtime_core.flow.types.check import check_types
from runtime_core.flow.types.components import KnownComponents
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue

MAX_NESTING: Final = 8
"""Flows inside each other that are looked into; each is read once for every flow around it."""

_FLOW_MEMBERS: Final = {
    "/builtin/eval": ("flow",),
    "/builtin/map": ("workflow", "flow"),
    "/builtin/iterate": ("flow",),
}
"""Members that are a flow, or the id of one."""
_PUT_BLOB: Final = "/builtin/put_blob"
_NO_MATTER: Final = frozenset((1001, 1002))
"""A flow inside another needs neither name nor description."""
_OWN_FIELDS: Final = frozenset((*FLOW_FIELDS, "schema", "$schema"))


@dataclass(frozen=True, slots=True)
class EmbeddedFlow:
    """A literal that is meant to be a flow. `pointer`: of the value, below `$literal`."""

    value: JsonValue
    pointer: str


def embedded_flows(flow: Flow) -> Iterator[EmbeddedFlow]:
    """In the order of the document; each literal at most once."""
    for index, step in enumerate(flow.steps):
        taken = _taken_as_flow(step, f"/steps/{index}/input")
        if taken is not None:
            yield taken
        for place, expression in ((step.skip_field, step.skip), ("input", step.input)):
            for found in _literal_flows(expression, f"/steps/{index}/{place}"):
                if taken is None or found.pointer != taken.pointer:
                    yield found
    yield from _literal_flows(flow.output, "/output")


def check_embedded(flow: Flow, log: DiagnosticLog, components: KnownComponents | None = None, *, prefix: str = "") -> None:
    """Check the flows inside a flow, and those inside them.

    Args:
        log: findings get pointers into the outermost document.
        prefix: where `flow` itself stands in it.
    """
    _check_inside(flow, log, components, prefix, 0)


def _check_inside(flow: Flow, log: DiagnosticLog, components: KnownComponents | None, prefix: str, nesting: int) -> None:
    for one in embedded_flows(flow) if nesting < MAX_NESTING else ():
        pointer = prefix + one.pointer
        checked = check_flow(one.value)
        findings = list(checked.diagnostics)
        if checked.flow is not None:
            own = DiagnosticLog()
            check_types(checked.flow, own, components)
            findings += own.findings
        for finding in findings:
            _pass_on(finding, pointer, log)
        if checked.flow is not None:
            _check_inside(checked.flow, log, components, pointer, nesting + 1)


def _pass_on(finding: Diagnostic, pointer: str, log: DiagnosticLog) -> None:
    if finding.code in _NO_MATTER:
        return
    if finding.level is Level.FATAL:
        log.report(2003, f"the embedded flow cannot run: {finding.message}", pointer + finding.path)
    else:
        log.report(finding.code, finding.message, pointer + finding.path, finding.level)


def _taken_as_flow(step: Step, pointer: str) -> EmbeddedFlow | None:
    """The literal that a built-in takes as a flow, whatever it looks like; a string is the id of one."""
    given = step.input
    is_literal = type(given) is dict and "$literal" in given
    if type(given) is dict and is_literal:
        # The whole input is a literal: its members stand there as they are.
        given, pointer = given["$literal"], f"{pointer}/$literal"
    if type(given) is not dict or (not is_literal and any(key in given for key in RESERVED_KEYS)):
        return None
    blob_type = given.get("blob_type") if is_literal else _constant(given.get("blob_type"))
    names = _FLOW_MEMBERS.get(step.component, ())
    if step.component == _PUT_BLOB and blob_type == "flow":
        names = ("data",)
    for name in names:
        member, place = given.get(name), f"{pointer}/{name}"
        if not is_literal:
            if type(member) is not dict or "$literal" not in member:
                continue
            member, place = member["$literal"], f"{place}/$literal"
        if member is not None and type(member) is not str:
            return EmbeddedFlow(member, place)
    return None


def _constant(expression: JsonValue) -> JsonValue:
    return expression["$literal"] if type(expression) is dict and "$literal" in expression else expression


def _literal_flows(expression: JsonValue, pointer: str) -> Iterator[EmbeddedFlow]:
    """Literals of an expression that can hardly be anything but flows."""
    if type(expression) is dict:
        if "$literal" in expression:
            value = expression["$literal"]
            if type(value) is dict and _looks_like_a_flow(value):
                yield EmbeddedFlow(value, f"{pointer}/$literal")
            return
        for name, member in expression.items():
            if type(member) is dict or type(member) is list:
                yield from _literal_flows(member, f"{pointer}/{escape_pointer_token(name)}")
    elif type(expression) is list:
        for index, element in enumerate(expression):
            if type(element) is dict or type(element) is list:
                yield from _literal_flows(element, f"{pointer}/{index}")


def _looks_like_a_flow(value: JsonObject) -> bool:
    """Steps that name components; or an output and nothing that a flow does not have. A recipe has steps too."""
    steps = value.get("steps")
    if type(steps) is list and steps:
        return any(type(step) is dict and "component" in step for step in steps)
    return "output" in value and (steps is None or steps == []) and _OWN_FIELDS.issuperset(value)
