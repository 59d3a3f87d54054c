"""`/v1/runs`: submitting, asking, listing, ending. What component servers may ask too is served by the same handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from flowspan.errors import InvalidArgumentError
from flowspan.jsonrpc import check_payload
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.status import RunStatus
from flowspan.view.wire import item_results_to_wire, run_status_to_wire
from gateway.grpc_server.limits import (
    DEFAULT_ITEM_PAGE_SIZE,
    MAX_ITEM_PAGE_SIZE,
    MAX_LABEL_BYTES,
    MAX_REASON_BYTES,
)
from gateway.grpc_server.requests import (
    check_inputs,
    check_text,
    read_metadata,
    read_page_size,
    read_page_token,
    read_request_id,
)
from gateway.methods import runs
from gateway.methods.wire import CancelParams, GetParams, SubmitParams
from gateway.web.exchange import CallerGone
from gateway.web.limits import MAX_ANSWER_BYTES
from gateway.web.parameters import ListItemsParams, ListRunsParams, RetryParams, RunParams
from gateway.web.presence import while_connected
from gateway.web.request import Answer, WebRequest
from runtime_core.model.ids import parse_blob_id, parse_run_id
from runtime_core.ports import RunFilter

NamedT = TypeVar("NamedT")

_text = msgspec.json.encode
_STATUSES: Final = {code.wire_name: code for code in RunStatusCode}
_OUTCOMES: Final = {outcome.name.lower(): outcome for outcome in Outcome}
_SMALLEST_PAGE_BYTES: Final = 1 << 10


async def submit(request: WebRequest) -> Answer:
    """RunStatus; with `wait` at the run's end, with results."""
    params = await request.members(SubmitParams)
    params.flow_id = parse_blob_id(params.flow_id, field="flowId")
    check_inputs([bytes(value) for value in params.inputs], 0)
    for value in (params.overrides, params.variables):
        if value:
            check_payload(bytes(value))
    read_metadata(params.metadata)
    for position, label in enumerate(params.item_labels):
        check_text(label, MAX_LABEL_BYTES, f"itemLabels[{position}]")
    if params.item_labels and len(params.item_labels) != len(params.inputs):
        raise InvalidArgumentError(
            f"itemLabels has {len(params.item_labels)} entries for {len(params.inputs)} items; give one per item, or none",
            field="itemLabels",
        )
    params.request_id = _request_id(request, params.request_id)
    return await _finished(request, runs.submit(request.api, request.context, params), waits=params.wait)


async def get(request: WebRequest) -> Answer:
    """RunStatus, now or at the run's end."""
    params = request.parameters(GetParams)
    params.run_id = parse_run_id(params.run_id)
    params.task_token = request.call.task_token
    return await _finished(request, runs.get(request.api, request.context, params), waits=params.wait)


async def cancel(request: WebRequest) -> Answer:
    """RunStatus, and how many executions were not confirmed as stopped."""
    params = await request.members(CancelParams)
    params.run_id = parse_run_id(params.run_id)
    check_text(params.reason, MAX_REASON_BYTES, "reason")
    return await _finished(request, runs.cancel(request.api, request.context, params), waits=False)


async def retry(request: WebRequest) -> Answer:
    """RunStatus of the new run."""
    params = await request.members(RetryParams)
    again = request.api.retry_run(
        parse_run_id(params.run_id),
        namespace=request.call.namespace,
        item_indexes=tuple(dict.fromkeys(params.item_indexes)),
        request_id=_request_id(request, params.request_id),
        max_concurrency=params.max_concurrency,
    )
    return Answer(run_status_to_wire(_without_results(await request.faces.submissions.finish(again))))


async def delete(request: WebRequest) -> Answer:
    """Nothing; the run and what belongs to it are gone."""
    run_id = parse_run_id(request.parameters(RunParams).run_id)
    await request.faces.submissions.finish(request.api.delete_run(run_id, namespace=request.call.namespace))
    return Answer(b"", 204)


