"""Two sessions joined in memory, as a gateway and a component server are by two pipes."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowspan.jsonrpc import CLIENT_LIMITS, DEFAULT_LIMITS, FrameLimits, ProtocolViolation, Session, SessionEvent


@dataclass
class Pair:
    """What one end writes waits until the other end is pumped; replies to violations are written as a shell would."""

    gateway: Session = field(default_factory=lambda: Session(1, DEFAULT_LIMITS))
    server: Session = field(default_factory=lambda: Session(1, CLIENT_LIMITS))
    to_gateway: bytearray = field(default_factory=bytearray)
    to_server: bytearray = field(default_factory=bytearray)

    def pump_gateway(self) -> list[SessionEvent]:
        """Let the gateway read all that the server wrote."""
        return self._pump(self.gateway, self.to_gateway, self.to_server)

    def pump_server(self) -> list[SessionEvent]:
        """Let the server read all that the gateway wrote."""
        return self._pump(self.server, self.to_server, self.to_gateway)

    @staticmethod
    def _pump(session: Session, incoming: bytearray, outgoing: bytearray) -> list[SessionEvent]:
        data = bytes(incoming)
        incoming.clear()
        events = session.receive(data)
        for event in events:
            if isinstance(event, ProtocolViolation) and event.reply is not None:
                outgoing += event.reply
        return events


def small_limits(**changes: int) -> FrameLimits:
    """Limits that a test can reach."""
    return FrameLimits(**{"max_line_bytes": 1024, "max_discard_bytes": 4096, "sniff_bytes": 128, **changes})
