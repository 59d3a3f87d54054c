"""configuration.md: every key of flowspan.yml, from the model that reads the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.config import config_schema
from gateway.config.editor_schema import MEANINGS, attribute_meanings
from gateway.config.model import Config, LimitSettings
from runtime_core.limits import Limits

from .constants import amount, cell

_TITLES = {
    "StdioPlugin": ("plugins.NAME (type: stdio)", "A component server that the gateway starts and speaks to over its pipes."),
    "HttpPlugin": ("plugins.NAME (type: http)", "A component server [over HTTP](protocol/http.md), with `url` or `command`."),
    "McpPlugin": ("plugins.NAME (type: mcp)", "An [MCP server](mcp.md) that the gateway starts: its tools are components."),
    "PluginLimits": ("plugins.NAME.limits", "Of a stdio, http or mcp plugin."),
    "PluginTimeouts": ("plugins.NAME.timeouts", "Of a stdio, http or mcp plugin."),
    "MockPlugin": ("plugins.NAME (type: mock)", "Components that answer by rote, for tests of flows."),
    "MockComponent": ("plugins.NAME.components./path", "Of a mock plugin. An input that no behaviour names fails."),
    "Route": ("routes./prefix[]", "One route; a plugin's name alone, or a list of names, says the same."),
    "LoadFileSettings": ("builtins.load_file", "Without directories nothing is read."),
    "OpenAiSettings": ("builtins.openai", "Endpoints that `/builtin/openai` may ask, and what is sent to them."),
    "SqliteStore": ("store (type: sqlite)", "Runs in a directory."),
    "MemoryStore": ("store (type: memory)", "Runs end with the process."),
    "Engine": ("engine", "How runs are carried out."),
    "TokenAuth": ("auth (type: token)", "Callers on TCP show a bearer token."),
    "NoAuth": ("auth (type: none)", "Anybody who can reach the port may call; loopback only."),
    "Tls": ("tls", "PEM files, relative to the configuration file."),
    "LimitSettings": ("limits", "What the core accepts; reasons in [limits.md](limits.md)."),
    "Secrets": ("secrets", "How secret variables are kept with the runs that use them."),
    "Telemetry": ("telemetry", "Logs, on stderr."),
}
"""Sections in the page's order: definition of the schema -> heading and first sentence."""

_SAID = {
    "Config.builtins": "see [load_file](#builtinsload_file) and [openai](#builtinsopenai)",
    "Config.engine": "see [engine](#engine)",
    "Config.auth": "see [auth](#auth-type-token)",
    "Config.tls": "see [tls](#tls)",
    "Config.limits": "see [limits](#limits)",
    "Config.secrets": "see [secrets](#secrets)",
    "Config.telemetry": "see [telemetry](#telemetry)",
    "StdioPlugin.limits": "see [plugins.NAME.limits](#pluginsnamelimits)",
    "StdioPlugin.timeouts": "see [plugins.NAME.timeouts](#pluginsnametimeouts)",
    "HttpPlugin.limits": "see [plugins.NAME.limits](#pluginsnamelimits)",
    "HttpPlugin.timeouts": "see [plugins.NAME.timeouts](#pluginsnametimeouts)",
    "McpPlugin.limits": "see [plugins.NAME.limits](#pluginsnamelimits)",
    "McpPlugin.timeouts": "see [plugins.NAME.timeouts](#pluginsnametimeouts)",
}
"""What the page says instead of what editors show."""


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
        place = f"{owner}.{name}"
        said = _SAID.get(place) or member.get("description") or MEANINGS.get(place) or meanings.get(name)
        if said is None:
            raise LookupError(f"{owner}.{name}: say what it means in the model or in MEANINGS")
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