async def list_runs(request: WebRequest) -> Answer:
    """`{"runs": [RunStatus], "nextPageToken"?}`"""
    params = request.parameters(ListRunsParams)
    run_filter = RunFilter(
        namespace=request.call.namespace,
        statuses=tuple({_named(_STATUSES, word, "status"): None for word in params.status}),
        flow_id=parse_blob_id(params.flow_id, field="flowId") if params.flow_id else None,
        flow_label=params.flow_label or None,
        metadata=read_metadata(params.metadata),
        created_from_us=_us(params.created_after),
        created_before_us=_us(params.created_before),
        parent_run_id=parse_run_id(params.parent_run_id, field="parentRunId") if params.parent_run_id else None,
        root_run_id=parse_run_id(params.root_run_id, field="rootRunId") if params.root_run_id else None,
    )
    page_size, page_token = read_page_size(params.page_size), read_page_token(params.page_token)

    async def page(max_bytes: int) -> bytes:
        size = max(1, page_size * max_bytes // MAX_ANSWER_BYTES)
        found = await request.api.list_runs(run_filter, page_size=size, page_token=page_token)
        return b'{"runs":[%b]%b}' % (b",".join(map(run_status_to_wire, found.runs)), next_page(found.next_page_token))

    return Answer(await fitting(page))


async def list_items(request: WebRequest) -> Answer:
    """`{"items": [item result], "nextPageToken"?}`"""
    params = request.parameters(ListItemsParams)
    run_id = parse_run_id(params.run_id)
    outcomes = frozenset(_named(_OUTCOMES, word, "outcome") for word in params.outcome)
    page_size = read_page_size(params.page_size, default=DEFAULT_ITEM_PAGE_SIZE, maximum=MAX_ITEM_PAGE_SIZE)
    page_token = read_page_token(params.page_token)

    async def page(max_bytes: int) -> bytes:
        found = await request.api.list_run_items(
            run_id,
            namespace=request.call.namespace,
            order=params.result_order,
            outcomes=outcomes,
            page_size=max(1, page_size * max_bytes // MAX_ANSWER_BYTES),
            page_token=page_token,
            after_item_index=params.after_item_index,
            merged=params.merged,
            max_bytes=max_bytes,
        )
        return b'{"items":%b%b}' % (item_results_to_wire(found.items), next_page(found.next_page_token))

    return Answer(await fitting(page))


# --- what several need ------------------------------------------------------------------------------------------------


def next_page(token: str | None) -> bytes:
    """The member `nextPageToken`, where there is a next page."""
    return b',"nextPageToken":' + _text(token) if token else b""


async def fitting(page: Callable[[int], Awaitable[bytes]]) -> bytes:
    """The first page that fits an answer, asking for half as much each time: the core counts payload, not framing."""
    max_bytes = MAX_ANSWER_BYTES
    body = await page(max_bytes)
    while len(body) > MAX_ANSWER_BYTES and max_bytes > _SMALLEST_PAGE_BYTES:
        max_bytes //= 2
        body = await page(max_bytes)
    return body


async def _finished(request: WebRequest, work: Coroutine[Any, Any, bytes], *, waits: bool) -> Answer:
    """What waits ends with its caller; what does not is done, whatever becomes of its caller."""
    if not waits:
        return Answer(await request.faces.submissions.finish(work))
    body = b""

    async def wait() -> None:
        nonlocal body
        body = await work

    try:
        if not await while_connected(request.exchange, wait()):
            raise CallerGone
    finally:
        work.close()  # it may never have begun
    return Answer(body)


def _request_id(request: WebRequest, given: str | None) -> str | None:
    """From the body, or from the header that other HTTP interfaces have for it."""
    header = request.exchange.headers.get("idempotency-key")
    if header and given and header != given:
        raise InvalidArgumentError("requestId and the header Idempotency-Key differ; give one of them", field="requestId")
    return read_request_id(given or header or "")


def _named(words: dict[str, NamedT], word: str, field: str) -> NamedT:
    try:
        return words[word]
    except KeyError:
        raise InvalidArgumentError(f"{field} has no value {word[:80]!r}; it has {', '.join(words)}", field=field) from None


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1_000_000)


def _without_results(status: RunStatus) -> RunStatus:
    return replace(status, results=None, results_omitted=None)
