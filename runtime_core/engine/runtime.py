"""The runtime: the run API over store, flows, dispatcher and component servers. Wires parts; holds no rule of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
import structlog

from flowspan.errors import (
    DataLossError,
    FlowspanError,
    InvalidArgumentError,
    NotFoundError,
    PreconditionError,
    Reason,
    StorageError,
    UnavailableError,
)
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.status import ItemResult, ResultOrder, RunDescription, RunProgress, RunStatus
from runtime_core.api import FlowDocument, ItemPage, RunPage, RunWatch, StoredFlow, SubmitRun
from runtime_core.calls import CallNaming, ComponentCall
from runtime_core.engine.cancels import Cancels
from runtime_core.engine.dispatcher import Dispatcher
from runtime_core.engine.flows import FlowLibrary
from runtime_core.engine.inputs import InputWindow
from runtime_core.engine.lane import suspect_key
from runtime_core.engine.open_run import OpenRun
from runtime_core.engine.paging import decode_token, encode_token
from runtime_core.engine.progress import RateMeter
from runtime_core.engine.reads import ITEM_OVERHEAD_BYTES, ResultReader, read_status
from runtime_core.engine.recovery import recover_run
from runtime_core.engine.settings import RunSettings
from runtime_core.engine.submits import Submissions, refuse_full, refuse_quota, refuse_stopping
from runtime_core.engine.watches import EndedLog, RunWatcher, TreeWatcher
from runtime_core.flow.plan import FlowPlan
from runtime_core.limits import Limits
from runtime_core.model.ids import blob_id_of_digest, parse_blob_id, parse_run_id
from runtime_core.model.item_index import open_index
from runtime_core.model.json_value import blob_id_of_binary, blob_id_of_json
from runtime_core.model.machine import RunMachine
from runtime_core.ports import (
    Append,
    BlobWriter,
    Clock,
    ComponentRouter,
    ComponentServer,
    InputChunk,
    RunFilter,
    RunObserver,
    RunRecord,
    RunTrace,
    SegmentCodec,
    Store,
    StoredBlob,
)

log = structlog.get_logger(__name__)

BLOB_TYPES: Final = frozenset({"data", "flow", "binary"})
READ_CHUNK_BYTES: Final = 1 << 20
RETRY_S: Final = 1.0
"""After what time something is tried again that the store could not do."""


class _Tree:
    """How many runs a tree has had while one of them was open, and how many are open."""

    __slots__ = ("open_runs", "runs")

    def __init__(self) -> None:
        self.runs = 0
        self.open_runs = 0


class Runtime:
    """Implements `runtime_core.api.RuntimeApi`. Make it with `Runtime.open`; end it with `drain` and `close`.

    Attributes:
        open_runs: runs that are not finished, by id.
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
    ) -> None:
        self.store = store
        self.codec = codec
        self.clock = clock
        self.limits = limits
        self.naming = naming
        self.epoch = 0
        self.open_runs: dict[str, OpenRun] = {}
        self.failed: BaseException | None = None
        self.flows = FlowLibrary(store)
        self.dispatcher = Dispatcher(store, router, clock, limits, naming)
        self.observer = observer
        self._on_fatal = on_fatal
        self._numbers = itertools.count(1)
        self._submissions = Submissions(self)
        self._cancels = Cancels(self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watchers: set[RunWatcher] = set()
        self._tree_watchers: dict[str, set[TreeWatcher]] = {}
        self._trees: dict[str, _Tree] = {}
        self._retries: dict[int, tuple[str, tuple[int, ...]]] = {}
        self._rates: dict[str, RateMeter] = {}
        self._stopping = False
        self._storing = 0
        self.dispatcher.on_broken = self._on_broken
        self.dispatcher.on_run_ended = self.on_run_ended
        self.dispatcher.on_calls_ended = None if observer is None else observer.on_calls
        self.dispatcher.on_inputs_wanted = self._load_inputs
        self.dispatcher.on_cancel_wanted = self._cancel_abandoned
        self.dispatcher.on_large_results = self._store_results

    # --- life

    async def open(self, on_owned: Callable[[], None] = lambda: None) -> None:
        """Take the store and go on with the runs that are open in it. `on_owned`: called in between."""
        self.epoch = await self.store.open(self)
        on_owned()
        for record in await self.store.open_runs():
            try:
                await recover_run(self, record)
            except FlowspanError as error:
                log.error("run_not_recovered", run_id=record.run_id, reason=error.reason.value, message=error.message)
            except Exception as error:  # one run that cannot be read does not keep the others from going on
                log.error("run_not_recovered", run_id=record.run_id, exc_info=error)

    async def drain(self, grace_s: float) -> None:
        """Start nothing new; give what runs `grace_s` seconds; then end watches with their cursors.

        Executions that wait for sub-runs are not waited for: their sub-runs do not go on here. They are repeated by the
        next gateway, and find their sub-runs again.
        """
        self._stopping = True
        self.dispatcher.is_stopping = True
        deadline_s = self.clock.monotonic_s() + grace_s
        dispatcher = self.dispatcher
        while (dispatcher.is_busy or self._storing) and self.clock.monotonic_s() < deadline_s and not self.failed:
            await asyncio.sleep(0.02)
        for watcher in list(self._watchers):
            watcher.wake()

    async def close(self) -> None:
        """Commit what is queued and let the store go. Harmless if repeated."""
        self._stopping = True
        self.dispatcher.close()
        for watcher in list(self._watchers):
            watcher.wake()
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
        return len(self._watchers)

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
        run = next((run for run in self.open_runs.values() if run.run_key == append.run_key), None)
        if run is not None:
            log.error("run_fenced", run_id=run.run_id)
            run.lost = True
            self.dispatcher.leave(run)
            self._forget(run)

    def on_full(self, is_full: bool) -> None:
        log.warning("store_full" if is_full else "store_has_room")
        self.dispatcher.is_store_full = is_full
        self.dispatcher.turn_soon()

    def on_failed(self, error: BaseException) -> None:
        self.failed = error
        self.dispatcher.is_stopping = True
        for run in self.open_runs.values():
            run.wake()
        self._on_fatal(error)

    # --- runs: parts that submits, cancels and recovery use

    def make_run(
        self, namespace: str, description: RunDescription, settings: RunSettings, plan: FlowPlan, machine: RunMachine
    ) -> OpenRun:
        run = OpenRun(
            namespace=namespace,
            description=description,
            settings=settings,
            plan=plan,
            machine=machine,
            inputs=InputWindow(description.total, (), _no_inputs),
            numbers=self._numbers,
            codec=self.codec,
            limits=self.limits,
        )
        run.inputs = InputWindow(description.total, (), self.input_loader(run))
        return run

    def input_loader(self, run: OpenRun) -> Callable[[int], Awaitable[InputChunk]]:
        """Loads chunks of the run's inputs, blob references resolved."""

        async def load(item_index: int) -> InputChunk:
            chunk = await self.store.read_inputs(run.run_key, item_index)
            if not chunk.blob_refs:
                return chunk
            inputs = list(chunk.inputs)
            for position in chunk.blob_refs:
                inputs[position] = (await self.get_blob(inputs[position].decode(), namespace=run.namespace)).data
            return InputChunk(chunk.first_item, inputs)

        return load

    def admit(self, run: OpenRun, parent: OpenRun | None) -> None:
        """The run is durable: it is known from now on. `parent`: the run whose execution submitted it, ended or not."""
        self.open_runs[run.run_id] = run
        tree = self._trees.setdefault(run.description.root_run_id, _Tree())
        tree.runs += 1
        tree.open_runs += 1
        while parent is not None and parent.run_id not in self.open_runs:
            parent = None if parent.settings.detached else parent.parent
        if parent is not None:
            run.parent = parent
            parent.children[run] = None
        for watcher in self._tree_watchers.get(run.description.root_run_id, ()):
            watcher.on_admitted(run.run_id, run.description.parent_run_id)
        if run.settings.deadline_us is not None:
            delay_s = max(0.0, (run.settings.deadline_us - self.clock.now_us()) / 1e6)
            run_id = run.run_id  # not the run: its memory is not to be kept until a deadline that it does not reach
            self.dispatcher.after(delay_s, lambda: self._on_deadline(run_id))

    def tree_grows(self, namespace: str, root_run_id: str) -> None:
        """Refuse a run that would make its tree or its namespace too large."""
        refuse_quota(len(self.open_runs), self.limits.open_runs)
        tree = self._trees.get(root_run_id)
        if tree is not None and tree.runs >= self.limits.runs_per_tree:
            raise InvalidArgumentError(
                f"the tree of run {root_run_id} has {self.limits.runs_per_tree} runs; no more are allowed",
                reason=Reason.LIMIT_EXCEEDED,
                limit="runsPerTree",
                max=self.limits.runs_per_tree,
            )

    def on_run_ended(self, run: OpenRun) -> None:
        """The terminal event is durable."""
        self._forget(run)
        if self.observer is not None:
            own = run.settings
            self.observer.on_run_ended(self.status_of(run), RunTrace(own.trace_id, own.span_id, own.parent_span_id, own.sampled))

    def _forget(self, run: OpenRun) -> None:
        """The run is over, or not ours any more: nothing is kept of it. Its open sub-runs move up, so that a cancel from
        above still reaches them."""
        if self.open_runs.pop(run.run_id, None) is None:
            return
        self._rates.pop(run.run_id, None)
        root_run_id = run.description.root_run_id
        tree = self._trees[root_run_id]
        tree.open_runs -= 1
        if not tree.open_runs:
            del self._trees[root_run_id]
        above = None if run.settings.detached else run.parent
        if run.parent is not None:
            run.parent.children.pop(run, None)
        for child in run.children:
            child.parent = above
            if above is not None:
                above.children[child] = None
        run.children = {}
        run.wake()

    def execution(self, task_token: str | None) -> ComponentCall | None:
        """The open execution of a token; None for no token or an execution that is over."""
        if not task_token:
            return None
        number = self.naming.number_of_token(task_token)
        return None if number is None else self.dispatcher.calls.get(number)

    def find_execution(self, task_token: str) -> bool:
        return self.execution(task_token) is not None

    def cancel_unborn(self, run: OpenRun, reason: str) -> None:
        """Cancel a run of which nothing was sent yet; its rows say so later."""
        self._cancels.cancel_unborn(run, reason)

    def status_of(self, run: OpenRun) -> RunStatus:
        """Status without results, as durable fact, with its speed."""
        committed = run.committed
        status = RunStatus(
            run.description,
            committed.status,
            run.counts(),
            committed.seq,
            committed.completed_at_us,
            committed.cancel_reason,
        )
        if committed.status.is_terminal:
            return status
        meter = self._rates.setdefault(run.run_id, RateMeter())
        ended = committed.success + committed.failed + committed.cancelled
        rate = meter.rate(ended, self.clock.monotonic_s())
        eta_s = (run.machine.total - ended) / rate if rate > 0 else None
        waiting = {text for lane in run.lanes if (text := lane.server.waiting_for) is not None}
        return replace(status, progress=RunProgress(rate, eta_s, tuple(sorted(waiting))))

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

        self._own(load())

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
            self._own(store())

    def _cancel_abandoned(self, server: ComponentServer, calls: list[ComponentCall]) -> None:
        async def tell() -> None:
            await server.cancel(calls)

        self._own(tell())

    def _on_deadline(self, run_id: str) -> None:
        run = self.open_runs.get(run_id)
        if run is not None:
            self._own(self._cancels.cancel(run, "the run's deadline is over"))

    def _on_broken(self, error: BaseException) -> None:
        """An error of our own has left memory in doubt. The log is not: the process ends, and the next one reads it."""
        log.critical("engine_broken", exc_info=error)
        if self.failed is None:
            self.on_failed(error)

    def _own(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
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

    async def submit_run(self, command: SubmitRun) -> RunStatus:
        # Shielded: a caller that goes away leaves a run that is wholly there or not at all.
        return await asyncio.shield(self._own(self._submissions.submit(command)))

    async def stage_inputs(self, stage_id: str, chunks: Sequence[InputChunk], *, namespace: str = "default") -> None:
        self.refuse_if_not_serving()
        for chunk in chunks:
            await self.check_input_blobs([chunk.inputs[position] for position in sorted(chunk.blob_refs)], namespace)
        await self.store.stage_inputs(stage_id, chunks)

    async def check_input_blobs(self, blob_ids: Sequence[bytes], namespace: str) -> None:
        """Refuse inputs that name a blob which is not there or holds no JSON."""
        for text in blob_ids:
            blob_id = parse_blob_id(text.decode("ascii", "replace"), field="inputs")
            info = await self.store.blob_info(namespace, blob_id)
            if info is None:
                raise NotFoundError(f"inputs: no blob {blob_id}", reason=Reason.BLOB_NOT_FOUND, blobId=blob_id)
            if info[0] == "binary":
                raise InvalidArgumentError(f"inputs: blob {blob_id} is not JSON", field="inputs")

    async def discard_stage(self, stage_id: str) -> None:
        await self.store.discard_stage(stage_id)

    async def get_status(self, namespace: str, run_id: str) -> RunStatus:
        """Status without results of an open or ended run."""
        run = self._open(namespace, run_id)
        if run is not None:
            return self.status_of(run)
        return await self._status(await self._record(namespace, run_id))

    async def get_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        order: ResultOrder | None = None,
        after_item_index: int | None = None,
        limit: int | None = None,
        max_bytes: int,
    ) -> RunStatus:
        if limit is not None and limit < 1:
            raise InvalidArgumentError("limit must be at least 1", field="limit")
        run_id = parse_run_id(run_id)
        if order is None:
            return await self.get_status(namespace, run_id)
        status, reader = await self._reader(namespace, run_id)
        return await reader.fill(status, order, after_item_index, limit, max_bytes)

    async def list_runs(self, run_filter: RunFilter, *, page_size: int, page_token: str | None) -> RunPage:
        statuses = set(run_filter.statuses)
        stored = replace(run_filter, statuses=tuple(sorted(_stored_statuses(statuses))))
        records, token = await self.store.list_runs(stored, limit=page_size, after=page_token)
        runs: list[RunStatus] = []
        for record in records:
            status = await self._status(record)
            if not statuses or status.status in statuses:
                runs.append(status)
        return RunPage(runs, token)

    async def list_run_items(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        order: ResultOrder = ResultOrder.BY_INDEX,
        outcomes: frozenset[Outcome] = frozenset(),
        page_size: int,
        page_token: str | None = None,
        after_item_index: int | None = None,
        merged: bool = False,
        max_bytes: int,
    ) -> ItemPage:
        run_id = parse_run_id(run_id)
        _, reader = await self._reader(namespace, run_id)
        if order is ResultOrder.BY_COMPLETION:
            if merged or after_item_index is not None:
                raise InvalidArgumentError("merged and afterItemIndex need the order by index", field="resultOrder")
            return await _page_by_completion(reader, outcomes, page_size, page_token, max_bytes)
        after = decode_token(page_token, "i") if page_token else after_item_index
        newer = await self._newer_results(namespace, run_id) if merged else {}
        items: list[ItemResult] = []
        room = max_bytes
        async for result in reader.by_index(after, frozenset() if merged else outcomes):
            shown = newer.get(result.item_index, result)
            if outcomes and shown.outcome not in outcomes:
                continue
            room -= len(shown.payload) + ITEM_OVERHEAD_BYTES
            if items and (len(items) == page_size or room < 0):
                return ItemPage(items, encode_token("i", items[-1].item_index))
            items.append(shown)
        return ItemPage(items, None)

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
        call = self.execution(task_token)

        async def follow(one_id: str, cursor: int, waiter: ComponentCall | None = None) -> RunWatcher:
            followed: OpenRun | EndedLog | None = self._open(namespace, one_id)
            if followed is None:
                record = await self._record(namespace, one_id)
                followed = self._open(namespace, one_id)
                if followed is None:
                    _refuse_not_ended(record)
                    followed = EndedLog(record, one_id)
            if cursor > followed.committed_seq:
                raise InvalidArgumentError(
                    f"afterSeq {cursor} lies beyond the log, which ends at {followed.committed_seq}",
                    field="afterSeq",
                    lastSeq=followed.committed_seq,
                )
            return self._watcher(followed, cursor, results_only, omit_payloads, waiter)

        root = await follow(run_id, after_seq, call)
        if not whole_tree:
            return root

        root_run_id = await self._root_of(namespace, run_id)
        watchers = self._tree_watchers.setdefault(root_run_id, set())

        def closed(watcher: TreeWatcher) -> None:
            watchers.discard(watcher)
            if not watchers and self._tree_watchers.get(root_run_id) is watchers:
                del self._tree_watchers[root_run_id]

        async def members() -> Sequence[str]:
            found: list[str] = [run_id]
            for one in found:
                found += [child.run_id for child in await self.store.child_runs(namespace, one) if await self._is_known(child)]
            return found

        watcher = TreeWatcher(run_id, dict(tree_after_seq or {}), follow, members, root, closed)
        watchers.add(watcher)
        return watcher

    async def _root_of(self, namespace: str, run_id: str) -> str:
        run = self._open(namespace, run_id)
        if run is not None:
            return run.description.root_run_id
        record = await self._record(namespace, run_id)
        return msgspec.json.decode(record.description, type=RunDescription).root_run_id

    async def _is_known(self, record: RunRecord) -> bool:
        """Whether a run of the store is open here or has ended. Else it is not admitted yet.

        Raises:
            UnavailableError: another gateway has it; whoever watches resumes there.
        """
        if record.status.is_terminal or record.run_id in self.open_runs:
            return True
        now = await self.store.find_run(record.namespace, record.run_id)
        if now is None:
            return False
        if now.status.is_terminal or record.run_id in self.open_runs:
            return True
        if now.epoch != self.epoch:
            _refuse_not_ended(now)
        return False

    def _watcher(
        self, followed: OpenRun | EndedLog, cursor: int, results_only: bool, omit_payloads: bool, call: ComponentCall | None
    ) -> RunWatcher:
        settle = release = None
        if call is not None and call.number not in self.dispatcher.calls:
            call = None  # it has ended meanwhile
        if call is not None and not (isinstance(followed, EndedLog) or followed.committed.status.is_terminal):
            settle, release = self._park(call, followed.run_id)
        watcher = RunWatcher(
            followed,
            self.store,
            self.codec,
            after_seq=cursor,
            results_only=results_only,
            omit_payloads=omit_payloads,
            is_stopping=lambda: self._stopping,
            on_closed=self._watchers.discard,
            settle=settle,
            release=release,
        )
        self._watchers.add(watcher)
        return watcher

    def _park(self, call: ComponentCall, run_id: str) -> tuple[Callable[[], asyncio.Future[None] | None], Callable[[], None]]:
        """The execution waits for a run: give its slot back. Returns how to take it again, and how to end the wait."""
        dispatcher = self.dispatcher
        parking = dispatcher.parking
        lane = call.owner.lane
        if parking.open_wait(call, run_id, self.clock.monotonic_s()):
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
                if parking.close_wait(call, run_id, self.clock.monotonic_s(), is_settled=is_settled):
                    lane.server.try_unpark(call)  # time-outs, errors and cancels are not held back for a slot
                    dispatcher.turn_soon()

        return settle, release

    async def cancel_run(self, run_id: str, *, namespace: str = "default", reason: str = "") -> tuple[RunStatus, int]:
        run_id = parse_run_id(run_id)
        run = self._open(namespace, run_id)
        if run is None:
            record = await self._record(namespace, run_id)
            run = self._open(namespace, run_id)
            if run is None:
                _refuse_not_ended(record)
                return await self._status(record), 0
        unconfirmed = await asyncio.shield(self._own(self._cancels.cancel(run, reason or "cancelled by request")))
        return await self.get_status(namespace, run_id), unconfirmed

    async def retry_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        item_indexes: Sequence[int] = (),
        request_id: str | None = None,
        max_concurrency: int | None = None,
    ) -> RunStatus:
        run_id = parse_run_id(run_id)
        record = await self._ended(namespace, run_id)
        source = msgspec.json.decode(record.description, type=RunDescription)
        settings = msgspec.json.decode(record.settings, type=RunSettings)
        index = open_index(await self.store.read_item_index(record.run_key) or b"")
        if item_indexes:
            wanted = sorted(set(item_indexes))
            if wanted[0] < 0 or wanted[-1] >= source.total:
                raise InvalidArgumentError(f"run {run_id} has items 0..{source.total - 1}", field="itemIndexes")
        else:
            good = (Outcome.SUCCESS, Outcome.SKIPPED)
            wanted = [item for item, outcome in enumerate(index.outcomes) if outcome not in good]
        inputs, blobs = await self._inputs_of(record.run_key, wanted)
        command = SubmitRun(
            flow_id=source.flow_id,
            inputs=inputs,
            input_blobs=blobs,
            namespace=namespace,
            max_concurrency=max_concurrency if max_concurrency is not None else source.max_concurrency,
            overrides=None if settings.overrides is None else bytes(settings.overrides),
            variables=None if settings.variables is None else bytes(settings.variables),
            flow_label=source.flow_label,
            metadata=source.metadata,
            item_labels=[settings.item_labels[item] for item in wanted] if settings.item_labels else (),
            request_id=f"retry:{run_id}:{request_id}" if request_id else None,
        )
        self._retries[id(command)] = (run_id, tuple(wanted))
        try:
            return await self.submit_run(command)
        finally:
            del self._retries[id(command)]

    def retry_source(self, command: SubmitRun) -> str | None:
        """The run that a submit retries, if it does."""
        retry = self._retries.get(id(command))
        return retry[0] if retry else None

    def retry_items(self, command: SubmitRun) -> tuple[int, ...]:
        retry = self._retries.get(id(command))
        return retry[1] if retry else ()

    async def stored_command(self, namespace: str, run_id: str) -> SubmitRun | None:
        """The submit that made a run, put together from what is stored; None if the run is gone."""
        record = await self.store.find_run(namespace, run_id)
        if record is None:
            return None
        description = msgspec.json.decode(record.description, type=RunDescription)
        settings = msgspec.json.decode(record.settings, type=RunSettings)
        inputs, blobs = await self._inputs_of(record.run_key, range(description.total))
        deadline_us = settings.deadline_us
        return SubmitRun(
            flow_id=description.flow_id,
            inputs=inputs,
            input_blobs=blobs,
            namespace=namespace,
            max_concurrency=description.max_concurrency,
            overrides=None if settings.overrides is None else bytes(settings.overrides),
            variables=None if settings.variables is None else bytes(settings.variables),
            flow_label=description.flow_label,
            metadata=description.metadata,
            item_labels=settings.item_labels,
            deadline_s=None if deadline_us is None else (deadline_us - description.created_at_us) / 1e6,
            detached=settings.detached,
        )

    async def _inputs_of(self, run_key: int, items: Sequence[int]) -> tuple[list[bytes], frozenset[int]]:
        inputs: list[bytes] = []
        blobs: set[int] = set()
        chunk: InputChunk | None = None
        for item_index in items:
            if chunk is None or not chunk.first_item <= item_index < chunk.first_item + len(chunk.inputs):
                chunk = await self.store.read_inputs(run_key, item_index)
            position = item_index - chunk.first_item
            if position in chunk.blob_refs:
                blobs.add(len(inputs))
            inputs.append(chunk.inputs[position])
        return inputs, frozenset(blobs)

    async def delete_run(self, run_id: str, *, namespace: str = "default") -> None:
        run_id = parse_run_id(run_id)
        records = [await self._ended(namespace, run_id)]
        for record in records:
            for child in await self.store.child_runs(namespace, record.run_id):
                records.append(await self._ended(namespace, child.run_id))
        await self.store.delete_runs(namespace, [record.run_key for record in records])

    # --- flows and blobs

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

    async def put_blob(
        self, data: bytes, *, namespace: str = "default", blob_type: str = "data", expected_blob_id: str | None = None
    ) -> str:
        self.refuse_if_not_serving()
        blob_id = blob_id_of_binary(data) if _checked_type(blob_type) == "binary" else blob_id_of_json(data)
        _check_expected(blob_id, expected_blob_id)
        await self.store.put_blob(namespace, blob_id, blob_type, data)
        return blob_id

    def begin_blob(self) -> BlobWriter:
        self.refuse_if_not_serving()
        return self.store.begin_blob()

    async def commit_blob(
        self,
        writer: BlobWriter,
        *,
        namespace: str = "default",
        blob_type: str = "data",
        expected_blob_id: str | None = None,
    ) -> str:
        if _checked_type(blob_type) == "binary":
            blob_id: str = blob_id_of_digest(writer.sha256_hex)
        else:
            blob_id = blob_id_of_json(await writer.read_back())
        _check_expected(blob_id, expected_blob_id)
        await writer.commit(namespace, blob_id, blob_type)
        return blob_id

    async def get_blob(self, blob_id: str, *, namespace: str = "default") -> StoredBlob:
        blob_id = parse_blob_id(blob_id)
        blob = await self.store.get_blob(namespace, blob_id)
        if blob is None:
            raise NotFoundError(f"no blob {blob_id}", reason=Reason.BLOB_NOT_FOUND, blobId=blob_id)
        return blob

    async def blob_info(self, blob_id: str, *, namespace: str = "default") -> tuple[str, int]:
        blob_id = parse_blob_id(blob_id)
        info = await self.store.blob_info(namespace, blob_id)
        if info is None:
            raise NotFoundError(f"no blob {blob_id}", reason=Reason.BLOB_NOT_FOUND, blobId=blob_id)
        return info

    async def read_blob(self, blob_id: str, *, namespace: str = "default") -> AsyncIterator[bytes]:
        blob = await self.get_blob(blob_id, namespace=namespace)
        for start in range(0, len(blob.data), READ_CHUNK_BYTES):
            yield blob.data[start : start + READ_CHUNK_BYTES]

    # --- inside

    async def _status(self, record: RunRecord) -> RunStatus:
        """Status without results of what was read from the store. Meanwhile the run may have ended, or only begun."""
        run = self.open_runs.get(record.run_id)
        if run is None and not record.status.is_terminal:
            record = await self.store.find_run(record.namespace, record.run_id) or record
            run = self.open_runs.get(record.run_id)
        if run is not None:
            return self.status_of(run)
        description = msgspec.json.decode(record.description, type=RunDescription)
        if record.counts is not None:
            return RunStatus(
                description, record.status, record.counts, record.next_seq - 1, record.completed_at_us, record.cancel_reason
            )
        # It is being accepted just now, or another gateway has it, or its recovery failed: what its log says.
        return await read_status(self.store, self.codec, record)

    def _open(self, namespace: str, run_id: str) -> OpenRun | None:
        run = self.open_runs.get(run_id)
        return run if run is not None and run.namespace == namespace else None

    async def _record(self, namespace: str, run_id: str) -> RunRecord:
        record = await self.store.find_run(namespace, run_id)
        if record is None:
            raise NotFoundError(f"no run {run_id}", reason=Reason.RUN_NOT_FOUND, runId=run_id)
        return record

    async def _ended(self, namespace: str, run_id: str) -> RunRecord:
        record = await self._record(namespace, run_id)
        if run_id in self.open_runs or not record.status.is_terminal:
            raise PreconditionError(f"run {run_id} has not ended; cancel it or wait for its end", runId=run_id)
        return record

    async def _reader(self, namespace: str, run_id: str) -> tuple[RunStatus, ResultReader]:
        run = self._open(namespace, run_id)
        if run is not None:
            index = run.machine.index()
            reader = ResultReader(self.store, self.codec, run.run_key, run.committed.seq, index, run.settings)
            return self.status_of(run), reader
        record = await self._record(namespace, run_id)
        _refuse_not_ended(record)
        index = open_index(await self.store.read_item_index(record.run_key) or b"")
        settings = msgspec.json.decode(record.settings, type=RunSettings)
        reader = ResultReader(self.store, self.codec, record.run_key, record.next_seq - 1, index, settings)
        return await self._status(record), reader

    async def _newer_results(self, namespace: str, run_id: str) -> dict[int, ItemResult]:
        """The newest result of each item of a run among the runs that retry it."""
        newest: dict[int, ItemResult] = {}
        retries: list[RunRecord] = []
        token: str | None = None
        while True:
            page, token = await self.store.list_runs(RunFilter(namespace, source_run_id=run_id), limit=1000, after=token)
            retries += page
            if token is None:
                break
        for record in reversed(retries):
            _, reader = await self._reader(namespace, record.run_id)
            async for result in reader.by_index(None):
                if result.source_item_index is not None:
                    newest[result.source_item_index] = replace(result, item_index=result.source_item_index)
        return newest


