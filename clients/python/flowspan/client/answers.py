"""What a client gives and takes beside runs: flows, components, raw values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

RawJson = msgspec.Raw
"""`RawJson(b"...")`: a value that is JSON already. It is sent as it stands, alone or inside of another value."""


@dataclass(frozen=True, slots=True)
class BlobRef:
    """As an input: the value is what the blob holds."""

    blob_id: str


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """A flow in a list."""

    flow_id: str
    flow_name: str | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """A stored flow. `json`: its document as stored."""

    flow_id: str
    flow_name: str | None
    json: bytes

    @property
    def document(self) -> Any:
        return msgspec.json.decode(self.json)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about a flow. `level`: warning, error or fatal. `line` and `column`: from 1; 0: not known."""

    kind: str
    code: int
    level: str
    message: str
    path: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Component:
    """A component that flows can name by `path`. Schemas: JSON Schema as Python values, or None."""

    path: str
    plugin: str
    description: str | None = None
    input_schema: Any = None
    output_schema: Any = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """A configured plugin. `health`: starting, up, backingOff, circuitOpen or broken."""

    name: str
    type: str
    health: str
    detail: str = ""
    restarts: int = 0
    capacity: int = 0
    in_flight: int = 0
    stderr_tail: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ComponentList:
    """All components, by path, and the plugins that offer them, by name."""

    components: Sequence[Component]
    plugins: Sequence[Plugin]
