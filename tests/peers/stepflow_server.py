"""A component server made with a published release of `stepflow-py`, whatever release is installed. Run by `run.py`.

Argument: a directory where components leave marks (a crash happens once).
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec
from stepflow_py import StepflowContext, StepflowStdioServer

MARKS = Path(sys.argv[1])
server = StepflowStdioServer()


class Order(msgspec.Struct):
    item: str
    count: int


class Receipt(msgspec.Struct):
    total: int
    text: str


@server.component
def price(input: Order) -> Receipt:
    return Receipt(total=input.count * 3, text=input.item)


@server.component
async def price_later(input: Order) -> Receipt:
    await asyncio.sleep(0.001)
    return Receipt(total=input.count * 3, text=input.item)


@server.component
def echo(input: dict) -> dict:
    return input


@server.component
def fail(input: dict) -> dict:
    raise ValueError("no such luck")


@server.component
def chatty(input: dict) -> dict:
    print("printed by a component")
    print('{"not": "a message"}')
    sys.stdout.flush()
    return input


@server.component
def large(input: dict) -> dict:
    return {"text": "x" * input["size"]}


@server.component
def crash(input: dict) -> dict:
    mark = MARKS / str(input["mark"])
    if input["code"] is not None and not mark.exists():
        mark.touch()
        os._exit(input["code"])
    return input


@server.component
async def blob(input: dict, context: StepflowContext) -> dict:
    blob_id = await context.put_blob(input)
    return {"id": blob_id, "data": await context.get_blob(blob_id)}


@server.component
async def read_blob(input: dict, context: StepflowContext) -> dict:
    try:
        return {"data": await context.get_blob(input["id"])}
    except Exception as error:
        return {"error": str(error)}


async def _store(flow: dict, context: StepflowContext) -> str:
    from stepflow_py.generated_protocol import BlobType

    return await context.put_blob(flow, BlobType.flow)


@server.component
async def evaluate(input: dict, context: StepflowContext) -> dict:
    """One input through a flow, by whichever call this release has."""
    try:
        if hasattr(context, "evaluate_flow_by_id"):
            flow_id = await _store(input["flow"], context)
            return {"result": await context.evaluate_flow_by_id(flow_id, input["input"])}
        return {"result": await context.evaluate_flow(input["flow"], input["input"])}
    except Exception as error:
        return {"raised": type(error).__name__, "code": getattr(error, "error_code", None), "message": str(error)}


@server.component
async def batch(input: dict, context: StepflowContext) -> dict:
    """Several inputs through a flow, and the state of the batch before and after."""
    flow_id = await _store(input["flow"], context)
    batch_id = await context.submit_batch_by_id(flow_id, input["inputs"], input.get("max_concurrency"))
    early, nothing = await context.get_batch(batch_id)
    details, outputs = await context.get_batch(batch_id, wait=True, include_results=True)
    return {
        "early_total": early.total_runs,
        "nothing": nothing,
        "details": msgspec.to_builtins(details),
        "outputs": msgspec.to_builtins(outputs),
    }


@server.component
async def metadata(input: dict, context: StepflowContext) -> dict:
    return await context.get_metadata(input.get("step"))


if __name__ == "__main__":
    time.sleep(float(os.environ.get("START_DELAY_S", "0")))
    server.run()
