"""The client for asyncio: plain Python values in, typed results out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Unpack

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from flowspan.client import submission
from flowspan.client.answers import Component, ComponentList, Diagnostic, Flow, FlowSummary, Plugin, RawJson
from flowspan.client.channel import BlockingStubs, Connection, RawStubs
from flowspan.client.pages import Pages
from flowspan.client.retry import RetryPolicy
from flowspan.client.submission import FlowDocument, Inputs, SubmitOptions
from flowspan.client.tree_watch import TreeWatch
from flowspan.client.watch import Watch
from flowspan.discovery import TARGET_VARIABLE, TOKEN_VARIABLE, find_server
from flowspan.errors import DataLossError, FlowspanError, InvalidArgumentError, UnavailableError
from flowspan.jsonrpc.encoding import decode_payload, encode_payload
from flowspan.protobuf.convert import (
    enum_number,
    enum_word,
    item_result_from_message,
    result_order_to_number,
    run_status_from_message,
)
from flowspan.v1 import blob_service_pb2 as blobs_pb
from flowspan.v1 import component_service_pb2 as components_pb
from flowspan.v1 import flow_service_pb2 as flows_pb
from flowspan.v1 import run_pb2, run_service_pb2
from flowspan.v1.json_value_pb2 import JsonValue
from flowspan.view.events import Outcome, RunStatusCode
from flowspan.view.status import ItemResult, ResultOrder, RunStatus

_UNARY_BLOB_BYTES: Final = 3 * 1024 * 1024
"""A larger blob is streamed; the gateway takes at most 3.5 MiB in one message."""
_CHUNK_BYTES: Final = 1024 * 1024
_BLOB_TYPES: Final = {"data": blobs_pb.BLOB_TYPE_DATA, "flow": blobs_pb.BLOB_TYPE_FLOW, "binary": blobs_pb.BLOB_TYPE_BINARY}
_LEVELS: Final = flows_pb.DESCRIPTOR.enum_types_by_name["DiagnosticLevel"]
_HEALTH: Final = components_pb.DESCRIPTOR.enum_types_by_name["PluginHealth"]
_STATUSES: Final = run_pb2.RunStatus.DESCRIPTOR.enum_types_by_name["Status"]


def find_target(target: str | None, token: str | None) -> tuple[str, str | None]:
    """Where to connect: what was given, else the environment, else the newest server of this user on this machine. The token
    of a server of this user is found by any of its addresses.

    Raises:
        UnavailableError: there is none.
    """
    token = token or os.environ.get(TOKEN_VARIABLE) or None
    target = target or os.environ.get(TARGET_VARIABLE)
    if target:
        if token is None and (own := find_server(target)) is not None:
            token = own.token
        return target, token
    server = find_server()
    if server is None:
        raise UnavailableError(f"no gateway was found: start one with `flowspan serve`, or set {TARGET_VARIABLE}")
    return server.target, token or server.token


class AsyncClient:
    """A client of one gateway. Connects with the first call; `async with` or `aclose` ends it.

    Args:
        target: `unix:/path` or `host:port`; None: `FLOWSPAN_TARGET`, else the server that runs on this machine.
        token: None: `FLOWSPAN_TOKEN`, else the one of the server that was found.
        tls: True, or trusted root certificates in PEM.
        timeout_s: bound of each unary call with its retries. Watches are bounded by `retry.give_up_after_s`.
        retry: see `RetryPolicy`.

    Every method raises FlowspanError; its `reason` is a row of `flowspan.errors.ERROR_TABLE`, and `from_peer` tells
    whether the gateway said so.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        token: str | None = None,
        tls: bool | bytes = False,
        timeout_s: float = 10.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        target, token = find_target(target, token)
        self._connection = Connection(target, token, tls, timeout_s, retry or RetryPolicy())

    @property
    def blocking_raw(self) -> BlockingStubs:
        """As `raw`, for code without an event loop."""
        return self._connection.blocking_stubs

    @property
    def target(self) -> str:
        return self._connection.target

    @property
    def connection(self) -> Connection:
        """Its channels, for what is built on them."""
        return self._connection

    @property
    def is_closed(self) -> bool:
        return self._connection.is_closed

    @property
    def raw(self) -> RawStubs:
        """The generated stubs: `raw.runs`, `.flows`, `.blobs`, `.components`; messages in and out, no retries."""
        return self._connection.stubs

    async def aclose(self) -> None:
        """End all calls and watches. Harmless if repeated."""
        await self._connection.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # flows

    async def store_flow(self, flow: FlowDocument) -> str:
        """Store a flow; its id. `flow`: a FlowBuilder, a mapping, bytes, or the path of a `.json` or `.yaml` file.

        Raises:
            FlowInvalidError: it does not compile; `details["diagnostics"]` says why.
        """
        request = await submission.store_flow_request(flow)
        return (await self._connection.unary(self.raw.flows.StoreFlow, request)).flow_id

    async def check_flow(self, flow: FlowDocument) -> Sequence[Diagnostic]:
        """What the gateway finds about a flow, fatal findings included. Nothing is stored."""
        request = await submission.store_flow_request(flow)
        request.dry_run = True
        answer = await self._connection.unary(self.raw.flows.StoreFlow, request)
        return [
            Diagnostic(d.kind, d.code, enum_word(_LEVELS, d.level), d.message, d.path, d.line, d.column)
            for d in answer.diagnostics
        ]

    async def get_flow(self, flow_id: str) -> Flow:
        answer = await self._connection.unary(self.raw.flows.GetFlow, flows_pb.GetFlowRequest(flow_id=flow_id))
        name = answer.flow_name if answer.HasField("flow_name") else None
        return Flow(answer.flow_id, name, await self._bytes(answer.document))

    def list_flows(self, *, page_size: int = 0) -> Pages[FlowSummary]:
        """Stored flows, newest first. `page_size` 0: the gateway's choice."""

        async def page(token: str) -> tuple[Sequence[FlowSummary], str]:
            request = flows_pb.ListFlowsRequest(page_size=page_size, page_token=token)
            answer = await self._connection.unary(self.raw.flows.ListFlows, request)
            flows = [FlowSummary(flow.flow_id, flow.flow_name if flow.HasField("flow_name") else None) for flow in answer.flows]
            return flows, answer.next_page_token

        return Pages(page)

    # runs

    async def submit(self, flow: FlowDocument, inputs: Inputs, **options: Unpack[SubmitOptions]) -> RunStatus:
        """Submit a run; when this returns, the run and all its inputs are durable.

        Args:
            flow: an id, or a document as in `store_flow`, which is stored first.
            inputs: one value per item: a sequence, an iterable or an async iterable. More than some thousands, and those
                that are not a sequence, are streamed; a stream that was read from an iterator cannot be repeated by us
                (with a `request_id` of yours, by you).
        """
        header = submission.run_options(await self._flow_id(flow), options)
        request = submission.whole_request(header, inputs)
        if request is None:
            return await self._submit_stream(header, inputs)
        return run_status_from_message((await self._connection.unary(self.raw.runs.SubmitRun, request)).run)

    async def submit_and_watch(
        self,
        flow: FlowDocument,
        inputs: Inputs,
        *,
        order: ResultOrder | str | None = None,
        wait_token: str = "",
        **options: Unpack[SubmitOptions],
    ) -> Watch:
        """Submit a run and follow it, in one round trip. Arguments as for `submit` and `watch`; `wait_token`: the task token of
        the execution that waits."""
        header = submission.run_options(await self._flow_id(flow), options)
        request = submission.whole_request(header, inputs)
        if request is None:
            return self.watch((await self._submit_stream(header, inputs)).run_id, order=order, task_token=wait_token)
        how = run_service_pb2.WatchOptions(task_token=wait_token) if wait_token else None
        both = run_service_pb2.SubmitAndWatchRunRequest(run=request, options=how)
        return Watch(self._connection, self.get_blob_bytes, None, order=order, submission=both, options=how)

    async def run(
        self,
        flow: FlowDocument,
        inputs: Inputs,
        *,
        order: ResultOrder | str = ResultOrder.BY_INDEX,
        **options: Unpack[SubmitOptions],
    ) -> RunStatus:
        """Submit a run and wait for its end; the status, with `results` in `order`. Failed items are data: see
        `RunStatus.raise_for_failures`."""
        order = ResultOrder(order)
        results: list[ItemResult] = []
        async with await self.submit_and_watch(flow, inputs, **options) as watch:
            while batch := await watch.next_batch():
                results += batch
            status = watch.status
        assert status is not None  # it began with event 1
        labels = options.get("item_labels")
        if labels:
            results = [msgspec.structs.replace(result, item_label=labels[result.item_index]) for result in results]
        if order is ResultOrder.BY_INDEX:
            results.sort(key=lambda result: result.item_index)
        return replace(status, results=results)

    def watch(self, run_id: str, after_seq: int = 0, order: ResultOrder | str | None = None, *, task_token: str = "") -> Watch:
        """Follow a run: each result once, as it becomes durable; resumes by itself. See `Watch`. `task_token`: of the execution
        that waits for the run; it lends its slot meanwhile."""
        how = run_service_pb2.WatchOptions(task_token=task_token) if task_token else None
        return Watch(self._connection, self.get_blob_bytes, run_id, after_seq=after_seq, order=order, options=how)

    def watch_tree(self, run_id: str) -> TreeWatch:
        """Follow a run and all its sub-runs, at any depth; resumes by itself. See `TreeWatch`."""
        return TreeWatch(self._connection, self.get_blob_bytes, run_id)

    async def wait(self, run_id: str, timeout_s: float | None = None, *, task_token: str = "") -> RunStatus:
        """The status at the run's end, without results; after `timeout_s` the status as it stands then, not an error.
        `task_token`: as for `watch`."""
        status = await self.get(run_id)
        if status.is_terminal:
            return status
        only_the_end = run_service_pb2.WatchOptions(results_only=True, omit_payloads=True, task_token=task_token)
        watch = Watch(self._connection, self.get_blob_bytes, run_id, after_seq=status.as_of_seq, options=only_the_end)
        try:
            async with asyncio.timeout(timeout_s), watch:
                while await watch.next_batch():
                    pass
        except TimeoutError:
            pass
        return await self.get(run_id)

    async def get(self, run_id: str, include_results: bool = False, order: ResultOrder | str = ResultOrder.BY_INDEX) -> RunStatus:
        """The status of a run. Results that did not fit into one answer are fetched in pages."""
        request = run_service_pb2.GetRunRequest(
            run_id=run_id, include_results=include_results, result_order=result_order_to_number(ResultOrder(order))
        )
        answer = await self._connection.unary(self.raw.runs.GetRun, request)
        status = run_status_from_message(answer.run, with_results=include_results)
        omitted = status.results_omitted
        if omitted is None:
            return replace(status, results=await self._read(status.results)) if status.results else status
        # In the order of the log the first `count` results are those of this status, however far the run is by now.
        results: list[ItemResult] = []
        pages = self.items(run_id, order=ResultOrder.BY_COMPLETION)
        while len(results) < omitted.count and (page := await pages.next_page()):
            results += page
        del results[omitted.count :]
        if ResultOrder(order) is ResultOrder.BY_INDEX:
            results.sort(key=lambda result: result.item_index)
        return replace(status, results=results, results_omitted=None)

    def items(
        self,
        run_id: str,
        *,
        outcomes: Iterable[Outcome] = (),
        order: ResultOrder | str = ResultOrder.BY_INDEX,
        after_item_index: int | None = None,
        merged: bool = False,
        page_size: int = 10_000,
    ) -> Pages[ItemResult]:
        """Results of the items that have ended.

        Args:
            outcomes: only these; none: all.
            after_item_index: only items behind this index (by index).
            merged: with retries of this run: the newest result of each item.
        """
        number = result_order_to_number(ResultOrder(order))
        numbers: Any = [int(outcome) for outcome in outcomes]

        async def page(token: str) -> tuple[Sequence[ItemResult], str]:
            request = run_service_pb2.ListRunItemsRequest(
                run_id=run_id,
                page_size=page_size,
                page_token=token,
                outcomes=numbers,
                result_order=number,
                after_item_index=after_item_index,
                merged=merged,
            )
            answer = await self._connection.unary(self.raw.runs.ListRunItems, request)
            return await self._read([item_result_from_message(item) for item in answer.items]), answer.next_page_token

        return Pages(page)

    def list(
        self,
        *,
        statuses: Iterable[RunStatusCode | str] = (),
        flow_id: str = "",
        label: str = "",
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        parent_run_id: str = "",
        root_run_id: str = "",
        page_size: int = 0,
    ) -> Pages[RunStatus]:
        """Runs that match all that is given, newest first, without results. `statuses`: any of these (`"failed"`, ...)."""
        numbers: Any = [enum_number(_STATUSES, status) if isinstance(status, str) else int(status) for status in statuses]

        async def page(token: str) -> tuple[Sequence[RunStatus], str]:
            request = run_service_pb2.ListRunsRequest(
                page_size=page_size,
                page_token=token,
                statuses=numbers,
                flow_id=flow_id,
                flow_label=label,
                metadata=metadata or {},
                created_after=_timestamp(created_after),
                created_before=_timestamp(created_before),
                parent_run_id=parent_run_id,
                root_run_id=root_run_id,
            )
            answer = await self._connection.unary(self.raw.runs.ListRuns, request)
            return [run_status_from_message(run) for run in answer.runs], answer.next_page_token

        return Pages(page)

    async def cancel(self, run_id: str, reason: str = "") -> RunStatus:
        """Cancel a run and its sub-runs: no item starts after this returned, those that run are told to stop."""
        request = run_service_pb2.CancelRunRequest(run_id=run_id, reason=reason)
        return run_status_from_message((await self._connection.unary(self.raw.runs.CancelRun, request)).run)

    async def retry(
        self,
        run_id: str,
        item_indexes: Iterable[int] = (),
        *,
        max_concurrency: int | None = None,
        request_id: str | None = None,
    ) -> RunStatus:
        """Run the failed and cancelled items of a finished run (or those named) again; the new run."""
        request = run_service_pb2.RetryRunRequest(
            run_id=run_id,
            item_indexes=item_indexes,
            request_id=request_id or submission.new_request_id(),
            max_concurrency=max_concurrency,
        )
        return run_status_from_message((await self._connection.unary(self.raw.runs.RetryRun, request)).run)

    async def delete(self, run_id: str) -> None:
        """Delete a finished run with its sub-runs. Not repeated by us: a second answer could not tell what the first did."""
        request = run_service_pb2.DeleteRunRequest(run_id=run_id)
        await self._connection.unary(self.raw.runs.DeleteRun, request, repeat=False)

    # blobs

    async def put_blob(self, value: object, blob_type: str | None = None) -> str:
        """Store a blob; its id.

        Args:
            value: bytes as they are, or a JSON value.
            blob_type: `data`, `flow` or `binary`; default: `binary` for bytes, else `data`.
        """
        is_binary = isinstance(value, (bytes, bytearray, memoryview))
        blob_type = blob_type or ("binary" if is_binary else "data")
        if blob_type not in _BLOB_TYPES:
            raise InvalidArgumentError(f"blob_type is data, flow or binary, not {blob_type!r}", field="blob_type")
        data = bytes(value) if is_binary or isinstance(value, RawJson) else encode_payload(value)  # type: ignore[call-overload]
        number = _BLOB_TYPES[blob_type]
        if len(data) <= _UNARY_BLOB_BYTES:
            small = blobs_pb.PutBlobRequest(data=data, blob_type=number)
            return (await self._connection.unary(self.raw.blobs.PutBlob, small)).info.blob_id
        messages = [blobs_pb.WriteBlobRequest(header=blobs_pb.WriteBlobHeader(blob_type=number)).SerializeToString()]
        for start in range(0, len(data), _CHUNK_BYTES):
            messages.append(blobs_pb.WriteBlobRequest(chunk=data[start : start + _CHUNK_BYTES]).SerializeToString())
        answer = await self._connection.upload(self.raw.blobs.WriteBlob, messages)
        return answer.info.blob_id

    async def get_blob(self, blob_id: str) -> Any:
        """What a blob holds: bytes for type binary, else the value that its JSON says."""
        info, data = await self._read_blob(blob_id)
        return data if info.blob_type == blobs_pb.BLOB_TYPE_BINARY else decode_payload(data)

    async def get_blob_bytes(self, blob_id: str) -> bytes:
        """The bytes first put, whatever the type."""
        return (await self._read_blob(blob_id))[1]

    async def read_blob(self, blob_id: str) -> tuple[str, bytes]:
        """Its type (data, flow or binary) and the bytes first put."""
        info, data = await self._read_blob(blob_id)
        return next((name for name, number in _BLOB_TYPES.items() if number == info.blob_type), "data"), data

    # the gateway

    async def components(self) -> ComponentList:
        """What components flows can name, and how the plugins are that offer them."""
        answer = await self._connection.unary(self.raw.components.ListComponents, components_pb.ListComponentsRequest())
        components = [
            Component(
                c.path,
                c.plugin,
                c.description if c.HasField("description") else None,
                decode_payload(await self._bytes(c.input_schema)) if c.HasField("input_schema") else None,
                decode_payload(await self._bytes(c.output_schema)) if c.HasField("output_schema") else None,
            )
            for c in answer.components
        ]
        plugins = [
            Plugin(p.name, p.type, _health(p.health), p.detail, p.restarts, p.capacity, p.in_flight, tuple(p.stderr_tail))
            for p in answer.plugins
        ]
        return ComponentList(components, plugins)

    async def health(self) -> bool:
        """Whether the gateway takes calls. UnavailableError if it cannot be reached."""
        return await self._connection.is_serving()

    # within

    async def _flow_id(self, flow: FlowDocument) -> str:
        return flow if isinstance(flow, str) and submission.is_flow_id(flow) else await self.store_flow(flow)

    async def _submit_stream(self, header: run_service_pb2.RunOptions, inputs: Inputs) -> RunStatus:
        stream = submission.stream_messages(header, inputs)
        # A sequence is encoded once and kept, so that it can be repeated.
        messages = [message async for message in stream] if isinstance(inputs, Sequence) else stream
        return run_status_from_message((await self._connection.upload(self.raw.runs.SubmitRunStream, messages)).run)

    async def _read_blob(self, blob_id: str) -> tuple[blobs_pb.BlobInfo, bytes]:
        parts = await self._connection.download(self.raw.blobs.ReadBlob, blobs_pb.ReadBlobRequest(blob_id=blob_id))
        if not parts or not parts[0].HasField("info"):
            raise FlowspanError("the gateway sent a blob without its header", from_peer=True)
        data = b"".join(part.chunk for part in parts[1:])
        if len(data) != parts[0].info.size:
            raise DataLossError(f"blob {blob_id} has {parts[0].info.size} bytes, {len(data)} came", blobId=blob_id)
        return parts[0].info, data

    async def _bytes(self, value: JsonValue) -> bytes:
        return await self.get_blob_bytes(value.blob_id) if value.HasField("blob_id") else value.json

    async def _read(self, results: Sequence[ItemResult]) -> Sequence[ItemResult]:
        """The same results with the payloads that are kept in blobs."""
        if not any(result.is_blob for result in results):
            return results
        return [
            msgspec.structs.replace(r, payload=await self.get_blob_bytes(r.payload.decode("ascii")), is_blob=False)
            if r.is_blob
            else r
            for r in results
        ]


def _health(number: int) -> str:
    return enum_word(_HEALTH, number)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
