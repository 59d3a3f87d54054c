"""What one HTTP caller may bring, hold or wait for. Sizes in bytes, times in seconds."""

from __future__ import annotations

from typing import Final

from flowspan.jsonrpc import FrameLimits
from gateway.grpc_server.limits import MAX_RECEIVE_BYTES, MAX_SEND_BYTES

MAX_BODY_BYTES: Final = MAX_RECEIVE_BYTES
"""A request's body; larger blobs are streamed."""

MAX_ANSWER_BYTES: Final = MAX_SEND_BYTES
"""The answers of gRPC and of this wire leave out the same."""

BODY_LIMITS: Final = FrameLimits(max_depth=66, max_nodes=4_000_000)
"""JSON of a request: the object and the list of inputs stand around each value, which is judged by itself where it is wide."""

MAX_HEAD_BYTES: Final = 16_384
"""Request line and headers, as on gRPC."""

HEAD_TIMEOUT_S: Final = 10.0
"""For request line and headers, from the first byte or the connection on."""

IDLE_TIMEOUT_S: Final = 75.0
"""A connection between two requests."""

MAX_CONNECTIONS: Final = 2_000
"""At once; a browser keeps six, and one for each stream."""

MAX_REQUESTS: Final = 2_000
"""Being answered at once; streams have a bound of their own."""

HEARTBEAT_S: Final = 15.0
"""Between two signs of life on a quiet stream of events; proxies give up after 30 or 60."""

EVENT_BYTES: Final = 256 << 10
"""Events that go out in one write: large enough to be cheap, small enough that many readers share the budget."""

STOP_GRACE_S: Final = 1.0
"""For answers under way when the gateway stops."""
