"""A gateway in memory with the generated servicers: every run echoes its inputs, and every call can be made to fail."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import msgspec

from flowspan.errors import FlowspanError, InvalidArgumentError, NotFoundError, Reason
from flowspan.protobuf.convert import run_status_to_message
from flowspan.protobuf.segments import decode_rows, encode_segment
from flowspan.protobuf.status import STATUS_TRAILER, status_from_error
from flowspan.v1 import blob_service_pb2 as blobs_pb
from flowspan.v1 import blob_service_pb2_grpc, component_service_pb2_grpc, flow_service_pb2_grpc, run_service_pb2_grpc
from flowspan.v1 import component_service_pb2 as components_pb
from flowspan.v1 import flow_service_pb2 as flows_pb
from flowspan.v1 import run_service_pb2 as pb
from flowspan.v1.run_pb2 import RESULT_ORDER_BY_COMPLETION, ItemResult
from flowspan.view.events import Event, ItemCompleted, ItemsStarted, Outcome, RunAccepted, RunCompleted, RunStatusCode, Segment
from flowspan.view.fold import RunFold
from flowspan.view.status import ResultOrder, RunDescription

RECORDED_AT_US = 1_736_937_000_123_000
FLOW_ID = "sha256:" + "ab" * 32


@dataclass
class FakeRun:
    """A run and how its log is sent.

    Attributes:
        rows: rows of the log.
        cuts: connection by connection, how many messages are sent before it is cut; the one after the last is not cut.
        per_message: rows in a message.
    """

    rows: list[bytes]
    description: RunDescription
    cuts: list[int] = field(default_factory=list)
    per_message: int = 1
    ends_cleanly: bool = False
    watched_after: list[int] = field(default_factory=list)

    def segments(self) -> list[Segment]:
        return [segment for row in self.rows for segment in decode_rows(row)]

    def fold(self) -> RunFold:
        fold = RunFold()
        fold.apply_all(self.segments())
        return fold


def log_of(
    run_id: str, payloads: Sequence[bytes], order: Sequence[int], per_row: Sequence[int], label: str | None = None
) -> FakeRun:
    """A finished run: items complete in `order`; rows hold `per_row` events, repeated."""
    description = RunDescription(run_id, FLOW_ID, len(payloads), RECORDED_AT_US, 10, run_id, flow_label=label)
    events: list[Event] = [RunAccepted(msgspec.json.encode(description)), ItemsStarted(0, len(payloads))]
    events += [ItemCompleted(index, Outcome.SUCCESS, payloads[index]) for index in order]
    events.append(RunCompleted(RunStatusCode.SUCCESS))
    return FakeRun(rows_of(events, per_row), description)


def rows_of(events: Sequence[Event], per_row: Sequence[int]) -> list[bytes]:
    rows: list[bytes] = []
    start = 0
    while start < len(events):
        size = per_row[len(rows) % len(per_row)]
        rows.append(encode_segment(start + 1, RECORDED_AT_US, events[start : start + size]))
        start += size
    return rows


class _Recorder(grpc.ServerInterceptor):
    """Keeps the bytes and the metadata of every call."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None
        method = details.method.rsplit("/", 1)[1]
        self._gateway.metadata.append((method, dict(details.invocation_metadata)))
        parse = handler.request_deserializer

        def recorded(data: bytes) -> Any:
            self._gateway.received[method].append(data)
            return data if parse is None else parse(data)

        return handler._replace(request_deserializer=recorded)


