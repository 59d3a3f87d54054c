"""Ending runs before their end: durable intention first, then the component servers, then what is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flowspan.errors import FlowErrorCode, UnavailableError
from runtime_core.calls import ComponentCall
from runtime_core.engine.open_run import OpenRun
from runtime_core.ports import ComponentServer

if TYPE_CHECKING:
    from runtime_core.engine.runtime import Runtime


class Cancels:
    """Cancels open runs for a `Runtime`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def cancel(self, run: OpenRun, reason: str) -> int:
        """Cancel a run and its sub-runs that are not detached; see `cancel_all`."""
        return await self.cancel_all([run], reason)

    async def cancel_all(self, roots: Sequence[OpenRun], reason: str) -> int:
        """Cancel runs and their sub-runs that are not detached.

        When this returns, the intention is durable, nothing of these runs is written to a component server any more, and
        servers that confirm have dropped what they had not begun. Returns the number of executions not confirmed.
        """
        runs = self._with_children(roots)
        changed = [one for one in runs if one.request_cancel(reason)]
        self._stop_starting(changed)
        if changed:
            # Planned ahead of every wait: whatever becomes of this call, the runs end.
            run_ids = {one.run_id for one in changed}
            self._runtime.dispatcher.after(self._runtime.limits.cancel_grace_s, lambda: self._give_up(run_ids))
        await asyncio.gather(*(self._durable(one) for one in runs))
        return await self._tell_servers({one.run_id for one in changed})

    def cancel_unborn(self, run: OpenRun, reason: str) -> None:
        """Cancel a run of which nothing was sent yet; its rows say so later."""
        if run.request_cancel(reason):
            self._stop_starting([run])

    def _with_children(self, roots: Sequence[OpenRun]) -> list[OpenRun]:
        found = list(roots)
        for one in found:
            found += [child for child in one.children if not child.settings.detached]
        return found

    def _stop_starting(self, runs: Sequence[OpenRun]) -> None:
        """Nothing of these goes out any more; items whose call is not with a server end now."""
        dispatcher = self._runtime.dispatcher
        with_server: dict[OpenRun, set[int]] = {run: set() for run in runs}
        for call in dispatcher.calls.values():
            items = with_server.get(call.owner.run)
            if items is not None:
                items.add(call.item_index)
        for run, items in with_server.items():
            dispatcher.leave(run)
            run.cancel_items([*(item_index for item_index in run.items if item_index not in items), *run.storing])
            dispatcher.touch(run)

    async def _durable(self, run: OpenRun) -> None:
        """Wait until everything that the run's log has by now, such as its cancel request, is on disk."""
        seq = run.machine.seq
        self._runtime.dispatcher.turn()
        while run.committed_seq < seq:
            self._runtime.raise_if_failed()
            if run.lost:
                raise UnavailableError(f"another gateway owns run {run.run_id} now", outcome="unknown", retryAfterMs=1000)
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            run.waiters.append(waiter)
            await waiter

    async def _tell_servers(self, run_ids: set[str]) -> int:
        by_server: dict[ComponentServer, list[ComponentCall]] = {}
        for call in self._runtime.dispatcher.calls.values():
            if call.template.run_id in run_ids:
                by_server.setdefault(call.owner.lane.server, []).append(call)
        if not by_server:
            return 0
        counts = await asyncio.gather(*(server.cancel(calls) for server, calls in by_server.items()))
        return sum(counts)

    def _give_up(self, run_ids: set[str]) -> None:
        """The grace is over: what has not answered by now ends without its server's word."""
        dispatcher = self._runtime.dispatcher
        late = [call for call in dispatcher.calls.values() if call.template.run_id in run_ids]
        if late:
            dispatcher.give_up(late, FlowErrorCode.CANCELLED)
