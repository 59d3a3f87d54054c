"""Run statuses that fit the line they are answered on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from flowspan.errors import LimitExceededError
from flowspan.jsonrpc import CLIENT_LIMITS
from flowspan.view.status import ItemResult, ResultsOmitted, RunStatus
from gateway.methods.context import RequestContext
from gateway.methods.dialect import encode_status
from gateway.methods.run_port import RunPort

_STATUS_BYTES: Final = 2 * 1024
"""Room for a status without results; what callers wrote into it comes on top (`_status_bytes`)."""
_ESCAPED_BYTES: Final = 6
"""Longest form of one character in JSON."""
_RESULT_BYTES: Final = 128
"""What surrounds one payload: index, outcome, time, status."""
_RESULT_NODES: Final = 8
_STATUS_NODES: Final = 64


def max_result_bytes(context: RequestContext) -> int:
    """Payload that one answer may carry."""
    return max(0, context.max_answer_bytes - _STATUS_BYTES)


async def answer_status(
    api: RunPort, context: RequestContext, status: RunStatus, *, namespace: str, is_page: bool = False
) -> bytes:
    """The answer: with all results that `status` has, or, where they do not fit, without any; a page keeps those that do.

    Raises:
        LimitExceededError: they do not fit, and the dialect has no words for that.
    """
    if status.results is None:
        return encode_status(context.dialect, status)
    room = context.max_answer_bytes - _status_bytes(status)
    results = await read_blobs(api, status.results, namespace, room)
    fitting = _count_fitting(results, room)
    omitted = status.results_omitted
    if fitting == len(results) and (is_page or omitted is None):
        return encode_status(context.dialect, status if results is status.results else replace(status, results=results))
    size = sum(len(result.payload) for result in results)
    whole = omitted or ResultsOmitted(len(results), size, room, 0)
    if context.dialect == "stepflow":
        raise _too_large(context, status.run_id, whole.bytes)
    if not is_page:
        left_out = ResultsOmitted(whole.count, whole.bytes, room, 0)
        return encode_status(context.dialect, replace(status, results=None, results_omitted=left_out))
    if not fitting:
        raise LimitExceededError(
            f"item {results[0].item_index} of run {status.run_id}: its result does not fit a line of "
            f"{context.max_answer_bytes} bytes",
            limit="line",
            max=context.max_answer_bytes,
            actual=len(results[0].payload),
            runId=status.run_id,
        )
    left_out = ResultsOmitted(
        whole.count, whole.bytes, room, results[fitting].item_index if fitting < len(results) else whole.next
    )
    return encode_status(context.dialect, replace(status, results=results[:fitting], results_omitted=left_out))


async def all_results(api: RunPort, context: RequestContext, status: RunStatus, *, namespace: str) -> Sequence[ItemResult]:
    """The results of a status that was asked with them, for an answer that can leave none out.

    Raises:
        LimitExceededError: they do not fit.
    """
    if status.results_omitted is not None:
        raise _too_large(context, status.run_id, status.results_omitted.bytes)
    room = context.max_answer_bytes - _status_bytes(status)
    results = await read_blobs(api, status.results or (), namespace, room)
    if _count_fitting(results, room) < len(results):
        raise _too_large(context, status.run_id, sum(len(result.payload) for result in results))
    return results


def _too_large(context: RequestContext, run_id: str, size_bytes: int) -> LimitExceededError:
    return LimitExceededError(
        f"the results of run {run_id} have {size_bytes} bytes, this server takes lines of at most "
        f"{context.max_answer_bytes}; raise max_line_bytes of the plugin, or store results as blobs",
        limit="line",
        max=context.max_answer_bytes,
        actual=size_bytes,
        runId=run_id,
    )


def _status_bytes(status: RunStatus) -> int:
    """Bound of a status without results, cheaper than writing it."""
    run = status.description
    chars = len(run.flow_name or "") + len(run.flow_label or "") + len(status.cancel_reason or "")
    chars += sum(len(name) + len(value) + 6 for name, value in run.metadata.items())
    return _STATUS_BYTES + _ESCAPED_BYTES * chars


async def read_blobs(api: RunPort, results: Sequence[ItemResult], namespace: str, room: int) -> Sequence[ItemResult]:
    """Results with the values that are kept in blobs, as far as they have room; the others keep their blob id."""
    if not any(result.is_blob for result in results):
        return results
    read: list[ItemResult] = []
    for result in results:
        if result.is_blob and room > 0:
            blob = await api.get_blob(result.payload.decode("ascii"), namespace=namespace)
            room -= len(blob.data)
            if room >= 0:
                result = msgspec.structs.replace(result, payload=blob.data, is_blob=False)
        read.append(result)
    return read


def _count_fitting(results: Sequence[ItemResult], room: int) -> int:
    """How many of the first results fit `room` bytes, and the number of JSON values that a reader accepts."""
    nodes = CLIENT_LIMITS.max_nodes - _STATUS_NODES
    for count, result in enumerate(results):
        payload = result.payload
        room -= len(payload) + _RESULT_BYTES + (6 * len(result.item_label) if result.item_label else 0)
        nodes -= _RESULT_NODES + payload.count(b",") + payload.count(b"[") + payload.count(b"{")
        if room < 0 or nodes < 0:
            return count
    return len(results)
