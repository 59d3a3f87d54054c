"""What the JSON face answers: the table that requests are served by and the OpenAPI document is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from gateway.methods.wire import CancelParams, GetParams, PutBlobParams, SubmitParams
from gateway.web import blobs, components, events, flows, runs
from gateway.web.parameters import (
    BlobParams,
    ComponentParams,
    EventsParams,
    FlowParams,
    ListItemsParams,
    ListRunsParams,
    NoParams,
    PageParams,
    RetryParams,
    RunParams,
    StoreFlowParams,
)
from gateway.web.request import Answer, WebRequest


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Attributes:
        path: parameters of `params` stand in it in braces.
        body: where the other parameters are: in the query (`none`, and the body is not read, or `document`, `octets`: it is
            something else), or in the JSON object that is the body (`members`).
        result: name of the answer's shape; None: an answer without a body. `media`: of the answer.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    params: type[msgspec.Struct]
    handle: Callable[[WebRequest], Awaitable[Answer | None]]
    result: str | None
    summary: str
    body: Literal["none", "members", "document"] = "none"
    media: str = "application/json"


async def _openapi(_request: WebRequest) -> Answer:
    from gateway.web.openapi import openapi_page  # made on demand: nearly nobody asks

    return Answer(openapi_page())


OPERATIONS: Final = (
    Operation(
        "submitRun", "POST", "/v1/runs", SubmitParams, runs.submit, "RunStatus", "Start a run of a stored flow.", "members"
    ),
    Operation("listRuns", "GET", "/v1/runs", ListRunsParams, runs.list_runs, "RunPage", "Runs, newest first."),
    Operation("getRun", "GET", "/v1/runs/{runId}", GetParams, runs.get, "RunStatus", "How a run stands, and its results."),
    Operation("deleteRun", "DELETE", "/v1/runs/{runId}", RunParams, runs.delete, None, "Delete a finished run."),
    Operation(
        "listRunItems", "GET", "/v1/runs/{runId}/items", ListItemsParams, runs.list_items, "ItemPage", "Item results of a run."
    ),
    Operation(
        "watchRun",
        "GET",
        "/v1/runs/{runId}/events",
        EventsParams,
        events.stream,
        "Events",
        "Item results as they complete, then the run's status, as server-sent events; Last-Event-ID resumes.",
        media="text/event-stream",
    ),
    Operation(
        "cancelRun",
        "POST",
        "/v1/runs/{runId}/cancel",
        CancelParams,
        runs.cancel,
        "RunStatus",
        "Cancel a run; durable when answered.",
        "members",
    ),
    Operation(
        "retryRun",
        "POST",
        "/v1/runs/{runId}/retry",
        RetryParams,
        runs.retry,
        "RunStatus",
        "The items of a finished run that failed, as a new run.",
        "members",
    ),
    Operation(
        "storeFlow",
        "POST",
        "/v1/flows",
        StoreFlowParams,
        flows.store,
        "StoredFlow",
        "Check a flow and store it; the body is its document, JSON or YAML.",
        "document",
    ),
    Operation("listFlows", "GET", "/v1/flows", PageParams, flows.list_flows, "FlowPage", "Stored flows."),
    Operation("getFlow", "GET", "/v1/flows/{flowId}", FlowParams, flows.get, "Flow", "A stored flow."),
    Operation("deleteFlow", "DELETE", "/v1/flows/{flowId}", FlowParams, flows.delete, None, "Delete a flow."),
    Operation(
        "getFlowVariables",
        "GET",
        "/v1/flows/{flowId}/variables",
        FlowParams,
        flows.variables,
        "JsonSchema",
        "The JSON Schema of a flow's variables.",
    ),
    Operation(
        "putBlob",
        "POST",
        "/v1/blobs",
        PutBlobParams,
        blobs.put,
        "BlobId",
        "Store a value; its id is made of its content. A body of type application/octet-stream is stored as it is.",
        "members",
    ),
    Operation("getBlob", "GET", "/v1/blobs/{blobId}", BlobParams, blobs.get, "Blob", "Read a stored value."),
    Operation(
        "readBlob",
        "GET",
        "/v1/blobs/{blobId}/content",
        BlobParams,
        blobs.content,
        "Octets",
        "The bytes of a blob, of any size.",
        media="application/octet-stream",
    ),
    Operation(
        "listComponents",
        "GET",
        "/v1/components",
        NoParams,
        components.list_components,
        "ComponentList",
        "Components that the routes reach, and their servers.",
    ),
    Operation(
        "getComponent", "GET", "/v1/components/{path...}", ComponentParams, components.get, "ComponentAnswer", "One component."
    ),
    Operation("getOpenapi", "GET", "/v1/openapi.json", NoParams, _openapi, "OpenApi", "This document; no token is asked for."),
)

PUBLIC: Final = frozenset({"getOpenapi"})
"""Operations that are the same for everybody, and need no token."""
