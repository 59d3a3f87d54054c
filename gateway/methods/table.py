"""Which methods there are, and what they take: the table that requests are served by and the documentation is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from flowspan.jsonrpc import method_not_found
from gateway.methods import batches, blobs, runs, wire
from gateway.methods.context import RequestContext
from gateway.methods.run_port import RunPort


@dataclass(frozen=True, slots=True)
class Method:
    """One method. `handle`: api, context, checked params to the result's JSON. `result`: name of its shape in the document."""

    params: type[wire.FromExecution]
    handle: Callable[[RunPort, RequestContext, Any], Awaitable[bytes]]
    result: str
    summary: str


METHODS: Final[dict[str, Method]] = {
    "runs/submit": Method(wire.SubmitParams, runs.submit, "RunStatus", "Start a run of a stored flow."),
    "runs/get": Method(wire.GetParams, runs.get, "RunStatus", "How a run stands, and its results."),
    "runs/watch": Method(wire.WatchParams, runs.watch, "RunStatus", "Items as they complete, in runs/event notifications."),
    "runs/cancel": Method(wire.CancelParams, runs.cancel, "RunStatus", "Cancel a run; durable when answered."),
    "blobs/put": Method(wire.PutBlobParams, blobs.put, "BlobId", "Store a value; its id is made of its content."),
    "blobs/get": Method(wire.GetBlobParams, blobs.get, "Blob", "Read a stored value."),
    "flows/evaluate": Method(wire.EvaluateParams, batches.evaluate, "Evaluation", "One input through a flow (older servers)."),
    "flows/submit_batch": Method(wire.SubmitBatchParams, batches.submit_batch, "BatchId", "A run under its older name."),
    "flows/get_batch": Method(wire.GetBatchParams, batches.get_batch, "Batch", "A run's status under its older name."),
    "flows/get_metadata": Method(wire.FlowMetadataParams, batches.get_metadata, "FlowMetadata", "Metadata of a stored flow."),
}


class MethodTable:
    """Serves the requests of component servers. `api`: gives the core; asked at each request, since both know each other."""

    def __init__(self, api: Callable[[], RunPort]) -> None:
        self._api = api

    async def handle(self, context: RequestContext, method: str, params: bytes) -> bytes:
        """The result's JSON. `params`: a JSON object.

        Raises:
            FlowspanError: the error to be answered; any other exception is a bug.
        """
        known = METHODS.get(method)
        if known is None:
            raise method_not_found(method)
        return await known.handle(self._api(), context, wire.read_params(known.params, params))
