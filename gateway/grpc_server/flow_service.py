"""FlowService: storing and reading flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor

from flowspan.errors import InvalidArgumentError, LimitExceededError
from flowspan.protobuf.convert import JsonValue
from flowspan.v1 import flow_service_pb2 as pb
from gateway.grpc_server.call import Call
from gateway.grpc_server.limits import MAX_DIAGNOSTICS, MAX_FLOW_BYTES, MAX_SMALL_BLOB_BYTES
from gateway.grpc_server.requests import read_page_size, read_page_token
from gateway.grpc_server.submissions import Submissions
from runtime_core.api import RuntimeApi
from runtime_core.model.ids import parse_blob_id

_IS_YAML: Final[dict[int, bool | None]] = {
    pb.DOCUMENT_FORMAT_UNSPECIFIED: None,
    pb.DOCUMENT_FORMAT_JSON: False,
    pb.DOCUMENT_FORMAT_YAML: True,
}
_LEVELS: Final[dict[object, pb.DiagnosticLevel.ValueType]] = {
    "warning": pb.DIAGNOSTIC_LEVEL_WARNING,
    "error": pb.DIAGNOSTIC_LEVEL_ERROR,
    "fatal": pb.DIAGNOSTIC_LEVEL_FATAL,
}


def diagnostic_to_message(diagnostic: dict[str, object]) -> pb.Diagnostic:
    """A diagnostic as in `runtime_core.api.StoredFlow`; members that are missing or unknown are left at their zero."""
    return pb.Diagnostic(
        kind=str(diagnostic.get("kind", "")),
        code=_number(diagnostic.get("code")),
        level=_LEVELS.get(diagnostic.get("level"), pb.DIAGNOSTIC_LEVEL_UNSPECIFIED),
        message=str(diagnostic.get("message", "")),
        path=str(diagnostic.get("path") or ""),
        line=_number(diagnostic.get("line")),
        column=_number(diagnostic.get("column")),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 32 else 0


class FlowService:
    """The methods of `flowspan.v1.FlowService`, over the core."""

    descriptor: Final[ServiceDescriptor] = pb.DESCRIPTOR.services_by_name["FlowService"]

    def __init__(self, api: RuntimeApi, submissions: Submissions) -> None:
        self._api: Final = api
        self._submissions: Final = submissions

    async def StoreFlow(self, request: pb.StoreFlowRequest, call: Call) -> pb.StoreFlowResponse:
        if request.format not in _IS_YAML:
            raise InvalidArgumentError(f"format has no value {request.format}; it has 1 (JSON), 2 (YAML)", field="format")
        if len(request.document) > MAX_FLOW_BYTES:
            raise LimitExceededError(
                f"the document has {len(request.document)} bytes, a flow has at most {MAX_FLOW_BYTES}",
                field="document",
                limit="flow",
                max=MAX_FLOW_BYTES,
                actual=len(request.document),
            )
        stored = await self._submissions.finish(
            self._api.store_flow(
                request.document, namespace=call.namespace, is_yaml=_IS_YAML[request.format], dry_run=request.dry_run
            )
        )
        diagnostics: Sequence[dict[str, object]] = stored.diagnostics[:MAX_DIAGNOSTICS]
        return pb.StoreFlowResponse(
            flow_id=stored.flow_id,
            flow_name=stored.flow_name,
            diagnostics=[diagnostic_to_message(diagnostic) for diagnostic in diagnostics],
        )

    async def GetFlow(self, request: pb.GetFlowRequest, call: Call) -> pb.GetFlowResponse:
        flow = await self._api.get_flow(parse_blob_id(request.flow_id, field="flowId"), namespace=call.namespace)
        # A document that does not fit is named: ReadBlob streams it.
        is_large = len(flow.document) > MAX_SMALL_BLOB_BYTES
        document = JsonValue(blob_id=flow.flow_id) if is_large else JsonValue(json=flow.document)
        return pb.GetFlowResponse(flow_id=flow.flow_id, document=document, flow_name=flow.flow_name)

    async def ListFlows(self, request: pb.ListFlowsRequest, call: Call) -> pb.ListFlowsResponse:
        flows, next_page_token = await self._api.list_flows(
            namespace=call.namespace,
            page_size=read_page_size(request.page_size),
            page_token=read_page_token(request.page_token),
        )
        return pb.ListFlowsResponse(
            flows=[pb.FlowSummary(flow_id=flow.flow_id, flow_name=flow.flow_name) for flow in flows],
            next_page_token=next_page_token or "",
        )

    async def GetFlowVariables(self, request: pb.GetFlowVariablesRequest, call: Call) -> pb.GetFlowVariablesResponse:
        flow = await self._api.get_flow(parse_blob_id(request.flow_id, field="flowId"), namespace=call.namespace)
        return pb.GetFlowVariablesResponse(schema=JsonValue(json=flow.variables_schema))

    async def DeleteFlow(self, request: pb.DeleteFlowRequest, call: Call) -> pb.DeleteFlowResponse:
        flow_id = parse_blob_id(request.flow_id, field="flowId")
        await self._submissions.finish(self._api.delete_flow(flow_id, namespace=call.namespace))
        return pb.DeleteFlowResponse()
