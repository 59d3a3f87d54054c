"""configuration.md: every key of flowspan.yml, from the model that reads the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config import config_schema
from gateway.config.model import Config, LimitSettings
from runtime_core.limits import Limits

from .constants import amount, attribute_meanings, cell

_TITLES = {
    "StdioPlugin": ("plugins.NAME (type: stdio)", "A component server that the gateway starts and speaks to over its pipes."),
    "PluginLimits": ("plugins.NAME.limits", "Of a stdio plugin."),
    "PluginTimeouts": ("plugins.NAME.timeouts", "Of a stdio plugin."),
    "Route": ("routes./prefix[]", "One route; a plugin's name alone, or a list of names, says the same."),
    "SqliteStore": ("store (type: sqlite)", "Runs in a directory."),
    "MemoryStore": ("store (type: memory)", "Runs end with the process."),
    "Engine": ("engine", "How runs are carried out."),
    "TokenAuth": ("auth (type: token)", "Callers on TCP show a bearer token."),
    "NoAuth": ("auth (type: none)", "Anybody who can reach the port may call; loopback only."),
    "Tls": ("tls", "PEM files, relative to the configuration file."),
    "LimitSettings": ("limits", "What the core accepts; reasons in [limits.md](limits.md)."),
    "Telemetry": ("telemetry", "Logs, on stderr."),
}
"""Sections in the page's order: definition of the schema -> heading and first sentence."""

_SAID = {
    "Config.store": "Absent: `serve` keeps runs in the user's data directory, and `run` in one of its own.",
    "Config.engine": "see [engine](#engine)",
    "Config.auth": "see [auth](#auth-type-token)",
    "Config.tls": "see [tls](#tls)",
    "Config.limits": "see [limits](#limits)",
    "Config.telemetry": "see [telemetry](#telemetry)",
    "StdioPlugin.args": "Arguments of the program.",
    "StdioPlugin.limits": "see [plugins.NAME.limits](#pluginsnamelimits)",
    "StdioPlugin.timeouts": "see [plugins.NAME.timeouts](#pluginsnametimeouts)",
    "Route.plugin": "Name of the plugin.",
    "Route.conditions": "Not evaluated yet: a configuration with conditions is refused.",
    "SqliteStore.path": "Relative to the configuration file; `~` is the home directory.",
    "TokenAuth.token": "At least 16 characters. Absent: a new one at each start, in the server file only.",
    "Tls.certificate": "Certificate chain.",
    "Tls.key": "Private key.",
    "Tls.client_ca": "Callers must show a certificate that it signed.",
    "LimitSettings.runs_per_tree": "Runs that one run may bring forth, at any depth: a bound on runaway recursion.",
    "LimitSettings.open_runs": "Runs that have not ended, in one namespace.",
    "Telemetry.log_level": "The least that is written.",
}
"""What the model leaves unsaid."""


def keys() -> str:
    schema = config_schema()
    parts = ["### At the top", *_table("Config", schema, schema, attribute_meanings(Config))]
    for name, (title, sentence) in _TITLES.items():
        meanings = attribute_meanings(Limits) if name == LimitSettings.__name__ else {}
        parts += ["", f"### {title}", "", sentence, *_table(name, schema["$defs"][name], schema, meanings)]
    return "\n".join(parts)


def _table(owner: str, section: dict[str, Any], schema: dict[str, Any], meanings: dict[str, str]) -> Iterator[str]:
    required = section.get("required", ())
    members = {name: member for name, member in section["properties"].items() if name != "type"}
    if members:
        yield from ("", "| Key | Type | Default | |", "|---|---|---|---|")
    for name, member in members.items():
        said = _SAID.get(f"{owner}.{name}") or member.get("description") or meanings.get(name)
        if said is None:
            raise LookupError(f"{owner}.{name}: say what it means in _SAID or in the model")
        yield f"| `{name}` | {_type(member, schema)} | {_default(owner, name, member, required)} | {cell(said)} |"


def _default(owner: str, name: str, member: dict[str, Any], required: Any) -> str:
    if name in required:
        return "required"
    default = member.get("default")
    if default in (None, [], {}) or isinstance(default, dict):
        return ""
    return amount(name, default) if owner == "LimitSettings" or name.endswith(("_bytes", "_s")) else f"`{default}`"


def _type(member: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in member:
        name = member["$ref"].rpartition("/")[2]
        return _type({**schema["$defs"][name], "title": name}, schema)
    choices = [choice for choice in member.get("anyOf") or member.get("oneOf") or () if choice.get("type") != "null"]
    if choices:
        return " or ".join(dict.fromkeys(_type(choice, schema) for choice in choices))
    if "enum" in member:
        return ", ".join(f"`{one}`" for one in member["enum"])
    kind: str = member.get("type", "any")
    if kind == "object":
        return "mapping"
    if kind == "array":
        return f"list of {_type(member['items'], schema)}" if "items" in member else "list"
    bounds = [
        f"{sign} {member[key]:,}"
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if key in member
    ]
    return kind + (f" {', '.join(bounds)}" if bounds else "")


SECTIONS = {"keys": keys}
