"""Which flows of a gateway are offered as tools."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import structlog

from flowspan.client import AsyncClient
from flowspan.errors import FlowspanError, NotFoundError
from gateway.mcp_server.flow_tools import FlowTool, OfferedByGateway, flow_tool

_log = structlog.get_logger("flowspan.mcp")

MAX_TOOLS: Final = 500
"""More than any model can choose from; older flows are left out."""


class FlowCatalog:
    """The flows that were named, or all that have a name, the newest of each.

    Args:
        flow_ids: offered whatever their names are. `names`: offered by name. Neither: everything that has a name.
    """

    def __init__(self, client: AsyncClient, flow_ids: Sequence[str] = (), names: Sequence[str] = ()) -> None:
        self._client = client
        self._flow_ids = tuple(flow_ids)
        self._names = frozenset(names)
        self._tools: dict[str, FlowTool] = {}
        self._documents: dict[str, bytes] = {}

    async def tools(self) -> Sequence[FlowTool]:
        """As the gateway has them now."""
        components = OfferedByGateway((await self._client.components()).components)
        tools: dict[str, FlowTool] = {}
        for flow_id in await self._chosen():
            try:
                document = self._documents.get(flow_id) or (await self._client.get_flow(flow_id)).json
                tool = flow_tool(flow_id, document, components, tools)
            except FlowspanError as error:
                _log.warning("flow_not_offered", flow_id=flow_id, error=error.message)
                continue
            self._documents[flow_id] = document
            tools[tool.name] = tool
        self._tools = tools
        return list(tools.values())

    async def find(self, name: str) -> FlowTool | None:
        """The tool of this name, as it was listed last."""
        if name not in self._tools:
            await self.tools()
        return self._tools.get(name)

    async def check(self) -> None:
        """That the flows which were named are there.

        Raises:
            NotFoundError: one is not.
        """
        for flow_id in self._flow_ids:
            await self._client.get_flow(flow_id)
        missing = self._names - {name async for _, name in self._named()} if self._names else frozenset()
        if missing:
            raise NotFoundError(f"the gateway has no flow of the name {min(missing)!r}; store it, or name its file or its id")

    async def _chosen(self) -> Sequence[str]:
        chosen = dict.fromkeys(self._flow_ids)
        if self._names or not self._flow_ids:
            async for flow_id, name in self._named():
                if len(chosen) >= MAX_TOOLS:
                    break
                if not self._names or name in self._names:
                    chosen[flow_id] = None
        return list(chosen)

    async def _named(self) -> AsyncIterator[tuple[str, str]]:
        """Id and name of the newest flow of each name."""
        seen: set[str] = set()
        async for summary in self._client.list_flows():
            if summary.flow_name and summary.flow_name not in seen:
                seen.add(summary.flow_name)
                yield summary.flow_id, summary.flow_name
