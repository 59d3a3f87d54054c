"""A core for tests: runs are logs that a test writes event by event; everything asked of it is noted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from flowspan.errors import FlowspanError, NotFoundError, Reason
from flowspan.jsonrpc import Dialect, RequestId
from flowspan.protobuf.segments import encode_segment, filter_rows
from flowspan.view.events import (
    Event,
    ItemCompleted,
    ItemsStarted,
    Outcome,
    RunAccepted,
    RunCancelRequested,
    RunCompleted,
    RunStatusCode,
    Segment,
)
from flowspan.view.fold import RunFold
from flowspan.view.status import ResultOrder, ResultsOmitted, RunDescription, RunStatus
from gateway.methods.context import RequestLink, RequestOrigin
from runtime_core.api import FlowDocument, SubmitRun, WatchBatch
from runtime_core.ports import StoredBlob

CREATED_US = 1_736_937_000_000_000  # 2025-01-15T10:30:00Z
FLOW_ID = "sha256:" + "ab" * 32


@dataclass
class FakeRun:
    """One run's log. `finish` ends it; watchers see each event as it is told."""

    description: RunDescription
    rows: list[bytes] = field(default_factory=list)
    fold: RunFold = field(default_factory=RunFold)
    next_seq: int = 1
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, *events: Event, after_s: int = 0) -> None:
        at_us = CREATED_US + after_s * 1_000_000
        self.rows.append(encode_segment(self.next_seq, at_us, events))
        self.fold.apply(Segment(self.next_seq, at_us, list(events)))
        self.next_seq += len(events)
        self.changed.set()

    def finish(self, *outputs: bytes) -> None:
        """All items succeed, one second apart."""
        for index, output in enumerate(outputs):
            self.tell(ItemCompleted(index, Outcome.SUCCESS, output), after_s=index + 1)
        self.tell(RunCompleted(RunStatusCode.SUCCESS), after_s=len(outputs))


class FakeWatch:
    """`RunWatch` over a FakeRun."""

    def __init__(self, api: FakeApi, run: FakeRun, results_only: bool, omit_payloads: bool, task_token: str | None) -> None:
        self._api, self._run, self._token = api, run, task_token
        self._results_only, self._omit_payloads = results_only, omit_payloads
        self._position = 0
        self._over = False

    async def next_batch(self) -> WatchBatch | None:
        run = self._run
        while not self._over:
            if self._position < len(run.rows):
                rows = run.rows[self._position :]
                self._position = len(run.rows)
                self._over = run.fold.is_terminal
                kept = [filter_rows(row, results_only=self._results_only, omit_payloads=self._omit_payloads) for row in rows]
                return WatchBatch(kept, run.next_seq - 1, run.description.run_id, self._over)
            run.changed.clear()
            await run.changed.wait()
        return None

    async def wait_for_slot(self) -> None:
        self._api.noted.append(("slot", self._token))
        await self._api.slots.wait()

    async def aclose(self) -> None:
        self._api.noted.append(("closed", self._token))


