"""Which files of a directory are flows; and which that was named as a flow is a configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runtime_core.flow.parse import FLOW_FIELDS
from runtime_core.model.json_value import JsonValue

SUFFIXES: Final = (".yaml", ".yml", ".json")
_SKIPPED: Final = frozenset(("node_modules", "__pycache__"))
_FLOW_MEMBERS: Final = frozenset(("steps", "output"))
_CONFIG_MEMBERS: Final = frozenset(("plugins", "routes", "store", "stateStore", "storageConfig"))


def documents_below(directory: Path) -> Iterator[Path]:
    """Files that may be flows, in the order of their names; hidden directories, `node_modules` and what is no regular file are
    left out."""
    for here, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if not name.startswith(".") and name not in _SKIPPED)
        # Editors leave links that lead nowhere beside an open file; opening a pipe would wait for its other end.
        yield from (Path(here, name) for name in sorted(names) if name.endswith(SUFFIXES) and os.path.isfile(f"{here}/{name}"))


def has_flow_members(value: JsonValue) -> bool:
    return isinstance(value, dict) and not _FLOW_MEMBERS.isdisjoint(value)


def may_be_flow(value: JsonValue) -> bool:
    """Whether a document that nobody named is a flow: it has steps, or an output among members of flows alone. Other programs'
    files have an `output` too."""
    return isinstance(value, dict) and ("steps" in value or ("output" in value and value.keys() <= set(FLOW_FIELDS)))


def configuration_hint(value: JsonValue, name: str) -> str | None:
    """What to say where a flow was meant and this is a configuration. By the letter of the language it is an empty flow."""
    if not isinstance(value, dict) or has_flow_members(value) or _CONFIG_MEMBERS.isdisjoint(value):
        return None
    return f"{name} looks like a configuration, not like a flow; to check it: flowspan config check {name}"
