"""One component server over HTTP as configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from flowspan.jsonrpc import Dialect
from gateway.stdio_bridge.settings import StdioPlugin


@dataclass(frozen=True, slots=True)
class HttpPlugin(StdioPlugin):
    """A plugin of type http. What a stdio plugin has, and:

    Attributes:
        url: where a server is that somebody else runs; nothing of `launch` but its name counts then. None: `launch` starts one,
            which says `{"port": N}` on its stdout.
        headers: sent with every request, such as what an authorising proxy wants.
    """

    type: ClassVar[str] = "http"
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def line_limit(self, dialect: Dialect) -> int:
        """Bytes of the longest message: the older servers die of long lines on stdin, not of long bodies."""
        return min(self.max_line_bytes or self.frame_limits.max_line_bytes, self.frame_limits.max_line_bytes)
