"""A worker that tells at its end how many executions it held at most."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from flowspan import ComponentServer

PATH, CAPACITY, WORK_S = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
server = ComponentServer(capacity=CAPACITY)
held = most_held = 0


@server.component
async def echo(input: Any) -> Any:
    global held, most_held
    held += 1
    most_held = max(most_held, held)
    try:
        await asyncio.sleep(WORK_S)
    finally:
        held -= 1
    return input


server.run()
PATH.write_text(json.dumps({"mostHeld": most_held}))
