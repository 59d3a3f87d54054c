"""Reading requests: from messages of a caller to commands of the core, refused before anything is done if they are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flowspan.errors import FlowspanError, InvalidArgumentError, LimitExceededError
from flowspan.jsonrpc.guard import check_payload, check_payloads
from flowspan.protobuf.convert import JsonValue, numbered, us_of_timestamp
from flowspan.v1 import run_service_pb2 as pb
from flowspan.view.events import RunStatusCode
from gateway.grpc_server.call import Call, read_task_token, read_traceparent
from gateway.grpc_server.limits import (
    DEFAULT_PAGE_SIZE,
    MAX_DEADLINE_S,
    MAX_ITEM_INPUT_BYTES,
    MAX_LABEL_BYTES,
    MAX_METADATA_ENTRIES,
    MAX_METADATA_KEY_BYTES,
    MAX_METADATA_VALUE_BYTES,
    MAX_PAGE_SIZE,
    MAX_PAGE_TOKEN_BYTES,
    MAX_REQUEST_ID_BYTES,
    MAX_UNARY_INPUT_BYTES,
    MAX_UNARY_ITEMS,
)
from runtime_core.api import SubmitRun
from runtime_core.model.ids import parse_blob_id, parse_run_id
from runtime_core.ports import RunFilter

_MAX_TIMESTAMP_S: Final = 253_402_300_799
"""End of the year 9999."""


def check_text(text: str, max_bytes: int, field: str) -> None:
    """LimitExceededError if the text is too long."""
    actual = len(text.encode())
    if actual > max_bytes:
        raise LimitExceededError(
            f"{field} has {actual} bytes, at most {max_bytes} are accepted",
            field=field,
            limit=field,
            max=max_bytes,
            actual=actual,
        )


def read_inputs(values: Sequence[JsonValue], first_item: int = 0) -> tuple[list[bytes], frozenset[int]]:
    """Inputs as the core takes them: JSON bytes, and the positions (from 0 within `values`) that hold a blob id instead.

    Args:
        first_item: index of the first one in its run, for error messages.

    Raises:
        InvalidArgumentError: an input holds nothing, or a malformed blob id.
        LimitExceededError: an input is too large, or its JSON breaks a limit.
        FlowspanError: PARSE_ERROR: an input is not JSON. `details["index"]` names the item.
    """
    inputs = [value.json for value in values]
    if inputs and max(map(len, inputs)) > MAX_ITEM_INPUT_BYTES:
        _refuse_large_input(inputs, first_item)
    blobs: frozenset[int] = frozenset()
    if not all(inputs):
        blobs = frozenset(position for position, data in enumerate(inputs) if not data)
        for position in blobs:
            inputs[position] = _read_blob_ref(values[position], f"inputs[{first_item + position}]").encode()
    _check_json(inputs, first_item, blobs)
    return inputs, blobs


def check_inputs(inputs: Sequence[bytes], first_item: int) -> None:
    """Refuse JSON inputs as `read_inputs` does."""
    if inputs and max(map(len, inputs)) > MAX_ITEM_INPUT_BYTES:
        _refuse_large_input(inputs, first_item)
    _check_json(inputs, first_item, frozenset())


def _check_json(inputs: Sequence[bytes], first_item: int, blobs: frozenset[int]) -> None:
    try:
        check_payloads([data for position, data in enumerate(inputs) if position not in blobs] if blobs else inputs)
    except FlowspanError as error:
        position = error.details.get("index", 0)
        if blobs:
            position = [position for position in range(len(inputs)) if position not in blobs][position]
        error.details["index"] = first_item + position
        error.details["field"] = f"inputs[{first_item + position}]"
        raise


def _read_blob_ref(value: JsonValue, field: str) -> str:
    if not value.HasField("blob_id"):
        raise InvalidArgumentError(f"{field} holds neither JSON nor a blob id", field=field)
    return parse_blob_id(value.blob_id, field=field)


def _refuse_large_input(inputs: Sequence[bytes], first_item: int) -> None:
    for position, data in enumerate(inputs):
        if len(data) > MAX_ITEM_INPUT_BYTES:
            raise LimitExceededError(
                f"inputs[{first_item + position}] has {len(data)} bytes, at most {MAX_ITEM_INPUT_BYTES} are accepted; "
                "put it as a blob and give its id",
                field=f"inputs[{first_item + position}]",
                limit="item input",
                max=MAX_ITEM_INPUT_BYTES,
                actual=len(data),
            )


def _read_object(message: pb.RunOptions, field: Literal["overrides", "variables"]) -> bytes | None:
    """JSON object of the option `field`, or None if it is not given."""
    if not message.HasField(field):
        return None
    value: JsonValue = getattr(message, field)
    if not value.HasField("json"):
        raise InvalidArgumentError(f"options.{field} must hold a JSON object", field=f"options.{field}")
    if len(value.json) > MAX_ITEM_INPUT_BYTES:
        raise LimitExceededError(
            f"options.{field} has {len(value.json)} bytes, at most {MAX_ITEM_INPUT_BYTES} are accepted",
            field=f"options.{field}",
            limit=field,
            max=MAX_ITEM_INPUT_BYTES,
            actual=len(value.json),
        )
    try:
        check_payload(value.json)
    except FlowspanError as error:
        error.details["field"] = f"options.{field}"
        raise
    if not value.json.lstrip().startswith(b"{"):
        raise InvalidArgumentError(f"options.{field} must hold a JSON object", field=f"options.{field}")
    return value.json


def read_max_concurrency(value: int) -> int:
    """InvalidArgumentError unless it is at least 1; the core clamps it at the other end."""
    if value < 1:
        raise InvalidArgumentError(f"maxConcurrency must be at least 1, not {value}", field="maxConcurrency")
    return value


def read_metadata(metadata: Mapping[str, str], field: str = "metadata") -> dict[str, str]:
    """LimitExceededError if there are too many entries or one is too long."""
    if len(metadata) > MAX_METADATA_ENTRIES:
        raise LimitExceededError(
            f"{field} has {len(metadata)} entries, at most {MAX_METADATA_ENTRIES} are accepted",
            field=field,
            limit=field,
            max=MAX_METADATA_ENTRIES,
            actual=len(metadata),
        )
    for key, value in metadata.items():
        check_text(key, MAX_METADATA_KEY_BYTES, f"a key of {field}")
        check_text(value, MAX_METADATA_VALUE_BYTES, f"{field}.{key}")
    return dict(metadata)


def read_request_id(text: str) -> str | None:
    """None if it is empty."""
    check_text(text, MAX_REQUEST_ID_BYTES, "requestId")
    return text or None


def read_deadline_s(duration: Duration) -> float:
    """Seconds; InvalidArgumentError unless it lies ahead, within a year."""
    seconds = duration.seconds + duration.nanos / 1e9
    if not 0 < seconds <= MAX_DEADLINE_S:
        raise InvalidArgumentError(
            f"deadline must be more than 0 and at most {MAX_DEADLINE_S} s, not {seconds} s", field="deadline"
        )
    return seconds


def read_submit(request: pb.SubmitRunRequest, call: Call) -> SubmitRun:
    """The whole of a unary submit."""
    count = len(request.inputs)
    if count > MAX_UNARY_ITEMS:
        raise LimitExceededError(
            f"{count} inputs in one call, at most {MAX_UNARY_ITEMS} are accepted; use SubmitRunStream",
            field="inputs",
            limit="items",
            max=MAX_UNARY_ITEMS,
            actual=count,
        )
    inputs, blobs = read_inputs(request.inputs)
    total_bytes = sum(map(len, inputs))
    if total_bytes > MAX_UNARY_INPUT_BYTES:
        raise LimitExceededError(
            f"the inputs have {total_bytes} bytes, at most {MAX_UNARY_INPUT_BYTES} are accepted; use SubmitRunStream",
            field="inputs",
            limit="input bytes",
            max=MAX_UNARY_INPUT_BYTES,
            actual=total_bytes,
        )
    check_label_count(request.options, count)
    return read_options(request.options, call, inputs=inputs, input_blobs=blobs)


def check_label_count(options: pb.RunOptions, items: int) -> None:
    """InvalidArgumentError unless there are as many item labels as items, or none."""
    labels = len(options.item_labels)
    if labels and labels != items:
        raise InvalidArgumentError(
            f"itemLabels has {labels} entries for {items} items; give one per item, or none", field="itemLabels"
        )


def read_options(
    options: pb.RunOptions,
    call: Call,
    *,
    inputs: Sequence[bytes] = (),
    input_blobs: frozenset[int] = frozenset(),
    stage_id: str | None = None,
    staged_total: int = 0,
    staged_sha256: bytes = b"",
) -> SubmitRun:
    """The command of a submit. What the message does not say about its caller is taken from the call's metadata.

    Raises:
        InvalidArgumentError, LimitExceededError, FlowspanError (PARSE_ERROR): an option is wrong; `details["field"]` names it.
    """
    check_text(options.flow_label, MAX_LABEL_BYTES, "flowLabel")
    if options.item_labels and max(map(len, options.item_labels)) * 4 > MAX_LABEL_BYTES:
        for position, label in enumerate(options.item_labels):
            check_text(label, MAX_LABEL_BYTES, f"itemLabels[{position}]")
    return SubmitRun(
        flow_id=parse_blob_id(options.flow_id, field="flowId"),
        inputs=inputs,
        namespace=call.namespace,
        input_blobs=input_blobs,
        max_concurrency=read_max_concurrency(options.max_concurrency) if options.HasField("max_concurrency") else None,
        overrides=_read_object(options, "overrides"),
        variables=_read_object(options, "variables"),
        flow_label=options.flow_label if options.HasField("flow_label") else None,
        metadata=read_metadata(options.metadata),
        item_labels=tuple(options.item_labels),
        deadline_s=read_deadline_s(options.deadline) if options.HasField("deadline") else None,
        detached=options.detached,
        request_id=read_request_id(options.request_id),
        task_token=read_task_token(options.task_token) or call.task_token,
        traceparent=read_traceparent(options.traceparent) or call.traceparent,
        stage_id=stage_id,
        staged_total=staged_total,
        staged_sha256=staged_sha256,
    )


def read_page_size(size: int, *, default: int = DEFAULT_PAGE_SIZE, maximum: int = MAX_PAGE_SIZE) -> int:
    """0 is the default, too many are as many as there may be. InvalidArgumentError if negative."""
    if size < 0:
        raise InvalidArgumentError(f"pageSize must not be negative, it is {size}", field="pageSize")
    return min(size, maximum) or default


def read_page_token(token: str) -> str | None:
    """None for the first page. The core refuses tokens that it did not make."""
    if len(token) > MAX_PAGE_TOKEN_BYTES:
        raise InvalidArgumentError("pageToken is not one of this gateway's", field="pageToken")
    return token or None


def _read_us(timestamp: Timestamp, field: str) -> int:
    if not 0 <= timestamp.seconds <= _MAX_TIMESTAMP_S or not 0 <= timestamp.nanos < 1_000_000_000:
        raise InvalidArgumentError(f"{field} lies outside the years 1970 to 9999", field=field)
    return us_of_timestamp(timestamp)


def read_run_filter(request: pb.ListRunsRequest, call: Call) -> RunFilter:
    """The filter of ListRuns."""
    return RunFilter(
        namespace=call.namespace,
        statuses=tuple({numbered(RunStatusCode, number, "statuses"): None for number in request.statuses}),
        flow_id=parse_blob_id(request.flow_id, field="flowId") if request.flow_id else None,
        flow_label=request.flow_label or None,
        metadata=read_metadata(request.metadata),
        created_from_us=_read_us(request.created_after, "createdAfter") if request.HasField("created_after") else None,
        created_before_us=_read_us(request.created_before, "createdBefore") if request.HasField("created_before") else None,
        parent_run_id=parse_run_id(request.parent_run_id, field="parentRunId") if request.parent_run_id else None,
        root_run_id=parse_run_id(request.root_run_id, field="rootRunId") if request.root_run_id else None,
    )
