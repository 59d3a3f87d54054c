"""`flows/*`: what servers of the older generation ask. Runs under other names; nothing here that `runs/*` could not do."""

from __future__ import annotations

from typing import Any

import msgspec

from flowspan.errors import InvalidArgumentError
from flowspan.view.status import ResultOrder
from gateway.methods.answers import all_results, max_result_bytes, read_blobs
from gateway.methods.context import RequestContext
from gateway.methods.dialect import encode_batch, encode_flow_result, full_blob_id
from gateway.methods.run_port import RunPort
from gateway.methods.runs import wait_for_results
from gateway.methods.waiting import wait_for_run
from gateway.methods.wire import (
    EvaluateParams,
    FlowMetadataParams,
    GetBatchParams,
    SubmitBatchParams,
    optional_object,
    read_inputs,
)
from runtime_core.api import SubmitRun


async def evaluate(api: RunPort, context: RequestContext, params: EvaluateParams) -> bytes:
    """`{"result": FlowResult}` of one input through a stored flow, or through one that comes along."""
    link = context.link(params.origin)
    flow = optional_object("flow", params.flow)
    if params.flow_id is not None:
        flow_id = full_blob_id(params.flow_id)
    elif flow is not None:
        flow_id = await api.put_blob(flow, namespace=link.namespace, blob_type="flow")
    else:
        raise InvalidArgumentError("params: flow_id or flow is required", field="flowId")
    command = SubmitRun(
        flow_id,
        read_inputs([params.input]),
        namespace=link.namespace,
        overrides=optional_object("overrides", params.overrides),
        task_token=link.task_token,
        unlinked_depth=link.unlinked_depth,
        traceparent=params.origin.traceparent,
        trace_id=params.origin.trace_id,
    )
    with context.waiting(link):
        status = await wait_for_results(api, context, link, await api.submit_run(command), None)
    if not status.results:
        # Cancelled before its only item began: there is a run, and no result.
        return b'{"result":{"outcome":"failed","error":{"code":-32016,"message":"the run was cancelled"}}}'
    (result,) = await read_blobs(api, status.results, link.namespace, max_result_bytes(context))
    return b'{"result":%b}' % encode_flow_result("stepflow", result, knows_skipped=True)


async def submit_batch(api: RunPort, context: RequestContext, params: SubmitBatchParams) -> bytes:
    """`{"batch_id", "total_runs"}`: a run is a batch, an item is a run."""
    link = context.link(params.origin)
    inputs = read_inputs(params.inputs)
    status = await api.submit_run(
        SubmitRun(
            full_blob_id(params.flow_id),
            inputs,
            namespace=link.namespace,
            max_concurrency=params.max_concurrency,
            overrides=optional_object("overrides", params.overrides),
            task_token=link.task_token,
            unlinked_depth=link.unlinked_depth,
            traceparent=params.origin.traceparent,
            trace_id=params.origin.trace_id,
        )
    )
    return msgspec.json.encode({"batch_id": status.run_id, "total_runs": len(inputs)})


async def get_batch(api: RunPort, context: RequestContext, params: GetBatchParams) -> bytes:
    """`{"details", "outputs"?}`."""
    link = context.link(params.origin)
    if params.wait:
        with context.waiting(link):
            await wait_for_run(
                api, params.batch_id, namespace=link.namespace, task_token=link.task_token, timeout_s=None, keep_bytes=0
            )
    order = ResultOrder.BY_INDEX if params.include_results else None
    room = max_result_bytes(context)
    status = await api.get_run(params.batch_id, namespace=link.namespace, order=order, max_bytes=room)
    if not params.include_results:
        return encode_batch(status, None)
    return encode_batch(status, await all_results(api, context, status, namespace=link.namespace))


async def get_metadata(api: RunPort, context: RequestContext, params: FlowMetadataParams) -> bytes:
    """`{"flow_metadata", "step_metadata"?}` of a stored flow."""
    link = context.link(params.origin)
    seen = params.observability
    flow_id = params.flow_id or (seen.flow_id if seen is not None else None)
    if flow_id is None:
        raise InvalidArgumentError("params: flow_id is required", field="flowId")
    flow: dict[str, Any] = msgspec.json.decode((await api.get_flow(full_blob_id(flow_id), namespace=link.namespace)).document)
    metadata = {name: flow[name] for name in ("name", "description", "version") if flow.get(name) is not None}
    answer: dict[str, Any] = {"flow_metadata": {**metadata, **(flow.get("metadata") or {})}}
    for step in flow.get("steps") or ():
        if params.step_id is not None and step.get("id") == params.step_id:
            answer["step_metadata"] = step.get("metadata") or {}
    return msgspec.json.encode(answer)
