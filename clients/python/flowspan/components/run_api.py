"""Runs and blobs over the wire, from inside an execution: parameters out, statuses and results in."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from flowspan.components.outgoing import Outgoing
from flowspan.components.run_calls import ResultOrderLike
from flowspan.components.values import encode_value
from flowspan.errors import FlowspanError, InvalidArgumentError, Reason
from flowspan.jsonrpc import decode_payload
from flowspan.view.status import ItemResult, ResultOrder, RunStatus
from flowspan.view.wire import run_status_from_wire

BINARY: Final = "binary"
WAIT_MARGIN_S: Final = 30.0
"""A wait that the gateway bounds is given up here only so much later."""

_Answer = TypeVar("_Answer")


class ExecutionIdentity(msgspec.Struct, frozen=True):
    """What links a request to the execution that makes it."""

    task_token: str | None
    observability: msgspec.Raw | None

    def members(self) -> dict[str, Any]:
        """Members that every request carries."""
        members: dict[str, Any] = {}
        if self.observability is not None:
            members["observability"] = self.observability
        if self.task_token is not None:
            members["taskToken"] = self.task_token
        return members


class _BlobId(msgspec.Struct):
    blob_id: str


class _Blob(msgspec.Struct):
    data: msgspec.Raw
    blob_type: str = "data"


class RunApi:
    """`flowspan.components.run_calls.RunCalls` in JSON-RPC."""

    def __init__(self, outgoing: Outgoing, identity: ExecutionIdentity) -> None:
        self.outgoing = outgoing
        self.identity = identity

    async def put_blob(self, data: Any, blob_type: str) -> str:
        """Store a value, or bytes as a binary blob; its id."""
        if isinstance(data, (bytes, bytearray, memoryview)):
            data, blob_type = base64.b64encode(data).decode("ascii"), BINARY
        params = self._params({"data": msgspec.Raw(encode_value(data)), "blob_type": blob_type})
        return _read(_BlobId, await self.outgoing.request("blobs/put", params), "blobs/put").blob_id

    async def get_blob(self, blob_id: str) -> Any:
        """The value of a blob; bytes for a binary one."""
        answer = await self.outgoing.request("blobs/get", self._params({"blob_id": blob_id}))
        blob = _read(_Blob, answer, "blobs/get")
        value = decode_payload(bytes(blob.data))
        return base64.b64decode(value) if blob.blob_type == BINARY and isinstance(value, str) else value

    async def submit_run(self, options: Mapping[str, Any], inputs: Sequence[Any], wait: bool) -> RunStatus:
        """`runs/submit`; `options` are its other parameters by their names on the wire, None for absent ones."""
        if isinstance(inputs, (str, bytes, Mapping)) or not isinstance(inputs, Sequence):
            inputs = _as_list(inputs)
        members = {name: _raw(value) for name, value in options.items() if value is not None}
        members["inputs"] = msgspec.Raw(encode_value(inputs))
        if wait:
            members["wait"] = True
        answer = await self._ask_for_run("runs/submit", members, wait, options.get("timeoutSecs"))
        return await self._with_all_results(answer, ResultOrder.BY_INDEX)

    async def get_run(
        self, run_id: str, wait: bool, include_results: bool | None, order: ResultOrderLike, timeout_s: float | None
    ) -> RunStatus:
        """`runs/get`, pages followed."""
        result_order = ResultOrder(order)
        members: dict[str, Any] = {"runId": run_id, "resultOrder": result_order.value}
        if wait:
            members["wait"] = True
            if timeout_s is not None:
                members["timeoutSecs"] = timeout_s
        if include_results is not None:
            members["includeResults"] = include_results
        return await self._with_all_results(await self._ask_for_run("runs/get", members, wait, timeout_s), result_order)

    async def cancel_run(self, run_id: str, reason: str | None) -> None:
        """`runs/cancel`."""
        members: dict[str, Any] = {"runId": run_id}
        if reason is not None:
            members["reason"] = reason
        await self.outgoing.request("runs/cancel", self._params(members))

    async def _ask_for_run(self, method: str, members: dict[str, Any], wait: bool, timeout_s: float | None) -> RunStatus:
        params = self._params(members)
        if not wait:
            return run_status_from_wire(await self.outgoing.request(method, params))
        bound_s = None if timeout_s is None else timeout_s + WAIT_MARGIN_S
        return run_status_from_wire(await self.outgoing.request(method, params, timeout_s=bound_s, open_ended=True))

    async def _with_all_results(self, status: RunStatus, order: ResultOrder) -> RunStatus:
        """Follow `resultsOmitted`: the results are read in pages, by index."""
        if status.results_omitted is None:
            return status
        results: list[ItemResult] = []
        page = status
        # Pages are by index, so a partial answer in another order is read anew from the beginning.
        after = -1
        if order is ResultOrder.BY_INDEX and status.results:
            results.extend(status.results)
            after = status.results_omitted.next - 1
        while page.results_omitted is not None:
            # An index, even the one before the first, or a limit asks for a page: as many results as fit.
            members = {
                "runId": status.run_id,
                "includeResults": True,
                "resultOrder": ResultOrder.BY_INDEX.value,
                "afterItemIndex": after,
                "limit": max(1, page.results_omitted.count),
            }
            page = run_status_from_wire(await self.outgoing.request("runs/get", self._params(members)))
            results.extend(page.results or ())
            if page.results_omitted is not None:
                if page.results_omitted.next - 1 <= after:
                    raise FlowspanError("the gateway's pages of results do not advance", reason=Reason.PARSE_ERROR)
                after = page.results_omitted.next - 1
        if order is ResultOrder.BY_COMPLETION:
            results.sort(key=lambda result: (result.completed_at_us, result.item_index))
        return dataclasses.replace(status, results=results, results_omitted=None)

    def _params(self, members: dict[str, Any]) -> bytes:
        return msgspec.json.encode({**members, **self.identity.members()})


def _as_list(inputs: Any) -> list[Any]:
    if isinstance(inputs, (str, bytes, Mapping)):
        raise InvalidArgumentError("inputs must be a list with one input per item", field="inputs")
    return list(inputs)


def _raw(value: Any) -> Any:
    return msgspec.Raw(encode_value(value)) if isinstance(value, (Mapping, list, tuple)) else value


def _read(kind: type[_Answer], data: bytes, method: str) -> _Answer:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise FlowspanError(f"the gateway's answer to {method} cannot be read: {error}", reason=Reason.PARSE_ERROR) from None
