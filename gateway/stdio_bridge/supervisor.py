"""All component servers of type stdio together: started at once, ended side by side, and listed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.catalog import LIST_WAIT_S, ComponentDescription, OfferingServer, PluginStatus
from gateway.stdio_bridge.pool import PluginServer


class StdioSupervisor:
    """Owner of the plugins' processes. `async with` starts and stops them; both are harmless if repeated."""

    def __init__(self, plugins: Sequence[PluginServer]) -> None:
        self.plugins: Final = tuple(plugins)
        self._is_started = False

    def start(self) -> None:
        """Begin to start all processes; in the loop, from the main thread. Waits for nothing."""
        if not self._is_started:
            self._is_started = True
            for plugin in self.plugins:
                plugin.start_processes()

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Let running calls end for up to `drain_s`, then end all processes; bounded by that plus the ladder of one process."""
        if self._is_started:
            await asyncio.gather(*(plugin.stop(drain_s=drain_s) for plugin in self.plugins))

    async def __aenter__(self) -> StdioSupervisor:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


class RoutedCatalog:
    """`gateway.catalog.ComponentCatalog` over everything that the routes reach.

    Args:
        routes: prefixes (as in `gateway.routing.PrefixRouter.routes`) and names of plugins.
        plugins: by name.
    """

    def __init__(self, routes: Mapping[str, str], plugins: Mapping[str, OfferingServer]) -> None:
        self._routes = routes
        self._plugins = plugins

    async def components(self, wait_s: float = LIST_WAIT_S) -> Sequence[ComponentDescription]:
        """By path. Plugins that are down or silent are left out: `plugins` says why."""
        await asyncio.gather(*(plugin.wait_ready(wait_s) for plugin in self._plugins.values()))
        found: dict[str, ComponentDescription] = {}
        for prefix, name in self._routes.items():
            plugin = self._plugins.get(name)
            for own_path, offered in (plugin.offered if plugin is not None else {}).items():
                path = prefix.rstrip("/") + own_path
                found[path] = ComponentDescription(path, name, offered.description, offered.input_schema, offered.output_schema)
        return [found[path] for path in sorted(found)]

    def plugins(self) -> Sequence[PluginStatus]:
        """By name."""
        return [self._plugins[name].status() for name in sorted(self._plugins)]
