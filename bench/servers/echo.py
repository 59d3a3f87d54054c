"""The component server of the scenarios, in Python with the SDK."""

from __future__ import annotations

import asyncio
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


@server.component
async def nap(value: Any) -> Any:
    """Some time passes, and no work is done in it."""
    await asyncio.sleep(0.02)
    return value


@server.component
async def hold(value: Any) -> Any:
    """Keeps its run open for as long as the gateway lives."""
    await asyncio.Event().wait()
    return value


if __name__ == "__main__":
    server.run()
