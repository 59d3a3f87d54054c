"""Flowspan for Python: component servers, clients, and flows built in Python.

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
    from flowspan.flows import FlowBuilder as FlowBuilder
    from flowspan.flows import coalesce as coalesce
    from flowspan.flows import if_ as if_
    from flowspan.flows import literal as literal
    from flowspan.flows import on_error as on_error
    from flowspan.flows import retry as retry

_HOMES: Final = {
    "AsyncClient": "flowspan.client",
    "Client": "flowspan.client",
    "BlockingContext": "flowspan.components",
    "ComponentContext": "flowspan.components",
    "ComponentError": "flowspan.components",
    "ComponentServer": "flowspan.components",
    "FlowspanError": "flowspan.errors",
    "FlowBuilder": "flowspan.flows",
    "coalesce": "flowspan.flows",
    "if_": "flowspan.flows",
    "literal": "flowspan.flows",
    "on_error": "flowspan.flows",
    "retry": "flowspan.flows",
}

__all__ = [
    "AsyncClient",
    "BlockingContext",
    "Client",
    "ComponentContext",
    "ComponentError",
    "ComponentServer",
    "FlowBuilder",
    "FlowspanError",
    "coalesce",
    "if_",
    "literal",
    "on_error",
    "retry",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'flowspan' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
