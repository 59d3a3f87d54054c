"""A component server that counts its own calls. Usage: echo.py COUNTS_FILE; written when the gateway closes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from flowspan import ComponentServer
from tests.shape.counting import counted_into

server = ComponentServer(capacity=512)


@server.component(inline=True)
def echo(value: Any) -> Any:
    return value


if __name__ == "__main__":
    with counted_into(Path(sys.argv[1])):
        server.run()
