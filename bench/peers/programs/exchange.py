"""How a peer's program speaks with the benchmark: lines of JSON, one that says that it is ready, then one for each order.

Runs in the peer's own environment: the standard library only.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

LONGEST_ERROR = 300


def payload(index: int) -> dict[str, Any]:
    """The benchmark's input, about 100 bytes."""
    return {"user_id": f"user{index}", "action": "process", "data": "x" * 50}


def tell_ready(*packages: str) -> None:
    """`packages`: what is measured; their versions are told."""
    _tell({"versions": {package: version(package) for package in packages}})


def serve(run: Callable[[int], None]) -> None:
    """Carry out each order, `run(items)`, until stdin ends. One that fails is told and ends nothing."""
    for line in sys.stdin:
        try:
            run(_items(line))
        except Exception as error:
            _tell({"error": f"{type(error).__name__}: {error}"[:LONGEST_ERROR]})
        else:
            _tell({})


async def serve_async(run: Callable[[int], Awaitable[None]]) -> None:
    """As `serve`, with the loop going on between the orders."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    # Not one of the loop's pool, for whose threads the end of the loop would wait.
    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        try:
            await run(_items(line))
        except Exception as error:
            _tell({"error": f"{type(error).__name__}: {error}"[:LONGEST_ERROR]})
        else:
            _tell({})


def check(inputs: list[Any], outputs: list[Any]) -> None:
    """Raises ValueError if the results are not those of an echo."""
    if outputs != inputs:
        raise ValueError(f"{len(outputs)} results for {len(inputs)} items, or wrong ones")


def _items(line: str) -> int:
    return int(json.loads(line)["items"])


def _tell(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)
