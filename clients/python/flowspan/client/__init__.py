"""Clients of a gateway: `AsyncClient`, and `Client`, the same without asyncio."""

from __future__ import annotations

from flowspan.client.answers import BlobRef, Component, ComponentList, Diagnostic, Flow, FlowSummary, Plugin, RawJson
from flowspan.client.async_client import AsyncClient
from flowspan.client.pages import Pages
from flowspan.client.retry import RetryPolicy
from flowspan.client.submission import SubmitOptions
from flowspan.client.sync_client import Client, SyncTreeWatch, SyncWatch
from flowspan.client.tree_watch import TreeNews, TreeWatch
from flowspan.client.watch import Watch

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
