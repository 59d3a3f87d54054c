"""Clients of a gateway: `AsyncClient`, and `Client`, the same without asyncio.

Names are loaded on first use: who reads a file or builds a request has no use for gRPC yet.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from flowspan.client.answers import BlobRef, Component, ComponentList, Diagnostic, Flow, FlowSummary, Plugin, RawJson
    from flowspan.client.async_client import AsyncClient
    from flowspan.client.pages import Pages
    from flowspan.client.retry import RetryPolicy
    from flowspan.client.submission import SubmitOptions
    from flowspan.client.sync_client import Client, SyncTreeWatch, SyncWatch
    from flowspan.client.tree_watch import TreeNews, TreeWatch
    from flowspan.client.watch import Watch

_HOMES: Final = {
    "AsyncClient": "async_client",
    "BlobRef": "answers",
    "Client": "sync_client",
    "Component": "answers",
    "ComponentList": "answers",
    "Diagnostic": "answers",
    "Flow": "answers",
    "FlowSummary": "answers",
    "Pages": "pages",
    "Plugin": "answers",
    "RawJson": "answers",
    "RetryPolicy": "retry",
    "SubmitOptions": "submission",
    "SyncTreeWatch": "sync_client",
    "SyncWatch": "sync_client",
    "TreeNews": "tree_watch",
    "TreeWatch": "tree_watch",
    "Watch": "watch",
}

__all__ = [
    "AsyncClient",
    "BlobRef",
    "Client",
    "Component",
    "ComponentList",
    "Diagnostic",
    "Flow",
    "FlowSummary",
    "Pages",
    "Plugin",
    "RawJson",
    "RetryPolicy",
    "SubmitOptions",
    "SyncTreeWatch",
    "SyncWatch",
    "TreeNews",
    "TreeWatch",
    "Watch",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'flowspan.client' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"flowspan.client.{home}"), name)
    globals()[name] = value
    return value
