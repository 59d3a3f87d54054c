"""The component server that the conformance runner drives: see tests/conformance/PROTOCOL.md."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from flowspan import ComponentContext, ComponentError, ComponentServer

server = ComponentServer(capacity=int(os.environ.get("CONFORMANCE_CAPACITY", "8")))
counted = 0


@server.component
async def echo(input: Any) -> Any:
    return input


@server.component
async def facts(input: Any, ctx: ComponentContext) -> Any:
    return {
        "attempt": ctx.attempt,
        "runId": ctx.run_id,
        "flowId": ctx.flow_id,
        "stepId": ctx.step_id,
        "itemIndex": ctx.item_index,
        "taskToken": ctx.task_token is not None,
        "idempotencyToken": ctx.idempotency_token,
        "traceparent": ctx.traceparent,
        "pid": os.getpid(),
    }


@server.component
async def fail(input: Any) -> Any:
    message, data = input.get("message", "failed"), input.get("data")
    match input["kind"]:
        case "invalid_input":
            raise ComponentError(message, code="INVALID_INPUT", data=data)
        case "unavailable":
            raise ComponentError(message, code="RESOURCE_UNAVAILABLE", data=data)
        case "crash_in_code":
            raise RuntimeError(message)
        case _:
            raise ComponentError(message, data=data)


@server.component
async def skip(input: Any) -> Any:
    # A component cannot skip its step; a flow can.
    raise ComponentError("not today")


@server.component("print")
async def print_text(input: Any) -> str:
    print(input["text"])
    return "printed"


@server.component
async def sleep(input: Any) -> Any:
    await asyncio.sleep(input["ms"] / 1000)
    return input["ms"]


@server.component
async def progress(input: Any, ctx: ComponentContext) -> str:
    for fraction in (0.25, 0.5, 0.75):
        ctx.report_progress(fraction, f"{fraction:.0%} done")
        await asyncio.sleep(0.1)
    return "done"


@server.component
async def big(input: Any) -> Any:
    return "x" * input["bytes"]


@server.component
async def deep(input: Any) -> Any:
    value: list[Any] = []
    for _ in range(input["depth"] - 1):
        value = [value]
    return value


@server.component("exit")
async def end_process(input: Any, ctx: ComponentContext) -> int:
    if ctx.attempt < input["below"]:
        os._exit(3)
    return ctx.attempt


@server.component
async def put(input: Any, ctx: ComponentContext) -> Any:
    blob_id = await ctx.put_blob(input)
    return {"blobId": blob_id, "data": await ctx.get_blob(blob_id)}


@server.component
async def sub_run(input: Any, ctx: ComponentContext) -> Any:
    run = await ctx.submit_run(input["flow_id"], input["inputs"], wait=True, max_concurrency=input.get("max_concurrency"))
    results = [
        {"itemIndex": item.item_index, "outcome": item.outcome.name.lower()}
        | ({"value": item.value} if item.outcome.name == "SUCCESS" else {})
        for item in run.results or ()
    ]
    return {"runId": run.run_id, "status": run.status.wire_name, "results": results}


@server.component
async def sub_watch(input: Any, ctx: ComponentContext) -> Any:
    run = await ctx.submit_run(input["flow_id"], input["inputs"], max_concurrency=input.get("max_concurrency"))
    async with ctx.watch_run(run.run_id) as watch:
        indexes = [item.item_index async for item in watch]
        return {"indexes": indexes, "status": None if watch.status is None else watch.status.status.wire_name}


@server.component
async def count(input: Any) -> int:
    global counted
    counted += 1
    return counted


if __name__ == "__main__":
    server.run()
