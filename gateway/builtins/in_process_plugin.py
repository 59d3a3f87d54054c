"""Component servers inside the gateway as plugins among the others: what they offer, how they are."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.catalog import OfferedComponent, PluginHealth, PluginStatus
from runtime_core.builtins.catalog import BUILTINS
from runtime_core.builtins.in_process import SLOTS, InProcessServer

_text = msgspec.json.encode


class InProcessPlugin:
    """Implements `gateway.catalog.OfferingServer`. `kind`: the plugin's type in the configuration."""

    def __init__(self, server: InProcessServer, kind: str, offered: Mapping[str, OfferedComponent]) -> None:
        self._server = server
        self._kind = kind
        self._offered = offered

    @property
    def name(self) -> str:
        return self._server.name

    @property
    def offered(self) -> Mapping[str, OfferedComponent]:
        return self._offered

    async def wait_ready(self, timeout_s: float) -> bool:
        return True

    def status(self) -> PluginStatus:
        return PluginStatus(self.name, self._kind, PluginHealth.UP, capacity=SLOTS, in_flight=self._server.in_flight)


def offered_builtins() -> dict[str, OfferedComponent]:
    """All built-ins, by name."""
    return {
        name: OfferedComponent(name, one.description, _text(one.input_schema), _text(one.output_schema))
        for name, one in BUILTINS.items()
    }
