"""The JSON Schema (2020-12) of a flow document: what editors complete, explain and check.

It says what `parse` says, as far as JSON Schema can: that ids are unique, that references lead to earlier steps and what a
component wants is left to the parser, which stays the judge. Names, bounds and patterns come from the parser's own constants.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from flowspan.errors import FlowErrorCode
from flowspan.flows.durations import DURATION_PATTERN, MAX_DURATION_S
from flowspan.flows.paths import FIELD_PATTERN, INDEX_PATTERN
from runtime_core.flow.document import DEFAULT_MAX_RETRIES, BackoffKind, OnErrorAction
from runtime_core.flow.expression_syntax import ALWAYS_ALLOWED, COMPANIONS, OLD_KEY, RESERVED_KEYS
from runtime_core.flow.parse import MAX_RETRIES, MAX_STEPS
from runtime_core.flow.schema_keywords import KEYWORDS, SCHEMA, json_schema_definition
from runtime_core.model.json_value import JsonObject, JsonValue

_UNSUGGESTED: Final[JsonObject] = {"doNotSuggest": True}
"""Understood, checked, and not offered by editors: second spellings and old forms."""
_EXPRESSION: Final[JsonObject] = {"$ref": "#/$defs/expression"}
_PATH_PATTERN: Final = rf"^$|^[^$]|^\$(?:{FIELD_PATTERN}|{INDEX_PATTERN})*$"
_VARIABLE_PATTERN: Final = rf"^[^$]|^\$(?:{FIELD_PATTERN})(?:{FIELD_PATTERN}|{INDEX_PATTERN})*$"
_PATH_HELP: Final = (
    "`$` is the whole, `$.name`, `$[0]` and `$['a.b']` lead into it; a text without `$` is one field name, dots included."
)


def flow_schema() -> JsonObject:
    """The schema as a new value, ready to be printed."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Flow",
        **_flow(),
        "$defs": {
            "step": _step(),
            "onError": _on_error(),
            "retry": _retry(),
            "expression": _expression(),
            "onSkip": _on_skip(),
            "schemas": _schemas(),
            "variables": _variables(),
            "test": _test(),
            "flowResult": _flow_result(),
            "example": _example(),
            "jsonSchema": json_schema_definition(),
        },
    }


def _flow() -> JsonObject:
    def short(part: str, what: str, target: str) -> JsonObject:
        field = _or_null(f"{what} The same as `schemas.properties.{part}`.", {"$ref": f"#/$defs/{target}"})
        return {f"{part}Schema": field, f"{part}_schema": {**field, **_UNSUGGESTED}}

    return _object(
        "A flow: steps that call components, and an output made of what they give.",
        {
            "name": _nullable("string", "What people call the flow; `flowName` of its runs."),
            "description": _nullable("string", "What the flow is for."),
            "version": _nullable("string", "Whatever its author counts."),
            "schemas": _or_null("What goes in and comes out.", {"$ref": "#/$defs/schemas"}),
            **short("input", "Every item's input must satisfy it; another one fails with INVALID_INPUT.", "jsonSchema"),
            **short("output", "What the flow's output is.", "jsonSchema"),
            **short("variables", "The variables that a run may or must give.", "variables"),
            "steps": {
                **_nullable("array", "Each may refer to those above it; they run as soon as their data is there."),
                "items": {"$ref": "#/$defs/step"},
                "maxItems": MAX_STEPS,
                "default": [],
            },
            "output": {**_EXPRESSION, "description": "The item's result, an expression. Default: null."},
            "test": _or_null("Cases for `flowspan test`.", {"$ref": "#/$defs/test"}),
            "examples": {
                **_nullable("array", "Inputs to show or to try the flow with."),
                "items": {"$ref": "#/$defs/example"},
            },
            "metadata": _nullable("object", "Yours; kept, without effect."),
        },
    )


