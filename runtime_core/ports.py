"""What the core needs from outside: a store, a segment codec, component servers, a clock.

Everything here runs in the thread of the engine's event loop unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from flowspan.view.events import Event, RunStatusCode, Segment
from flowspan.view.status import FlowError, ItemCounts, RunDescription, RunStatus
from runtime_core.calls import CallAnswer, CallFailure, CallResult, ComponentCall


class Clock(Protocol):
    """Time, injected so that tests own it."""

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds; never goes back."""
        ...


class SegmentCodec(Protocol):
    """The bytes of the log. What `encode` returns is stored and streamed as it is; rows joined are again rows."""

    def encode(self, first_seq: int, recorded_at_us: int, events: Sequence[Event]) -> bytes: ...

    def decode(self, data: bytes) -> list[Segment]: ...

    def filter(self, data: bytes, *, results_only: bool, omit_payloads: bool) -> bytes: ...


# --- store -----------------------------------------------------------------------------------------------------------


class InputChunk(msgspec.Struct, frozen=True):
    """Inputs `first_item`, `first_item + 1`, ... of a run. `blob_refs`: positions whose bytes are an ASCII blob id."""

    first_item: int
    inputs: Sequence[bytes]
    blob_refs: frozenset[int] = frozenset()


class RunEnd(msgspec.Struct, frozen=True):
    """Facts of the terminal commit. `item_index`: the sealed index from item to sequence number (`model/item_index.py`)."""

    status: RunStatusCode
    completed_at_us: int
    counts: ItemCounts
    item_index: bytes
    cancel_reason: str | None = None


class Append(msgspec.Struct, frozen=True):
    """One row of one run's log, to be committed only if the run is still at (`epoch`, `first_seq`).

    Attributes:
        cancel_requested: the row holds RunCancelRequested.
        end: set on the row that holds the terminal event.
        context: the engine's own; handed back with the commit.
    """

    run_key: int
    epoch: int
    first_seq: int
    last_seq: int
    row: bytes
    end: RunEnd | None = None
    context: object = None


class NewRun(msgspec.Struct, frozen=True):
    """A run to be created in one transaction: itself, its inputs, its first log row, its idempotency record.

    Attributes:
        description: JSON of `RunDescription`; equal to the payload of event 1.
        settings: JSON of the engine's own settings (overrides, variables, deadline, labels, ...), read back at recovery.
        chunks: the inputs; empty if `stage_id` names inputs that were staged before.
        first_row: the log's first row, from event 1 on, `last_seq` its last event.
        request_key: idempotency key within the namespace, or None. `fingerprint`: hash of the request.
        key_expires_us: the key is kept as long as the run, and at least until then.
    """

    namespace: str
    run_id: str
    flow_id: str
    flow_name: str | None
    flow_label: str | None
    root_run_id: str
    parent_run_id: str | None
    source_run_id: str | None
    metadata: dict[str, str]
    created_at_us: int
    total: int
    description: bytes
    settings: bytes
    chunks: Sequence[InputChunk]
    stage_id: str | None
    first_row: bytes
    last_seq: int
    end: RunEnd | None = None
    request_key: str | None = None
    fingerprint: bytes = b""
    key_expires_us: int = 0


class RunRecord(msgspec.Struct, frozen=True):
    """A run as the store knows it. `counts`, `completed_at_us`: set once it is terminal; `status` is RUNNING until then."""

    run_key: int
    namespace: str
    run_id: str
    epoch: int
    next_seq: int
    status: RunStatusCode
    description: bytes
    settings: bytes
    counts: ItemCounts | None
    completed_at_us: int | None
    cancel_reason: str | None = None


class ExistingRun(msgspec.Struct, frozen=True):
    """Answer of `create_run` where the request key is known: the run that it made, and the fingerprint it was made with.

    `run_id` is None-less even when that run was deleted since (a tombstone)."""

    run_id: str
    fingerprint: bytes


