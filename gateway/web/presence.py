"""Work for a caller that may leave meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from gateway.web.exchange import Exchange


async def while_connected(exchange: Exchange, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work` unless the caller leaves before it is done: then it is cancelled, and False returned.

    The request's body must have been read. What `work` raises is raised here.
    """
    loop = asyncio.get_running_loop()
    working, gone = loop.create_task(work), loop.create_task(exchange.wait_gone())
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        is_done = working.done()
    finally:
        gone.cancel()
        working.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)
    if is_done:
        working.result()
    return is_done
