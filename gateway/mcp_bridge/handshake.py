"""What is said to an MCP server before the first call, and the list of its tools. Pure: bytes in, values out."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flowspan.errors import LimitExceededError
from flowspan.jsonrpc import printable
from gateway.catalog import OfferedComponent
from gateway.mcp_bridge.revisions import REVISIONS
from gateway.stdio_bridge.handshake import MAX_COMPONENTS, IncompatibleServerError

MAX_PAGES: Final = 1_000
"""Of one list: a server that always has one more page is told from one that has many tools."""

INITIALIZE_PARAMS: Final = msgspec.json.encode(
    {
        "protocolVersion": REVISIONS[0],
        # Roots are few and fixed. Neither sampling nor elicitation: there is nobody to ask in the middle of a run.
        "capabilities": {"roots": {"listChanged": False}},
        "clientInfo": {"name": "flowspan", "title": "Flowspan", "version": "1"},
    }
)


class ServerHello(msgspec.Struct, frozen=True):
    """The answer to `initialize`, as far as it matters. `has_tools`: whether it may be asked for a list of them."""

    protocol_version: str
    has_tools: bool
    name: str


def read_initialize(result: bytes) -> ServerHello:
    """Read the answer to `initialize`.

    Raises:
        IncompatibleServerError: no answer of an MCP server, or one of another revision.
    """
    answer = _object(result, "initialize")
    version = answer.get("protocolVersion")
    if version is None and ("serverProtocolVersion" in answer or "server_protocol_version" in answer):
        raise IncompatibleServerError("it is a component server, not an MCP server; its plugin is of type stdio")
    if version not in REVISIONS:
        said = "none" if version is None else printable(repr(version))
        raise IncompatibleServerError(
            f"the MCP server speaks revision {said}, this gateway speaks {', '.join(REVISIONS)}; use another release",
            serverVersion=said,
        )
    capabilities, info = answer.get("capabilities"), answer.get("serverInfo")
    name = info.get("name") if isinstance(info, dict) else None
    has_tools = isinstance(capabilities, dict) and capabilities.get("tools") is not None
    return ServerHello(version, has_tools, printable(name) if isinstance(name, str) else "")


class ToolList:
    """Tools as their pages come. `components`: by path; `duplicates`: paths that were listed twice, and are in neither."""

    def __init__(self) -> None:
        self.components: dict[str, OfferedComponent] = {}
        self.duplicates: set[str] = set()
        self._pages = 0

    def add(self, result: bytes) -> str | None:
        """Take one page; the cursor of the next one, None after the last.

        Raises:
            IncompatibleServerError: it is no page of tools.
            LimitExceededError: there are more than any server has.
        """
        page = _object(result, "tools/list")
        tools = page.get("tools")
        if not isinstance(tools, list):
            raise IncompatibleServerError("the answer to tools/list has no list `tools`")
        self._pages += 1
        for tool in tools:
            self._add_tool(tool)
        for limit, bound, actual in (
            ("components", MAX_COMPONENTS, len(self.components) + len(self.duplicates)),
            ("pages", MAX_PAGES, self._pages),
        ):
            if actual > bound:
                raise LimitExceededError(
                    f"the server lists {actual} {'tools' if limit == 'components' else limit}, at most {bound} are accepted",
                    limit=limit,
                    max=bound,
                    actual=actual,
                )
        cursor = page.get("nextCursor")
        return cursor if isinstance(cursor, str) and cursor else None

    def _add_tool(self, tool: object) -> None:
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(tool, dict) or not isinstance(name, str) or not name:
            raise IncompatibleServerError("an entry of tools/list has no name")
        path = f"/{name.removeprefix('/')}"
        if path in self.components or path in self.duplicates:
            self.components.pop(path, None)
            self.duplicates.add(path)
            return
        told = [tool.get(member) for member in ("description", "title")]
        description = next((text for text in told if isinstance(text, str) and text), None)
        self.components[path] = OfferedComponent(name, description, _schema(tool, "inputSchema"), _schema(tool, "outputSchema"))


def _schema(tool: dict[str, Any], member: str) -> bytes | None:
    return None if tool.get(member) is None else msgspec.json.encode(tool[member])


def _object(result: bytes, method: str) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(result)
    except (ValueError, RecursionError) as error:
        raise IncompatibleServerError(f"the answer to {method} cannot be read: {error}") from None
    if not isinstance(decoded, dict):
        raise IncompatibleServerError(f"the answer to {method} is no object")
    return decoded