class LogRow(msgspec.Struct, frozen=True):
    """A stored row: events `first_seq` .. `last_seq`."""

    first_seq: int
    last_seq: int
    data: bytes


class RunFilter(msgspec.Struct, frozen=True):
    """Which runs to list; None or empty: any. Newest first."""

    namespace: str
    statuses: tuple[RunStatusCode, ...] = ()
    flow_id: str | None = None
    flow_label: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    created_from_us: int | None = None
    created_before_us: int | None = None
    parent_run_id: str | None = None
    root_run_id: str | None = None
    source_run_id: str | None = None


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob, verified against its id. `blob_type`: data, flow or binary."""

    blob_id: str
    blob_type: str
    data: bytes


class StoreHealth(Protocol):
    """What a store tells its owner, in the loop's thread."""

    def on_committed(self, appends: Sequence[Append]) -> None:
        """These rows are durable, in this order."""
        ...

    def on_fenced(self, append: Append) -> None:
        """The run is no longer at this epoch and sequence number: someone else owns it."""
        ...

    def on_full(self, is_full: bool) -> None:
        """The disk is full (rows are kept and tried again each second), or has room again."""
        ...

    def on_failed(self, error: BaseException) -> None:
        """The store cannot be trusted any more; nothing is committed after this. The process must end."""
        ...


class BlobWriter(Protocol):
    """A blob that comes in chunks. Nothing is visible before `commit`."""

    async def write(self, chunk: bytes) -> None: ...

    async def read_back(self) -> bytes:
        """All that was written (for JSON, whose id is that of the canonical form)."""
        ...

    @property
    def sha256_hex(self) -> str:
        """Hash of the bytes written so far."""
        ...

    @property
    def size(self) -> int: ...

    async def commit(self, namespace: str, blob_id: str, blob_type: str) -> None: ...

    async def abort(self) -> None: ...


class Store(Protocol):
    """Durable state. Every write goes through one writer, in the order of the calls, many to a commit.

    When a write's awaitable is done, or `on_committed` was called, the fact is on disk (SQLite: WAL, synchronous=FULL).
    Awaiting callers may be cancelled at any time: the write happens or does not, it is never half done.

    Raises (any write): StorageError with reason STORAGE_FULL and details outcome="not_applied", or STORAGE_FAILED with
    outcome="unknown".
    """

    async def open(self, health: StoreHealth) -> int:
        """Take possession (a second owner is refused with PreconditionError); return this incarnation's epoch."""
        ...

    async def close(self) -> None:
        """Commit what is queued, then let go."""
        ...

    def append(self, appends: Sequence[Append]) -> None:
        """Queue rows; never blocks. `on_committed` follows, once per commit."""
        ...

    def create_run(self, run: NewRun) -> Awaitable[int | ExistingRun]:
        """The new run's key, or the run that its request key made before."""
        ...

    async def adopt_run(self, record: RunRecord, epoch: int) -> bool:
        """Make `epoch` the owner of an open run; False if someone else was faster."""
        ...

    async def stage_inputs(self, stage_id: str, chunks: Sequence[InputChunk]) -> None:
        """Keep inputs for a run that is not there yet. Leftovers are swept at `open`."""
        ...

    async def discard_stage(self, stage_id: str) -> None: ...

    def put_blob(self, namespace: str, blob_id: str, blob_type: str, data: bytes) -> Awaitable[None]: ...

    def begin_blob(self) -> BlobWriter: ...

    async def delete_runs(self, namespace: str, run_keys: Sequence[int]) -> None:
        """Log, inputs and index go; idempotency keys stay their time as tombstones."""
        ...

    def delete_blob(self, namespace: str, blob_id: str) -> Awaitable[bool]:
        """False if there is none. PreconditionError if a run's flow refers to it."""
        ...

    # reads: short, never in the writer's way, only committed facts

    async def get_blob(self, namespace: str, blob_id: str) -> StoredBlob | None:
        """None if there is none. DataLossError if the bytes do not have their hash any more."""
        ...

    async def blob_info(self, namespace: str, blob_id: str) -> tuple[str, int] | None:
        """Type and size in bytes."""
        ...

    async def list_blobs(
        self, namespace: str, blob_type: str, *, limit: int, after: str | None
    ) -> tuple[list[StoredBlob], str | None]:
        """A page, newest first, and the token of the next page."""
        ...

    async def find_run(self, namespace: str, run_id: str) -> RunRecord | None: ...

    async def find_request(self, namespace: str, request_key: str) -> ExistingRun | None: ...

    async def list_runs(self, run_filter: RunFilter, *, limit: int, after: str | None) -> tuple[list[RunRecord], str | None]:
        """A page and the token of the next page."""
        ...

    async def open_runs(self) -> list[RunRecord]:
        """Runs that are not terminal, oldest first, of all namespaces."""
        ...

    async def child_runs(self, namespace: str, run_id: str) -> list[RunRecord]:
        """Direct sub-runs, oldest first."""
        ...

    async def read_rows(self, run_key: int, after_seq: int, max_bytes: int) -> list[LogRow]:
        """Rows whose `last_seq` > `after_seq`, in order: at least one if there is one, then as many as fit."""
        ...

    async def read_rows_with(self, run_key: int, seqs: Sequence[int]) -> list[LogRow]:
        """The rows that hold these sequence numbers (rising), each once."""
        ...

    async def read_inputs(self, run_key: int, item_index: int) -> InputChunk:
        """The chunk that holds this item."""
        ...

    async def read_item_index(self, run_key: int) -> bytes | None:
        """The sealed index of a terminal run."""
        ...


