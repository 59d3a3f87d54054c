"""From a JSON value to a typed flow, with everything that is wrong with it.

Explicit null means absent. Unknown keys are reported, never dropped in silence. A document of the wrong shape and a reference
that cannot be followed are fatal; the rest is told and stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from flowspan.flows.durations import parse_duration_s
from runtime_core.flow.declared_schemas import read_schemas
from runtime_core.flow.diagnostics import Diagnostic, DiagnosticLog, Level
from runtime_core.flow.document import (
    DEFAULT_MAX_RETRIES,
    BackoffKind,
    Flow,
    FlowSchemas,
    OnError,
    OnErrorAction,
    RetrySettings,
    Step,
)
from runtime_core.flow.expression_syntax import ALWAYS_ALLOWED, ExpressionCompiler
from runtime_core.flow.graph import reachable_steps
from runtime_core.flow.schema_keywords import KEYWORDS
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import JsonObject, JsonValue

MAX_STEPS: Final = 10_000
"""Steps of one flow; promises of docs/limits."""
MAX_RETRIES: Final = 1_000
"""Retries a flow may ask for; a larger figure is a mistake."""

FLOW_FIELDS: Final = (
    "name",
    "description",
    "version",
    "schemas",
    "inputSchema",
    "input_schema",
    "outputSchema",
    "output_schema",
    "variablesSchema",
    "variables_schema",
    "steps",
    "output",
    "test",
    "examples",
    "metadata",
)
STEP_FIELDS: Final = (
    "id",
    "component",
    "input",
    "skip",
    "skipIf",
    "onError",
    "on_error",
    "mustExecute",
    "timeout",
    "retry",
    "metadata",
)
ON_ERROR_FIELDS: Final = ("action", "defaultValue", "maxRetries")
RETRY_FIELDS: Final = ("maxRetries", "backoff")
EXAMPLE_FIELDS: Final = ("name", "description", "input")
SCHEMA_PARTS: Final = ("input", "output", "variables", "steps")
"""What `schemas.properties` may describe."""

_Choice = TypeVar("_Choice", OnErrorAction, BackoffKind)
_Member = TypeVar("_Member", str, int, bool, list[JsonValue], JsonObject)


@dataclass(frozen=True, slots=True)
class CheckedFlow:
    """What a check found. `flow` is None exactly if a diagnostic is fatal."""

    flow: Flow | None
    diagnostics: tuple[Diagnostic, ...]


def check_flow(value: JsonValue) -> CheckedFlow:
    """Read a flow and collect diagnostics, in the order of the document; takes time linear in its size."""
    log = DiagnosticLog()
    if type(value) is not dict:
        log.report(2002, f"a flow is an object, not {_kind(value)}", "", Level.FATAL)
        return CheckedFlow(None, tuple(log.findings))
    flow = _FlowReader(value, log).read()
    return CheckedFlow(None if log.has_fatal else flow, tuple(log.findings))


class _FlowReader:
    """Reads one document; after a mistake it goes on with a stand-in, so that one pass reports all."""

    def __init__(self, value: JsonObject, log: DiagnosticLog) -> None:
        self._value = value
        self._log = log

    def read(self) -> Flow:
        value, log = self._value, self._log
        self._report_unknown(value, FLOW_FIELDS, "")
        name = self._text(value, "name", "")
        description = self._text(value, "description", "")
        if name is None:
            log.report(1001, "the flow has no name", "")
        if description is None:
            log.report(1002, "the flow has no description", "")
        examples = self._of_type(value, "examples", list, "") or []
        self._check_examples(examples)
        flow = Flow(
            value=value,
            name=name,
            description=description,
            version=self._text(value, "version", ""),
            schemas=self._schemas(),
            steps=self._steps(),
            output=value.get("output"),
            test=self._of_type(value, "test", dict, ""),
            examples=tuple(examples),
            metadata=self._of_type(value, "metadata", dict, "") or {},
        )
        self._check_expressions(flow)
        return flow

    def _schemas(self) -> FlowSchemas:
        schemas = self._of_type(self._value, "schemas", dict, "") or {}
        properties = self._of_type(schemas, "properties", dict, "/schemas") or {}
        steps = self._of_type(properties, "steps", dict, "/schemas/properties") or {}
        self._report_unknown(schemas, KEYWORDS, "/schemas")
        self._report_unknown(properties, SCHEMA_PARTS, "/schemas/properties")
        self._report_unknown(steps, KEYWORDS, "/schemas/properties/steps")
        self._of_type(schemas, "$defs", dict, "/schemas")
        if schemas.get("type") not in (None, "object"):
            self._log.report(2002, "what schemas describe is an object", "/schemas/type")
        for part in SCHEMA_PARTS[:3]:
            spellings = (f"{part}Schema", f"{part}_schema")
            given = ["schemas"] if properties.get(part) is not None else []
            given += [name for name in spellings if self._value.get(name) is not None]
            for name in given[1:]:
                self._log.report(1006, f"{name!r} is ignored beside {given[0]!r}", f"/{name}")
        self._of_type(steps, "properties", dict, "/schemas/properties/steps")
        return read_schemas(self._value, self._log)

    def _check_examples(self, examples: list[JsonValue]) -> None:
        """What is wrong with one hinders no run, so nothing here is fatal."""
        for index, example in enumerate(examples):
            pointer = f"/examples/{index}"
            if type(example) is not dict:
                self._log.report(2002, f"an example is an object, not {_kind(example)}", pointer)
                continue
            self._report_unknown(example, EXAMPLE_FIELDS, pointer)
            if type(example.get("name")) is not str:
                self._log.report(2002, "an example has a name, a string", pointer)
            if "input" not in example:
                self._log.report(2002, "an example has an input; write null if the flow uses none", pointer)
            if type(example.get("description")) not in (str, type(None)):
                self._log.report(2002, "'description' is a string", f"{pointer}/description")

    def _steps(self) -> tuple[Step, ...]:
        listed = self._of_type(self._value, "steps", list, "") or []
        if len(listed) > MAX_STEPS:
            self._log.report(2002, f"{len(listed)} steps; at most {MAX_STEPS} are allowed", "/steps", Level.FATAL)
            return ()
        steps: list[Step] = []
        seen: dict[str, int] = {}
        for index, value in enumerate(listed):
            pointer = f"/steps/{index}"
            if type(value) is not dict:
                self._log.report(2002, f"a step is an object, not {_kind(value)}", pointer, Level.FATAL)
                value = {"id": f"#{index}", "component": "#"}
            step = self._step(value, pointer)
            if step.id in seen:
                self._log.report(3000, f"step id {step.id!r} is taken by step {seen[step.id]}", f"{pointer}/id")
            elif step.id:
                seen[step.id] = index
            steps.append(step)
        return tuple(steps)

    def _step(self, value: JsonObject, pointer: str) -> Step:
        self._report_unknown(value, STEP_FIELDS, pointer)
        step_id = self._text(value, "id", pointer)
        if not step_id:
            self._log.report(3001, "a step needs an id that is not empty", pointer if step_id is None else f"{pointer}/id")
        component = self._text(value, "component", pointer)
        if component is None:
            self._log.report(2002, f"step {step_id!r} names no component", pointer, Level.FATAL)
        elif not component:
            self._log.report(2001, f"the component of step {step_id!r} is empty", f"{pointer}/component")
        skip_field = self._spelling(value, "skip", "skipIf", pointer)
        error_field = self._spelling(value, "onError", "on_error", pointer)
        timeout_s = None
        if value.get("timeout") is not None and (timeout_s := parse_duration_s(value["timeout"])) is None:
            message = 'timeout is a number of seconds above 0 (at most a year), or text such as "1m30s"'
            self._log.report(2002, message, f"{pointer}/timeout", Level.FATAL)
        return Step(
            id=step_id or "",
            component=component or "",
            input=value.get("input"),
            skip=value.get(skip_field),
            on_error=self._on_error(value, error_field, pointer),
            must_execute=bool(self._of_type(value, "mustExecute", bool, pointer)),
            timeout_s=timeout_s,
            retry=self._retry(value, pointer),
            metadata=self._of_type(value, "metadata", dict, pointer) or {},
            skip_field=skip_field,
        )

    def _on_error(self, step: JsonObject, name: str, pointer: str) -> OnError:
        value = self._of_type(step, name, dict, pointer)
        if value is None:
            return OnError()
        pointer = f"{pointer}/{name}"
        self._report_unknown(value, ON_ERROR_FIELDS, pointer)
        action = self._one_of(value, "action", OnErrorAction, OnErrorAction.FAIL, pointer)
        retries = self._count(value, "maxRetries", pointer)
        return OnError(
            action=action,
            default_value=value.get("defaultValue"),
            has_default=action is OnErrorAction.USE_DEFAULT or (action is OnErrorAction.RETRY and "defaultValue" in value),
            max_retries=DEFAULT_MAX_RETRIES if retries is None else retries,
        )

    def _retry(self, step: JsonObject, pointer: str) -> RetrySettings:
        value = self._of_type(step, "retry", dict, pointer)
        if value is None:
            return RetrySettings()
        pointer = f"{pointer}/retry"
        self._report_unknown(value, RETRY_FIELDS, pointer)
        backoff = self._one_of(value, "backoff", BackoffKind, BackoffKind.EXPONENTIAL, pointer)
        return RetrySettings(self._count(value, "maxRetries", pointer), backoff)

    def _check_expressions(self, flow: Flow) -> None:
        indexes: dict[str, int] = {}
        for index, step in enumerate(flow.steps):
            indexes.setdefault(step.id, index)
        indexes.pop("", None)
        compiler = ExpressionCompiler(indexes, self._log, flow.schemas.declared.names)
        references: list[set[int]] = []
        for index, step in enumerate(flow.steps):
            compiler.begin(index)
            if step.skip is not None:
                compiler.compile(step.skip, f"/steps/{index}/{step.skip_field}")
            compiler.compile(step.input, f"/steps/{index}/input")
            references.append(compiler.references)
        compiler.begin(len(flow.steps))
        compiler.compile(flow.output, "/output")
        if compiler.undeclared_variables_used:
            self._log.report(1004, "the flow uses variables and declares none in its schema", "")
        if not self._log.has_fatal:
            must = [index for index, step in enumerate(flow.steps) if step.must_execute]
            reached = reachable_steps(references, [*compiler.references, *must])
            for index, step in enumerate(flow.steps):
                if index not in reached:
                    message = f"step {step.id!r} never runs: neither the output nor a mustExecute step needs it"
                    self._log.report(1000, message, f"/steps/{index}")

    def _report_unknown(self, value: JsonObject, known: tuple[str, ...], pointer: str) -> None:
        for key in value:
            if key not in known and key not in ALWAYS_ALLOWED and not key.startswith("x-"):
                message = f"unknown field {key!r}{self._log.nearest(key, known)}"
                self._log.report(1005, message, f"{pointer}/{escape_pointer_token(key)}")

    def _spelling(self, value: JsonObject, name: str, alias: str, pointer: str) -> str:
        """Under which of its two names a field stands; with both, the first counts."""
        if value.get(alias) is None:
            return name
        if value.get(name) is None:
            return alias
        self._log.report(1006, f"{alias!r} is ignored beside {name!r}", f"{pointer}/{alias}")
        return name

    def _text(self, value: JsonObject, key: str, pointer: str) -> str | None:
        return self._of_type(value, key, str, pointer)

    def _count(self, value: JsonObject, key: str, pointer: str) -> int | None:
        number = self._of_type(value, key, int, pointer)
        if number is not None and not 0 <= number <= MAX_RETRIES:
            self._log.report(2002, f"{key} is a number from 0 to {MAX_RETRIES}", f"{pointer}/{key}", Level.FATAL)
            return None
        return number

    def _one_of(self, value: JsonObject, key: str, kind: type[_Choice], default: _Choice, pointer: str) -> _Choice:
        text = self._text(value, key, pointer)
        if text is None:
            return default
        names = [member.value for member in kind]
        if text not in names:
            hint = self._log.nearest(text, names)
            self._log.report(2002, f"{key} is one of {', '.join(names)}{hint}", f"{pointer}/{key}", Level.FATAL)
            return default
        return kind(text)

    def _of_type(self, value: JsonObject, key: str, kind: type[_Member], pointer: str) -> _Member | None:
        member = value.get(key)
        if member is None or type(member) is kind:
            return member
        self._log.report(2002, f"{key!r} is {_NAMES[kind]}, not {_kind(member)}", f"{pointer}/{key}", Level.FATAL)
        return None


_NAMES: Final[dict[type, str]] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    list: "an array",
    dict: "an object",
    float: "a number",
    type(None): "null",
}


def _kind(value: JsonValue) -> str:
    return _NAMES[type(value)]
