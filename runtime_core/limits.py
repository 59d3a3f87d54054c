"""Limits of the core, each with its reason. The gateway's configuration may lower or raise them up to the hard caps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_MAX_CONCURRENCY: Final = 10
"""Of a run that does not say; what users of this kind of system expect."""

SEGMENT_BYTES: Final = 64 << 10
"""About the size of a log row: large enough that a row's overhead vanishes, small enough to skip within."""

BATCH_BYTES: Final = 256 << 10
"""A watcher's message: several rows, well below every client's default receive limit of 4 MiB, and small enough that fifty
watchers that stall with one each in flight take no more than some tens of MiB."""

INLINE_RESULT_BYTES: Final = 3_500_000
"""A larger result goes into a blob: the event must fit one message of a client with default limits."""

TAIL_BYTES: Final = 1 << 20
"""Rows of an open run that stay in memory, so that watchers at the log's end never touch the store."""

TAIL_LARGE_ROWS: Final = 16
TAIL_LARGE_BYTES: Final = 16 << 20
"""Of rows with large results so many stay, up to so many bytes: four commits of 4 MiB. A watcher takes one such row at a time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the core accepts.

    Attributes:
        max_concurrency_cap: a run's `maxConcurrency` is clamped to this.
        items_per_run: inputs of one run, streamed submits included.
        depth: nesting of sub-runs; a run without parent has depth 1.
        runs_per_tree, open_runs: bounds on runaway recursion and on one namespace.
        result_bytes: one item's result, >= 1 MiB; beyond `INLINE_RESULT_BYTES` it is kept as a blob.
        call_timeout_s: one attempt, if the step does not say.
        transport_retries: attempts repeated after TIMEOUT and UNREACHABLE.
        attributable_crashes: so many crashes that only this item can have caused fail it.
        cancel_ack_s: how long a cancel waits for component servers to confirm.
        cancel_grace_s: a cancelled execution that has not ended by then is given up.
        key_life_s: idempotency keys live at least so long.
    """

    max_concurrency_cap: int = 1_000
    items_per_run: int = 10_000_000
    depth: int = 16
    runs_per_tree: int = 1_000_000
    open_runs: int = 100_000
    result_bytes: int = 2 << 20
    call_timeout_s: float = 600.0
    transport_retries: int = 3
    attributable_crashes: int = 3
    cancel_ack_s: float = 1.0
    cancel_grace_s: float = 10.0
    key_life_s: float = 7 * 86_400.0
