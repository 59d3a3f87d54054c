"""The component server of the scenarios, in Python with the SDK."""

from __future__ import annotations

from typing import Any

from flowspan import ComponentContext, ComponentServer

server = ComponentServer(capacity=512)


@server.component(inline=True)
def echo(value: Any) -> Any:
    return value


@server.component
async def sub_run(flow_id: str, ctx: ComponentContext) -> str:
    """A run of one item, waited for."""
    status = await ctx.submit_run(flow_id, [{"data": "x" * 50}], wait=True)
    return status.status.name


if __name__ == "__main__":
    server.run()