def _step() -> JsonObject:
    skip = {**_EXPRESSION, "description": "The step is skipped if this is true: anything but null and false."}
    on_error = _or_null("What happens when the step's attempts are spent. Default: it fails.", {"$ref": "#/$defs/onError"})
    return _object(
        "One call of a component.",
        {
            "id": {
                "type": "string",
                "minLength": 1,
                "description": "The step's name in this flow, unique; `{$step: …}` refers to it.",
            },
            "component": {
                "type": "string",
                "minLength": 1,
                "description": "A path such as `/builtin/eval` or `/python/greet`; the configuration's routes say who serves it.",
                "examples": ["/builtin/noop"],
            },
            "input": {**_EXPRESSION, "description": "What the component gets, an expression. Default: null."},
            "skip": skip,
            "skipIf": {"allOf": [_EXPRESSION], **_UNSUGGESTED, "description": "The same as `skip`."},
            "onError": on_error,
            "on_error": {**on_error, **_UNSUGGESTED, "description": "The same as `onError`."},
            "mustExecute": {
                **_nullable("boolean", "Runs even if nothing needs its output, and fails the item if it fails."),
                "default": False,
            },
            "timeout": {
                "description": 'Bound on one attempt: seconds, or a text such as "1m30s" or "250ms". Beyond it: TIMEOUT.',
                "type": ["number", "string", "null"],
                "exclusiveMinimum": 0,
                "maximum": int(MAX_DURATION_S),
                "pattern": f"^{DURATION_PATTERN}$",
                "patternErrorMessage": 'A length of time is a number of seconds, or a text such as "1m30s" or "250ms".',
                "allOf": [{"pattern": "[1-9]"}],
            },
            "retry": _or_null("How the step is tried again after time-outs and lost servers.", {"$ref": "#/$defs/retry"}),
            "metadata": _nullable("object", "Yours; kept, without effect."),
        },
        required=["id", "component"],
    )


def _on_error() -> JsonObject:
    return _object(
        "What happens when the step's attempts are spent.",
        {
            "action": _choice(
                "fail: the step fails. useDefault: its output is `defaultValue`. skip: it counts as skipped. "
                "retry: it is tried again on COMPONENT_FAILED and RESOURCE_UNAVAILABLE.",
                OnErrorAction,
                OnErrorAction.FAIL,
            ),
            "defaultValue": {"description": "With useDefault, and with retry once the retries are spent. A literal."},
            "maxRetries": _retries(f"With retry: further attempts. Default: {DEFAULT_MAX_RETRIES}."),
        },
    )


def _retry() -> JsonObject:
    return _object(
        "How the step is tried again.",
        {
            "maxRetries": _retries("Further attempts after TIMEOUT and UNREACHABLE. Default: as configured."),
            "backoff": _choice("How the pause grows from one attempt to the next.", BackoffKind, BackoffKind.EXPONENTIAL),
        },
    )


def _expression() -> JsonObject:
    members = _reserved_members()
    rule: JsonObject = {"additionalProperties": _EXPRESSION}
    for reserved in reversed(RESERVED_KEYS):
        known: JsonObject = {reserved: {}, **{name: _companion(reserved, name) for name in COMPANIONS[reserved]}}
        then: JsonObject = {"properties": known, "additionalProperties": False}
        if reserved == "$if":
            then = {"required": ["then"], **then}
        rule = {"if": {"type": "object", "required": [reserved]}, "then": then, "else": rule}
    return {
        "description": "A value. Objects with a key such as `$input` or `$step` are looked up, others built member by member.",
        "properties": members,
        "items": _EXPRESSION,
        **rule,
    }


def _reserved_members() -> JsonObject:
    """The keys that make an object an expression. They stand beside the rule that tells them apart, for editors' sake."""
    members: JsonObject = {
        "$input": _path(f"Of the item's input: {_PATH_HELP}"),
        "$step": {"type": "string", "description": "The output of the earlier step with this id."},
        "$variable": {
            "type": "string",
            "pattern": _VARIABLE_PATTERN,
            "patternErrorMessage": "A variable's name, or a path that begins with it, such as `$.limits.low`.",
            "description": "A variable of the run: its name, or a path that begins with it (`$.limits.low`).",
        },
        "$literal": {"description": "This value as it stands; nothing inside is looked up."},
        "$if": {**_EXPRESSION, "description": "False are null, false, and a condition that failed or was skipped."},
        "$coalesce": {
            "type": "array",
            "items": _EXPRESSION,
            "description": "The first of these that is neither null nor skipped; one that fails fails the whole.",
        },
        OLD_KEY: {
            "not": {},
            "deprecationMessage": 'The old syntax; write {"$step": "<id>", "path": "$.field"} or {"$input": "$.field"}.',
            **_UNSUGGESTED,
        },
    }
    return members


