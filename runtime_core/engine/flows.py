"""Stored flows, compiled once per flow id and shared by all runs and items."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from flowspan.errors import FlowInvalidError, InvalidArgumentError, NotFoundError, Reason
from runtime_core.api import FlowDocument, StoredFlow
from runtime_core.flow.diagnostics import MAX_SHOWN, Diagnostic, worst_first
from runtime_core.flow.document import Flow
from runtime_core.flow.inspection import inspect_document
from runtime_core.flow.parse import CheckedFlow, check_flow
from runtime_core.flow.plan import FlowPlan, compile_flow
from runtime_core.flow.source import read_document, to_stored_json
from runtime_core.flow.types.components import KnownComponents
from runtime_core.model.ids import parse_blob_id
from runtime_core.model.json_value import JsonObject, blob_id_of_json, decode_json
from runtime_core.ports import Store, StoredBlob

CACHED_PLANS: Final = 256
"""Compiled flows kept; a flow of a few steps takes some tens of KiB."""
LARGE_BYTES: Final = 64 << 10
"""A document of this size takes tens of milliseconds, and the largest takes seconds: others are served meanwhile."""

_Result = TypeVar("_Result")


class FlowLibrary:
    """Flows of a store."""

    def __init__(self, store: Store, components: KnownComponents | None = None) -> None:
        """`components`: what is known of them where a flow is stored; None: nothing."""
        self._store = store
        self._components = components
        self._plans: OrderedDict[tuple[str, str, bytes], FlowPlan] = OrderedDict()

    def plan_at_hand(self, namespace: str, flow_id: str, overrides: bytes | None) -> FlowPlan | None:
        """The same as `plan`, if it is in memory."""
        key = (namespace, flow_id, overrides or b"")
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
        return plan

    async def plan(self, namespace: str, flow_id: str, overrides: bytes | None = None) -> FlowPlan:
        """The compiled flow, with overrides applied.

        Raises:
            NotFoundError: there is no such blob.
            FlowInvalidError: the blob does not compile as a flow.
            InvalidArgumentError: the overrides do not fit.
        """
        plan = self.plan_at_hand(namespace, flow_id, overrides)
        if plan is not None:
            return plan
        key = (namespace, flow_id, overrides or b"")
        data = await self._flow_bytes(namespace, flow_id)
        patch = json_object(overrides, "overrides")
        plan = await _aside(len(data), lambda: compile_flow(_checked(data, flow_id), patch))
        self._plans[key] = plan
        while len(self._plans) > CACHED_PLANS:
            self._plans.popitem(last=False)
        return plan

    async def flow(self, namespace: str, flow_id: str) -> Flow:
        """The flow of a blob, checked."""
        data = await self._flow_bytes(namespace, flow_id)
        return await _aside(len(data), lambda: _checked(data, flow_id))

    async def store_flow(self, document: bytes, namespace: str, *, is_yaml: bool | None, dry_run: bool) -> StoredFlow:
        """See `RuntimeApi.store_flow`."""
        answer, stored = await _aside(len(document), lambda: self._inspected(document, is_yaml, dry_run))
        if not dry_run:
            await self._store.put_blob(namespace, answer.flow_id, "flow", stored)
        return answer

    def _inspected(self, document: bytes, is_yaml: bool | None, dry_run: bool) -> tuple[StoredFlow, bytes]:
        """What `store_flow` answers, and what is to be stored."""
        source = read_document(document, is_yaml=is_yaml)
        found = inspect_document(source, self._components)
        diagnostics = [finding.to_json() for finding in worst_first(found.findings)]
        flow = found.checked.flow
        if flow is None:
            if dry_run:
                return StoredFlow("", None, diagnostics), b""
            raise _not_a_flow("the document", found.findings)
        compile_flow(flow)
        stored = to_stored_json(source)
        return StoredFlow(blob_id_of_json(stored), flow.name, diagnostics), stored

    async def get_flow(self, namespace: str, flow_id: str) -> FlowDocument:
        blob = await self._blob(namespace, flow_id)
        return await _aside(len(blob.data), lambda: _document(blob))

    async def list_flows(
        self, namespace: str, page_size: int, page_token: str | None
    ) -> tuple[Sequence[FlowDocument], str | None]:
        blobs, token = await self._store.list_blobs(namespace, "flow", limit=page_size, after=page_token)
        size = sum(len(blob.data) for blob in blobs)
        return await _aside(size, lambda: [_document(blob) for blob in blobs]), token

    async def delete_flow(self, namespace: str, flow_id: str) -> None:
        if not await self._store.delete_blob(namespace, parse_blob_id(flow_id, field="flowId")):
            raise NotFoundError(f"no flow {flow_id}", reason=Reason.FLOW_NOT_FOUND, flowId=flow_id)
        for key in [key for key in self._plans if key[:2] == (namespace, flow_id)]:
            del self._plans[key]

    async def _flow_bytes(self, namespace: str, flow_id: str) -> bytes:
        blob = await self._blob(namespace, flow_id)
        if blob.blob_type == "binary":
            raise FlowInvalidError(f"blob {flow_id} is binary, not a flow", diagnostics=[])
        return blob.data

    async def _blob(self, namespace: str, flow_id: str) -> StoredBlob:
        blob = await self._store.get_blob(namespace, flow_id)
        if blob is None:
            raise NotFoundError(
                f"no flow {flow_id}; store it first (blobs/put, StoreFlow)", reason=Reason.FLOW_NOT_FOUND, flowId=flow_id
            )
        return blob


async def _aside(size: int, work: Callable[[], _Result]) -> _Result:
    """Do pure work on a document of so many bytes, in a thread if it is large."""
    return work() if size < LARGE_BYTES else await asyncio.to_thread(work)


def _checked(data: bytes, flow_id: str) -> Flow:
    return _compiling(check_flow(decode_json(data, what=f"flow {flow_id}")), flow_id)


def _document(blob: StoredBlob) -> FlowDocument:
    flow = check_flow(decode_json(blob.data)).flow
    schema = flow.schemas.variables if flow is not None else None
    return FlowDocument(blob.blob_id, flow.name if flow else None, blob.data, msgspec.json.encode(schema or {}))


def _compiling(checked: CheckedFlow, what: str) -> Flow:
    if checked.flow is None:
        raise _not_a_flow(what, checked.diagnostics)
    return checked.flow


def _not_a_flow(what: str, diagnostics: Iterable[Diagnostic]) -> FlowInvalidError:
    worst = worst_first(diagnostics)
    place = f"at {worst[0].path}" if worst[0].path else "as a whole"
    return FlowInvalidError(
        f"{what} is not a flow that can run: {worst[0].message}, {place}",
        diagnostics=[finding.to_json() for finding in worst[:MAX_SHOWN]],
    )


def json_object(data: bytes | None, field: str) -> JsonObject | None:
    """What a submit carries as `field`, an object; None where it carries nothing. Raises InvalidArgumentError."""
    if data is None:
        return None
    value = decode_json(data, what=field)
    if value is None:
        return None
    if type(value) is not dict:
        raise InvalidArgumentError(f"{field} must be a JSON object", field=field)
    return value
