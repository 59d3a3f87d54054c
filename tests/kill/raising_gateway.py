"""`flowspan` whose main raises as soon as the file BROKEN exists. Arguments are those of `flowspan`."""

import asyncio
import os
import sys
from pathlib import Path

from gateway.app import Gateway
from gateway.cli import main, serve_commands


async def raise_when_asked(gateway: Gateway, stop: asyncio.Event) -> int:
    while not Path(os.environ["BROKEN"]).exists():
        await asyncio.sleep(0.01)
    raise RuntimeError("the gateway's main is broken")


serve_commands._until = raise_when_asked
sys.exit(main())
