"""A component server that tells everybody the secret it is given. Usage: python telling_server.py GATE."""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flowspan.components import ComponentContext, ComponentServer

server = ComponentServer(capacity=16)
GATE = Path(sys.argv[1])


@server.component
async def tell(value: dict[str, Any], ctx: ComponentContext) -> Any:
    """Says it on stderr and in an error, in all the forms that it may take; once the gate is open, ends well."""
    key = value["key"]
    told = f"key={key} b64={base64.b64encode(key.encode()).decode()} url={quote(key)}"
    print(told, file=sys.stderr, flush=True)
    print(told, flush=True)
    while value["waits"] and not GATE.exists():
        await asyncio.sleep(0.01)
    if not value["waits"]:
        raise ValueError(told)
    return len(key)


server.run()
