"""Component servers of the tests, in processes of their own. Usage: python servers.py CAPACITY [LEDGER]."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from flowspan.components import BlockingContext, ComponentContext, ComponentServer

server = ComponentServer(capacity=int(sys.argv[1]))
LEDGER = Path(sys.argv[2]) if len(sys.argv) > 2 else None
_lock = threading.Lock()


def note(word: str, item: Any) -> None:
    """One line of the ledger, whole, with the moment of the call on the clock that all processes share."""
    now_ns = time.monotonic_ns()
    assert LEDGER is not None
    with _lock, LEDGER.open("ab", buffering=0) as file:
        file.write(f"{now_ns} {word} {item}\n".encode())


@server.component
async def echo(value: Any) -> Any:
    return value


@server.component
async def tick(value: Any) -> Any:
    """Takes a moment, more for even ones, so that items do not end in their order."""
    await asyncio.sleep(0.002 if value % 2 == 0 else 0)
    return value


@server.component
async def descend(value: dict[str, Any], ctx: ComponentContext) -> Any:
    """Waits for a sub-run of itself, so many levels down."""
    if value["levels"] == 0:
        return 0
    run = await ctx.submit_run(value["flow_id"], [{**value, "levels": value["levels"] - 1}], wait=True, max_concurrency=1)
    assert run.results is not None
    return 1 + run.results[0].value


@server.component
def descend_blocking(value: dict[str, Any], ctx: BlockingContext) -> Any:
    """The same in a thread."""
    if value["levels"] == 0:
        return 0
    run = ctx.submit_run(value["flow_id"], [{**value, "levels": value["levels"] - 1}], wait=True, max_concurrency=1)
    assert run.results is not None
    return 1 + run.results[0].value


@server.component
async def slow(value: Any, ctx: ComponentContext) -> Any:
    """Begins, and lasts until it is told to stop."""
    note("begin", value)
    await asyncio.sleep(30)
    return value


@server.component
def slow_blocking(value: Any, ctx: BlockingContext) -> Any:
    """The same in a thread, looking every few milliseconds."""
    note("begin", value)
    for _ in range(10_000):
        if ctx.cancelled:
            break
        time.sleep(0.003)
    return value


@server.component
async def quick(value: Any) -> Any:
    note("begin", value)
    return value


@server.component
async def lethal(value: Any) -> Any:
    """One item ends the process; the others take long enough to be in flight with it."""
    if value == 100:
        await asyncio.sleep(0.05)
        os._exit(7)
    await asyncio.sleep(0.2)
    return value


@server.component
async def add(value: int) -> int:
    return value + 1


server.run()
