"""A component server that writes down what it does: one line per start and end of an execution, with one write each.

Environment: LEDGER, path of the file; WORK_MS, how long an execution takes; GATE, a path: `gated` ends when it exists.
The input is the item's number, or an object with it as `item`; so is the output the number.
"""

import asyncio
import os
import time
from typing import Any

from flowspan import ComponentContext, ComponentServer

LEDGER = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
WORK_S = float(os.environ.get("WORK_MS", "10")) / 1000
GATE = os.environ["GATE"]
server = ComponentServer(capacity=256)


def note(what: str, item: int, ctx: ComponentContext) -> None:
    line = (
        f"{what} {item} {ctx.step_id} {ctx.attempt} {ctx.idempotency_token} {time.monotonic():.6f} {ctx.run_id} {os.getpid()}\n"
    )
    os.write(LEDGER, line.encode())


def number(value: Any) -> int:
    return int(value["item"] if isinstance(value, dict) else value)


@server.component
async def work(value: Any, ctx: ComponentContext) -> int:
    item = number(value)
    note("start", item, ctx)
    await asyncio.sleep(WORK_S)
    note("end", item, ctx)
    return item


@server.component
async def fast(value: Any) -> Any:
    """Nothing but the way there and back."""
    return value


@server.component
async def gated(value: Any, ctx: ComponentContext) -> int:
    item = number(value)
    note("start", item, ctx)
    while not os.path.exists(GATE):
        await asyncio.sleep(0.01)
    note("end", item, ctx)
    return item


@server.component
async def clumsy(value: Any, ctx: ComponentContext) -> int:
    """Fails the first time for each third item."""
    item = number(value)
    note("start", item, ctx)
    await asyncio.sleep(WORK_S)
    note("end", item, ctx)
    if item % 3 == 0 and ctx.attempt == 1:
        raise OSError("not this time")
    return item


server.run()
