"""Opening watches: of one run, of a tree, and for executions that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from flowspan.errors import InvalidArgumentError
from flowspan.view.status import RunDescription
from runtime_core.api import RunWatch
from runtime_core.calls import ComponentCall
from runtime_core.engine.audience import Audience
from runtime_core.engine.dispatcher import Dispatcher
from runtime_core.engine.lane import suspect_key
from runtime_core.engine.open_run import OpenRun
from runtime_core.engine.open_runs import OpenRuns
from runtime_core.engine.queries import Queries, refuse_not_ended
from runtime_core.engine.watches import EndedLately, EndedLog, RunWatcher, TreeWatcher
from runtime_core.model.ids import parse_run_id
from runtime_core.ports import Clock, RunRecord, SegmentCodec, Store


class Watching:
    """Opens watches, and ends them when the gateway stops.

    Args:
        epoch: of this incarnation; known once the store is open.

    Attributes:
        is_stopping: watchers that would wait leave with their cursors.
        ended_lately: logs that need not be read from the store.
    """

    def __init__(
        self,
        store: Store,
        codec: SegmentCodec,
        clock: Clock,
        runs: OpenRuns,
        queries: Queries,
        dispatcher: Dispatcher,
        epoch: Callable[[], int],
    ) -> None:
        self.is_stopping = False
        self._store = store
        self._codec = codec
        self._clock = clock
        self._runs = runs
        self._queries = queries
        self._dispatcher = dispatcher
        self._epoch = epoch
        self._watchers: set[RunWatcher] = set()
        self._tree_watchers: dict[str, set[TreeWatcher]] = {}
        self._audiences: dict[int, Audience] = {}
        self.ended_lately = EndedLately()
        runs.on_admitted = self._on_admitted

    def __len__(self) -> int:
        """Open watches."""
        return len(self._watchers)

    def wake_all(self) -> None:
        """Let every watcher look again: the gateway stops."""
        for watcher in list(self._watchers):
            watcher.wake()

    def _on_admitted(self, run: OpenRun) -> None:
        for watcher in self._tree_watchers.get(run.description.root_run_id, ()):
            watcher.on_admitted(run.run_id, run.description.parent_run_id)

    async def watch_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        after_seq: int = 0,
        results_only: bool = False,
        omit_payloads: bool = False,
        whole_tree: bool = False,
        tree_after_seq: dict[str, int] | None = None,
        task_token: str | None = None,
    ) -> RunWatch:
        run_id = parse_run_id(run_id)
        call = self._dispatcher.execution(task_token)

        async def follow(one_id: str, cursor: int, waiter: ComponentCall | None = None) -> RunWatcher:
            followed: OpenRun | EndedLog | None = self._runs.find(namespace, one_id) or self.ended_lately.find(namespace, one_id)
            if followed is None:
                record = await self._queries.record(namespace, one_id)
                followed = self._runs.find(namespace, one_id)
                if followed is None:
                    refuse_not_ended(record, self._runs)
                    followed = EndedLog(one_id, record.run_key, record.next_seq - 1)
            if cursor > followed.committed_seq:
                raise InvalidArgumentError(
                    f"afterSeq {cursor} lies beyond the log, which ends at {followed.committed_seq}",
                    field="afterSeq",
                    lastSeq=followed.committed_seq,
                )
            return self._watcher(followed, cursor, results_only, omit_payloads, waiter)

        if not whole_tree:
            return await follow(run_id, after_seq, call)

        root_run_id = await self._root_of(namespace, run_id)
        root = await follow(run_id, after_seq, call)  # the last wait: whoever gives up before holds nothing open
        watchers = self._tree_watchers.setdefault(root_run_id, set())

        def closed(watcher: TreeWatcher) -> None:
            watchers.discard(watcher)
            if not watchers and self._tree_watchers.get(root_run_id) is watchers:
                del self._tree_watchers[root_run_id]

        async def members() -> Sequence[str]:
            found: list[str] = [run_id]
            for one in found:
                found += [child.run_id for child in await self._store.child_runs(namespace, one) if await self._is_known(child)]
            return found

        watcher = TreeWatcher(run_id, dict(tree_after_seq or {}), follow, members, root, closed)
        watchers.add(watcher)
        return watcher

    async def _root_of(self, namespace: str, run_id: str) -> str:
        run = self._runs.find(namespace, run_id)
        if run is not None:
            return run.description.root_run_id
        record = await self._queries.record(namespace, run_id)
        return msgspec.json.decode(record.description, type=RunDescription).root_run_id

    async def _is_known(self, record: RunRecord) -> bool:
        """Whether a run of the store is open here or has ended. Else it is not admitted yet.

        Raises:
            UnavailableError: another gateway has it; whoever watches resumes there.
        """
        if record.status.is_terminal or record.run_id in self._runs.by_id:
            return True
        now = await self._store.find_run(record.namespace, record.run_id)
        if now is None:
            return False
        if now.status.is_terminal or record.run_id in self._runs.by_id:
            return True
        if now.epoch != self._epoch():
            refuse_not_ended(now, self._runs)
        return False

    def _watcher(
        self, followed: OpenRun | EndedLog, cursor: int, results_only: bool, omit_payloads: bool, call: ComponentCall | None
    ) -> RunWatcher:
        settle = release = None
        if call is not None and call.number not in self._dispatcher.calls:
            call = None  # it has ended meanwhile
        if call is not None and not (isinstance(followed, EndedLog) or followed.committed.status.is_terminal):
            settle, release = self._park(call, followed.run_id)
        watcher = RunWatcher(
            followed,
            self._audience_of(followed),
            self._store,
            self._codec,
            after_seq=cursor,
            results_only=results_only,
            omit_payloads=omit_payloads,
            is_stopping=lambda: self.is_stopping,
            on_closed=self._watchers.discard,
            settle=settle,
            release=release,
        )
        self._watchers.add(watcher)
        return watcher

    def _audience_of(self, log: OpenRun | EndedLog) -> Audience:
        """Those who follow the run already. Of an open run the run knows them, of one that has ended this object does."""
        if isinstance(log, OpenRun):
            if log.audience is None:
                log.audience = Audience(log.committed_seq, lambda: setattr(log, "audience", None))
            return log.audience
        audience = self._audiences.get(log.run_key)
        if audience is None:
            audience = Audience(log.committed_seq, lambda: self._audiences.pop(log.run_key, None))
            self._audiences[log.run_key] = audience
        return audience

    def _park(self, call: ComponentCall, run_id: str) -> tuple[Callable[[], asyncio.Future[None] | None], Callable[[], None]]:
        """The execution waits for a run: give its slot back. Returns how to take it again, and how to end the wait."""
        dispatcher = self._dispatcher
        parking = dispatcher.parking
        lane = call.owner.lane
        if parking.open_wait(call, run_id, self._clock.monotonic_s()):
            # It runs no code while it waits; what it waits for may be the next suspect to be tried.
            lane.suspects.ended([suspect_key(call)])
        lane.server.park(call)  # also if it was parked: it may have its slot back for the answer of another wait
        dispatcher.turn_soon()
        is_open = True
        is_settled = False

        def settle() -> asyncio.Future[None] | None:
            """Ahead of the answer: take the slot again, if all waits of the execution are that far."""
            nonlocal is_settled
            if not is_open or is_settled:
                return None
            is_settled = True
            if not parking.settle_wait(call) or lane.server.try_unpark(call):
                return None
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lane.resuming.append((call, future))
            dispatcher.turn_soon()
            return future

        def release() -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                if parking.close_wait(call, run_id, self._clock.monotonic_s(), is_settled=is_settled):
                    lane.server.try_unpark(call)  # time-outs, errors and cancels are not held back for a slot
                    dispatcher.turn_soon()

        return settle, release
