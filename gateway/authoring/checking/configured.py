"""Components as a configuration knows them: routes, built-ins and mocks at once, other plugins by what they answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.config import BuiltinPlugin, Config, MockPlugin, Plugin, Route
from runtime_core.builtins.catalog import BUILTINS
from runtime_core.flow.types.components import UNKNOWN_COMPONENT, ComponentTypes, Knowledge, NoComponent, NoRoute

Offered = Mapping[str, ComponentTypes]
"""Components of a plugin, by its own paths (`/double`)."""

_ECHOES: Final[dict[str, tuple[str, ...]]] = {"/noop": (), "/sleep": ("passthrough",)}
"""Built-ins whose output is a part of their input."""


@dataclass(frozen=True, slots=True)
class SilentPlugin:
    """A plugin that was asked what it offers, and did not say. `why`: for people."""

    name: str
    why: str


def builtin_components() -> Offered:
    """What every gateway has."""
    return {
        name: ComponentTypes(one.input_schema, one.output_schema, never_skips=True, echoes=_ECHOES.get(name))
        for name, one in BUILTINS.items()
    }


class ConfiguredComponents:
    """Implements `runtime_core.flow.types.components.KnownComponents`.

    Args:
        config: its routes, and its plugins that need not be asked.
        answers: what other plugins offer, by the plugin's name; what is not in it is not known.
    """

    def __init__(self, config: Config, answers: Mapping[str, Offered] | None = None) -> None:
        self._routes = {
            _tidy(prefix): tuple(route.plugin for route in _possible(routes)) for prefix, routes in config.routes.items()
        }
        # What no condition takes goes to a shorter prefix.
        self._open_ended = {_tidy(prefix) for prefix, routes in config.routes.items() if all(one.conditions for one in routes)}
        self._depth = max((prefix.count("/") for prefix in self._routes), default=0)
        self._offered: dict[str, Offered | None] = {
            name: _without_asking(plugin) for name, plugin in config.plugins.items()
        } | dict(answers or {})

    def look_up(self, path: str) -> Knowledge:
        """What is known of a component; with several plugins behind conditions, only what holds for each."""
        routed = self._route(path)
        if routed is None:
            prefixes = ", ".join(sorted(self._routes))
            return NoRoute(f"no route leads to component {path!r}; the configured prefixes are: {prefixes}")
        prefix, own_path, plugins = routed
        found: ComponentTypes | None = None
        for plugin in plugins:
            offered = self._offered.get(plugin)
            if offered is None:
                return UNKNOWN_COMPONENT
            found = offered.get(own_path) or found
        if prefix in self._open_ended:
            return UNKNOWN_COMPONENT
        if found is None:
            known = [prefix.rstrip("/") + name for plugin in plugins for name in self._offered.get(plugin) or ()]
            return NoComponent(plugins[0], known)
        return found if len(plugins) == 1 else UNKNOWN_COMPONENT

    def plugins_of(self, paths: Iterable[str]) -> set[str]:
        """Plugins that these components are routed to and that have to be asked."""
        routed = (self._route(path) for path in paths)
        return {plugin for one in routed if one is not None for plugin in one[2] if self._offered.get(plugin) is None}

    def _route(self, path: str) -> tuple[str, str, tuple[str, ...]] | None:
        """Prefix, the path that is left, and plugins: the longest prefix that ends at a slash wins."""
        names = path.strip("/").split("/")
        for depth in range(min(len(names), self._depth), -1, -1):
            prefix = "/" + "/".join(names[:depth])
            plugins = self._routes.get(prefix)
            if plugins is not None:
                return prefix, "/" + "/".join(names[depth:]), plugins
        return None


class RoutedComponents:
    """Implements `KnownComponents` for who is about to run a flow: only what leads nowhere is told of."""

    def __init__(self, config: Config) -> None:
        self._configured = ConfiguredComponents(config)

    def look_up(self, path: str) -> Knowledge:
        found = self._configured.look_up(path)
        return found if isinstance(found, NoRoute | NoComponent) else UNKNOWN_COMPONENT


class PathRecorder:
    """Knows nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def look_up(self, path: str) -> Knowledge:
        self.paths.add(path)
        return UNKNOWN_COMPONENT


def _possible(routes: Sequence[Route]) -> Iterator[Route]:
    """Routes up to the first that takes everything."""
    for route in routes:
        yield route
        if not route.conditions:
            return


def _tidy(prefix: str) -> str:
    return "/" + prefix.strip("/")


def _without_asking(plugin: Plugin) -> Offered | None:
    if isinstance(plugin, BuiltinPlugin):
        return builtin_components()
    if isinstance(plugin, MockPlugin):
        return {
            _tidy(path): ComponentTypes(one.input_schema, one.output_schema, is_mock=True)
            for path, one in plugin.components.items()
        }
    return None
