"""A component server that tells what it saw of its trace."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from flowspan import ComponentContext, ComponentServer

server = ComponentServer()


@server.component
async def leaf(input: Any, ctx: ComponentContext) -> dict[str, Any]:
    return {"saw": ctx.traceparent}


@server.component
async def parent(input: dict[str, Any], ctx: ComponentContext) -> dict[str, Any]:
    status = await ctx.submit_run(input["flow"], [1], wait=True)
    return {"saw": ctx.traceparent, "sub": [result.value for result in status.results or ()]}


@server.component
async def once_held(input: dict[str, Any], ctx: ComponentContext) -> dict[str, Any]:
    """Where the input names a file: does not end in the first process that gets there, and says on stderr what it saw."""
    if "file" in input and not Path(input["file"]).exists():
        Path(input["file"]).write_text(ctx.traceparent or "")
        if "crash" in input:
            os._exit(9)
        await asyncio.sleep(3_600)
    print("a line for the log", file=sys.stderr, flush=True)
    return {"saw": ctx.traceparent}


@server.component
async def fails_odd(input: int, ctx: ComponentContext) -> int:
    if input % 2:
        raise ValueError("odd")
    return input


server.run()
