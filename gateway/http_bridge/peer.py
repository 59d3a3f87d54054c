"""A component server over HTTP as its pool sees it: the same messages as over pipes, carried by `HttpLink`."""

from __future__ import annotations

from flowspan.errors import Reason
from flowspan.jsonrpc import ProtocolViolation
from gateway.http_bridge.link import HttpLink
from gateway.http_bridge.settings import HttpPlugin
from gateway.stdio_bridge.handshake import HandshakeError, ServerKind
from gateway.stdio_bridge.peer import ComponentPeer
from gateway.stdio_bridge.peer_process import PeerProcess


class HttpPeer(ComponentPeer):
    """One server, whether we started it or not."""

    def _make_process(self) -> PeerProcess:
        plugin = self.plugin
        if not isinstance(plugin, HttpPlugin):
            raise TypeError(f"plugin {plugin.name!r} is of type {plugin.type}")
        self._link = HttpLink(
            plugin, on_lines=self._on_stdout, on_exit=self._on_exit, on_stderr=self._on_stderr, on_lost=self.give_up
        )
        return self._link

    async def start(self) -> ServerKind:
        try:
            return await super().start()
        except HandshakeError as error:
            if self._link.url is None and error.reason is Reason.TIMEOUT:
                text = f'plugin {self.plugin.name!r} did not say {{"port": N}} on its stdout within the time for initialize'
                raise HandshakeError(text) from None
            raise

    @property
    def free_slots(self) -> int:
        # No pipe that answers together could fill.
        if not self.is_up or (self.alone and self.used_slots):
            return 0
        return max(0, self.capacity - self.used_slots)

    def _is_lost_answer(self, violation: ProtocolViolation) -> bool:
        return False  # each answer comes in a response of its own
