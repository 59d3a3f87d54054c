"""The runtime: the run API over store, flows, dispatcher and component servers. Wires parts; holds no rule of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

from flowspan.errors import (
    DataLossError,
    FlowspanError,
    NotFoundError,
    Reason,
    StorageError,
)
from flowspan.view.events import Outcome
from flowspan.view.status import RunStatus
from runtime_core.api import FlowDocument, StoredFlow
from runtime_core.calls import CallNaming, ComponentCall
from runtime_core.engine.blobs import Blobs
from runtime_core.engine.cancels import Cancels
from runtime_core.engine.dispatcher import Dispatcher
from runtime_core.engine.flows import FlowLibrary
from runtime_core.engine.open_run import OpenRun
from runtime_core.engine.open_runs import OpenRuns
from runtime_core.engine.queries import Queries, refuse_not_ended
from runtime_core.engine.recovery import recover_run
from runtime_core.engine.reruns import Reruns
from runtime_core.engine.routed_components import RoutedComponents
from runtime_core.engine.submits import ABANDONED, Submissions, refuse_full, refuse_stopping
from runtime_core.engine.variables import SessionSecretBox, VariableKeeper
from runtime_core.engine.watching import Watching
from runtime_core.limits import Limits
from runtime_core.model.ids import parse_blob_id, parse_run_id
from runtime_core.model.json_value import blob_id_of_binary
from runtime_core.ports import (
    Append,
    Clock,
    ComponentRouter,
    ComponentServer,
    InputChunk,
    RunObserver,
    RunRecord,
    RunTrace,
    SecretBox,
    SegmentCodec,
    Store,
)

log = structlog.get_logger(__name__)

RETRY_S: Final = 1.0
"""After what time something is tried again that the store could not do."""


class Runtime:
    """Implements `runtime_core.api.RuntimeApi`. Make it with `Runtime.open`; end it with `drain` and `close`.

    Attributes:
        blobs, runs, queries, watching, reruns: the rooms that serve parts of the API.
        failed: what made the store unusable, if something did; the process is to end.
    """

    def __init__(
        self,
        *,
        store: Store,
        router: ComponentRouter,
        codec: SegmentCodec,
        clock: Clock,
        limits: Limits,
        naming: CallNaming,
        on_fatal: Callable[[BaseException], None],
        observer: RunObserver | None = None,
        secrets: SecretBox | None = None,
    ) -> None:
        self.store = store
        self.codec = codec
        self.clock = clock
        self.limits = limits
        self.naming = naming
        self.epoch = 0
        self.failed: BaseException | None = None
        self.flows = FlowLibrary(store, RoutedComponents(router))
        self.dispatcher = Dispatcher(store, router, clock, limits, naming)
        self.observer = observer
        self.blobs = Blobs(store, self.refuse_if_not_serving)
        self.runs = OpenRuns(store, codec, clock, limits, self.blobs)
        self.queries = Queries(store, codec, self.runs)
        self.watching = Watching(store, codec, clock, self.runs, self.queries, self.dispatcher, lambda: self.epoch)
        self.variables = VariableKeeper(secrets or SessionSecretBox())
        self._submissions = Submissions(self)
        self.reruns = Reruns(store, self.queries, self.variables, self._submissions.submit)
        self._on_fatal = on_fatal
        self._cancels = Cancels(self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._storing = 0
        self.runs.after = self.dispatcher.after
        self.runs.on_deadline = self._on_deadline
        self.dispatcher.on_broken = self._on_broken
        self.dispatcher.on_run_ended = self.on_run_ended
        self.dispatcher.on_calls_ended = None if observer is None else observer.on_calls
        self.dispatcher.on_inputs_wanted = self._load_inputs
        self.dispatcher.on_cancel_wanted = self._cancel_calls
        self.dispatcher.on_sub_runs_abandoned = self.cancel_abandoned
        self.dispatcher.on_large_results = self._store_results
        # Parts of the run API that have a room of their own.
        self.submit_run = self._submissions.submit
        self.get_run = self.queries.get_run
        self.list_runs = self.queries.list_runs
        self.list_run_items = self.queries.list_run_items
        self.watch_run = self.watching.watch_run
        self.retry_run = self.reruns.retry_run
        self.put_blob = self.blobs.put_blob
        self.begin_blob = self.blobs.begin_blob
        self.commit_blob = self.blobs.commit_blob
        self.get_blob = self.blobs.get_blob
        self.blob_info = self.blobs.blob_info
        self.read_blob = self.blobs.read_blob

    # --- life

    async def open(self, on_owned: Callable[[], None] = lambda: None) -> None:
        """Take the store and go on with the runs that are open in it. `on_owned`: called in between."""
        self.epoch = await self.store.open(self)
        on_owned()
        # A repeated execution may ask for its sub-runs at once: they are all there before the first one starts.
        self.dispatcher.is_recovering = True
        for record in await self.store.open_runs():
            try:
                await recover_run(self, record)
            except FlowspanError as error:
                self.runs.not_recovered[record.run_id] = error
                log.error("run_not_recovered", run_id=record.run_id, reason=error.reason.value, message=error.message)
            except Exception as error:  # one run that cannot be read does not keep the others from going on
                log.error("run_not_recovered", run_id=record.run_id, exc_info=error)
        self.dispatcher.is_recovering = False
        self.dispatcher.turn_soon()

    async def drain(self, grace_s: float) -> None:
        """Start nothing new; give what runs `grace_s` seconds; then end watches with their cursors.

        Executions that wait for sub-runs are not waited for: their sub-runs do not go on here. They are repeated by the
        next gateway, and find their sub-runs again.
        """
        self._stopping = self.watching.is_stopping = True
        self.dispatcher.is_stopping = True
        deadline_s = self.clock.monotonic_s() + grace_s
        dispatcher = self.dispatcher
        while (dispatcher.is_busy or self._storing) and self.clock.monotonic_s() < deadline_s and not self.failed:
            await asyncio.sleep(0.02)
        self.watching.wake_all()

    async def close(self) -> None:
        """Commit what is queued and let the store go. Harmless if repeated."""
        self._stopping = self.watching.is_stopping = True
        self.dispatcher.close()
        self.watching.wake_all()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await self.store.close()

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    @property
    def open_watches(self) -> int:
        return len(self.watching)

    def refuse_if_not_serving(self) -> None:
        """Raise what a write is refused with, if it is."""
        self.raise_if_failed()
        if self._stopping:
            refuse_stopping()
        if self.dispatcher.is_store_full:
            refuse_full()

    def raise_if_failed(self) -> None:
        if self.failed is not None:
            raise StorageError("the store has failed; the gateway ends", outcome="unknown") from self.failed

    # --- what the store tells (StoreHealth)

    def on_committed(self, appends: Sequence[Append]) -> None:
        try:
            self.dispatcher.on_committed(appends)
        except Exception as error:
            self._on_broken(error)

    def on_fenced(self, append: Append) -> None:
        """Another gateway owns the run: drop it here."""
        self.dispatcher.release(append.context)
        run = next((run for run in self.runs.by_id.values() if run.run_key == append.run_key), None)
        if run is not None:
            log.error("run_fenced", run_id=run.run_id)
            run.lost = True
            self.dispatcher.leave(run)
            self.runs.forget(run)

    def on_full(self, is_full: bool) -> None:
        log.warning("store_full" if is_full else "store_has_room")
        self.dispatcher.is_store_full = is_full
        self.dispatcher.turn_soon()

    def on_failed(self, error: BaseException) -> None:
        self.failed = error
        self.dispatcher.is_stopping = True
        for run in self.runs.by_id.values():
            run.wake()
        self._on_fatal(error)

    @property
    def open_runs(self) -> dict[str, OpenRun]:
        """Runs that are not finished, by id."""
        return self.runs.by_id

    def on_run_ended(self, run: OpenRun) -> None:
        """The terminal event is durable."""
        self.runs.forget(run)
        self.watching.ended_lately.add(run)
        run.forget_large_rows()
        if self.observer is not None:
            own = run.settings
            self.observer.on_run_ended(
                self.runs.status_of(run), RunTrace(own.trace_id, own.span_id, own.parent_span_id, own.sampled)
            )

    def find_execution(self, task_token: str) -> bool:
        return self.dispatcher.execution(task_token) is not None

    def cancel_unborn(self, run: OpenRun, reason: str) -> None:
        """Cancel a run of which nothing was sent yet; its rows say so later."""
        self._cancels.cancel_unborn(run, reason)

    def _load_inputs(self, run: OpenRun, item_index: int) -> None:
        async def load() -> None:
            try:
                await run.inputs.load(item_index)
            except (DataLossError, NotFoundError) as error:
                log.error("inputs_lost", run_id=run.run_id, message=error.message)
                await self._cancels.cancel(run, f"inputs cannot be read: {error.message}")
            except FlowspanError as error:
                log.warning("inputs_not_read", run_id=run.run_id, message=error.message)
                self.dispatcher.after(RETRY_S, lambda: self.dispatcher.inputs_loaded(run))
            else:
                self.dispatcher.inputs_loaded(run)

        self.own(load())

    def _store_results(self, run: OpenRun, results: list[tuple[int, Outcome, bytes]]) -> None:
        """Results that no message takes: first a blob, then the event that names it."""

        async def store() -> None:
            self._storing += 1
            try:
                while results:
                    item_index, outcome, payload = results[0]
                    # Errors are JSON as well; the payload of either is what the blob holds.
                    blob_id = blob_id_of_binary(payload)
                    await self.store.put_blob(run.namespace, blob_id, "binary", payload)
                    run.end_with_blob(item_index, outcome, blob_id)
                    self.dispatcher.touch(run)
                    del results[0]
            except StorageError as error:
                if error.reason is not Reason.STORAGE_FULL:
                    raise
                self.dispatcher.after(RETRY_S, lambda: self._store_results(run, results))
            finally:
                self._storing -= 1

        if not run.has_left:
            self.own(store())

    def cancel_abandoned(self, sub_runs: list[OpenRun]) -> None:
        """Items have ended without the executions that submitted these."""
        self.own(self._cancels.cancel_all(sub_runs, ABANDONED))

    def _cancel_calls(self, server: ComponentServer, calls: list[ComponentCall]) -> None:
        async def tell() -> None:
            await server.cancel(calls)

        self.own(tell())

    def _on_deadline(self, run_id: str) -> None:
        run = self.runs.by_id.get(run_id)
        if run is not None:
            self.own(self._cancels.cancel(run, "the run's deadline is over"))

    def _on_broken(self, error: BaseException) -> None:
        """An error of our own has left memory in doubt. The log is not: the process ends, and the next one reads it."""
        log.critical("engine_broken", exc_info=error)
        if self.failed is None:
            self.on_failed(error)

    def own(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task that ends with the runtime; its failure is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self._stopping:
            error = task.exception()
            if not isinstance(error, FlowspanError):
                log.error("runtime_task_failed", exc_info=error)

    # --- run API

    async def stage_inputs(self, stage_id: str, chunks: Sequence[InputChunk], *, namespace: str = "default") -> None:
        self.refuse_if_not_serving()
        for chunk in chunks:
            await self.blobs.check_inputs([chunk.inputs[position] for position in sorted(chunk.blob_refs)], namespace)
        await self.store.stage_inputs(stage_id, chunks)

    async def discard_stage(self, stage_id: str) -> None:
        await self.store.discard_stage(stage_id)

    async def cancel_run(self, run_id: str, *, namespace: str = "default", reason: str = "") -> tuple[RunStatus, int]:
        run_id = parse_run_id(run_id)
        run = self.runs.find(namespace, run_id)
        if run is None:
            record = await self.queries.record(namespace, run_id)
            run = self.runs.find(namespace, run_id)
            if run is None and run_id in self.runs.not_recovered and not record.status.is_terminal:
                run = await asyncio.shield(self.own(self._recover_to_cancel(record, reason or "cancelled by request")))
            if run is None:
                refuse_not_ended(record, self.runs)
                return await self.queries.status(record), 0
        unconfirmed = await asyncio.shield(self.own(self._cancels.cancel(run, reason or "cancelled by request")))
        return await self.queries.get_status(namespace, run_id), unconfirmed

    async def _recover_to_cancel(self, record: RunRecord, reason: str) -> OpenRun | None:
        """A run that waits for something which may never come, such as its key, can be ended all the same."""
        self.refuse_if_not_serving()
        why = self.runs.not_recovered.pop(record.run_id, None)
        if why is None:
            return None  # somebody else is about it
        try:
            return await recover_run(self, record, cancel_reason=reason)
        except BaseException:
            self.runs.not_recovered[record.run_id] = why
            raise

    async def delete_run(self, run_id: str, *, namespace: str = "default") -> None:
        run_id = parse_run_id(run_id)
        records = [await self.queries.ended(namespace, run_id)]
        for record in records:
            for child in await self.store.child_runs(namespace, record.run_id):
                records.append(await self.queries.ended(namespace, child.run_id))
        for record in records:
            self.watching.ended_lately.drop(record.run_id)
        await self.store.delete_runs(namespace, [record.run_key for record in records])

    # --- flows

    async def store_flow(
        self, document: bytes, *, namespace: str = "default", is_yaml: bool | None = None, dry_run: bool = False
    ) -> StoredFlow:
        if not dry_run:
            self.refuse_if_not_serving()
        return await self.flows.store_flow(document, namespace, is_yaml=is_yaml, dry_run=dry_run)

    async def get_flow(self, flow_id: str, *, namespace: str = "default") -> FlowDocument:
        return await self.flows.get_flow(namespace, parse_blob_id(flow_id, field="flowId"))

    async def list_flows(
        self, *, namespace: str = "default", page_size: int, page_token: str | None
    ) -> tuple[Sequence[FlowDocument], str | None]:
        return await self.flows.list_flows(namespace, page_size, page_token)

    async def delete_flow(self, flow_id: str, *, namespace: str = "default") -> None:
        await self.flows.delete_flow(namespace, flow_id)
