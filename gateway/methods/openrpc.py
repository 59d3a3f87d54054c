"""The OpenRPC document of what component servers may ask, made of the models that check the requests."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flowspan.errors import ERROR_TABLE
from gateway.methods.table import METHODS

OPENRPC_VERSION: Final = "1.3.2"
_REF: Final = "#/components/schemas/{name}"

_STRING: Final[dict[str, Any]] = {"type": "string"}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_NUMBER: Final[dict[str, Any]] = {"type": "number", "minimum": 0}
_TIME: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


_FLOW_ERROR: Final = _object({"code": _STRING, "message": _STRING}, {"data": {}})
RESULT_SCHEMAS: Final[dict[str, Any]] = {
    "FlowResult": {
        "oneOf": [
            _object({"outcome": {"const": "success"}}, {"value": {}, "blobId": _STRING}),
            _object({"outcome": {"const": "failed"}}, {"error": _FLOW_ERROR, "blobId": _STRING}),
            _object({"outcome": {"const": "skipped"}}, {"reason": _STRING}),
        ]
    },
    "ItemResult": _object(
        {"itemIndex": _COUNT, "result": {"$ref": _REF.format(name="FlowResult")}, "completedAt": _TIME},
        {"itemLabel": _STRING, "sourceItemIndex": _COUNT},
    ),
    "RunStatus": _object(
        {
            "runId": _STRING,
            "flowId": _STRING,
            "status": {"enum": ["pending", "running", "success", "failed", "cancelled"]},
            "items": _object(dict.fromkeys(("total", "pending", "running", "success", "failed", "cancelled"), _COUNT)),
            "createdAt": _TIME,
        },
        {
            "flowName": _STRING,
            "flowLabel": _STRING,
            "completedAt": _TIME,
            "results": {"type": "array", "items": {"$ref": _REF.format(name="ItemResult")}},
            "resultsOmitted": _object(dict.fromkeys(("count", "bytes", "limit", "next"), _COUNT)),
            "asOfSeq": _COUNT,
            "rootRunId": _STRING,
            "parentRunId": _STRING,
            "sourceRunId": _STRING,
            "metadata": {"type": "object", "additionalProperties": _STRING},
            "effectiveMaxConcurrency": _COUNT,
            "cancelReason": _STRING,
            "unconfirmed": _COUNT,
            "progress": _object(
                {"ratePerSecond": _NUMBER}, {"etaSeconds": _NUMBER, "waitingFor": {"type": "array", "items": _STRING}}
            ),
        },
    ),
    "BlobId": _object({"blob_id": _STRING}, {"blobId": _STRING}),
    "Blob": _object({"data": {}, "blob_type": {"enum": ["data", "flow", "binary"]}}),
    "Evaluation": _object({"result": {}}),
    "BatchId": _object({"batch_id": _STRING, "total_runs": _COUNT}),
    "Batch": _object({"details": {"type": "object"}}, {"outputs": {"type": "array"}}),
    "FlowMetadata": _object({"flow_metadata": {"type": "object"}}, {"step_metadata": {"type": "object"}}),
}


def openrpc_document(version: str) -> dict[str, Any]:
    """The document; equal input gives equal output, so that it can be committed and compared."""
    _, schemas = msgspec.json.schema_components([method.params for method in METHODS.values()], ref_template=_REF)
    methods = []
    for name, method in METHODS.items():
        described = schemas[method.params.__name__]
        required = set(described.get("required", ()))
        methods.append(
            {
                "name": name,
                "summary": method.summary,
                "paramStructure": "by-name",
                "params": [
                    {"name": member, "required": member in required, "schema": schema}
                    # OpenRPC wants those that are required first.
                    for member, schema in sorted(described["properties"].items(), key=lambda pair: pair[0] not in required)
                ],
                "result": {"name": method.result, "schema": {"$ref": _REF.format(name=method.result)}},
            }
        )
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {"title": "Flowspan for component servers", "version": version},
        "methods": methods,
        "components": {
            "schemas": {**schemas, **RESULT_SCHEMAS},
            "errors": {
                reason.value: {"code": row.jsonrpc, "message": row.meaning, "data": {"reason": reason.value}}
                for reason, row in ERROR_TABLE.items()
            },
        },
    }
