"""Ending runs before their end: durable intention first, then the component servers, then what is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flowspan.errors import FlowErrorCode
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
        """Cancel a run and its sub-runs that are not detached.

        When this returns, the intention is durable, nothing of these runs is written to a component server any more, and
        servers that confirm have dropped what they had not begun. Returns the number of executions not confirmed.
        """
        runs = self._with_children(run)
        changed = [one for one in runs if one.machine.request_cancel(reason)]
        for one in changed:
            self._stop_starting(one)
        await asyncio.gather(*(self._durable(one) for one in changed))
        unconfirmed = await self._tell_servers({one.run_id for one in changed})
        self._runtime.dispatcher.after(
            self._runtime.limits.cancel_grace_s, lambda: self._give_up({one.run_id for one in changed})
        )
        return unconfirmed

    def _with_children(self, run: OpenRun) -> list[OpenRun]:
        found = [run]
        for one in found:
            for child_id in one.children:
                child = self._runtime.open_runs.get(child_id)
                if child is not None and not child.settings.detached:
                    found.append(child)
        return found

    def _stop_starting(self, run: OpenRun) -> None:
        """Nothing of the run goes out any more; items whose call is not with a server end now."""
        dispatcher = self._runtime.dispatcher
        dispatcher.leave(run)
        with_server = {call.item_index for call in dispatcher.calls.values() if call.owner.run is run}
        run.cancel_items([item_index for item_index in run.items if item_index not in with_server])
        dispatcher.touch(run)

    async def _durable(self, run: OpenRun) -> None:
        """Wait until the cancel request of the run is on disk."""
        seq = run.machine.seq
        self._runtime.dispatcher.turn()
        while run.committed_seq < seq and not run.deleted:
            self._runtime.raise_if_failed()
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
