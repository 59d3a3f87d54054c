"""`wait`: the stream of a run consumed to its end, in one function, whatever asked for it."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from flowspan.protobuf.segments import decode_rows
from flowspan.view.fold import RunFold
from flowspan.view.status import RunStatus
from gateway.methods.run_port import RunPort


class WaitedRun(NamedTuple):
    """How a wait ended.

    Attributes:
        fold: the run as far as it was seen.
        has_results: whether the fold holds the run's description and all results seen; else they are to be read from the log.
        is_over: whether the run is terminal; False after a time-out.
    """

    fold: RunFold
    has_results: bool
    is_over: bool


async def wait_for_run(
    api: RunPort,
    run_id: str,
    *,
    namespace: str,
    task_token: str | None,
    timeout_s: float | None,
    keep_bytes: int,
    known: RunStatus | None = None,
) -> WaitedRun:
    """Wait until the run is terminal, or until `timeout_s` is over (None: no bound).

    The execution named by `task_token` is parked meanwhile, and has its slot again when this returns after the run's end.

    Args:
        keep_bytes: results are kept up to this size of payloads; with 0 the stream carries none.
        known: how the run stood a moment ago; what it says need not be read again.

    Raises:
        FlowspanError: no such run; a circle of waits; the gateway stops.
    """
    fold = RunFold(keep_results=bool(keep_bytes)) if known is None else RunFold.behind(known, keep_results=bool(keep_bytes))
    watch = await api.watch_run(
        run_id,
        namespace=namespace,
        after_seq=fold.through_seq,
        results_only=not keep_bytes,
        omit_payloads=not keep_bytes,
        task_token=task_token,
    )
    kept_bytes = 0

    async def follow() -> None:
        nonlocal kept_bytes
        while (batch := await watch.next_batch()) is not None:
            for segment in decode_rows(batch.rows[0] if len(batch.rows) == 1 else b"".join(batch.rows)):
                kept_bytes += sum([len(result.payload) for result in fold.apply(segment)])
            if kept_bytes > keep_bytes:
                fold.results.clear()
            if batch.is_last:
                return

    try:
        if timeout_s is None:
            await follow()
        else:
            try:
                async with asyncio.timeout(timeout_s) as bound:
                    await follow()
            except TimeoutError:
                if not bound.expired():
                    raise
                # An answer that says "still running" is never held back for a slot.
                return WaitedRun(fold, fold.description is not None and kept_bytes <= keep_bytes, False)
        await watch.wait_for_slot()
    finally:
        await watch.aclose()
    return WaitedRun(fold, fold.description is not None and kept_bytes <= keep_bytes, True)
