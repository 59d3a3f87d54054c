"""One component server as configured, and the figures that bound it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

from flowspan.jsonrpc import DEFAULT_LIMITS, Dialect, FrameLimits
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.restart_policy import RestartLimits

KIB: Final = 1024
MIB: Final = 1024 * KIB

STEPFLOW_LINE_BYTES: Final = 64 * KIB
"""Servers of the older SDKs die of a longer line (newer ones of 512 KiB)."""
MAX_STEPFLOW_LINE_BYTES: Final = 512 * KIB
MAX_QUEUED_BYTES: Final = 64 * MIB
"""Answers that one server has not read; a server beyond it is ended."""
REQUEST_WINDOW: Final = 1_024
"""Requests of one server that are served at once; open waits do not count."""
MAX_OPEN_WAITS: Final = 16_384
"""Four for each execution that a process may hold."""
FIRST_FLUSH_CALLS: Final = 8
FLUSH_CALLS: Final = 64
"""Requests in the first write of a batch and, doubling, in later ones: the child begins while the parent still builds lines
(twice the rate with 16 in flight), and large batches cost few writes."""
BACKLOG_BYTES: Final = 1 * MIB
"""While the pipe is this far behind, further requests are kept unwritten: a cancel still reaches them, a crash spares them."""
NESTED_PROCESSES: Final = 16
"""Further processes of a server that is not re-entrant: one for each level that sub-runs may nest."""
MAX_RETIRING: Final = 4
"""Replaced processes that may finish their work at the same time; beyond it the oldest is ended."""


@dataclass(frozen=True, slots=True)
class StdioPlugin:
    """A plugin of type stdio.

    Attributes:
        launch: how its process is started.
        replicas: processes.
        capacity: executions at once per process; None: what it declares, else 256.
        dialect: None: told from the handshake.
        max_line_bytes: longest line it is sent; None: by dialect.
        max_output_bytes: of one result.
        frame_limits: of what it sends.
        initialize_timeout_s, list_timeout_s: of the handshake.
        stall_s: how long a pipe may take nothing, or a line stay unfinished.
        replace_grace_s: for the other calls of a process in which one timed out.
        ping_s: between pings, where the server answers them; three without an answer end it.
        cancel_ack_s: how long a cancel waits for the server's word.
        stop_grace_s: per rung of the ladder that ends it (`shutdown` if declared, at most 1 s; stdin closed, SIGTERM,
            SIGKILL).
    """

    type: ClassVar[str] = "stdio"
    launch: LaunchSpec
    replicas: int = 1
    capacity: int | None = None
    dialect: Dialect | None = None
    max_line_bytes: int | None = None
    max_output_bytes: int = 2 * MIB
    frame_limits: FrameLimits = DEFAULT_LIMITS
    initialize_timeout_s: float = 10.0
    list_timeout_s: float = 5.0
    stall_s: float = 30.0
    replace_grace_s: float = 30.0
    ping_s: float = 10.0
    stop_grace_s: float = 2.0
    cancel_ack_s: float = 1.0
    restart: RestartLimits = field(default_factory=RestartLimits)

    @property
    def name(self) -> str:
        return self.launch.name

    def line_limit(self, dialect: Dialect) -> int:
        """Bytes of the longest line that a server of this dialect is sent."""
        if dialect == "stepflow":
            return min(self.max_line_bytes or STEPFLOW_LINE_BYTES, MAX_STEPFLOW_LINE_BYTES)
        return min(self.max_line_bytes or self.frame_limits.max_line_bytes, self.frame_limits.max_line_bytes)
