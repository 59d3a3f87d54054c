"""The built-ins as a plugin among the others: what they offer, how they are."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.catalog import PluginHealth, PluginStatus
from gateway.stdio_bridge.handshake import OfferedComponent
from runtime_core.builtins.catalog import BUILTINS
from runtime_core.builtins.in_process import SLOTS
from runtime_core.builtins.server import BuiltinServer

_text = msgspec.json.encode


class BuiltinPlugin:
    """Implements `gateway.stdio_bridge.supervisor.OfferingServer`."""

    def __init__(self, server: BuiltinServer) -> None:
        self._server = server

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def offered(self) -> Mapping[str, OfferedComponent]:
        return {
            name: OfferedComponent(name, one.description, _text(one.input_schema), _text(one.output_schema))
            for name, one in BUILTINS.items()
        }

    async def wait_ready(self, timeout_s: float) -> bool:
        return True

    def status(self) -> PluginStatus:
        return PluginStatus(self.name, "builtin", PluginHealth.UP, capacity=SLOTS, in_flight=self._server.in_flight)
