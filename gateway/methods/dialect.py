"""The two ways in which component servers expect the same answer. Pure: values in, bytes out.

`flowspan` is the contract (docs/protocol/runs-methods.md). `stepflow` is what the older SDKs decode; they hang for ever on the
contract's words, so every value is told in theirs: other statuses, other counts, `result` for `value`, numbers for error codes,
ids without prefix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from flowspan.errors import ERROR_TABLE, FlowErrorCode, Reason
from flowspan.jsonrpc import Dialect
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.flow_result import flow_result_to_wire
from flowspan.view.status import FlowError, ItemCounts, ItemResult, RunStatus, rfc3339
from flowspan.view.wire import run_status_to_wire

_text = msgspec.json.encode
_BARE_HEX: Final = re.compile(r"[0-9a-f]{64}")
_PREFIX: Final = "sha256:"

_STEPFLOW_STATUS: Final = {
    RunStatusCode.PENDING: "running",
    RunStatusCode.RUNNING: "running",
    RunStatusCode.SUCCESS: "completed",
    RunStatusCode.FAILED: "failed",
    RunStatusCode.CANCELLED: "cancelled",
}
_STEPFLOW_OUTCOME: Final = {
    Outcome.SUCCESS: "completed",
    Outcome.SKIPPED: "completed",
    Outcome.FAILED: "failed",
    Outcome.CANCELLED: "cancelled",
}
_STEPFLOW_CODE: Final[dict[str, int]] = {
    FlowErrorCode.TIMEOUT.value: ERROR_TABLE[Reason.TIMEOUT].jsonrpc,
    FlowErrorCode.INVALID_INPUT.value: ERROR_TABLE[Reason.INVALID_ARGUMENT].jsonrpc,
    FlowErrorCode.COMPONENT_FAILED.value: ERROR_TABLE[Reason.COMPONENT_FAILED].jsonrpc,
    FlowErrorCode.CANCELLED.value: ERROR_TABLE[Reason.CANCELLED].jsonrpc,
    FlowErrorCode.UNREACHABLE.value: ERROR_TABLE[Reason.UNAVAILABLE].jsonrpc,
    FlowErrorCode.COMPONENT_NOT_FOUND.value: ERROR_TABLE[Reason.COMPONENT_NOT_FOUND].jsonrpc,
    FlowErrorCode.RESOURCE_UNAVAILABLE.value: ERROR_TABLE[Reason.RESOURCE_UNAVAILABLE].jsonrpc,
    FlowErrorCode.EXPRESSION_FAILURE.value: ERROR_TABLE[Reason.EXPRESSION_FAILURE].jsonrpc,
    FlowErrorCode.ORCHESTRATOR_ERROR.value: ERROR_TABLE[Reason.INTERNAL].jsonrpc,
    FlowErrorCode.WORKER_ERROR.value: ERROR_TABLE[Reason.PLUGIN_PROTOCOL].jsonrpc,
}
"""Total over `FlowErrorCode`: these SDKs decode the code of a FlowResult's error as an integer."""

_ERROR_DECODER: Final = msgspec.json.Decoder(FlowError)


def full_blob_id(blob_id: str) -> str:
    """`sha256:` and 64 hex digits; bare digits are accepted wherever an id is read."""
    return _PREFIX + blob_id if _BARE_HEX.fullmatch(blob_id) else blob_id


def blob_id_for(dialect: Dialect, blob_id: str) -> str:
    """The id as the server writes it."""
    return blob_id.removeprefix(_PREFIX) if dialect == "stepflow" else blob_id