async def _no_inputs(item_index: int) -> InputChunk:
    raise LookupError(f"no inputs for item {item_index}")


async def _page_by_completion(
    reader: ResultReader, outcomes: frozenset[Outcome], page_size: int, page_token: str | None, max_bytes: int
) -> ItemPage:
    items: list[ItemResult] = []
    room = max_bytes
    last_seq = 0
    async for seq, result in reader.by_completion(decode_token(page_token, "c") if page_token else 0, outcomes):
        room -= len(result.payload) + ITEM_OVERHEAD_BYTES
        if items and (len(items) == page_size or room < 0):
            return ItemPage(items, encode_token("c", last_seq))
        items.append(result)
        last_seq = seq
    return ItemPage(items, None)


def _refuse_not_ended(record: RunRecord) -> None:
    """Raise unless the run has ended: it is being accepted just now, or it is not this gateway that runs it."""
    if not record.status.is_terminal:
        raise UnavailableError(f"run {record.run_id} is not open in this gateway", runId=record.run_id, retryAfterMs=500)


def _stored_statuses(statuses: set[RunStatusCode]) -> set[RunStatusCode]:
    """The store knows open runs as RUNNING only."""
    return {RunStatusCode.RUNNING if status is RunStatusCode.PENDING else status for status in statuses}


def _checked_type(blob_type: str) -> str:
    if blob_type not in BLOB_TYPES:
        raise InvalidArgumentError(f"blob_type must be data, flow or binary, not {blob_type[:40]!r}", field="blobType")
    return blob_type


def _check_expected(blob_id: str, expected: str | None) -> None:
    if expected and parse_blob_id(expected) != blob_id:
        raise DataLossError(f"the bytes have the id {blob_id}, not {expected}", blobId=blob_id, expected=expected)
