"""What components and plugins there are, as people see them: the model behind ComponentService and `flowspan components`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

LIST_WAIT_S: Final = 5.0
"""How long the catalogue waits for a plugin that has not said yet what it offers."""


class PluginHealth(IntEnum):
    """How a plugin is. Numbers equal `flowspan.v1.PluginHealth`."""

    STARTING = 1
    UP = 2
    BACKING_OFF = 3
    CIRCUIT_OPEN = 4
    BROKEN = 5


@dataclass(frozen=True, slots=True)
class ComponentDescription:
    """A component as flows name it. Schemas: JSON bytes or None."""

    path: str
    plugin: str
    description: str | None = None
    input_schema: bytes | None = None
    output_schema: bytes | None = None


@dataclass(frozen=True, slots=True)
class OfferedComponent:
    """A component as its server describes it. `name`: as the server writes it; schemas: JSON bytes or None."""

    name: str
    description: str | None = None
    input_schema: bytes | None = None
    output_schema: bytes | None = None


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """A configured plugin, now. `detail`: why it takes no calls. `last_end`: how its last process ended, while none is up."""

    name: str
    type: str
    health: PluginHealth
    detail: str = ""
    restarts: int = 0
    capacity: int = 0
    in_flight: int = 0
    stderr_tail: Sequence[str] = ()
    last_end: str = ""


class ComponentCatalog(Protocol):
    """All plugins and what they offer."""

    async def components(self, wait_s: float = LIST_WAIT_S) -> Sequence[ComponentDescription]:
        """By path. Waits up to `wait_s` seconds for plugins that have not said yet, all at once."""
        ...

    def plugins(self) -> Sequence[PluginStatus]:
        """By name."""
        ...


class OfferingServer(Protocol):
    """A component server that can say what it offers: a plugin's processes, the workers of a queue, or the built-ins."""

    @property
    def name(self) -> str: ...

    @property
    def offered(self) -> Mapping[str, OfferedComponent]: ...

    async def wait_ready(self, timeout_s: float) -> bool: ...

    def status(self) -> PluginStatus: ...


class CountedServer(OfferingServer, Protocol):
    """A component server with figures of its own."""

    @property
    def statistics(self) -> dict[str, int]:
        """`processes`, `in_flight`, `parked`, `queued_bytes`: now; `restarts`: since the start."""
        ...
