"""What the routes reach, as people see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gateway.catalog import LIST_WAIT_S, ComponentDescription, OfferingServer, PluginStatus
from gateway.routing import ComponentRules, PlannedRoute


class RoutedCatalog:
    """`gateway.catalog.ComponentCatalog` over everything that the routes reach.

    Args:
        routes: as the configuration has them.
        plugins: by name.
        rules: by name of a plugin; what they close is left out.
    """

    def __init__(
        self,
        routes: Sequence[PlannedRoute],
        plugins: Mapping[str, OfferingServer],
        rules: Mapping[str, ComponentRules] = MappingProxyType({}),
    ) -> None:
        self._routes = routes
        self._plugins = plugins
        self._rules = rules

    async def components(self, wait_s: float = LIST_WAIT_S) -> Sequence[ComponentDescription]:
        """By path. Plugins that are down or silent are left out: `plugins` says why."""
        await asyncio.gather(*(plugin.wait_ready(wait_s) for plugin in self._plugins.values()))
        found: dict[str, ComponentDescription] = {}
        for route in self._routes:
            name = route.plugin
            plugin, rules = self._plugins.get(name), self._rules.get(name)
            for own_path, offered in (plugin.offered if plugin is not None else {}).items():
                if rules is not None and not rules.permit(own_path):
                    continue
                path = route.prefix.rstrip("/") + own_path
                if path in found:
                    continue  # the first route that may take it describes it
                found[path] = ComponentDescription(path, name, offered.description, offered.input_schema, offered.output_schema)
        return [found[path] for path in sorted(found)]

    def plugins(self) -> Sequence[PluginStatus]:
        """By name."""
        return [self._plugins[name].status() for name in sorted(self._plugins)]
