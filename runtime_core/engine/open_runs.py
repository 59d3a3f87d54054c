"""The runs that are open: how they come to be known, how trees of them hang together, and what they show of themselves."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable

from flowspan.errors import FlowspanError, InvalidArgumentError, Reason
from flowspan.view.status import RunDescription, RunProgress, RunStatus
from runtime_core.engine.blobs import Blobs
from runtime_core.engine.inputs import InputWindow
from runtime_core.engine.open_run import ItemStep, OpenRun
from runtime_core.engine.progress import RateMeter
from runtime_core.engine.settings import RunSettings
from runtime_core.engine.submits import refuse_quota
from runtime_core.flow.plan import FlowPlan
from runtime_core.flow.variables import RunVariables
from runtime_core.limits import Limits
from runtime_core.model.machine import RunMachine
from runtime_core.ports import Clock, InputChunk, SegmentCodec, Store


class _Tree:
    """How many runs a tree has had while one of them was open, and how many are open."""

    __slots__ = ("open_runs", "runs")

    def __init__(self) -> None:
        self.runs = 0
        self.open_runs = 0


class OpenRuns:
    """Open runs of one gateway.

    Attributes:
        by_id: runs that are not finished.
        after: runs a function later; set by the runtime, like the two below.
        not_recovered: runs that could not be taken over, and why; they wait for the next start.
        on_admitted: a run is known from now on. `on_deadline`: the deadline of the run with this id is over.
    """

    def __init__(self, store: Store, codec: SegmentCodec, clock: Clock, limits: Limits, blobs: Blobs) -> None:
        self.by_id: dict[str, OpenRun] = {}
        self.after: Callable[[float, Callable[[], None]], None] = lambda delay_s, action: None
        self.on_admitted: Callable[[OpenRun], None] = lambda run: None
        self.on_deadline: Callable[[str], None] = lambda run_id: None
        self._store = store
        self._codec = codec
        self._clock = clock
        self._limits = limits
        self._blobs = blobs
        self._numbers = itertools.count(1)
        self._trees: dict[str, _Tree] = {}
        self.not_recovered: dict[str, FlowspanError] = {}
        self._rates: dict[str, RateMeter] = {}

    def find(self, namespace: str, run_id: str) -> OpenRun | None:
        """The run, if it is open and of this namespace."""
        run = self.by_id.get(run_id)
        return run if run is not None and run.namespace == namespace else None

    def statistics(self) -> dict[str, int]:
        """What is kept, by kind: nothing of a run that is over."""
        return {"runs": len(self.by_id), "trees": len(self._trees), "rates": len(self._rates)}

    def make_run(
        self,
        namespace: str,
        description: RunDescription,
        settings: RunSettings,
        plan: FlowPlan,
        variables: RunVariables,
        machine: RunMachine,
    ) -> OpenRun:
        run = OpenRun(
            namespace=namespace,
            description=description,
            settings=settings,
            plan=plan,
            variables=variables,
            machine=machine,
            inputs=InputWindow(description.total, (), _no_inputs),
            numbers=self._numbers,
            codec=self._codec,
            limits=self._limits,
        )
        run.inputs = InputWindow(description.total, (), self.input_loader(run))
        return run

    def input_loader(self, run: OpenRun) -> Callable[[int], Awaitable[InputChunk]]:
        """Loads chunks of the run's inputs, blob references resolved."""

        async def load(item_index: int) -> InputChunk:
            chunk = await self._store.read_inputs(run.run_key, item_index)
            if not chunk.blob_refs:
                return chunk
            inputs = list(chunk.inputs)
            for position in chunk.blob_refs:
                inputs[position] = (await self._blobs.get_blob(inputs[position].decode(), namespace=run.namespace)).data
            return InputChunk(chunk.first_item, inputs)

        return load

    def admit(self, run: OpenRun, parent: OpenRun | None, submitter: ItemStep | None = None) -> None:
        """The run is durable: it is known from now on. `parent`: the run whose execution submitted it, ended or not;
        `submitter`: that execution, if it is known."""
        self.by_id[run.run_id] = run
        tree = self._trees.setdefault(run.description.root_run_id, _Tree())
        tree.runs += 1
        tree.open_runs += 1
        while parent is not None and parent.run_id not in self.by_id:
            parent, submitter = None if parent.settings.detached else parent.parent, None
        if parent is not None:
            run.parent = parent
            parent.children[run] = submitter
        self.on_admitted(run)
        if run.settings.deadline_us is not None:
            delay_s = max(0.0, (run.settings.deadline_us - self._clock.now_us()) / 1e6)
            run_id = run.run_id  # not the run: its memory is not to be kept until a deadline that it does not reach
            self.after(delay_s, lambda: self.on_deadline(run_id))

    def tree_grows(self, namespace: str, root_run_id: str) -> None:
        """Refuse a run that would make its tree or its namespace too large."""
        refuse_quota(len(self.by_id), self._limits.open_runs)
        tree = self._trees.get(root_run_id)
        if tree is not None and tree.runs >= self._limits.runs_per_tree:
            raise InvalidArgumentError(
                f"the tree of run {root_run_id} has {self._limits.runs_per_tree} runs; no more are allowed",
                reason=Reason.LIMIT_EXCEEDED,
                limit="runsPerTree",
                max=self._limits.runs_per_tree,
            )

    def forget(self, run: OpenRun) -> None:
        """The run is over, or not ours any more: nothing is kept of it. Its open sub-runs move up, so that a cancel from
        above still reaches them."""
        if self.by_id.pop(run.run_id, None) is None:
            return
        self._rates.pop(run.run_id, None)
        root_run_id = run.description.root_run_id
        tree = self._trees[root_run_id]
        tree.open_runs -= 1
        if not tree.open_runs:
            del self._trees[root_run_id]
        above = None if run.settings.detached else run.parent
        submitter = None if run.parent is None else run.parent.children.pop(run, None)
        for child in run.children:
            child.parent = above
            if above is not None:
                above.children[child] = submitter
        run.children = {}
        run.wake()

    def status_of(self, run: OpenRun) -> RunStatus:
        """Status without results, as durable fact, with its speed."""
        committed = run.committed
        return RunStatus(
            run.description,
            committed.status,
            run.counts(),
            committed.seq,
            committed.completed_at_us,
            committed.cancel_reason,
            progress=None if committed.status.is_terminal else self._progress(run),
        )

    def _progress(self, run: OpenRun) -> RunProgress:
        committed = run.committed
        meter = self._rates.get(run.run_id)
        if meter is None:
            meter = self._rates[run.run_id] = RateMeter()
        ended = committed.success + committed.failed + committed.cancelled
        rate = meter.rate(ended, self._clock.monotonic_s())
        eta_s = (run.machine.total - ended) / rate if rate > 0 else None
        waiting = [text for lane in run.lanes if (text := lane.server.waiting_for) is not None]
        return RunProgress(rate, eta_s, tuple(sorted(set(waiting))) if waiting else ())


async def _no_inputs(item_index: int) -> InputChunk:
    raise LookupError(f"no inputs for item {item_index}")