def encode_status(dialect: Dialect, status: RunStatus) -> bytes:
    """A RunStatus; with results if it has any."""
    if dialect == "flowspan":
        return run_status_to_wire(status)
    members = [
        b'{"runId":%b,"flowId":%b' % (_text(status.run_id), _text(blob_id_for(dialect, status.flow_id))),
        b'"flowName":%b' % _text(status.flow_name) if status.flow_name is not None else b"",
        b'"status":"%b"' % _STEPFLOW_STATUS[status.status].encode(),
        b'"items":' + _stepflow_counts(status.items),
        b'"createdAt":"%b"' % rfc3339(status.description.created_at_us).encode(),
        b'"completedAt":"%b"' % rfc3339(status.completed_at_us).encode() if status.completed_at_us is not None else b"",
        b'"results":[%b]' % b",".join(map(_stepflow_item, status.results)) if status.results is not None else b"",
    ]
    return b",".join(filter(None, members)) + b"}"


def encode_flow_result(dialect: Dialect, result: ItemResult, *, knows_skipped: bool = False) -> bytes:
    """The FlowResult of an item. `knows_skipped`: the server asked by one of the older methods (`flows/*`), whose releases of
    the older SDKs know three outcomes; those that ask `runs/*` know two."""
    if dialect == "flowspan":
        return flow_result_to_wire(result.outcome, result.payload, is_blob=result.is_blob)
    if result.outcome is Outcome.SUCCESS:
        return b'{"outcome":"success","result":%b}' % (
            _text({"$blob": result.payload.decode()}) if result.is_blob else result.payload
        )
    if result.outcome is Outcome.SKIPPED:
        if knows_skipped:
            return flow_result_to_wire(result.outcome, result.payload, is_blob=result.is_blob)
        # Newer releases of these SDKs know no third outcome and would hang.
        return b'{"outcome":"success","result":null}'
    error = (
        FlowError("COMPONENT_FAILED", "the error is kept in a blob") if result.is_blob else _ERROR_DECODER.decode(result.payload)
    )
    code = _STEPFLOW_CODE.get(error.code, _STEPFLOW_CODE[FlowErrorCode.COMPONENT_FAILED.value])
    data = b"" if error.data is None else b',"data":' + bytes(error.data)
    return b'{"outcome":"failed","error":{"code":%d,"message":%b%b}}' % (code, _text(error.message), data)


def _stepflow_item(result: ItemResult) -> bytes:
    return b'{"itemIndex":%d,"status":"%b","result":%b,"completedAt":"%b"}' % (
        result.item_index,
        _STEPFLOW_OUTCOME[result.outcome].encode(),
        encode_flow_result("stepflow", result),
        rfc3339(result.completed_at_us).encode(),
    )


def _stepflow_counts(items: ItemCounts) -> bytes:
    return b'{"total":%d,"completed":%d,"running":%d,"failed":%d,"cancelled":%d}' % (
        items.total,
        items.success,
        items.running + items.pending,
        items.failed,
        items.cancelled,
    )


def encode_batch(status: RunStatus, results: Sequence[ItemResult] | None) -> bytes:
    """`flows/get_batch`: the run as a batch of the older generation; `outputs` if results are given."""
    items = status.items
    details: dict[str, object] = {
        "batch_id": status.run_id,
        "flow_id": blob_id_for("stepflow", status.flow_id),
        "flow_name": status.flow_name,
        "total_runs": items.total,
        # That generation knows no other two words: a batch that has ended is told by its counts and completed_at.
        "status": "cancelled" if status.status is RunStatusCode.CANCELLED else "running",
        "created_at": rfc3339(status.description.created_at_us),
        "completed_runs": items.success,
        "running_runs": items.running + items.pending,
        "failed_runs": items.failed,
        "cancelled_runs": items.cancelled,
        "paused_runs": 0,
    }
    if status.completed_at_us is not None:
        details["completed_at"] = rfc3339(status.completed_at_us)
    if results is None:
        return b'{"details":%b}' % _text(details)
    outputs = [
        b'{"batch_input_index":%d,"status":"%b","result":%b}'
        % (
            result.item_index,
            _STEPFLOW_OUTCOME[result.outcome].encode(),
            encode_flow_result("stepflow", result, knows_skipped=True),
        )
        for result in results
    ]
    return b'{"details":%b,"outputs":[%b]}' % (_text(details), b",".join(outputs))
