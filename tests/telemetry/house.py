"""A gateway that is looked at: spans in memory, figures over HTTP."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gateway.app import Gateway, GatewayParts
from gateway.grpc_server.listener import Listener
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.settings import StdioPlugin
from gateway.telemetry.observer import TraceSink
from gateway.telemetry.traces import SpanRecorder
from runtime_core.calls import CallNaming
from runtime_core.ports import Store
from runtime_core.stores.memory import MemoryStore
from tests.e2e.house import House

PLUGIN = StdioPlugin(LaunchSpec("p", sys.executable, (str(Path(__file__).parent / "tracing_server.py"),)))


class Spans:
    """What was exported, by name of what it is about."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def open(self, naming: CallNaming) -> TraceSink:
        return SpanRecorder(self.exporter, naming, processor=SimpleSpanProcessor(self.exporter))

    def all(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def runs(self) -> dict[str, ReadableSpan]:
        """By run id."""
        return {str(facts(span)["flowspan.run_id"]): span for span in self.all() if span.name.startswith("run ")}

    def calls(self, component: str) -> list[ReadableSpan]:
        """Oldest first."""
        return [span for span in self.all() if span.name == f"call {component}"]


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def traceparent(span: ReadableSpan) -> str:
    """As a component is told it."""
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def parent_id(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def span_id(span: ReadableSpan) -> str:
    return traceparent(span)[36:52]


@asynccontextmanager
async def watched_house(
    *plugins: StdioPlugin,
    store: Store | None = None,
    traces: Callable[[CallNaming], TraceSink] | None = None,
    metrics: str | None = None,
    listen: str | None = None,
) -> AsyncIterator[House]:
    parts = GatewayParts(
        store=store or MemoryStore(),
        plugins=plugins,
        routes={"/builtin": "builtin", **{f"/{plugin.name}": plugin.name for plugin in plugins}},
        listeners=(Listener(listen),) if listen else (),
        drain_s=0.0,
        traces=traces,
        metrics=metrics,
    )
    async with Gateway(parts) as gateway:
        yield House(gateway)


async def fetch(address: str, request: bytes) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one answer; the connection must then be closed by the other side."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            data = await reader.read()
        finally:
            writer.close()
    head, _, body = data.decode().partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split(" ")[1]), headers, body


async def get(address: str, path: str) -> tuple[int, str]:
    status, _, body = await fetch(address, f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    return status, body


async def figures(address: str) -> dict[str, float]:
    """The page of figures, read: `name{labels}` to value."""
    status, body = await get(address, "/metrics")
    assert status == 200
    lines = [line for line in body.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
