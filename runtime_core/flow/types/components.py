"""What a check may know of components; who knows it is outside: a gateway that runs, a configuration, a test."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from flowspan.flows.paths import Path
from runtime_core.model.json_value import JsonValue


@dataclass(frozen=True, slots=True)
class ComponentTypes:
    """A component that is there.

    Attributes:
        input_schema, output_schema: JSON Schemas; None where it declares none.
        is_mock: it answers by rote.
        never_skips: it never says that its step is skipped, as other components may.
        echoes: its output is the part of its input at this path (null where the input has none); None: it is not.
    """

    input_schema: JsonValue = None
    output_schema: JsonValue = None
    is_mock: bool = False
    never_skips: bool = False
    echoes: Path | None = None


@dataclass(frozen=True, slots=True)
class NoRoute:
    """No route leads to the component. `message`: says so, and what routes there are."""

    message: str


@dataclass(frozen=True, slots=True)
class NoComponent:
    """The routed plugin does not offer the component. `known`: the paths that it offers, as flows write them."""

    plugin: str
    known: Collection[str]


class Unknown:
    """The type of `UNKNOWN_COMPONENT`."""

    __slots__ = ()


UNKNOWN_COMPONENT: Final = Unknown()
"""A route leads there; what it offers is not known here."""

Knowledge = ComponentTypes | NoRoute | NoComponent | Unknown


class KnownComponents(Protocol):
    """Answers by component path, as flows write it. The same path gets the same answer as long as a check lasts."""

    def look_up(self, path: str) -> Knowledge: ...