def _path(description: str) -> JsonObject:
    return {
        "type": ["string", "null"],
        "pattern": _PATH_PATTERN,
        "patternErrorMessage": """A path is `$` with .name, [0], ["name"] or ['name'] behind it, or one field name.""",
        "description": description,
    }


def _companion(reserved: str, name: str) -> JsonObject:
    described: dict[tuple[str, str], JsonObject] = {
        ("$if", "then"): {**_EXPRESSION, "description": "The value if the condition holds."},
        ("$if", "else"): {**_EXPRESSION, "description": "The value if it does not. Default: null."},
        ("$step", "path"): _path(f"Into the step's output: {_PATH_HELP}"),
        ("$step", "onSkip"): _or_null("What stands here if that step was skipped.", {"$ref": "#/$defs/onSkip"}),
        ("$variable", "default"): {**_EXPRESSION, "description": "The value if the variable has none."},
    }
    return described[reserved, name]


def _on_skip() -> JsonObject:
    schema = _object(
        "What stands here if the step was skipped.",
        {
            "action": {
                "enum": ["skip", "useDefault"],
                "description": "skip: what refers to it is skipped too (the default without onSkip). useDefault: `defaultValue`.",
            },
            "defaultValue": {**_EXPRESSION, "description": "With useDefault: the value instead. Default: null."},
        },
        required=["action"],
    )
    ignored: JsonObject = {"properties": {"defaultValue": {"const": None}}}
    return {**schema, "if": {"properties": {"action": {"const": "skip"}}}, "then": ignored}


def _schemas() -> JsonObject:
    by_id: JsonObject = {
        "type": ["object", "null"],
        "description": "The schema of a step's output by the step's id.",
        "additionalProperties": SCHEMA,
    }
    parts: JsonObject = {
        "input": _or_null("Every item's input must satisfy it.", SCHEMA),
        "output": _or_null("What the flow's output is.", SCHEMA),
        "variables": _or_null("The variables that a run may or must give.", {"$ref": "#/$defs/variables"}),
        "steps": _keywords("Schemas of the steps' outputs.", {"properties": by_id}) | {"type": ["object", "null"]},
    }
    return _keywords(
        "What goes in and comes out, as one schema with the members input, output, variables and steps.",
        {
            "type": {"enum": ["object", None], "description": "Always object."},
            "$defs": {
                "type": ["object", "null"],
                "additionalProperties": SCHEMA,
                "description": "Schemas that all others may refer to: `#/$defs/NAME`.",
            },
            "properties": _object("The schemas.", parts) | {"type": ["object", "null"]},
        },
    )


def _keywords(description: str, properties: JsonObject) -> JsonObject:
    """An object that is itself a schema, of which only some keywords mean something."""
    others = "|".join(name.replace("$", "\\$") for name in KEYWORDS if name not in properties)
    described = _object(description, properties)
    described["patternProperties"] = {"^x-": {}, f"^(?:{others})$": {}}
    return described


def _variables() -> JsonObject:
    variable: JsonObject = {
        "description": "The schema of one variable; given values are checked against it when a run is submitted.",
        "properties": {
            "default": {"description": "The value where a run gives none."},
            "is_secret": {
                "type": "boolean",
                "default": False,
                "description": "Kept encrypted, and redacted in logs and errors.",
            },
            "env_var": {
                "type": "string",
                "description": "The environment variable that `flowspan run --env-variables` takes it from.",
            },
        },
        "allOf": [SCHEMA],
    }
    return {
        "type": "object",
        "description": "The variables of a run: a JSON Schema of an object.",
        "properties": {
            "properties": {
                "type": "object",
                "description": "Each variable with its schema, its `default`, `is_secret` and `env_var`.",
                "additionalProperties": variable,
            },
            "required": {"description": "Variables that a run must give, unless they have a default."},
        },
        "allOf": [SCHEMA],
    }


