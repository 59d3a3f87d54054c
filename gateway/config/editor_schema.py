"""The JSON Schema of `flowspan.yml` as editors want it: every key explained, and `${NAME}` wherever a value may stand."""

from __future__ import annotations

import inspect
from typing import Any, Final

from gateway.config.model import Config, LimitSettings
from gateway.config.schema import config_schema
from runtime_core.limits import Limits

MEANINGS: Final[dict[str, str]] = {
    "Config.store": "Absent: `serve` keeps runs in the user's data directory, and `run` in one of its own.",
    "Config.engine": "How runs are carried out.",
    "Config.auth": "Who may call on TCP.",
    "Config.tls": "Certificate of the TCP ports.",
    "Config.limits": "What is accepted.",
    "Config.secrets": "How secret variables are kept.",
    "Config.telemetry": "Logs, spans and figures.",
    "StdioPlugin.args": "Arguments of the program.",
    "StdioPlugin.limits": "Bounds on its processes and messages.",
    "StdioPlugin.timeouts": "How long it may take.",
    "HttpPlugin.args": "Arguments of the program.",
    "HttpPlugin.limits": "Bounds on its processes and messages.",
    "HttpPlugin.timeouts": "How long it may take.",
    "McpPlugin.args": "Arguments of the program.",
    "McpPlugin.limits": "Bounds on its processes and messages.",
    "McpPlugin.timeouts": "How long it may take.",
    "MockPlugin.components": "Path -> what it answers.",
    "MockComponent.input_schema": "What it takes, a JSON Schema.",
    "MockComponent.output_schema": "What it gives, a JSON Schema.",
    "Route.plugin": "Name of the plugin.",
    "Route.conditions": "All must hold for an input to be taken. What no route of a prefix takes goes to a shorter prefix.",
    "RouteCondition.path": "Into the component's input, such as `$.model`.",
    "RouteCondition.value": "What stands there.",
    "SqliteStore.path": "Relative to the configuration file; `~` is the home directory.",
    "TokenAuth.token": "At least 16 characters. Absent: a new one at each start, in the server file only.",
    "Tls.certificate": "Certificate chain.",
    "Tls.key": "Private key.",
    "Tls.client_ca": "Callers must show a certificate that it signed.",
    "LimitSettings.runs_per_tree": "Runs that one run may bring forth, at any depth: a bound on runaway recursion.",
    "LimitSettings.open_runs": "Runs that have not ended, in one namespace.",
    "Telemetry.log_level": "The least that is written.",
}
"""Owner and key -> what the models leave unsaid."""

_REFERENCE: Final = {"$ref": "#/$defs/environmentVariable"}
_SCALARS: Final = frozenset(("integer", "number", "boolean"))


def attribute_meanings(described: type) -> dict[str, str]:
    """The `Attributes:` of a class's docstring: name -> text. Several names may share one line: `a, b: text`."""
    meanings: dict[str, str] = {}
    current: list[str] = []
    _, _, listed = (inspect.getdoc(described) or "").partition("Attributes:\n")
    for line in listed.splitlines():
        if line.startswith("     ") and current:
            for name in current:
                meanings[name] += " " + line.strip()
            continue
        names, colon, text = line.strip().partition(":")
        if not colon or not line.startswith("    "):
            break
        current = [name.strip() for name in names.split(",")]
        meanings.update(dict.fromkeys(current, text.strip()))
    return meanings


def editor_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12); takes every file that the model takes."""
    schema = config_schema()
    inherited = {Config.__name__: attribute_meanings(Config), LimitSettings.__name__: attribute_meanings(Limits)}
    for owner, part in {Config.__name__: schema, **schema["$defs"]}.items():
        for name, member in part.get("properties", {}).items():
            said = MEANINGS.get(f"{owner}.{name}") or inherited.get(owner, {}).get(name)
            if said is not None:
                member.setdefault("description", said)
            member.pop("title", None)
            if name != "type":
                part["properties"][name] = _or_reference(member)
    schema["$defs"]["environmentVariable"] = {
        "description": "A value of the environment: ${NAME}, or ${NAME:-default}.",
        "type": "string",
        "pattern": r"\$\{",
        "doNotSuggest": True,
    }
    return schema


def _or_reference(member: dict[str, Any]) -> dict[str, Any]:
    """Free text takes a reference as it is; numbers, switches, words of a list and texts of a form must be told to."""
    if not any(_is_narrow(choice) for choice in member.get("anyOf", (member,))):
        return member
    outside: dict[str, Any] = {key: member[key] for key in ("description", "default") if key in member}
    inside = {key: value for key, value in member.items() if key not in outside}
    return {**outside, "anyOf": [*inside.get("anyOf", (inside,)), _REFERENCE]}


def _is_narrow(choice: dict[str, Any]) -> bool:
    return choice.get("type") in _SCALARS or not {"enum", "minLength", "pattern"}.isdisjoint(choice)