class FakeApi:
    """`RuntimeApi` as far as component servers reach it. `outputs`: a submitted run ends with these at once; None: it runs."""

    def __init__(self, outputs: Sequence[bytes] | None = None) -> None:
        self.outputs = outputs
        self.runs: dict[str, FakeRun] = {}
        self.submitted: list[SubmitRun] = []
        self.noted: list[tuple[Any, ...]] = []
        self.blobs: dict[str, StoredBlob] = {}
        self.flows: dict[str, bytes] = {}
        self.slots = asyncio.Event()
        self.slots.set()
        self.new_run = asyncio.Event()

    def add_run(self, total: int, *, run_id: str | None = None, flow_name: str | None = "Data Processing Workflow") -> FakeRun:
        run_id = run_id or f"550e8400-e29b-41d4-a716-44665544{len(self.runs):04d}"
        run = self.runs[run_id] = FakeRun(RunDescription(run_id, FLOW_ID, total, CREATED_US, 10, run_id, flow_name))
        run.tell(RunAccepted(msgspec.json.encode(run.description)), ItemsStarted(0, total))
        self.new_run.set()
        return run

    async def submit_run(self, command: SubmitRun) -> RunStatus:
        self.submitted.append(command)
        run = self.add_run(len(command.inputs))
        if self.outputs is not None:
            run.finish(*self.outputs)
        return run.fold.snapshot() if self.outputs is None else replace(run.fold.snapshot(), status=RunStatusCode.RUNNING)

    def run(self, run_id: str) -> FakeRun:
        if run_id not in self.runs:
            raise NotFoundError(f"no run {run_id}", reason=Reason.RUN_NOT_FOUND, runId=run_id)
        return self.runs[run_id]

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
    ) -> FakeWatch:
        self.noted.append(("watch", run_id, task_token))
        return FakeWatch(self, self.run(run_id), results_only, omit_payloads, task_token)

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
        self.noted.append(("get", run_id, order, after_item_index, limit))
        status = self.run(run_id).fold.snapshot(order=order)
        if status.results is None:
            return status
        wanted = [result for result in status.results if after_item_index is None or result.item_index > after_item_index]
        results, size = [], 0
        for result in wanted[:limit]:
            size += len(result.payload)
            if size > max_bytes:
                break
            results.append(result)
        omitted = None
        if len(results) < len(wanted):
            whole = sum(len(result.payload) for result in wanted)
            omitted = ResultsOmitted(len(wanted), whole, max_bytes, wanted[len(results)].item_index)
        return replace(status, results=results, results_omitted=omitted)

    async def cancel_run(self, run_id: str, *, namespace: str = "default", reason: str = "") -> tuple[RunStatus, int]:
        run = self.run(run_id)
        run.tell(RunCancelRequested(reason), RunCompleted(RunStatusCode.CANCELLED))
        return run.fold.snapshot(), 2

    async def put_blob(
        self, data: bytes, *, namespace: str = "default", blob_type: str = "data", expected_blob_id: str | None = None
    ) -> str:
        blob_id = "sha256:" + hashlib.sha256(data).hexdigest()
        self.blobs[blob_id] = StoredBlob(blob_id, blob_type, data)
        return blob_id

    async def get_blob(self, blob_id: str, *, namespace: str = "default") -> StoredBlob:
        if blob_id not in self.blobs:
            raise NotFoundError(f"no blob {blob_id}", reason=Reason.BLOB_NOT_FOUND)
        return self.blobs[blob_id]

    async def get_flow(self, flow_id: str, *, namespace: str = "default") -> FlowDocument:
        return FlowDocument(flow_id, None, self.flows[flow_id], b"{}")


class FakeContext:
    """`RequestContext` of a server whose execution is known by the token `token`."""

    def __init__(self, dialect: Dialect = "flowspan", *, max_answer_bytes: int = 1024 * 1024) -> None:
        self.request_id: RequestId = "req-1"
        self.dialect: Dialect = dialect
        self.max_answer_bytes = max_answer_bytes
        self.told: list[tuple[str, Any]] = []
        self.open_waits = 0
        self.origins: list[RequestOrigin] = []

    def link(self, origin: RequestOrigin) -> RequestLink:
        self.origins.append(origin)
        if origin.task_token == "stale":
            raise FlowspanError("no such execution", reason=Reason.PERMISSION_DENIED)
        return RequestLink("tenant", origin.task_token or "token", 0)

    @contextmanager
    def waiting(self, link: RequestLink) -> Iterator[None]:
        self.open_waits += 1
        try:
            yield
        finally:
            self.open_waits -= 1

    def notify(self, method: str, params: bytes) -> None:
        self.told.append((method, msgspec.json.decode(params)))

    async def wait_writable(self) -> None:
        self.told.append(("writable", None))
