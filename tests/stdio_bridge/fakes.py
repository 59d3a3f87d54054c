"""An engine that only takes notes, and calls to give it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence

from gateway.methods.context import RequestContext
from gateway.stdio_bridge.pool import PluginServer
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.calls import CallFailure, CallNaming, CallResult, CallTemplate, ComponentCall
from runtime_core.ports import ComponentServer

NAMING = CallNaming("5ec2e75ec2e75ec2", "abcdef")
WAIT_S = 5.0


class NotingSink:
    """`EngineSink`: keeps what it is told and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.results: dict[int, bytes | CallFailure] = {}
        self.batches: list[int] = []
        self.crashes: list[tuple[list[int], list[int], CallFailure]] = []
        self.progress: list[tuple[int, float, str]] = []
        self.started: list[int] = []
        self.slot_changes = 0
        self.on_result: Callable[[list[CallResult]], None] | None = None
        self._changed = asyncio.Event()

    def on_results(self, results: list[CallResult]) -> None:
        self.batches.append(len(results))
        for call, result in results:
            assert call.number not in self.results, "a call ended twice"
            self.results[call.number] = result
        if self.on_result is not None:
            self.on_result(results)
        self._changed.set()

    def on_slots(self, server: ComponentServer) -> None:
        self.slot_changes += 1
        self._changed.set()

    def on_crash(
        self, server: ComponentServer, calls: Sequence[ComponentCall], unsent: Sequence[ComponentCall], failure: CallFailure
    ) -> None:
        self.crashes.append(([call.number for call in calls], [call.number for call in unsent], failure))
        self._changed.set()

    def on_progress(self, call: ComponentCall, fraction: float, message: str) -> None:
        self.progress.append((call.number, fraction, message))
        self._changed.set()

    def on_started(self, calls: Sequence[ComponentCall]) -> None:
        self.started += [call.number for call in calls]
        self._changed.set()

    async def until(self, condition: Callable[[], bool], within_s: float = WAIT_S) -> None:
        """Wait for what this sink is told to make `condition` true."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def no_methods(context: RequestContext, method: str, params: bytes) -> bytes:
    """A handler for servers that ask nothing."""
    raise AssertionError(f"{method} was not expected")


_numbers = itertools.count(1)


def template(
    component: str = "/echo", *, run_id: str = "run-1", step_id: str = "step", namespace: str = "default", depth: int = 1
) -> CallTemplate:
    return CallTemplate(
        namespace=namespace,
        run_id=run_id,
        flow_id="sha256:" + "ab" * 32,
        step_id=step_id,
        step_index=0,
        component=component,
        timeout_s=600.0,
        trace_id="0af7651916cd43dd8448eb211c80319c",
        parent_span_id="b7ad6b7169203331",
        depth=depth,
    )


def calls(count: int, of: CallTemplate | None = None, data: bytes = b'{"n":1}') -> list[ComponentCall]:
    of = of or template()
    return [ComponentCall(next(_numbers), of, index, 1, data, None) for index in range(count)]


class Bridge:
    """A started `PluginServer` with its sink; `async with` stops it."""

    def __init__(self, plugin: StdioPlugin, handler: object = no_methods, *, chance: float = 0.0) -> None:
        self.sink = NotingSink()
        self.server = PluginServer(plugin, lambda: self.sink, NAMING, handler, chance=lambda: chance)  # type: ignore[arg-type]

    async def __aenter__(self) -> Bridge:
        self.server.start_processes()
        return self

    async def up(self) -> Bridge:
        await self.sink.until(lambda: self.server.free_slots() > 0 or self.server.broken is not None)
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(WAIT_S):
            await self.server.stop()

    async def execute(self, batch: list[ComponentCall]) -> list[bytes | CallFailure]:
        self.server.start(batch)
        await self.sink.until(lambda: all(call.number in self.sink.results for call in batch))
        return [self.sink.results[call.number] for call in batch]
