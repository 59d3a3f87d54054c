"""`runs/submit`, `runs/get`, `runs/watch`, `runs/cancel` (docs/protocol/runs-methods.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from flowspan.protobuf.segments import decode_rows
from flowspan.view.events import ItemCompleted
from flowspan.view.status import ItemResult, ResultOrder, RunStatus
from flowspan.view.wire import item_result_to_wire
from gateway.methods.answers import answer_status, max_result_bytes
from gateway.methods.context import RequestContext, RequestLink
from gateway.methods.dialect import encode_status, full_blob_id
from gateway.methods.run_port import RunPort
from gateway.methods.waiting import wait_for_run
from gateway.methods.wire import (
    CancelParams,
    GetParams,
    SubmitParams,
    WatchParams,
    finite,
    optional_object,
    read_inputs,
)
from runtime_core.api import SubmitRun

_text = msgspec.json.encode
MAX_EVENT_BYTES: Final = 256 * 1024
"""Of one `runs/event`: large enough to be cheap, small enough that other answers get their turn."""


async def submit(api: RunPort, context: RequestContext, params: SubmitParams) -> bytes:
    """RunStatus; with `wait` the run's end and its results by index."""
    origin = params.origin
    link = context.link(origin)
    command = SubmitRun(
        full_blob_id(params.flow_id),
        read_inputs(params.inputs),
        namespace=link.namespace,
        max_concurrency=params.max_concurrency,
        overrides=optional_object("overrides", params.overrides),
        variables=optional_object("variables", params.variables),
        flow_label=params.flow_label,
        metadata=params.metadata,
        item_labels=params.item_labels,
        deadline_s=finite("deadlineSecs", params.deadline_secs),
        detached=params.detached,
        request_id=params.request_id,
        task_token=link.task_token,
        unlinked_depth=link.unlinked_depth,
        traceparent=origin.traceparent,
        trace_id=origin.trace_id,
    )
    timeout_s = finite("timeoutSecs", params.timeout_secs)
    if not params.wait:
        return encode_status(context.dialect, replace(await api.submit_run(command), results=None))
    with context.waiting(link):
        status = await wait_for_results(api, context, link, await api.submit_run(command), timeout_s)
    if status.results is not None and params.item_labels:
        labels = params.item_labels
        labelled = [msgspec.structs.replace(result, item_label=labels[result.item_index]) for result in status.results]
        status = replace(status, results=labelled)
    return await answer_status(api, context, status, namespace=link.namespace)


async def wait_for_results(
    api: RunPort, context: RequestContext, link: RequestLink, submitted: RunStatus, timeout_s: float | None
) -> RunStatus:
    """The run that was just submitted, at its end or as it stands when the time is over, with results by index as far as the
    answer can hold them."""
    keep_bytes = max_result_bytes(context)
    run_id = submitted.run_id
    waited = await wait_for_run(
        api,
        run_id,
        namespace=link.namespace,
        task_token=link.task_token,
        timeout_s=timeout_s,
        keep_bytes=keep_bytes,
        known=submitted,
    )
    if waited.has_results:
        return waited.fold.snapshot(order=ResultOrder.BY_INDEX)
    return await api.get_run(run_id, namespace=link.namespace, order=ResultOrder.BY_INDEX, max_bytes=keep_bytes)


async def get(api: RunPort, context: RequestContext, params: GetParams) -> bytes:
    """RunStatus, now or at the run's end. Results: as `includeResults` says; unsaid, a wait includes them."""
    link = context.link(params.origin)
    timeout_s = finite("timeoutSecs", params.timeout_secs)
    if params.wait:
        with context.waiting(link):
            await wait_for_run(
                api, params.run_id, namespace=link.namespace, task_token=link.task_token, timeout_s=timeout_s, keep_bytes=0
            )
    includes_results = params.wait if params.include_results is None else params.include_results
    after = params.after_item_index
    status = await api.get_run(
        params.run_id,
        namespace=link.namespace,
        order=params.result_order if includes_results else None,
        after_item_index=after,
        limit=params.limit,
        max_bytes=max_result_bytes(context),
    )
    if not includes_results:
        status = replace(status, results=None, results_omitted=None)
    is_page = after is not None or params.limit is not None
    return await answer_status(api, context, status, namespace=link.namespace, is_page=is_page)


async def watch(api: RunPort, context: RequestContext, params: WatchParams) -> bytes:
    """`runs/event` notifications as items complete, from a cursor on; at the run's end RunStatus without results."""
    link = context.link(params.origin)
    head = b'{"watchId":%b,"runId":%b' % (_text(context.request_id), _text(params.run_id))
    max_bytes = min(MAX_EVENT_BYTES, context.max_answer_bytes // 2)
    with context.waiting(link):
        stream = await api.watch_run(
            params.run_id, namespace=link.namespace, after_seq=params.after_seq, results_only=True, task_token=link.task_token
        )
        try:
            while (batch := await stream.next_batch()) is not None:
                for cursor, items in _events(batch.rows, params.after_seq, max_bytes):
                    await context.wait_writable()
                    context.notify("runs/event", head + b',"cursor":%d,"items":[%b]}' % (cursor, b",".join(items)))
            await stream.wait_for_slot()
        finally:
            await stream.aclose()
    status = await api.get_run(params.run_id, namespace=link.namespace, max_bytes=0)
    return encode_status(context.dialect, replace(status, results=None, results_omitted=None))


def _events(rows: Sequence[bytes], after_seq: int, max_bytes: int) -> list[tuple[int, list[bytes]]]:
    """Item results behind the cursor in messages of at most `max_bytes`, each with the cursor behind it."""
    messages: list[tuple[int, list[bytes]]] = []
    items: list[bytes] = []
    size = cursor = 0
    for segment in decode_rows(b"".join(rows)):
        for seq, event in enumerate(segment.events, segment.first_seq):
            if type(event) is not ItemCompleted or seq <= after_seq:
                continue
            item = item_result_to_wire(
                ItemResult(event.item_index, event.outcome, event.payload, segment.recorded_at_us, event.is_blob)
            )
            if items and size + len(item) > max_bytes:
                messages.append((cursor, items))
                items, size = [], 0
            items.append(item)
            size += len(item) + 1
            cursor = seq
    if items:
        messages.append((cursor, items))
    return messages


async def cancel(api: RunPort, context: RequestContext, params: CancelParams) -> bytes:
    """RunStatus, and how many executions were not confirmed as stopped."""
    link = context.link(params.origin)
    status, unconfirmed = await api.cancel_run(params.run_id, namespace=link.namespace, reason=params.reason)
    return encode_status(context.dialect, replace(status, results=None))[:-1] + b',"unconfirmed":%d}' % unconfirmed
