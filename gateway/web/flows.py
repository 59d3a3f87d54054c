"""`/v1/flows`: storing and reading flows."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flowspan.errors import FlowspanError, InvalidArgumentError, Reason
from gateway.grpc_server.limits import MAX_DIAGNOSTICS, MAX_FLOW_BYTES, MAX_SMALL_BLOB_BYTES
from gateway.grpc_server.requests import read_page_size, read_page_token
from gateway.web.parameters import FlowParams, PageParams, StoreFlowParams
from gateway.web.request import Answer, WebRequest
from gateway.web.runs import next_page
from runtime_core.api import FlowDocument
from runtime_core.model.ids import parse_blob_id

_text = msgspec.json.encode
_IS_YAML: Final = {
    "application/json": False,
    "application/yaml": True,
    "application/x-yaml": True,
    "text/yaml": True,
}
"""Other types say nothing; the document does."""


async def store(request: WebRequest) -> Answer:
    """`{"flowId"?, "flowName"?, "diagnostics": [...]}` of the flow in the body, JSON or YAML."""
    params = request.parameters(StoreFlowParams)
    document = await request.exchange.body(MAX_FLOW_BYTES)
    if not document:
        raise InvalidArgumentError("the body must hold the flow, as JSON or YAML", field="document")
    stored = await request.faces.submissions.finish(
        request.api.store_flow(
            document,
            namespace=request.call.namespace,
            is_yaml=_IS_YAML.get(request.exchange.content_type()),
            dry_run=params.dry_run,
        )
    )
    answer: dict[str, Any] = _named(stored.flow_id, stored.flow_name)
    answer["diagnostics"] = list(stored.diagnostics[:MAX_DIAGNOSTICS])
    return Answer(_text(answer))


async def get(request: WebRequest) -> Answer:
    """`{"flowId", "flowName"?, "document"}`"""
    flow = await _flow(request)
    if len(flow.document) > MAX_SMALL_BLOB_BYTES:
        raise FlowspanError(
            f"the flow has {len(flow.document)} bytes; read it at /v1/blobs/{flow.flow_id}/content", reason=Reason.QUOTA_EXCEEDED
        )
    return Answer(b'%b,"document":%b}' % (_text(_named(flow.flow_id, flow.flow_name))[:-1], flow.document))


async def variables(request: WebRequest) -> Answer:
    """The JSON Schema of the flow's variables."""
    return Answer((await _flow(request)).variables_schema)


async def list_flows(request: WebRequest) -> Answer:
    """`{"flows": [{"flowId", "flowName"?}], "nextPageToken"?}`"""
    params = request.parameters(PageParams)
    flows, token = await request.api.list_flows(
        namespace=request.call.namespace,
        page_size=read_page_size(params.page_size),
        page_token=read_page_token(params.page_token),
    )
    listed = [_named(flow.flow_id, flow.flow_name) for flow in flows]
    return Answer(b'{"flows":%b%b}' % (_text(listed), next_page(token)))


async def delete(request: WebRequest) -> Answer:
    """Nothing; the flow is gone."""
    flow_id = parse_blob_id(request.parameters(FlowParams).flow_id, field="flowId")
    await request.faces.submissions.finish(request.api.delete_flow(flow_id, namespace=request.call.namespace))
    return Answer(b"", 204)


async def _flow(request: WebRequest) -> FlowDocument:
    flow_id = parse_blob_id(request.parameters(FlowParams).flow_id, field="flowId")
    return await request.api.get_flow(flow_id, namespace=request.call.namespace)


def _named(flow_id: str, flow_name: str | None) -> dict[str, Any]:
    return {
        **({"flowId": flow_id} if flow_id else {}),
        **({"flowName": flow_name} if flow_name is not None else {}),
    }
