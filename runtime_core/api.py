"""The run API: what gateways, bridges and embedders call. In-process and over a channel it means the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from flowspan.view.events import Outcome
from flowspan.view.status import ItemResult, ResultOrder, RunStatus
from runtime_core.ports import BlobWriter, InputChunk, RunFilter, StoredBlob


class SubmitRun(msgspec.Struct, frozen=True):
    """A run to be accepted. Fields as in `flowspan.v1.RunOptions`.

    Attributes:
        inputs: JSON bytes, one per item, already checked to be JSON within the limits.
        input_blobs: positions whose bytes are an ASCII blob id instead.
        overrides, variables: JSON objects, or None.
        deadline_s: seconds from acceptance, or None.
        task_token: the execution that submits this run, or None.
        unlinked_depth: for a sub-run whose execution is not known: its depth (else 0).
        traceparent: W3C trace context of the caller, or None. `trace_id`: without one, the trace (32 hex digits) that the run
            belongs to, or None.
        source_run_id, source_items: set by `retry_run` alone: the run that this one repeats, and which of its items.
        stage_id: inputs were staged under this id (`RuntimeApi.stage_inputs`); `inputs` is empty, `staged_total` their number.
    """

    flow_id: str
    inputs: Sequence[bytes]
    namespace: str = "default"
    input_blobs: frozenset[int] = frozenset()
    max_concurrency: int | None = None
    overrides: bytes | None = None
    variables: bytes | None = None
    flow_label: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    item_labels: Sequence[str] = ()
    deadline_s: float | None = None
    detached: bool = False
    request_id: str | None = None
    task_token: str | None = None
    unlinked_depth: int = 0
    traceparent: str | None = None
    trace_id: str | None = None
    stage_id: str | None = None
    staged_total: int = 0
    staged_sha256: bytes = b""
    source_run_id: str | None = None
    source_items: tuple[int, ...] = ()


class WatchBatch(msgspec.Struct, frozen=True):
    """Rows of the log (see `SegmentCodec`), and the cursor behind them. `run_id`: whose, in a tree watch.

    All watchers of a run that stand at the same place get the same batch. `message`: empty, or the one message that a shell
    has made of it, for the other watchers.
    """

    rows: Sequence[bytes]
    through_seq: int
    run_id: str
    is_last: bool
    message: list[bytes] = msgspec.field(default_factory=list)


class RunWatch(Protocol):
    """A cursor into a run's log. Not to be shared between tasks."""

    async def next_batch(self) -> WatchBatch | None:
        """What is durable behind the cursor, at most 1 MiB unless one event is larger; waits for some. None: it is over.

        Raises:
            NotFoundError: the run was deleted.
            UnavailableError: the gateway stops; `details["afterSeq"]` is the cursor to resume from.
        """
        ...

    async def wait_for_slot(self) -> None:
        """For a watch with a task token, ahead of the answer: the execution takes its slot again."""
        ...

    async def aclose(self) -> None:
        """Harmless if repeated. Parked executions go on without waiting for a slot."""
        ...


class StoredFlow(msgspec.Struct, frozen=True):
    """Answer of `store_flow`. `diagnostics`: objects (kind, code, level, message, path, line, column)."""

    flow_id: str
    flow_name: str | None
    diagnostics: Sequence[dict[str, object]]


class FlowDocument(msgspec.Struct, frozen=True):
    """A stored flow: its JSON, its name, the JSON Schema of its variables (`{}` if it declares none)."""

    flow_id: str
    flow_name: str | None
    document: bytes
    variables_schema: bytes


class ItemPage(msgspec.Struct, frozen=True):
    """Item results and the token of the next page (None: the last one)."""

    items: Sequence[ItemResult]
    next_page_token: str | None


class RunPage(msgspec.Struct, frozen=True):
    """Runs, newest first, and the token of the next page (None: the last one)."""

    runs: Sequence[RunStatus]
    next_page_token: str | None


class RuntimeApi(Protocol):
    """The core's public face.

    Raises (any call): FlowspanError with a reason of `flowspan.errors.ERROR_TABLE`.
    """

    # runs

    async def submit_run(self, command: SubmitRun) -> RunStatus:
        """Durable when it returns. A repeated `request_id` returns the first run; with another request: ConflictError."""
        ...

    async def stage_inputs(self, stage_id: str, chunks: Sequence[InputChunk], *, namespace: str = "default") -> None:
        """Inputs of a streamed submit, in order; `stage_id` is the caller's own unique text."""
        ...

    async def discard_stage(self, stage_id: str) -> None: ...

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
        """Errors are raised here, not by the first batch: NotFoundError; InvalidArgumentError (cursor beyond the log);
        RecursionLimitError (with a token: the wait would close a circle)."""
        ...

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
        """`order`: results are included, in this order; those beyond `max_bytes` of payload are left out
        (`results_omitted`)."""
        ...

    async def list_runs(self, run_filter: RunFilter, *, page_size: int, page_token: str | None) -> RunPage: ...

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
    ) -> ItemPage: ...

    async def cancel_run(self, run_id: str, *, namespace: str = "default", reason: str = "") -> tuple[RunStatus, int]:
        """The run, and the number of executions that were not confirmed as stopped."""
        ...

    async def retry_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        item_indexes: Sequence[int] = (),
        request_id: str | None = None,
        max_concurrency: int | None = None,
    ) -> RunStatus: ...

    async def delete_run(self, run_id: str, *, namespace: str = "default") -> None: ...

    # flows

    async def store_flow(
        self, document: bytes, *, namespace: str = "default", is_yaml: bool | None = None, dry_run: bool = False
    ) -> StoredFlow:
        """`is_yaml` None: YAML unless it begins with a brace. FlowInvalidError if it does not compile (not with dry_run)."""
        ...

    async def get_flow(self, flow_id: str, *, namespace: str = "default") -> FlowDocument: ...

    async def list_flows(
        self, *, namespace: str = "default", page_size: int, page_token: str | None
    ) -> tuple[Sequence[FlowDocument], str | None]: ...

    async def delete_flow(self, flow_id: str, *, namespace: str = "default") -> None: ...

    # blobs

    async def put_blob(
        self, data: bytes, *, namespace: str = "default", blob_type: str = "data", expected_blob_id: str | None = None
    ) -> str:
        """The blob's id. `blob_type`: data, flow (both JSON) or binary."""
        ...

    def begin_blob(self) -> BlobWriter: ...

    async def commit_blob(
        self, writer: BlobWriter, *, namespace: str = "default", blob_type: str = "data", expected_blob_id: str | None = None
    ) -> str: ...

    async def get_blob(self, blob_id: str, *, namespace: str = "default") -> StoredBlob:
        """NotFoundError (BLOB_NOT_FOUND) or DataLossError."""
        ...

    async def blob_info(self, blob_id: str, *, namespace: str = "default") -> tuple[str, int]:
        """Type and size in bytes, without reading it. NotFoundError (BLOB_NOT_FOUND)."""
        ...

    def read_blob(self, blob_id: str, *, namespace: str = "default") -> AsyncIterator[bytes]:
        """Chunks of at most 1 MiB; verified before the first is given."""
        ...

    # executions

    def find_execution(self, task_token: str) -> bool:
        """Whether an execution with this token is open."""
        ...
