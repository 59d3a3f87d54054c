"""One MCP server as configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from flowspan.jsonrpc import FrameLimits
from gateway.stdio_bridge.settings import StdioPlugin

DEFAULT_CAPACITY: Final = 16
"""Tool calls at once in one process. The protocol has no word for it, and most servers are written for one user's few calls."""
FRAME_LIMITS: Final = FrameLimits(response_envelope_depth=3)
"""Around an output stand the message, `result` and `structuredContent`."""


@dataclass(frozen=True, slots=True)
class Root:
    """A place that a server may be told to work in. `uri`: `file:///...`."""

    uri: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class McpPlugin(StdioPlugin):
    """A plugin of type mcp. What a stdio plugin has, `dialect` apart, and:

    Attributes:
        roots: the answer to `roots/list`.
        parse_text: whether a result that is one text becomes the object or array that the text spells, if it does.
    """

    type: ClassVar[str] = "mcp"
    frame_limits: FrameLimits = FRAME_LIMITS
    roots: tuple[Root, ...] = ()
    parse_text: bool = True
