"""Statuses, results and enums: `flowspan.v1` messages to and from the values of `flowspan.view`. Used on both sides of the wire.

Conversions are total: every value has a message, every message has a value or is refused with InvalidArgumentError that
names the field. Payloads are carried over as bytes. Two things have one form on the wire and come back in that form: a
cancelled item is a failed one with the code CANCELLED, and the JSON of an error is written anew (same members).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeVar

import msgspec
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from flowspan.errors import FlowErrorCode, InvalidArgumentError
from flowspan.v1 import json_value_pb2, run_pb2
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.status import (
    FlowError,
    ItemCounts,
    ItemResult,
    ResultOrder,
    ResultsOmitted,
    RunDescription,
    RunProgress,
    RunStatus,
)

JsonValue = json_value_pb2.JsonValue

_NumberedEnum = TypeVar("_NumberedEnum", bound=IntEnum)

_ERROR_DECODER: Final = msgspec.json.Decoder(FlowError)
_CANCELLED: Final = FlowErrorCode.CANCELLED.value
_CANCELLED_MESSAGE: Final = "the run was cancelled"
"""Of a cancelled item that carries no error of its own (a log that was watched without payloads)."""

_ORDERS: Final[dict[int, ResultOrder]] = {
    run_pb2.RESULT_ORDER_UNSPECIFIED: ResultOrder.BY_INDEX,
    run_pb2.RESULT_ORDER_BY_INDEX: ResultOrder.BY_INDEX,
    run_pb2.RESULT_ORDER_BY_COMPLETION: ResultOrder.BY_COMPLETION,
}
_ORDER_NUMBERS: Final[dict[ResultOrder, run_pb2.ResultOrder.ValueType]] = {
    ResultOrder.BY_INDEX: run_pb2.RESULT_ORDER_BY_INDEX,
    ResultOrder.BY_COMPLETION: run_pb2.RESULT_ORDER_BY_COMPLETION,
}

_STATUS_NUMBERS: Final[dict[RunStatusCode, run_pb2.RunStatus.Status.ValueType]] = {
    RunStatusCode.PENDING: run_pb2.RunStatus.RUN_STATUS_PENDING,
    RunStatusCode.RUNNING: run_pb2.RunStatus.RUN_STATUS_RUNNING,
    RunStatusCode.SUCCESS: run_pb2.RunStatus.RUN_STATUS_SUCCESS,
    RunStatusCode.FAILED: run_pb2.RunStatus.RUN_STATUS_FAILED,
    RunStatusCode.CANCELLED: run_pb2.RunStatus.RUN_STATUS_CANCELLED,
}


# --- enums -----------------------------------------------------------------------------------------------------------


def enum_word(enum: EnumDescriptor, number: int) -> str:
    """The contract's word for a value: without the prefix, lower camel (`RESULT_ORDER_BY_INDEX` is `byIndex`).

    Raises:
        InvalidArgumentError: the enum has no such number.
    """
    value = enum.values_by_number.get(number)
    if value is None:
        raise InvalidArgumentError(f"{enum.name} has no value {number}", field=enum.name)
    head, *tail = value.name.removeprefix(_prefix(enum)).lower().split("_")
    return head + "".join(part.capitalize() for part in tail)


def enum_number(enum: EnumDescriptor, word: str) -> int:
    """The number of the contract's word for a value; the inverse of `enum_word`.

    Raises:
        InvalidArgumentError: the enum has no such word.
    """
    for number in enum.values_by_number:
        if enum_word(enum, number) == word:
            return number
    known = ", ".join(enum_word(enum, number) for number in enum.values_by_number if number)
    raise InvalidArgumentError(f"{enum.name} has no value {word[:80]!r}; it has {known}", field=enum.name)


def _prefix(enum: EnumDescriptor) -> str:
    return enum.values_by_number[0].name.removesuffix("UNSPECIFIED")


def numbered(kind: type[_NumberedEnum], number: int, field: str) -> _NumberedEnum:
    """The value of an enum whose numbers equal those on the wire.

    Raises:
        InvalidArgumentError: no such value, or 0 (not said).
    """
    try:
        return kind(number)
    except ValueError:
        names = ", ".join(f"{value.value} ({value.name})" for value in kind)
        raise InvalidArgumentError(f"{field} has no value {number}; it has {names}", field=field) from None


def result_order_from_number(number: int, field: str = "resultOrder") -> ResultOrder:
    """0 (not said) is by index. InvalidArgumentError for an unknown number."""
    order = _ORDERS.get(number)
    if order is None:
        raise InvalidArgumentError(f"{field} has no value {number}; it has 1 (BY_INDEX), 2 (BY_COMPLETION)", field=field)
    return order


def result_order_to_number(order: ResultOrder) -> run_pb2.ResultOrder.ValueType:
    return _ORDER_NUMBERS[order]


# --- times -----------------------------------------------------------------------------------------------------------


def timestamp_of_us(us: int) -> Timestamp:
    """`us`: microseconds since 1970, UTC."""
    seconds, micros = divmod(us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def us_of_timestamp(timestamp: Timestamp) -> int:
    """Microseconds since 1970, UTC; what is finer is cut off."""
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1000


# --- results ---------------------------------------------------------------------------------------------------------


def flow_result_to_message(
    outcome: Outcome, payload: bytes, *, is_blob: bool = False, into: run_pb2.FlowResult | None = None
) -> run_pb2.FlowResult:
    """The FlowResult for an outcome and its payload (see `flowspan.view.events.ItemCompleted`).

    Args:
        into: where to write; a new message if None.
    """
    message = run_pb2.FlowResult() if into is None else into
    match outcome:
        case Outcome.SUCCESS:
            message.outcome = run_pb2.OUTCOME_SUCCESS
            if is_blob:
                message.value.blob_id = payload.decode("ascii")
            elif payload:
                message.value.json = payload
        case Outcome.SKIPPED:
            message.outcome = run_pb2.OUTCOME_SKIPPED
            reason = msgspec.json.decode(payload).get("reason") if payload and not is_blob else None
            if reason is not None:
                message.reason = reason
        case Outcome.FAILED | Outcome.CANCELLED:
            message.outcome = run_pb2.OUTCOME_FAILED
            _write_error(message, outcome, payload, is_blob)
    return message


def _write_error(message: run_pb2.FlowResult, outcome: Outcome, payload: bytes, is_blob: bool) -> None:
    if is_blob:
        # The whole error is in a blob: it has no code of its own here, unless the outcome tells it.
        message.error.code = _CANCELLED if outcome is Outcome.CANCELLED else ""
        message.error.data.blob_id = payload.decode("ascii")
    elif payload:
        error = _ERROR_DECODER.decode(payload)
        message.error.code = _CANCELLED if outcome is Outcome.CANCELLED else error.code
        message.error.message = error.message
        if error.data is not None:
            message.error.data.json = bytes(error.data)
    elif outcome is Outcome.CANCELLED:
        message.error.code = _CANCELLED
        message.error.message = _CANCELLED_MESSAGE


def flow_result_from_message(message: run_pb2.FlowResult) -> tuple[Outcome, bytes, bool]:
    """Outcome, payload and whether the payload is a blob id; the inverse of `flow_result_to_message`.

    Raises:
        InvalidArgumentError: the outcome is unknown or not said.
    """
    outcome = numbered(Outcome, message.outcome, "outcome")
    if outcome is Outcome.SUCCESS:
        if message.value.HasField("blob_id"):
            return outcome, message.value.blob_id.encode(), True
        return outcome, message.value.json, False
    if outcome is Outcome.SKIPPED:
        return outcome, msgspec.json.encode({"reason": message.reason}) if message.HasField("reason") else b"{}", False
    if not message.HasField("error"):
        return outcome, b"", False
    error = message.error
    if error.code == _CANCELLED:
        outcome = Outcome.CANCELLED
    if error.data.HasField("blob_id") and not error.message:
        return outcome, error.data.blob_id.encode(), True
    data: msgspec.Raw | None = None
    if error.HasField("data"):
        data = msgspec.Raw(msgspec.json.encode(error.data.blob_id) if error.data.HasField("blob_id") else error.data.json)
    return outcome, msgspec.json.encode(FlowError(error.code, error.message, data)), False


def item_result_to_message(result: ItemResult, *, into: run_pb2.ItemResult | None = None) -> run_pb2.ItemResult:
    """`into`: where to write; a new message if None."""
    message = run_pb2.ItemResult() if into is None else into
    message.item_index = result.item_index
    flow_result_to_message(result.outcome, result.payload, is_blob=result.is_blob, into=message.result)
    seconds, micros = divmod(result.completed_at_us, 1_000_000)
    completed_at = message.completed_at
    completed_at.seconds = seconds
    completed_at.nanos = micros * 1000
    if result.item_label is not None:
        message.item_label = result.item_label
    if result.source_item_index is not None:
        message.source_item_index = result.source_item_index
    return message


def item_result_from_message(message: run_pb2.ItemResult) -> ItemResult:
    """InvalidArgumentError if the outcome is unknown or not said."""
    outcome, payload, is_blob = flow_result_from_message(message.result)
    return ItemResult(
        item_index=message.item_index,
        outcome=outcome,
        payload=payload,
        completed_at_us=us_of_timestamp(message.completed_at),
        is_blob=is_blob,
        item_label=message.item_label if message.HasField("item_label") else None,
        source_item_index=message.source_item_index if message.HasField("source_item_index") else None,
    )


# --- statuses --------------------------------------------------------------------------------------------------------


def item_counts_to_message(counts: ItemCounts) -> run_pb2.ItemCounts:
    return run_pb2.ItemCounts(
        total=counts.total,
        pending=counts.pending,
        running=counts.running,
        success=counts.success,
        failed=counts.failed,
        cancelled=counts.cancelled,
    )


def item_counts_from_message(message: run_pb2.ItemCounts) -> ItemCounts:
    return ItemCounts(message.total, message.pending, message.running, message.success, message.failed, message.cancelled)


def run_status_to_message(status: RunStatus) -> run_pb2.RunStatus:
    """Results are in it if the status has some; "asked for, but none yet" and "not asked for" look the same."""
    description = status.description
    message = run_pb2.RunStatus(
        run_id=description.run_id,
        flow_id=description.flow_id,
        flow_name=description.flow_name,
        flow_label=description.flow_label,
        status=_STATUS_NUMBERS[status.status],
        items=item_counts_to_message(status.items),
        created_at=timestamp_of_us(description.created_at_us),
        as_of_seq=status.as_of_seq,
        root_run_id=description.root_run_id,
        parent_run_id=description.parent_run_id,
        source_run_id=description.source_run_id,
        metadata=description.metadata,
        effective_max_concurrency=description.max_concurrency,
        cancel_reason=status.cancel_reason,
    )
    if status.completed_at_us is not None:
        message.completed_at.CopyFrom(timestamp_of_us(status.completed_at_us))
    for result in status.results or ():
        item_result_to_message(result, into=message.results.add())
    if (omitted := status.results_omitted) is not None:
        message.results_omitted.CopyFrom(
            run_pb2.ResultsOmitted(count=omitted.count, bytes=omitted.bytes, limit=omitted.limit, next=omitted.next)
        )
    if (progress := status.progress) is not None:
        message.progress.CopyFrom(
            run_pb2.RunProgress(
                rate_per_second=progress.rate_per_second, eta_seconds=progress.eta_seconds, waiting_for=progress.waiting_for
            )
        )
    return message


def run_status_from_message(message: run_pb2.RunStatus, *, with_results: bool = False) -> RunStatus:
    """A status as a value.

    Args:
        with_results: results were asked for: `results` is a list, even an empty one, unless they did not fit.

    Raises:
        InvalidArgumentError: the status or an outcome is unknown or not said.
    """
    results: list[ItemResult] | None = None
    if message.results or (with_results and not message.HasField("results_omitted")):
        results = [item_result_from_message(result) for result in message.results]
    omitted: ResultsOmitted | None = None
    if message.HasField("results_omitted"):
        left_out = message.results_omitted
        omitted = ResultsOmitted(left_out.count, left_out.bytes, left_out.limit, left_out.next)
    progress: RunProgress | None = None
    if message.HasField("progress"):
        speed = message.progress
        eta_seconds = speed.eta_seconds if speed.HasField("eta_seconds") else None
        progress = RunProgress(speed.rate_per_second, eta_seconds, tuple(speed.waiting_for))
    return RunStatus(
        description=_description(message),
        status=numbered(RunStatusCode, message.status, "status"),
        items=item_counts_from_message(message.items),
        as_of_seq=message.as_of_seq,
        completed_at_us=us_of_timestamp(message.completed_at) if message.HasField("completed_at") else None,
        cancel_reason=message.cancel_reason if message.HasField("cancel_reason") else None,
        results=results,
        results_omitted=omitted,
        progress=progress,
    )


def _description(message: run_pb2.RunStatus) -> RunDescription:
    return RunDescription(
        run_id=message.run_id,
        flow_id=message.flow_id,
        total=message.items.total,
        created_at_us=us_of_timestamp(message.created_at),
        max_concurrency=message.effective_max_concurrency,
        root_run_id=message.root_run_id,
        flow_name=message.flow_name if message.HasField("flow_name") else None,
        flow_label=message.flow_label if message.HasField("flow_label") else None,
        parent_run_id=message.parent_run_id if message.HasField("parent_run_id") else None,
        source_run_id=message.source_run_id if message.HasField("source_run_id") else None,
        metadata=dict(message.metadata),
    )
