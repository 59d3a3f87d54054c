"""The OpenAPI document of the JSON face, made of the table that serves it and the models that check it."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from flowspan.errors import ERROR_TABLE, HTTP_STATUS
from gateway.methods.openrpc import RESULT_SCHEMAS
from gateway.web.operations import OPERATIONS, PUBLIC, Operation

OPENAPI_VERSION: Final = "3.1.0"
API_VERSION: Final = "1"
_REF: Final = "#/components/schemas/{name}"
_IN_PATH: Final = re.compile(r"\{([A-Za-z]+)(?:\.\.\.)?\}")
_HEADERS: Final = ("taskToken", "observability")
"""Members that callers over HTTP send as headers."""


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(name=name)}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _ref(name)}


_STRING: Final[dict[str, Any]] = {"type": "string"}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_NEXT: Final[dict[str, Any]] = {"nextPageToken": _STRING}
_SCHEMAS: Final[dict[str, Any]] = {
    **{name: RESULT_SCHEMAS[name] for name in ("FlowResult", "ItemResult", "RunStatus", "BlobId", "Blob")},
    "RunPage": _object({"runs": _list("RunStatus")}, _NEXT),
    "ItemPage": _object({"items": _list("ItemResult")}, _NEXT),
    "Events": {
        "type": "string",
        "description": "Events `result` (data: ItemResult), with the cursor as id; then one `status` (data: RunStatus). "
        "`failure` (data: Failure) ends a stream early: ask again with Last-Event-ID.",
    },
    "Diagnostic": _object(
        {"kind": _STRING, "level": {"enum": ["warning", "error", "fatal"]}, "message": _STRING},
        {"code": {"type": "integer"}, "path": _STRING, "line": _COUNT, "column": _COUNT},
    ),
    "StoredFlow": _object({"diagnostics": _list("Diagnostic")}, {"flowId": _STRING, "flowName": _STRING}),
    "FlowSummary": _object({"flowId": _STRING}, {"flowName": _STRING}),
    "FlowPage": _object({"flows": _list("FlowSummary")}, _NEXT),
    "Flow": _object({"flowId": _STRING, "document": {"type": "object"}}, {"flowName": _STRING}),
    "FlowDocument": {"type": "object", "description": "See docs/flow.schema.json."},
    "JsonSchema": {"type": ["object", "boolean"]},
    "Octets": {"type": "string", "format": "binary"},
    "Component": _object(
        {"path": _STRING, "plugin": _STRING},
        {"description": _STRING, "inputSchema": _ref("JsonSchema"), "outputSchema": _ref("JsonSchema")},
    ),
    "Plugin": _object(
        {
            "name": _STRING,
            "type": _STRING,
            "health": {"enum": ["starting", "up", "backingOff", "circuitOpen", "broken"]},
            "detail": _STRING,
            "restarts": _COUNT,
            "capacity": _COUNT,
            "inFlight": _COUNT,
            "stderrTail": {"type": "array", "items": _STRING},
        }
    ),
    "ComponentList": _object({"components": _list("Component"), "plugins": _list("Plugin")}),
    "ComponentAnswer": _object({"component": _ref("Component")}, {"plugin": _ref("Plugin")}),
    "OpenApi": {"type": "object"},
    "Failure": _object(
        {
            "error": _object(
                {
                    "code": {"type": "integer"},
                    "message": _STRING,
                    "data": _object({"reason": {"enum": [reason.value for reason in ERROR_TABLE]}, "domain": _STRING}),
                }
            )
        }
    ),
}


def openapi_document() -> dict[str, Any]:
    """The document; it depends on nothing but the code, so that it can be committed and compared."""
    _, models = msgspec.json.schema_components([operation.params for operation in OPERATIONS], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        path = _IN_PATH.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, models)
    for model in models.values():
        for name in _HEADERS:
            model.get("properties", {}).pop(name, None)
    used = {"Failure", *(name for name in _SCHEMAS)}
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Flowspan over HTTP",
            "version": API_VERSION,
            "description": "Runs, flows, blobs and components in JSON. See docs/web.md.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**{name: schema for name, schema in models.items() if name not in used}, **_SCHEMAS},
            "responses": {
                "Failure": {
                    "description": "An error. Which status stands for which: "
                    + ", ".join(f"{code.value} {status}" for code, status in HTTP_STATUS.items()),
                    "content": {"application/json": {"schema": _ref("Failure")}},
                }
            },
        },
    }


def _described(operation: Operation, models: dict[str, Any]) -> dict[str, Any]:
    model = models[operation.params.__name__]
    in_path = _IN_PATH.findall(operation.path)
    properties: dict[str, Any] = model.get("properties", {})
    required = set(model.get("required", ()))
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": properties[name]} for name in in_path
    ]
    others = {name: schema for name, schema in properties.items() if name not in in_path and name not in _HEADERS}
    described: dict[str, Any] = {"operationId": operation.name, "summary": operation.summary}
    if operation.body == "members":
        content: dict[str, Any] = {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": others,
                    "required": [name for name in others if name in required],
                }
            }
        }
        if operation.name == "putBlob":
            content["application/octet-stream"] = {"schema": _ref("Octets")}
        described["requestBody"] = {"required": any(name in required for name in others), "content": content}
    else:
        parameters += [_in_query(name, schema, name in required) for name, schema in others.items()]
    if operation.body == "document":
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref("FlowDocument")}, "application/yaml": {"schema": _STRING}},
        }
    parameters += [_header(name, what) for name, what in _headers_of(operation)]
    if parameters:
        described["parameters"] = parameters
    if operation.result is None:
        described["responses"] = {"204": {"description": "Done."}}
    else:
        described["responses"] = {
            "200": {"description": "The answer.", "content": {operation.media: {"schema": _ref(operation.result)}}}
        }
    if operation.media == "text/event-stream":
        described["responses"]["204"] = {"description": "The run's last event is behind the cursor: there is no more."}
    if operation.name in PUBLIC:
        described["security"] = []
    described["responses"]["default"] = {"$ref": "#/components/responses/Failure"}
    return described


def _in_query(name: str, schema: dict[str, Any], is_required: bool) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": "query", "required": is_required, "schema": schema}
    if name == "metadata":
        parameter["description"] = "As metadata.KEY=value, one parameter for each."
    return parameter


def _headers_of(operation: Operation) -> list[tuple[str, str]]:
    headers = []
    if "requestId" in msgspec.json.encode(msgspec.json.schema(operation.params)).decode():
        headers.append(("Idempotency-Key", "requestId under the name that HTTP has for it."))
    if operation.media == "text/event-stream":
        headers.append(("Last-Event-ID", "The id of the last event that was seen."))
    if operation.name not in PUBLIC:
        headers.append(("Flowspan-Namespace", "Whose runs, flows and blobs; default: default."))
    if operation.name in ("submitRun", "getRun"):
        headers.append(("Flowspan-Task-Token", "The execution on whose behalf the caller acts."))
        headers.append(("traceparent", "W3C trace context."))
    return headers


def _header(name: str, what: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": what, "schema": _STRING}


def openapi_page() -> bytes:
    """The document as it is served, and as it stands in docs/protocol."""
    return (json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n").encode()