# --- component servers -----------------------------------------------------------------------------------------------


class ComponentServer(Protocol):
    """A plugin as the engine sees it: slots, and calls that end in results.

    All methods are synchronous and never call back into the sink before they return.
    """

    @property
    def name(self) -> str: ...

    def journals(self, component: str) -> bool:
        """Whether results of this component (as in `CallTemplate.component`) are worth a log entry; False for what is cheap
        and has no effects, inside this process."""
        ...

    def instant(self, component: str) -> Callable[[bytes], CallAnswer] | None:
        """What this component does with an input, if that is a pure function of microseconds inside this process; else None.
        The engine then need not make a call of it. Whatever it answers but bytes is asked again, as a call."""
        ...

    @property
    def keeps_timeouts(self) -> bool:
        """Whether it ends executions itself when their time is over, counted from when their code began, and tells
        `on_started` about those that run for long. Asked when calls are sent. False: the engine counts from the send."""
        ...

    @property
    def broken(self) -> CallFailure | None:
        """Set while the server cannot be used at all (it does not start, or speaks another version)."""
        ...

    @property
    def waiting_for(self) -> str | None:
        """Why calls wait, for people: `plugin x restarts in 3 s`, `circuit of plugin x is open`. None: they do not."""
        ...

    def free_slots(self) -> int:
        """Calls that `start` takes now; 0 while the process starts, restarts, or its circuit is open."""
        ...

    def start(self, calls: Sequence[ComponentCall]) -> None:
        """Send these; at most `free_slots()` of them. If the process has gone meanwhile, `on_crash` reports them unsent."""
        ...

    def can_start_alone(self) -> bool:
        """Whether an instance that runs nothing is ready to take suspects. Asking makes the server hold one back: the next
        instance that runs nothing takes no other work until `start_alone`."""
        ...

    def start_alone(self, calls: Sequence[ComponentCall]) -> None:
        """Send suspects of a crash to one instance that takes nothing else until they have ended."""
        ...

    def park(self, call: ComponentCall) -> None:
        """The call waits for a sub-run: its slot is free for others."""
        ...

    def try_unpark(self, call: ComponentCall) -> bool:
        """Take a slot for the call again; False if there is none in its instance now. True if the call is not there."""
        ...

    def time_out(self, calls: Sequence[ComponentCall]) -> None:
        """These are over for the engine: tell the peer, drop late answers, replace a process that hangs."""
        ...

    def cancel(self, calls: Sequence[ComponentCall]) -> Awaitable[int]:
        """Tell the peer that these are cancelled. Their results still come (at once for what the peer had not begun).

        Returns how many executions were not confirmed as dropped or running within 1 s; no request is written after it.
        """
        ...


