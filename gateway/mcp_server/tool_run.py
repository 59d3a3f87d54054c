"""One call of a tool: a run of one item, from its submission to its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from flowspan.client import AsyncClient, RawJson, TreeWatch
from flowspan.errors import FlowspanError
from flowspan.view.status import ItemResult
from gateway.mcp_server.flow_tools import FlowTool, failed_result, tool_result

_log = structlog.get_logger("flowspan.mcp")

PROGRESS_EVERY_S: Final = 0.2
"""Between two notifications of one call; what comes between them is in the next one."""
CANCEL_S: Final = 5.0
"""For the gateway to take a cancel."""

Progress = Callable[[float, str], None]
"""Told how far a call is: a number that only rises, and words."""


class ToolRuns:
    """Carries out calls.

    Args:
        variables: of every run. `deadline_s`: until a run is cancelled.
    """

    def __init__(
        self, client: AsyncClient, *, variables: Mapping[str, Any] | None = None, deadline_s: float | None = None
    ) -> None:
        self._client = client
        self._variables = variables
        self._deadline_s = deadline_s

    async def call(
        self, tool: FlowTool, arguments: bytes, *, progress: Progress | None, caller: str, traceparent: str | None
    ) -> bytes:
        """The answer to `tools/call`. Cancelled, it cancels the run.

        Whatever goes wrong is an answer that says so: a model reads it, and may do better.
        """
        try:
            inputs = [RawJson(tool.input_of(arguments))]
        except ValueError as error:
            return failed_result(str(error))
        run_id = ""
        try:
            run_id = await self._submit(tool, inputs, caller, traceparent)
            result = await self._follow(run_id, progress)
        except FlowspanError as error:
            _log.warning("tool_call_failed", tool=tool.name, run_id=run_id, error=error.message)
            return failed_result(f"{error.reason.value}: {error.message}", {"flowspan/runId": run_id} if run_id else None)
        except asyncio.CancelledError:
            if run_id:
                await self._cancel(run_id)
            raise
        if result is None:
            return failed_result("the run was cancelled before its item began", {"flowspan/runId": run_id})
        return tool_result(tool, run_id, result)

    async def _submit(self, tool: FlowTool, inputs: list[RawJson], caller: str, traceparent: str | None) -> str:
        """The run's id. A cancel waits for it: else the run would go on, and nobody would know it."""
        submitting = asyncio.ensure_future(
            self._client.submit(
                tool.flow_id,
                inputs,
                variables=self._variables,
                deadline_s=self._deadline_s,
                metadata={"mcpClient": caller[:128]} if caller else None,
                traceparent=traceparent,
            )
        )
        try:
            return (await asyncio.shield(submitting)).run_id
        except asyncio.CancelledError:
            await asyncio.wait((submitting,), timeout=CANCEL_S)
            if submitting.done() and not submitting.cancelled() and submitting.exception() is None:
                await self._cancel(submitting.result().run_id)
            else:
                submitting.cancel()
            raise

    async def _follow(self, run_id: str, progress: Progress | None) -> ItemResult | None:
        if progress is None:
            async with self._client.watch(run_id) as watch:
                return next(iter(await watch.next_batch()), None)
        result: ItemResult | None = None
        clock = asyncio.get_running_loop().time
        told_at = float("-inf")
        async with self._client.watch_tree(run_id) as tree:
            async for news in tree:
                if news.status.run_id == run_id and news.results:
                    result = news.results[0]
                if clock() - told_at >= PROGRESS_EVERY_S and result is None:
                    told_at = clock()
                    progress(*_how_far(tree))
        return result

    async def _cancel(self, run_id: str) -> None:
        try:
            async with asyncio.timeout(CANCEL_S):
                await self._client.cancel(run_id, "the MCP client cancelled the call")
        except (FlowspanError, TimeoutError) as error:
            _log.warning("run_not_cancelled", run_id=run_id, error=str(error))


def _how_far(tree: TreeWatch) -> tuple[float, str]:
    """Events so far, which only rise, and items for people. A total is not known: sub-runs come as they come."""
    runs = tree.statuses.values()
    events = sum(run.as_of_seq for run in runs)
    ended = sum(run.items.success + run.items.failed + run.items.cancelled for run in runs)
    total = sum(run.items.total for run in runs)
    return float(events), f"{ended} of {total} items done" if len(runs) > 1 else "the flow runs"
