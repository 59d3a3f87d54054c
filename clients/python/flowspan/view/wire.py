"""RunStatus and item results as the contract's JSON (docs/protocol/runs-methods.md), both ways.

Payloads are spliced in and cut out as bytes: a value is never parsed here, so its numbers come out as they were written.
Absent members are omitted, never null. Beyond the contract a status may carry `asOfSeq`, `rootRunId` (of a sub-run),
`parentRunId`, `sourceRunId`, `metadata`, `effectiveMaxConcurrency`, `cancelReason`, `resultsOmitted` and `progress`, an item
result `itemLabel`, `sourceItemIndex` and, where its payload is kept in a blob that was not read, `blobId` in its FlowResult.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from flowspan.errors import FlowspanError, Reason
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.flow_result import FlowResultObject, flow_result_to_wire, read_flow_result
from flowspan.view.status import (
    ItemCounts,
    ItemResult,
    ResultsOmitted,
    RunDescription,
    RunProgress,
    RunStatus,
    rfc3339,
)

_text = msgspec.json.encode
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def item_result_to_wire(result: ItemResult) -> bytes:
    """`{itemIndex, result, completedAt}` of one item."""
    return _item_result(result, b'"%b"' % rfc3339(result.completed_at_us).encode())


def item_results_to_wire(results: Sequence[ItemResult]) -> bytes:
    """A JSON array of item results, in the given order."""
    parts: list[bytes] = []
    known_us, known_text = -1, b""
    for result in results:
        if result.completed_at_us != known_us:
            # Results of one commit share their time.
            known_us = result.completed_at_us
            known_text = b'"%b"' % rfc3339(known_us).encode()
        parts.append(_item_result(result, known_text))
    return b"[" + b",".join(parts) + b"]"


def _item_result(result: ItemResult, completed_at: bytes) -> bytes:
    if result.outcome is Outcome.SUCCESS and not result.is_blob and result.payload:
        flow_result = b'{"outcome":"success","value":%b}' % result.payload
    else:
        flow_result = flow_result_to_wire(result.outcome, result.payload, is_blob=result.is_blob)
    extra = b""
    if result.item_label is not None:
        extra += b',"itemLabel":' + _text(result.item_label)
    if result.source_item_index is not None:
        extra += b',"sourceItemIndex":%d' % result.source_item_index
    return b'{"itemIndex":%d,"result":%b,"completedAt":%b%b}' % (result.item_index, flow_result, completed_at, extra)


def run_status_to_wire(status: RunStatus) -> bytes:
    """The status as one line of JSON, members in the contract's order."""
    run, items = status.description, status.items
    parts = [b'{"runId":', _text(run.run_id), b',"flowId":', _text(run.flow_id)]
    push = parts.append
    if run.flow_name is not None:
        push(b',"flowName":' + _text(run.flow_name))
    if run.flow_label is not None:
        push(b',"flowLabel":' + _text(run.flow_label))
    push(
        b',"status":"%b","items":{"total":%d,"pending":%d,"running":%d,"success":%d,"failed":%d,"cancelled":%d},"createdAt":"%b"'
        % (
            status.status.wire_name.encode(),
            items.total,
            items.pending,
            items.running,
            items.success,
            items.failed,
            items.cancelled,
            rfc3339(run.created_at_us).encode(),
        )
    )
    if status.completed_at_us is not None:
        push(b',"completedAt":"%b"' % rfc3339(status.completed_at_us).encode())
    if status.results is not None:
        push(b',"results":' + item_results_to_wire(status.results))
    if status.results_omitted is not None:
        push(b',"resultsOmitted":' + _text(status.results_omitted))
    push(b',"asOfSeq":%d' % status.as_of_seq)
    if run.root_run_id != run.run_id:
        push(b',"rootRunId":' + _text(run.root_run_id))
    if run.parent_run_id is not None:
        push(b',"parentRunId":' + _text(run.parent_run_id))
    if run.source_run_id is not None:
        push(b',"sourceRunId":' + _text(run.source_run_id))
    if run.metadata:
        push(b',"metadata":' + _text(run.metadata))
    push(b',"effectiveMaxConcurrency":%d' % run.max_concurrency)
    if status.cancel_reason is not None:
        push(b',"cancelReason":' + _text(status.cancel_reason))
    if status.progress is not None:
        push(b',"progress":' + _text(_ProgressObject.of(status.progress)))
    push(b"}")
    return b"".join(parts)


