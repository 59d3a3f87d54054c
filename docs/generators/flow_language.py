"""flow-language.md: the fields, the built-ins and the diagnostics, from the JSON Schema, the catalogue and the parser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowspan.errors import BUDGET_OF, Budget, FlowErrorCode
from runtime_core.builtins.catalog import BUILTINS
from runtime_core.flow.diagnostics import _KINDS as KINDS
from runtime_core.flow.document_schema import flow_schema

from .constants import cell

_TYPES = {
    "#/$defs/expression": "expression",
    "#/$defs/jsonSchema": "JSON Schema",
    "#/$defs/variables": "JSON Schema",
    "#/$defs/flowResult": "FlowResult",
}
_FIELD_TYPES = {"timeout": "seconds, or a text", "examples": "`[{name, description?, input}]`", "steps": "list of steps"}

_DIAGNOSTICS = {
    1000: "A step never runs: neither the output nor a `mustExecute` step needs it.",
    1001: "The flow has no `name`.",
    1002: "The flow has no `description`.",
    1003: "A schema declares nothing at this path, or there is no schema although others are declared.",
    1004: "The flow uses variables and declares none.",
    1005: "A field that nobody knows.",
    1006: "A key without effect: beside a reserved key, or a second spelling.",
    1100: "A path into the output of a component that declares no schema.",
    1500: "A component of a mock plugin, which answers by rote.",
    2000: "A path goes where there can be nothing: into a text, beyond the last element.",
    2001: "The name of a component is empty.",
    2002: "The document, a schema in it, a default or an example has the wrong shape.",
    2003: "A flow that stands inside this one could not run.",
    2004: "A variable that the schema of variables does not declare.",
    2005: "A required variable has no value. Told when a run is submitted.",
    2100: "A value does not fit the schema of where it goes.",
    2101: "A path names a property that the schema rules out.",
    2200: "No route leads to the component.",
    2500: "The plugin offers no such component.",
    3000: "Two steps have one id.",
    3001: "A step has no id.",
    3002: "A step refers to itself.",
    3003: "A reference to a step that does not exist or stands later.",
    3004: "An expression that cannot be read: a malformed path, `$if` without `then`, the old `$from`.",
}

_CODES = {
    FlowErrorCode.TIMEOUT: "One attempt took longer than it may.",
    FlowErrorCode.INVALID_INPUT: "The item's input, or a component's, is not what is wanted.",
    FlowErrorCode.COMPONENT_FAILED: "The component said so, or raised an exception.",
    FlowErrorCode.CANCELLED: "The run was cancelled while the item ran.",
    FlowErrorCode.UNREACHABLE: "The component server went away, or broke the protocol.",
    FlowErrorCode.COMPONENT_NOT_FOUND: "Nobody offers the component.",
    FlowErrorCode.RESOURCE_UNAVAILABLE: "The component cannot work now.",
    FlowErrorCode.EXPRESSION_FAILURE: "An expression has no value.",
    FlowErrorCode.ORCHESTRATOR_ERROR: "A bug in Flowspan.",
    FlowErrorCode.WORKER_ERROR: "A bug in a worker.",
}


def flow_fields() -> str:
    return _fields(flow_schema())


def step_fields() -> str:
    return _fields(flow_schema()["$defs"]["step"])  # type: ignore[index,call-overload,arg-type]


def error_codes() -> str:
    budgets = {Budget.NONE: "never", Budget.COMPONENT: "`onError: {action: retry}`", Budget.TRANSPORT: "always"}
    rows = [f"| `{code.value}` | {_CODES[code]} | {budgets[BUDGET_OF[code]]} |" for code in FlowErrorCode]
    return "\n".join(["| Code | | Tried again |", "|---|---|---|", *rows])


def built_ins() -> str:
    lines = ["| Component | Input | Output | |", "|---|---|---|---|"]
    for name, one in BUILTINS.items():
        given, made = (_form(schema) for schema in (one.input_schema, one.output_schema))
        lines.append(f"| `/builtin{name}` | {given} | {made} | {cell(one.description)} |")
    return "\n".join(lines)


def diagnostics() -> str:
    rows = [f"| {code} | {kind} | {level.value} | {_DIAGNOSTICS[code]} |" for code, (kind, level) in KINDS.items()]
    if left := _DIAGNOSTICS.keys() - KINDS.keys():
        raise LookupError(f"there are no diagnostics {sorted(left)}")
    return "\n".join(["| Code | Kind | Level | |", "|---|---|---|---|", *rows])


def _fields(described: dict[str, Any]) -> str:
    required = described.get("required", ())
    rows = []
    for name, member in described["properties"].items():
        if member.get("doNotSuggest") or name.endswith("Schema"):
            continue
        meaning = member["description"] + (" Required." if name in required else "")
        rows.append(f"| `{name}` | {_FIELD_TYPES.get(name) or _type(member)} | {cell(meaning)} |")
    return "\n".join(["| Field | Type | |", "|---|---|---|", *rows])


def _type(member: dict[str, Any]) -> str:
    if "$ref" in member:
        return _TYPES.get(member["$ref"], "object")
    if "anyOf" in member:
        return _type(member["anyOf"][0])
    kind = member["type"]
    kinds = [kind] if isinstance(kind, str) else [one for one in kind if one != "null"]
    return " or ".join({"string": "text", "array": "list"}.get(one, one) for one in kinds)


def _form(schema: dict[str, Any]) -> str:
    if schema.get("type") != "object":
        return "anything"
    choices = [next(iter(choice["required"])) for choice in schema.get("oneOf", ())]
    names = [_member(name, schema) for name in schema["properties"] if name not in choices]
    return f"`{{{', '.join([*([_either(choices)] if choices else []), *names])}}}`"


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)


def _member(name: str, schema: dict[str, Any]) -> str:
    default = schema["properties"][name].get("default")
    if default is not None:
        return f"{name} = {default}"
    return name if name in schema["required"] else f"{name}?"


SECTIONS = {
    "flow-fields": flow_fields,
    "step-fields": step_fields,
    "error-codes": error_codes,
    "built-ins": built_ins,
    "diagnostics": diagnostics,
}
