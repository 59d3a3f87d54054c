"""A component server with a component of every kind. The same file runs as a plugin, as a worker and behind a bridge."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from flowspan import ComponentContext, ComponentServer
from flowspan.components import BlockingContext, ComponentError

server = ComponentServer(capacity=16)


@server.component(inline=True)
def echo(input: Any) -> Any:
    return input


@server.component
def double(input: int) -> int:
    return 2 * input


@server.component
async def facts(input: Any, ctx: ComponentContext) -> dict[str, Any]:
    ctx.report_progress(0.5, "half")
    names = ("attempt", "idempotency_token", "run_id", "flow_id", "step_id", "item_index")
    trace = ctx.traceparent or ""
    return {name: getattr(ctx, name) for name in names} | {"token": bool(ctx.task_token), "trace": trace[:36], "pid": os.getpid()}


@server.component
async def nest(input: dict[str, Any], ctx: ComponentContext) -> Any:
    """Sub-runs, waited for and watched."""
    run = await ctx.submit_run(input["flow"], input["values"], wait=True)
    watched = [result.value async for result in ctx.watch_run(run.run_id)]
    again = await ctx.get_run(run.run_id, wait=True)
    late = await ctx.submit_run(input["flow"], input["values"])
    waited = await ctx.get_run(late.run_id, wait=True)
    return [
        [result.value for result in run.results or ()],
        sorted(watched),
        [result.value for result in again.results or ()],
        [result.value for result in waited.results or ()],
    ]


@server.component
def nest_blocking(input: dict[str, Any], ctx: BlockingContext) -> Any:
    run = ctx.submit_run(input["flow"], input["values"], wait=True)
    return [[result.value for result in run.results or ()], sorted(result.value for result in ctx.watch_run(run.run_id))]


@server.component
def blobs(input: Any, ctx: BlockingContext) -> Any:
    return [ctx.get_blob(ctx.put_blob(input)), ctx.get_blob(ctx.put_blob(b"\x00\xff")).hex()]


@server.component
def fail(input: str) -> None:
    if input == "refuse":
        raise ComponentError("not with me", code="REFUSED", data={"why": [1, 2.0]})
    raise ValueError(input)


@server.component
def nap(input: float, ctx: BlockingContext) -> float:
    until_s = time.monotonic() + input
    while time.monotonic() < until_s:
        ctx.raise_if_cancelled()
        time.sleep(0.01)
    return input


@server.component
def begin(input: dict[str, Any], ctx: BlockingContext) -> int:
    """A file that tells that this was begun, then a nap."""
    Path(input["directory"], f"{ctx.item_index}").touch()
    time.sleep(input["seconds"])
    return ctx.attempt


@server.component
def die(input: int) -> int:
    if input < 0:
        os._exit(3)
    return input


server.run()
