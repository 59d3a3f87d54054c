"""A RuntimeApi in memory: echoes every input, keeps real log rows, and lets tests hold, break and watch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from flowspan.errors import ConflictError, DataLossError, InvalidArgumentError, NotFoundError, Reason
from flowspan.protobuf.segments import ProtobufSegmentCodec
from flowspan.view.events import (
    Event,
    ItemCompleted,
    ItemsStarted,
    Outcome,
    RunAccepted,
    RunCancelRequested,
    RunCompleted,
    RunStatusCode,
)
from flowspan.view.fold import RunFold
from flowspan.view.status import ItemResult, ResultOrder, ResultsOmitted, RunDescription, RunStatus
from runtime_core.api import FlowDocument, ItemPage, RunPage, StoredFlow, SubmitRun, WatchBatch
from runtime_core.ports import BlobWriter, InputChunk, RunFilter, StoredBlob

NOW_US = 1_736_937_000_123_456
FLOW_ID = "sha256:" + "a" * 64
SEGMENT_EVENTS = 256
SEGMENT_BYTES = 64 << 10
BATCH_BYTES = 1 << 20


@dataclass
class FakeRun:
    """A run: its rows, and a condition that watchers wait on."""

    namespace: str
    command: SubmitRun
    rows: list[tuple[int, int, bytes]] = field(default_factory=list)
    last_seq: int = 0
    is_over: bool = False
    stop_error: Exception | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def append(self, events: Sequence[Event]) -> None:
        part: list[Event] = []
        size = 0
        for event in events:
            part.append(event)
            size += len(event.payload) if isinstance(event, ItemCompleted) else 0
            if len(part) == SEGMENT_EVENTS or size >= SEGMENT_BYTES:
                self._append_row(part)
                part, size = [], 0
        if part:
            self._append_row(part)
        self.is_over = self.is_over or isinstance(events[-1], RunCompleted)

    def _append_row(self, events: Sequence[Event]) -> None:
        first = self.last_seq + 1
        self.last_seq += len(events)
        self.rows.append((first, self.last_seq, ProtobufSegmentCodec.encode(first, NOW_US, events)))

    async def notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def fold(self) -> RunFold:
        fold = RunFold()
        for _, _, row in self.rows:
            fold.apply_all(ProtobufSegmentCodec.decode(row))
        return fold


class FakeWatch:
    """A cursor into the rows of a run."""

    def __init__(self, runtime: FakeRuntime, run_id: str, run: FakeRun, options: dict[str, Any]) -> None:
        self._runtime = runtime
        self._run_id = run_id
        self._run = run
        self._options = options
        self._next_row = 0
        self._seq = options["after_seq"]
        while self._next_row < len(run.rows) and run.rows[self._next_row][1] <= self._seq:
            self._next_row += 1
        self.closed = 0
        self.slots_taken = 0

    async def next_batch(self) -> WatchBatch | None:
        run = self._run
        while self._next_row >= len(run.rows):
            if run.is_over:
                return None
            async with run.changed:
                if run.stop_error is not None:
                    raise run.stop_error
                await run.changed.wait()
        rows: list[bytes] = []
        size = 0
        while self._next_row < len(run.rows):
            _, last_seq, row = run.rows[self._next_row]
            if rows and size + len(row) > BATCH_BYTES:
                break
            if self._options["results_only"] or self._options["omit_payloads"]:
                row = ProtobufSegmentCodec.filter(
                    row, results_only=self._options["results_only"], omit_payloads=self._options["omit_payloads"]
                )
            rows.append(row)
            size += len(row)
            self._seq = last_seq
            self._next_row += 1
        self._runtime.batches += 1
        return WatchBatch(rows, self._seq, self._run_id, run.is_over and self._next_row == len(run.rows))

    async def wait_for_slot(self) -> None:
        self.slots_taken += 1

    async def aclose(self) -> None:
        self.closed += 1


class FakeBlobWriter:
    """A blob that comes in chunks."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_aborted = False

    async def write(self, chunk: bytes) -> None:
        self.data += chunk

    async def read_back(self) -> bytes:
        return bytes(self.data)

    @property
    def sha256_hex(self) -> str:
        return sha256(self.data).hexdigest()

    @property
    def size(self) -> int:
        return len(self.data)

    async def commit(self, namespace: str, blob_id: str, blob_type: str) -> None:
        raise AssertionError("the gateway commits through the core")

    async def abort(self) -> None:
        self.is_aborted = True


