"""Component paths to component servers, by the configuration's `routes`: the longest prefix that fits wins, then the order.

A route may have conditions on the component's input, and a plugin may be open for some of its components only. What is left over
where a route's conditions do not hold goes to the next route, and at last to a shorter prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

import msgspec

from flowspan.errors import FlowErrorCode
from flowspan.flows.paths import Path
from flowspan.view.status import FlowError
from runtime_core.flow.paths import NotFound, walk
from runtime_core.model.json_value import JsonValue
from runtime_core.ports import ComponentServer, Route, RouteChoice

_decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where an input has this value at this path. Numbers are compared by what they are worth: 1 is 1.0."""

    path: Path
    value: JsonValue

    def holds(self, input_value: JsonValue) -> bool:
        found = walk(input_value, self.path)
        return not isinstance(found, NotFound) and _same(found, self.value)


@dataclass(frozen=True, slots=True)
class ComponentRules:
    """Which components of a plugin may be called: patterns of its own paths (`/users/*`, `*` takes slashes as well).

    `allow`: none means all. What `deny` fits is closed in any case.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def permit(self, component: str) -> bool:
        """Whether the component at this path, with its leading slash, may be called."""
        if any(fnmatchcase(component, _tidy(pattern)) for pattern in self.deny):
            return False
        return not self.allow or any(fnmatchcase(component, _tidy(pattern)) for pattern in self.allow)


@dataclass(frozen=True, slots=True)
class PlannedRoute:
    """A route of the configuration, to a plugin by its name."""

    prefix: str
    plugin: str
    conditions: tuple[Condition, ...] = ()


def planned_routes(routes: Mapping[str, str] | Sequence[PlannedRoute]) -> Sequence[PlannedRoute]:
    """Routes; a mapping of prefixes to plugins stands for such without conditions."""
    return [PlannedRoute(*route) for route in routes.items()] if isinstance(routes, Mapping) else routes


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """`prefix` with a leading slash, such as `/python`; `/` takes what nothing else takes. `conditions`: all must hold."""

    prefix: str
    server: ComponentServer
    conditions: tuple[Condition, ...] = ()


class PrefixRouter:
    """`runtime_core.ports.ComponentRouter`. Prefixes end at a slash: `/py` does not take `/python/x`.

    Args:
        routes: in the order in which routes of one prefix are tried.
        rules: by server; one without is open.
    """

    def __init__(
        self, routes: Sequence[RouteEntry], rules: Mapping[ComponentServer, ComponentRules] = MappingProxyType({})
    ) -> None:
        by_prefix: dict[str, list[RouteEntry]] = {}
        for route in routes:
            by_prefix.setdefault("/" + route.prefix.strip("/"), []).append(route)
        self._by_prefix = by_prefix
        self._rules = rules
        self._depth = max((prefix.count("/") for prefix in by_prefix), default=0)

    @property
    def routes(self) -> Mapping[str, ComponentServer]:
        """Prefixes without a trailing slash (`/` itself apart) and the first of their servers."""
        return {prefix: entries[0].server for prefix, entries in self._by_prefix.items()}

    def resolve(self, path: str) -> Route | RouteChoice | FlowError:
        """The server of `path`, and the path that is left for it: the prefix stripped, the leading slash kept. A choice where
        that depends on the input."""
        names = path.strip("/").split("/")
        candidates: list[tuple[tuple[Condition, ...], Route]] = []
        closed: list[str] = []
        prefixes = ["/" + "/".join(names[:depth]) for depth in range(min(len(names), self._depth), 0, -1)]
        for depth, prefix in zip(range(len(prefixes), -1, -1), [*prefixes, "/"], strict=True):
            component = "/" + "/".join(names[depth:])
            for entry in self._by_prefix.get(prefix, ()):
                rules = self._rules.get(entry.server)
                if rules is not None and not rules.permit(component):
                    closed.append(entry.server.name)
                    continue
                candidates.append((entry.conditions, Route(entry.server, component)))
                if not entry.conditions:
                    return _choice(path, candidates)
        if candidates:
            return _choice(path, candidates)
        if closed:
            message = f"plugin {closed[0]!r} is not open for component {path!r}: see its `allow` and `deny` in the configuration"
        else:
            known = ", ".join(sorted(self._by_prefix)) or "none"
            message = f"no route leads to component {path!r}; the configured prefixes are: {known}"
        return FlowError(FlowErrorCode.COMPONENT_NOT_FOUND.value, message)


def _choice(path: str, candidates: Sequence[tuple[tuple[Condition, ...], Route]]) -> Route | RouteChoice:
    if not candidates[0][0]:
        return candidates[0][1]
    conditions = [needed for needed, _ in candidates]
    message = f"none of the routes to component {path!r} takes this input: their conditions do not hold"
    error = FlowError(FlowErrorCode.COMPONENT_NOT_FOUND.value, message)
    return RouteChoice(tuple(route for _, route in candidates), _chooser(conditions), error)


def _chooser(conditions: Sequence[tuple[Condition, ...]]) -> Callable[[bytes], int]:
    def choose(input_json: bytes) -> int:
        value = _decode(input_json)
        for index, needed in enumerate(conditions):
            if all(condition.holds(value) for condition in needed):
                return index
        return -1

    return choose


def _tidy(pattern: str) -> str:
    return pattern if pattern.startswith("/") else "/" + pattern


def _same(one: JsonValue, other: JsonValue) -> bool:
    """Equal as JSON: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    return one == other