class EngineSink(Protocol):
    """What component servers tell the engine."""

    def on_results(self, results: list[CallResult]) -> None:
        """Calls that ended; whatever one read from a peer brought, in one list."""
        ...

    def on_slots(self, server: ComponentServer) -> None:
        """Slots became free, or the server's state changed, other than by results."""
        ...

    def on_crash(
        self, server: ComponentServer, calls: Sequence[ComponentCall], unsent: Sequence[ComponentCall], failure: CallFailure
    ) -> None:
        """A process of the server ended with `calls` in flight. `unsent` never reached it: they count as never tried."""
        ...

    def on_lost(self, server: ComponentServer, calls: Sequence[ComponentCall], failure: CallFailure) -> None:
        """The way to these is lost, and nothing says that one of them is to blame: they are repeated as later attempts."""
        ...

    def on_progress(self, call: ComponentCall, fraction: float, message: str) -> None: ...

    def on_started(self, calls: Sequence[ComponentCall]) -> None:
        """The code of these runs, at a server that keeps time-outs. Short executions end without it."""
        ...


class SecretBox(Protocol):
    """Keeps what is secret out of the store."""

    def seal(self, data: bytes) -> str:
        """A text that may be stored. PreconditionError: there is no key."""
        ...

    def unseal(self, sealed: str) -> bytes:
        """What was sealed. PreconditionError: the key is not there, or it is another one."""
        ...


class Route(msgspec.Struct, frozen=True):
    """Where a component path leads. `component`: the path as the server knows it."""

    server: ComponentServer
    component: str


class RouteChoice(msgspec.Struct, frozen=True):
    """Where a component path leads depends on the input.

    Attributes:
        routes: at least one.
        choose: the position of an input's route; -1: none takes it. The input is JSON.
        none: the error of a call that no route takes.
    """

    routes: tuple[Route, ...]
    choose: Callable[[bytes], int]
    none: FlowError


class ComponentRouter(Protocol):
    """Component paths to servers (the configuration's `routes`)."""

    def resolve(self, path: str) -> Route | RouteChoice | FlowError:
        """The route of `path`, several that depend on the input, or a COMPONENT_NOT_FOUND error."""
        ...


SinkFactory = Callable[[], EngineSink]


# --- observers -------------------------------------------------------------------------------------------------------


class RunTrace(msgspec.Struct, frozen=True):
    """Where a run stands in its trace.

    Attributes:
        trace_id, span_id: 32 and 16 hex digits: the run's own span.
        parent_span_id: 16 hex digits of the caller's span, or empty.
        sampled: whether the trace is recorded, as decided where it began.
    """

    trace_id: str
    span_id: str
    parent_span_id: str
    sampled: bool


class RunObserver(Protocol):
    """Looks on for logs, traces and figures. Its methods never raise and never wait."""

    @property
    def on_calls(self) -> Callable[[Sequence[CallResult]], None] | None:
        """Told of attempts that ended, a batch at a time, whatever ended them. None: nobody asks, and they cost nothing.
        Read once, when the engine is made."""
        ...

    def samples(self, trace_id: str) -> bool:
        """Whether a trace that begins here is recorded."""
        ...

    def on_run_accepted(self, description: RunDescription, latency_s: float) -> None:
        """A run is durable, this many seconds after its checks began."""
        ...

    def on_run_ended(self, status: RunStatus, trace: RunTrace) -> None:
        """A run's terminal event is durable."""
        ...
