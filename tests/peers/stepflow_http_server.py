"""A component server over HTTP made with a published release of `stepflow-py`, whatever release. Run by `http_servers.py`.

Argument: a directory where components leave marks (a crash happens once).
"""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
from stepflow_py.worker import StepflowContext, StepflowServer

MARKS = Path(sys.argv[1])
server = StepflowServer()


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
    print('{"port": 1}')
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
async def hang(input: dict) -> dict:
    await asyncio.sleep(600)
    return input


@server.component
async def blob(input: dict, context: StepflowContext) -> dict:
    blob_id = await context.put_blob(input)
    return {"id": blob_id, "data": await context.get_blob(blob_id)}


@server.component
async def submit(input: dict, context: StepflowContext) -> dict:
    """A run that is waited for in `runs/submit`, and one that is asked for later by `runs/get`."""
    waited = msgspec.to_builtins(await context.submit_run_by_id(input["flow"], input["inputs"], wait=True))
    begun = msgspec.to_builtins(await context.submit_run_by_id(input["flow"], input["inputs"]))
    got = msgspec.to_builtins(await context.get_run(begun["runId"], wait=True, include_results=True))
    return {"waited": waited, "begun": begun, "got": got}


@server.component
async def evaluate(input: dict, context: StepflowContext) -> dict:
    try:
        return {"result": await context.evaluate_flow_by_id(input["flow"], input["input"])}
    except Exception as error:
        return {"raised": type(error).__name__, "message": str(error)}


if __name__ == "__main__":
    asyncio.run(server.run())