class FakeGateway(
    run_service_pb2_grpc.RunServiceServicer,
    flow_service_pb2_grpc.FlowServiceServicer,
    blob_service_pb2_grpc.BlobServiceServicer,
    component_service_pb2_grpc.ComponentServiceServicer,
):
    """See the module.

    Attributes:
        received: request bytes by method, in order.
        failing: by method, what the next calls fail with; a pair (error, True) fails after the call took effect.
        get_sees_rows: GetRun answers as of so many rows, as if the others had come since.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.received: dict[str, list[bytes]] = defaultdict(list)
        self.metadata: list[tuple[str, dict[str, str]]] = []
        self.failing: dict[str, list[tuple[FlowspanError, bool]]] = defaultdict(list)
        self.runs: dict[str, FakeRun] = {}
        self.by_request_id: dict[str, str] = {}
        self.blobs: dict[str, tuple[int, bytes]] = {}
        self.hold_s = 0.0
        self.results_fit = True
        self.get_sees_rows: int | None = None
        self.cuts: list[int] = []
        self._server: grpc.Server | None = None
        self._over = threading.Event()

    def start(self) -> None:
        self._over.clear()
        self._server = grpc.server(ThreadPoolExecutor(16), interceptors=[_Recorder(self)])
        for add in (
            run_service_pb2_grpc.add_RunServiceServicer_to_server,
            flow_service_pb2_grpc.add_FlowServiceServicer_to_server,
            blob_service_pb2_grpc.add_BlobServiceServicer_to_server,
            component_service_pb2_grpc.add_ComponentServiceServicer_to_server,
        ):
            add(self, self._server)
        self._server.add_generic_rpc_handlers([_health_handler()])
        self._server.add_insecure_port(self.target)
        self._server.start()

    def stop(self) -> None:
        self._over.set()
        if self._server is not None:
            self._server.stop(None).wait(5)

    # runs

    def SubmitRun(self, request: pb.SubmitRunRequest, context: Any) -> pb.SubmitRunResponse:
        return self._do("SubmitRun", context, lambda: pb.SubmitRunResponse(run=self._status(self._accept(request))))

    def SubmitRunStream(self, request_iterator: Iterable[pb.SubmitRunStreamRequest], context: Any) -> pb.SubmitRunStreamResponse:
        whole = pb.SubmitRunRequest()
        for part in request_iterator:
            whole.MergeFrom(pb.SubmitRunRequest(options=part.options, inputs=part.inputs))
        return self._do("SubmitRunStream", context, lambda: pb.SubmitRunStreamResponse(run=self._status(self._accept(whole))))

    def SubmitAndWatchRun(self, request: pb.SubmitAndWatchRunRequest, context: Any) -> Iterator[pb.SubmitAndWatchRunResponse]:
        run = self._do("SubmitAndWatchRun", context, lambda: self._accept(request.run))
        answer = pb.SubmitAndWatchRunResponse(run=self._status(run))
        yield answer
        for message in self._stream(run, request.after_seq, context):
            yield pb.SubmitAndWatchRunResponse(segments=message.segments, through_seq=message.through_seq)

    def WatchRun(self, request: pb.WatchRunRequest, context: Any) -> Iterator[pb.WatchRunResponse]:
        run = self._do("WatchRun", context, lambda: self._run(request.run_id))
        yield from self._stream(run, request.after_seq, context)

    def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:
        def answer() -> pb.GetRunResponse:
            run = self._run(request.run_id)
            fold = run.fold()
            if self.get_sees_rows is not None:
                fold = FakeRun(run.rows[: self.get_sees_rows], run.description).fold()
            order = None
            if request.include_results:
                order = ResultOrder.BY_COMPLETION if request.result_order == RESULT_ORDER_BY_COMPLETION else ResultOrder.BY_INDEX
            message = run_status_to_message(fold.snapshot(order=order))
            if order is not None and not self.results_fit:
                del message.results[:]
                message.results_omitted.count = len(fold.results)
            return pb.GetRunResponse(run=message)

        return self._do("GetRun", context, answer)

    def ListRunItems(self, request: pb.ListRunItemsRequest, context: Any) -> pb.ListRunItemsResponse:
        def answer() -> pb.ListRunItemsResponse:
            order = ResultOrder.BY_COMPLETION if request.result_order == RESULT_ORDER_BY_COMPLETION else ResultOrder.BY_INDEX
            items: Sequence[ItemResult] = run_status_to_message(self._run(request.run_id).fold().snapshot(order=order)).results
            start = int(request.page_token or 0)
            page = items[start : start + min(request.page_size or 100, 7)]
            end = start + len(page)
            return pb.ListRunItemsResponse(items=page, next_page_token=str(end) if end < len(items) else "")

        return self._do("ListRunItems", context, answer)

    def ListRuns(self, request: pb.ListRunsRequest, context: Any) -> pb.ListRunsResponse:
        runs = [run for run in self.runs.values() if not request.flow_label or run.description.flow_label == request.flow_label]
        start = int(request.page_token or 0)
        page = [self._status(run) for run in runs[start : start + 2]]
        return pb.ListRunsResponse(runs=page, next_page_token=str(start + 2) if start + 2 < len(runs) else "")

    def CancelRun(self, request: pb.CancelRunRequest, context: Any) -> pb.CancelRunResponse:
        return self._do("CancelRun", context, lambda: pb.CancelRunResponse(run=self._status(self._run(request.run_id))))

    def RetryRun(self, request: pb.RetryRunRequest, context: Any) -> pb.RetryRunResponse:
        return self._do("RetryRun", context, lambda: pb.RetryRunResponse(run=self._status(self._run(request.run_id))))

    def DeleteRun(self, request: pb.DeleteRunRequest, context: Any) -> pb.DeleteRunResponse:
        def answer() -> pb.DeleteRunResponse:
            self._run(request.run_id)
            del self.runs[request.run_id]
            return pb.DeleteRunResponse()

        return self._do("DeleteRun", context, answer)

    # flows, blobs, components

    def StoreFlow(self, request: flows_pb.StoreFlowRequest, context: Any) -> flows_pb.StoreFlowResponse:
        def answer() -> flows_pb.StoreFlowResponse:
            flow_id = self._put(blobs_pb.BLOB_TYPE_FLOW, request.document)
            finding = flows_pb.Diagnostic(kind="unusedStep", code=4000, level=flows_pb.DIAGNOSTIC_LEVEL_WARNING, message="unused")
            return flows_pb.StoreFlowResponse(flow_id=flow_id, diagnostics=[finding])

        return self._do("StoreFlow", context, answer)

    def GetFlow(self, request: flows_pb.GetFlowRequest, context: Any) -> flows_pb.GetFlowResponse:
        answer = flows_pb.GetFlowResponse(flow_id=request.flow_id)
        answer.document.json = self.blobs[request.flow_id][1]
        return answer

    def ListFlows(self, request: flows_pb.ListFlowsRequest, context: Any) -> flows_pb.ListFlowsResponse:
        return flows_pb.ListFlowsResponse(flows=[flows_pb.FlowSummary(flow_id=blob_id) for blob_id in self.blobs])

    def PutBlob(self, request: blobs_pb.PutBlobRequest, context: Any) -> blobs_pb.PutBlobResponse:
        def answer() -> blobs_pb.PutBlobResponse:
            blob_id = self._put(request.blob_type, request.data)
            return blobs_pb.PutBlobResponse(info=blobs_pb.BlobInfo(blob_id=blob_id, size=len(request.data)))

        return self._do("PutBlob", context, answer)

    def WriteBlob(self, request_iterator: Iterator[blobs_pb.WriteBlobRequest], context: Any) -> blobs_pb.WriteBlobResponse:
        header = next(request_iterator).header
        data = b"".join(part.chunk for part in request_iterator)
        blob_id = self._put(header.blob_type, data)
        return blobs_pb.WriteBlobResponse(info=blobs_pb.BlobInfo(blob_id=blob_id, size=len(data)))

    def ReadBlob(self, request: blobs_pb.ReadBlobRequest, context: Any) -> Iterator[blobs_pb.ReadBlobResponse]:
        def found() -> tuple[int, bytes]:
            if request.blob_id not in self.blobs:
                raise NotFoundError(f"there is no blob {request.blob_id}", reason=Reason.BLOB_NOT_FOUND, blobId=request.blob_id)
            return self.blobs[request.blob_id]

        blob_type, data = self._do("ReadBlob", context, found)
        info = blobs_pb.BlobInfo(blob_id=request.blob_id, blob_type=blob_type, size=len(data))  # type: ignore[arg-type]
        yield blobs_pb.ReadBlobResponse(info=info)
        for start in range(0, len(data), 1_000_000):
            yield blobs_pb.ReadBlobResponse(chunk=data[start : start + 1_000_000])

    def ListComponents(self, request: components_pb.ListComponentsRequest, context: Any) -> components_pb.ListComponentsResponse:
        component = components_pb.Component(path="/python/double", plugin="python")
        component.input_schema.json = b'{"type":"number"}'
        plugin = components_pb.Plugin(name="python", type="stdio", health=components_pb.PLUGIN_HEALTH_BACKING_OFF)
        return components_pb.ListComponentsResponse(components=[component], plugins=[plugin])

    # within

    def _do(self, method: str, context: Any, act: Callable[[], Any]) -> Any:
        if self.hold_s:
            time.sleep(self.hold_s)
        try:
            planned = self.failing[method].pop(0) if self.failing[method] else None
            if planned is not None and not planned[1]:
                raise planned[0]
            answer = act()
            if planned is not None:
                raise planned[0]
            return answer
        except FlowspanError as error:
            context.set_trailing_metadata(((STATUS_TRAILER, status_from_error(error).SerializeToString()),))
            context.abort(grpc.StatusCode[error.row.grpc], error.message)

    def _accept(self, request: pb.SubmitRunRequest) -> FakeRun:
        options = request.options
        if not options.request_id:
            raise InvalidArgumentError("a request id was expected", field="request_id")
        known = self.by_request_id.get(options.request_id)
        if known is None:
            known = f"run-{len(self.by_request_id) + 1}"
            self.by_request_id[options.request_id] = known
            payloads = [value.json for value in request.inputs]
            self.runs[known] = log_of(known, payloads, range(len(payloads)), [3, 1, 2], options.flow_label or None)
            self.runs[known].cuts = list(self.cuts)
        return self.runs[known]

    def _run(self, run_id: str) -> FakeRun:
        if run_id not in self.runs:
            raise NotFoundError(f"there is no run {run_id}", reason=Reason.RUN_NOT_FOUND, runId=run_id)
        return self.runs[run_id]

    def _status(self, run: FakeRun) -> Any:
        return run_status_to_message(run.fold().snapshot())

    def _stream(self, run: FakeRun, after_seq: int, context: Any) -> Iterator[pb.WatchRunResponse]:
        run.watched_after.append(after_seq)
        left = run.cuts.pop(0) if run.cuts else None
        position = 0
        while context.is_active() and not self._over.is_set():
            message = pb.WatchRunResponse()
            rows = run.rows[position : position + run.per_message]
            position += len(rows)
            for row in rows:
                message.MergeFromString(row)
            if not rows:
                if run.fold().is_terminal:
                    return
                self._over.wait(0.01)
                continue
            last = decode_rows(rows[-1])[-1]
            if last.last_seq <= after_seq:
                continue
            if left is not None:
                if left == 0:
                    if run.ends_cleanly:
                        return
                    context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
                left -= 1
            message.through_seq = last.last_seq
            yield message
        context.abort(grpc.StatusCode.UNAVAILABLE, "stopping")

    def _put(self, blob_type: int, data: bytes) -> str:
        blob_id = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[blob_id] = (blob_type, data)
        return blob_id


def _health_handler() -> grpc.GenericRpcHandler:
    def check(request: bytes, context: grpc.ServicerContext) -> bytes:
        return b"\x08\x01"

    handler = grpc.unary_unary_rpc_method_handler(check)
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})