# --- reading ---------------------------------------------------------------------------------------------------------


class _ProgressObject(msgspec.Struct, rename="camel", omit_defaults=True):
    rate_per_second: float
    eta_seconds: float | None = None
    waiting_for: list[str] = []

    @classmethod
    def of(cls, progress: RunProgress) -> _ProgressObject:
        return cls(progress.rate_per_second, progress.eta_seconds, list(progress.waiting_for))


class _ItemResultObject(msgspec.Struct, rename="camel"):
    item_index: int
    result: FlowResultObject
    completed_at: datetime | None = None
    item_label: str | None = None
    source_item_index: int | None = None


class _OmittedObject(msgspec.Struct):
    count: int
    bytes: int
    limit: int
    next: int


class _RunStatusObject(msgspec.Struct, rename="camel"):
    run_id: str
    flow_id: str
    status: str
    items: ItemCounts
    created_at: datetime
    flow_name: str | None = None
    flow_label: str | None = None
    completed_at: datetime | None = None
    results: list[_ItemResultObject] | None = None
    results_omitted: _OmittedObject | None = None
    as_of_seq: int = 0
    root_run_id: str | None = None
    parent_run_id: str | None = None
    source_run_id: str | None = None
    metadata: dict[str, str] | None = None
    effective_max_concurrency: int = 0
    cancel_reason: str | None = None
    progress: _ProgressObject | None = None


_STATUS_DECODER: Final = msgspec.json.Decoder(_RunStatusObject)
_ITEM_DECODER: Final = msgspec.json.Decoder(_ItemResultObject)
_STATUS_OF: Final = {code.wire_name: code for code in RunStatusCode}


def run_status_from_wire(data: bytes) -> RunStatus:
    """The status that `run_status_to_wire`, or any other gateway of the contract, wrote. Unknown members are ignored.

    Without `effectiveMaxConcurrency` the description's `max_concurrency` is 0 (not known).

    Raises:
        FlowspanError: (PARSE_ERROR) a member is missing or of another type than the contract says.
    """
    try:
        wire = _STATUS_DECODER.decode(data)
        code = _STATUS_OF[wire.status]
        results = None if wire.results is None else [_read_item(result) for result in wire.results]
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise _unreadable("RunStatus", error) from error
    omitted = wire.results_omitted
    progress = wire.progress
    return RunStatus(
        RunDescription(
            run_id=wire.run_id,
            flow_id=wire.flow_id,
            total=wire.items.total,
            created_at_us=_us(wire.created_at),
            max_concurrency=wire.effective_max_concurrency,
            root_run_id=wire.root_run_id if wire.root_run_id is not None else wire.run_id,
            flow_name=wire.flow_name,
            flow_label=wire.flow_label,
            parent_run_id=wire.parent_run_id,
            source_run_id=wire.source_run_id,
            metadata=wire.metadata or {},
        ),
        code,
        wire.items,
        wire.as_of_seq,
        None if wire.completed_at is None else _us(wire.completed_at),
        wire.cancel_reason,
        results,
        None if omitted is None else ResultsOmitted(omitted.count, omitted.bytes, omitted.limit, omitted.next),
        None if progress is None else RunProgress(progress.rate_per_second, progress.eta_seconds, tuple(progress.waiting_for)),
    )


def item_result_from_wire(data: bytes) -> ItemResult:
    """One entry of `results`.

    Raises:
        FlowspanError: (PARSE_ERROR) a member is missing or of another type than the contract says.
    """
    try:
        return _read_item(_ITEM_DECODER.decode(data))
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        raise _unreadable("item result", error) from error


def _read_item(wire: _ItemResultObject) -> ItemResult:
    outcome, payload, is_blob = read_flow_result(wire.result)
    completed_at_us = 0 if wire.completed_at is None else _us(wire.completed_at)
    return ItemResult(wire.item_index, outcome, payload, completed_at_us, is_blob, wire.item_label, wire.source_item_index)


def _us(moment: datetime) -> int:
    since = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _unreadable(what: str, error: Exception) -> FlowspanError:
    details: dict[str, Any] = {"cause": str(error)}
    return FlowspanError(f"the gateway's {what} is not what the contract says: {error}", reason=Reason.PARSE_ERROR, **details)
