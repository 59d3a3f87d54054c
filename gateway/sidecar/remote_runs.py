"""The run API of a remote gateway as the methods of component servers use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flowspan.client import AsyncClient, RawJson
from flowspan.client.submission import is_flow_id
from flowspan.errors import InvalidArgumentError
from flowspan.protobuf.convert import result_order_to_number, run_status_from_message
from flowspan.v1.run_service_pb2 import CancelRunRequest, GetRunRequest, WatchOptions
from flowspan.view.status import ResultOrder, RunStatus
from gateway.sidecar.remote_watch import RemoteWatch
from gateway.sidecar.waits import Waits
from runtime_core.api import FlowDocument, SubmitRun
from runtime_core.ports import StoredBlob

_NO_SCHEMA: Final = b"{}"


class RemoteRuns:
    """`gateway.methods.run_port.RunPort`. Rights are those of the task token; namespaces are the remote gateway's business.

    Args:
        guess_token: of some open execution. A request of an older server may not say whose it is; what it submits is linked to
            one of them all the same, so that nesting is bounded and a wait gives a slot back, but outlives that one's run.
    """

    def __init__(self, client: AsyncClient, waits: Waits, guess_token: Callable[[], str | None]) -> None:
        self._client = client
        self._waits = waits
        self._guess_token = guess_token

    async def submit_run(self, command: SubmitRun) -> RunStatus:
        if not is_flow_id(command.flow_id):
            raise InvalidArgumentError("flowId must be sha256: and 64 hexadecimal digits", field="flowId")
        token = command.task_token or self._guess_token()
        return await self._client.submit(
            command.flow_id,
            [RawJson(value) for value in command.inputs],
            max_concurrency=command.max_concurrency,
            overrides=_raw(command.overrides),
            variables=_raw(command.variables),
            label=command.flow_label,
            metadata=command.metadata,
            item_labels=command.item_labels,
            deadline_s=command.deadline_s,
            detached=command.detached or command.task_token is None,
            request_id=command.request_id,
            task_token=token,
            traceparent=command.traceparent,
        )

    async def watch_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        after_seq: int = 0,
        results_only: bool = False,
        omit_payloads: bool = False,
        task_token: str | None = None,
    ) -> RemoteWatch:
        token = task_token or self._guess_token() or ""
        options = WatchOptions(results_only=results_only, omit_payloads=omit_payloads, task_token=token)
        return RemoteWatch(self._client.connection, run_id, after_seq, options, None if task_token is None else self._waits)

    async def get_run(
        self,
        run_id: str,
        *,
        namespace: str = "default",
        order: ResultOrder | None = None,
        after_item_index: int | None = None,
        limit: int | None = None,
        max_bytes: int,
    ) -> RunStatus:
        with_results = order is not None and max_bytes > 0
        request = GetRunRequest(
            run_id=run_id,
            include_results=with_results,
            result_order=result_order_to_number(order or ResultOrder.BY_INDEX),
            after_item_index=after_item_index,
            limit=limit or 0,
        )
        answer = await self._client.connection.unary(self._client.raw.runs.GetRun, request)
        return run_status_from_message(answer.run, with_results=with_results)

    async def cancel_run(self, run_id: str, *, namespace: str = "default", reason: str = "") -> tuple[RunStatus, int]:
        request = CancelRunRequest(run_id=run_id, reason=reason)
        answer = await self._client.connection.unary(self._client.raw.runs.CancelRun, request)
        return run_status_from_message(answer.run), answer.unconfirmed_executions

    async def get_flow(self, flow_id: str, *, namespace: str = "default") -> FlowDocument:
        flow = await self._client.get_flow(flow_id)
        return FlowDocument(flow.flow_id, flow.flow_name, flow.json, _NO_SCHEMA)

    async def put_blob(self, data: bytes, *, namespace: str = "default", blob_type: str = "data") -> str:
        return await self._client.put_blob(data if blob_type == "binary" else RawJson(data), blob_type)

    async def get_blob(self, blob_id: str, *, namespace: str = "default") -> StoredBlob:
        blob_type, data = await self._client.read_blob(blob_id)
        return StoredBlob(blob_id, blob_type, data)


def _raw(value: bytes | None) -> Any:
    """JSON as it stands, where the client takes values."""
    return None if value is None else RawJson(value)
