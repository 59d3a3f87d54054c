"""A component server that writes down what it does: one line per start and end of an execution, with one write each.

Environment: LEDGER, path of the file; WORK_MS, how long an execution takes.
"""

import asyncio
import os
import time

from flowspan import ComponentContext, ComponentServer

LEDGER = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
WORK_S = float(os.environ.get("WORK_MS", "10")) / 1000
server = ComponentServer(capacity=256)


def note(what: str, item: int, ctx: ComponentContext) -> None:
    line = (
        f"{what} {item} {ctx.step_id} {ctx.attempt} {ctx.idempotency_token} {time.monotonic():.6f} {ctx.run_id} {os.getpid()}\n"
    )
    os.write(LEDGER, line.encode())


@server.component
async def work(item: int, ctx: ComponentContext) -> int:
    note("start", item, ctx)
    await asyncio.sleep(WORK_S)
    note("end", item, ctx)
    return item


server.run()
