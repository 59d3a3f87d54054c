"""Flowspan for Python: component servers and clients.

Names are loaded on first use, so that a component server never pays for gRPC and a client never pays for the server part.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

__version__: Final = "0.1.0"

if TYPE_CHECKING:
    from flowspan.client import AsyncClient as AsyncClient
    from flowspan.client import Client as Client
    from flowspan.components import BlockingContext as BlockingContext
    from flowspan.components import ComponentContext as ComponentContext
    from flowspan.components import ComponentError as ComponentError
    from flowspan.components import ComponentServer as ComponentServer
    from flowspan.errors import FlowspanError as FlowspanError

_HOMES: Final = {
    "AsyncClient": "flowspan.client",
    "Client": "flowspan.client",
    "BlockingContext": "flowspan.components",
    "ComponentContext": "flowspan.components",
    "ComponentError": "flowspan.components",
    "ComponentServer": "flowspan.components",
    "FlowspanError": "flowspan.errors",
}

__all__ = [
    "AsyncClient",
    "BlockingContext",
    "Client",
    "ComponentContext",
    "ComponentError",
    "ComponentServer",
    "FlowspanError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'flowspan' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