def _test() -> JsonObject:
    case = _object(
        "One case: an input and what must come out.",
        {
            "name": {
                "type": "string",
                "pattern": "\\S",
                "description": "Unique in this flow; `flowspan test --case NAME` runs it alone.",
            },
            "description": _nullable("string", "What the case is about."),
            "input": {"description": "The item's input, a literal."},
            "output": _or_null(
                "What must come out: objects may hold more, arrays are of this length. `flowspan test --update` writes it.",
                {"$ref": "#/$defs/flowResult"},
            ),
        },
        required=["name", "input"],
    )
    schema = _object(
        "Tests of this flow, run by `flowspan test`.",
        {
            "cases": {"type": "array", "items": case, "description": "The cases; all of a file run as one run."},
            "config": _nullable("object", "The configuration for the tests, such as one with a mock plugin."),
            "configFile": _nullable("string", "Instead of `config`: a file with it, relative to this one."),
            "variables": _nullable("object", "The variables of the run."),
        },
        required=["cases"],
    )
    both: JsonObject = {
        "properties": {"config": {"type": "object"}, "configFile": {"type": "string"}},
        "required": ["config", "configFile"],
    }
    return {**schema, "not": both}


def _flow_result() -> JsonObject:
    error: JsonObject = {
        "type": ["object", "null"],
        "description": "With failed: `code` and `message` are compared exactly.",
        "properties": {
            "code": {"enum": [*(code.value for code in FlowErrorCode), None], "description": "What kind of error."},
            "message": {"type": ["string", "null"], "description": "The message, to the letter."},
            "data": {"description": "What the error carries; it may carry more."},
        },
        "additionalProperties": False,
    }
    members: JsonObject = {
        "value": {"description": "With success: the output."},
        "result": {"description": "The older spelling of `value`.", **_UNSUGGESTED},
        "error": error,
        "reason": {"type": ["string", "null"], "description": "With skipped: why."},
    }
    of_outcome = {"success": ("value", "result"), "failed": ("error",), "skipped": ("reason",)}
    rules: list[JsonValue] = [
        {
            "if": {"properties": {"outcome": {"const": outcome}}},
            "then": {"properties": dict.fromkeys(("outcome", *names), True), "additionalProperties": False},
        }
        for outcome, names in of_outcome.items()
    ]
    return {
        "type": "object",
        "description": "The outcome of an item.",
        "properties": {"outcome": {"enum": list(of_outcome), "description": "How it ended."}, **members},
        "required": ["outcome"],
        "allOf": rules,
        "not": {"required": ["value", "result"]},
    }


def _example() -> JsonObject:
    return _object(
        "An input to show or to try the flow with.",
        {
            "name": {"type": "string", "description": "What people call it."},
            "description": _nullable("string", "What it shows."),
            "input": {"description": "The input, a literal."},
        },
        required=["name", "input"],
    )


def _object(description: str, properties: JsonObject, *, required: list[JsonValue] | None = None) -> JsonObject:
    """An object of a flow: null means absent, other keys are reported, `x-…` and the like are free."""
    free: JsonObject = {name: {**_UNSUGGESTED} for name in sorted(ALWAYS_ALLOWED)}
    return {
        "description": description,
        "type": "object",
        "properties": {**properties, **free},
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def _nullable(kind: str, description: str) -> JsonObject:
    return {"description": description, "type": [kind, "null"]}


def _or_null(description: str, schema: JsonObject) -> JsonObject:
    return {"description": description, "anyOf": [schema, {"type": "null"}]}


def _choice(description: str, kind: type[StrEnum], default: StrEnum) -> JsonObject:
    return {"description": description, "enum": [*(member.value for member in kind), None], "default": default.value}


def _retries(description: str) -> JsonObject:
    return {"description": description, "type": ["integer", "null"], "minimum": 0, "maximum": MAX_RETRIES}