class FakeRuntime:
    """The core's face, in memory.

    Attributes:
        hold: runs are accepted and stay open until `finish`.
        gate: if set, `submit_run` waits for it before it applies anything.
        commands: what was submitted; `stages`: what was staged, and `discarded`: what was thrown away.
    """

    def __init__(self) -> None:
        self.hold = False
        self.gate: asyncio.Event | None = None
        self.bug: Exception | None = None
        self.runs: dict[str, FakeRun] = {}
        self.requests: dict[tuple[str, str], tuple[str, SubmitRun]] = {}
        self.commands: list[SubmitRun] = []
        self.stages: dict[str, list[InputChunk]] = {}
        self.discarded: list[str] = []
        self.watches: list[FakeWatch] = []
        self.watch_calls: list[dict[str, Any]] = []
        self.blobs: dict[tuple[str, str], StoredBlob] = {}
        self.writers: list[FakeBlobWriter] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.batches = 0

    # runs

    async def submit_run(self, command: SubmitRun) -> RunStatus:
        if self.bug is not None:
            raise self.bug
        self.commands.append(command)
        if self.gate is not None:
            await self.gate.wait()
        key = (command.namespace, command.request_id or "")
        if command.request_id and key in self.requests:
            run_id, first = self.requests[key]
            if first != command:
                raise ConflictError(f"request id {command.request_id} was used for another request", runId=run_id)
            return self.runs[run_id].fold().snapshot()
        run_id = f"01900000-0000-7000-8000-{len(self.runs):012x}"
        inputs = list(command.inputs)
        for chunk in self.stages.get(command.stage_id or "", ()):
            inputs += chunk.inputs
        self.requests[key] = (run_id, command)
        self.add_run(run_id, command, inputs)
        return self.runs[run_id].fold().snapshot()

    def add_run(self, run_id: str, command: SubmitRun, inputs: Sequence[bytes]) -> FakeRun:
        run = self.runs[run_id] = FakeRun(command.namespace, command)
        description = RunDescription(
            run_id=run_id,
            flow_id=command.flow_id,
            total=len(inputs),
            created_at_us=NOW_US,
            max_concurrency=command.max_concurrency or 10,
            root_run_id=run_id,
            flow_label=command.flow_label,
            metadata=command.metadata,
        )
        events: list[Event] = [RunAccepted(msgspec.json.encode(description))]
        if inputs:
            events.append(ItemsStarted(0, len(inputs)))
        if not self.hold:
            events += [ItemCompleted(index, Outcome.SUCCESS, data) for index, data in enumerate(inputs)]
            events.append(RunCompleted(RunStatusCode.SUCCESS))
        run.append(events)
        return run

    async def finish(self, run_id: str) -> None:
        run = self.runs[run_id]
        run.append([ItemCompleted(index, Outcome.SUCCESS, data) for index, data in enumerate(run.command.inputs)])
        run.append([RunCompleted(RunStatusCode.SUCCESS)])
        await run.notify()

    async def stop(self, run_id: str, error: Exception) -> None:
        self.runs[run_id].stop_error = error
        await self.runs[run_id].notify()

    async def stage_inputs(self, stage_id: str, chunks: Sequence[InputChunk]) -> None:
        await asyncio.sleep(0)
        self.stages.setdefault(stage_id, []).extend(chunks)

    async def discard_stage(self, stage_id: str) -> None:
        self.stages.pop(stage_id, None)
        self.discarded.append(stage_id)

    def _run(self, run_id: str, namespace: str) -> FakeRun:
        run = self.runs.get(run_id)
        if run is None or run.namespace != namespace:
            raise NotFoundError(f"no run {run_id}", reason=Reason.RUN_NOT_FOUND, runId=run_id)
        return run

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
        run = self._run(run_id, namespace)
        if after_seq > run.last_seq:
            raise InvalidArgumentError(f"afterSeq {after_seq} lies beyond the log's end {run.last_seq}", field="afterSeq")
        options = {
            "after_seq": after_seq,
            "results_only": results_only,
            "omit_payloads": omit_payloads,
            "whole_tree": whole_tree,
            "tree_after_seq": tree_after_seq,
            "task_token": task_token,
        }
        self.watch_calls.append(options)
        watch = FakeWatch(self, run_id, run, options)
        self.watches.append(watch)
        return watch

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
        self.calls.append(("get_run", {"order": order, "max_bytes": max_bytes, "limit": limit, "after": after_item_index}))
        status = self._run(run_id, namespace).fold().snapshot(order=order)
        results = [item for item in status.results or () if after_item_index is None or item.item_index > after_item_index]
        total = sum(len(item.payload) for item in results)
        if order is not None and total > max_bytes:
            return RunStatus(
                status.description,
                status.status,
                status.items,
                status.as_of_seq,
                results_omitted=ResultsOmitted(len(results), total, max_bytes, 0),
            )
        return RunStatus(
            status.description,
            status.status,
            status.items,
            status.as_of_seq,
            status.completed_at_us,
            results=results[:limit] if order is not None else None,
        )

    async def list_runs(self, run_filter: RunFilter, *, page_size: int, page_token: str | None) -> RunPage:
        self.calls.append(("list_runs", {"filter": run_filter, "page_size": page_size, "page_token": page_token}))
        first = int(page_token or "0")
        ids = [run_id for run_id, run in reversed(self.runs.items()) if run.namespace == run_filter.namespace]
        page = [self.runs[run_id].fold().snapshot() for run_id in ids[first : first + page_size]]
        return RunPage(page, str(first + page_size) if first + page_size < len(ids) else None)

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
        self.calls.append(("list_run_items", {"outcomes": outcomes, "page_size": page_size, "max_bytes": max_bytes}))
        if page_token is not None and not page_token.isdecimal():
            raise InvalidArgumentError("pageToken is not one of this gateway's", field="pageToken")
        first = int(page_token or "0")
        found = self._run(run_id, namespace).fold().snapshot(order=order).results or ()
        found = [item for item in found if not outcomes or item.outcome in outcomes]
        items: list[ItemResult] = []
        size = 0
        for item in found[first : first + page_size]:
            if items and size + len(item.payload) > max_bytes:
                break
            items.append(item)
            size += len(item.payload)
        end = first + len(items)
        return ItemPage(items, str(end) if end < len(found) else None)

    async def cancel_run(self, run_id: str, *, namespace: str = "default", reason: str = "") -> tuple[RunStatus, int]:
        run = self._run(run_id, namespace)
        if not run.is_over:
            run.append([RunCancelRequested(reason), RunCompleted(RunStatusCode.CANCELLED)])
            await run.notify()
        return run.fold().snapshot(), 3

    async def retry_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        item_indexes: Sequence[int] = (),
        request_id: str | None = None,
        max_concurrency: int | None = None,
    ) -> RunStatus:
        self.calls.append(("retry_run", {"item_indexes": item_indexes, "max_concurrency": max_concurrency}))
        source = self._run(run_id, namespace)
        inputs = [source.command.inputs[index] for index in item_indexes]
        return await self.submit_run(
            SubmitRun(source.command.flow_id, inputs, namespace=namespace, request_id=request_id, max_concurrency=max_concurrency)
        )

    async def delete_run(self, run_id: str, *, namespace: str = "default") -> None:
        run = self._run(run_id, namespace)
        del self.runs[run_id]
        run.stop_error = NotFoundError(f"run {run_id} was deleted", reason=Reason.RUN_NOT_FOUND, runId=run_id)
        await run.notify()

    # flows

    async def store_flow(
        self, document: bytes, *, namespace: str = "default", is_yaml: bool | None = None, dry_run: bool = False
    ) -> StoredFlow:
        self.calls.append(("store_flow", {"is_yaml": is_yaml, "dry_run": dry_run}))
        flow_id = await self.put_blob(document, namespace=namespace, blob_type="flow")
        diagnostic: dict[str, object] = {
            "kind": "unusedStep",
            "code": 3000,
            "level": "warning",
            "message": "step a is not used",
            "path": "/steps/0",
            "line": 4,
            "column": 2,
        }
        return StoredFlow(flow_id, "greet", [diagnostic])

    async def get_flow(self, flow_id: str, *, namespace: str = "default") -> FlowDocument:
        blob = await self.get_blob(flow_id, namespace=namespace)
        return FlowDocument(flow_id, "greet", blob.data, b'{"type":"object"}')

    async def list_flows(
        self, *, namespace: str = "default", page_size: int, page_token: str | None
    ) -> tuple[Sequence[FlowDocument], str | None]:
        flows = [blob for (owner, _), blob in self.blobs.items() if owner == namespace and blob.blob_type == "flow"]
        return [FlowDocument(blob.blob_id, None, blob.data, b"{}") for blob in flows[:page_size]], None

    async def delete_flow(self, flow_id: str, *, namespace: str = "default") -> None:
        await self.get_blob(flow_id, namespace=namespace)
        del self.blobs[namespace, flow_id]

    # blobs

    async def put_blob(
        self, data: bytes, *, namespace: str = "default", blob_type: str = "data", expected_blob_id: str | None = None
    ) -> str:
        blob_id = "sha256:" + sha256(data).hexdigest()
        if expected_blob_id not in (None, blob_id):
            raise DataLossError(f"the blob is {blob_id}, not {expected_blob_id}", blobId=blob_id)
        self.blobs[namespace, blob_id] = StoredBlob(blob_id, blob_type, data)
        return blob_id

    def begin_blob(self) -> BlobWriter:
        self.writers.append(FakeBlobWriter())
        return self.writers[-1]

    async def commit_blob(
        self, writer: BlobWriter, *, namespace: str = "default", blob_type: str = "data", expected_blob_id: str | None = None
    ) -> str:
        return await self.put_blob(
            await writer.read_back(), namespace=namespace, blob_type=blob_type, expected_blob_id=expected_blob_id
        )

    async def get_blob(self, blob_id: str, *, namespace: str = "default") -> StoredBlob:
        blob = self.blobs.get((namespace, blob_id))
        if blob is None:
            raise NotFoundError(f"no blob {blob_id}", reason=Reason.BLOB_NOT_FOUND, blobId=blob_id)
        return blob

    async def blob_info(self, blob_id: str, *, namespace: str = "default") -> tuple[str, int]:
        blob = await self.get_blob(blob_id, namespace=namespace)
        return blob.blob_type, len(blob.data)

    async def read_blob(self, blob_id: str, *, namespace: str = "default") -> AsyncIterator[bytes]:
        data = (await self.get_blob(blob_id, namespace=namespace)).data
        for start in range(0, len(data), 1 << 20):
            yield data[start : start + (1 << 20)]

    def find_execution(self, task_token: str) -> bool:
        return False
