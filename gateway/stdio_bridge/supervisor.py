"""All component servers of type stdio together: started at once, ended side by side, and listed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

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
