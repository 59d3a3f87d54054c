"""The server over the real core: what a caller sees on the wire is what the core says in-process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from flowspan.errors import Reason
from flowspan.protobuf.convert import run_status_from_message
from flowspan.protobuf.segments import decode_segments
from flowspan.v1 import (
    blob_service_pb2,
    blob_service_pb2_grpc,
    flow_service_pb2,
    flow_service_pb2_grpc,
    json_value_pb2,
    run_pb2,
    run_service_pb2,
    run_service_pb2_grpc,
)
from flowspan.view.events import RunStatusCode
from flowspan.view.fold import RunFold
from flowspan.view.status import ResultOrder, RunStatus
from gateway.grpc_server.listener import Listener
from gateway.grpc_server.server import GrpcServer
from tests.engine.house import ONE_STEP, House, PlayedServer, echo, house
from tests.grpc_server.calls import read_all, refusal, submit_request, until
from tests.grpc_server.conftest import FakeCatalog


@dataclass
class Estate:
    """A core and a server in front of it."""

    core: House
    played: PlayedServer
    server: GrpcServer
    runs: Any
    flows: Any
    blobs: Any

    async def flow(self) -> str:
        stored = await self.flows.StoreFlow(flow_service_pb2.StoreFlowRequest(document=ONE_STEP))
        flow_id: str = stored.flow_id
        return flow_id


@asynccontextmanager
async def estate(socket_path: str, behave: Any = echo) -> AsyncIterator[Estate]:
    async with (
        house(behave) as core,
        GrpcServer(core.runtime, FakeCatalog(), (Listener(f"unix:{socket_path}"),)) as server,
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
    ):
        yield Estate(
            core,
            core.server,
            server,
            run_service_pb2_grpc.RunServiceStub(channel),
            flow_service_pb2_grpc.FlowServiceStub(channel),
            blob_service_pb2_grpc.BlobServiceStub(channel),
        )


async def status_in_process(core: House, run_id: str) -> RunStatus:
    return await core.runtime.get_run(run_id, order=ResultOrder.BY_INDEX, max_bytes=1 << 30)


async def test_a_run_over_the_wire_is_the_run_in_process(socket_path: str) -> None:
    async with estate(socket_path) as its:
        inputs = [b'{"n":%d}' % number for number in range(3_000)]
        request = submit_request(*inputs, flow_id=await its.flow(), max_concurrency=64, metadata={"k": "v"})
        messages = await read_all(its.runs.SubmitAndWatchRun(run_service_pb2.SubmitAndWatchRunRequest(run=request)))
        first, fold = messages[0], RunFold()
        for message in messages:
            fold.apply_all(decode_segments(message))
            assert fold.through_seq == message.through_seq
        in_process = await status_in_process(its.core, first.run.run_id)
        assert fold.snapshot(order=ResultOrder.BY_INDEX) == in_process
        get = run_service_pb2.GetRunRequest(run_id=first.run.run_id, include_results=True)
        assert run_status_from_message((await its.runs.GetRun(get)).run, with_results=True) == in_process
        assert (in_process.status, [item.payload for item in in_process.results or ()]) == (RunStatusCode.SUCCESS, inputs)


async def test_a_watch_resumed_anywhere_completes_the_fold(socket_path: str) -> None:
    async with estate(socket_path) as its:
        answer = await its.runs.SubmitRun(submit_request(*([b"1"] * 500), flow_id=await its.flow()))
        run_id = answer.run.run_id
        whole = await its.core.follow(run_id)
        for cut in (1, 2, 77, whole.through_seq - 1):
            fold = RunFold()
            head = await its.core.runtime.watch_run(run_id)
            while fold.through_seq < cut and (batch := await head.next_batch()) is not None:
                for row in batch.rows:
                    for segment in its.core.runtime.codec.decode(row):
                        if segment.first_seq <= cut:
                            fold.apply(segment)
            await head.aclose()
            request = run_service_pb2.WatchRunRequest(run_id=run_id, after_seq=fold.through_seq)
            for message in await read_all(its.runs.WatchRun(request)):
                fold.apply_all(decode_segments(message))
            assert fold.snapshot(order=ResultOrder.BY_INDEX) == whole.snapshot(order=ResultOrder.BY_INDEX)


async def test_the_same_request_id_is_the_same_run_over_both_submits(socket_path: str) -> None:
    async with estate(socket_path) as its:
        flow_id = await its.flow()
        inputs = [b'"%d"' % number for number in range(9_000)]
        runs = []
        for size in (9_000, 1_000):
            call = its.runs.SubmitRunStream()
            options = run_service_pb2.RunOptions(flow_id=flow_id, request_id="r-1")
            await call.write(run_service_pb2.SubmitRunStreamRequest(options=options))
            for start in range(0, len(inputs), size):
                values = [json_value_pb2.JsonValue(json=data) for data in inputs[start : start + size]]
                await call.write(run_service_pb2.SubmitRunStreamRequest(inputs=values))
            await call.done_writing()
            runs.append((await call).run.run_id)
        runs.append((await its.runs.SubmitRun(submit_request(*inputs, flow_id=flow_id, request_id="r-1"))).run.run_id)
        assert len(set(runs)) == 1
        code, error = await refusal(its.runs.SubmitRun(submit_request(b"1", flow_id=flow_id, request_id="r-1")))
        assert (code, error.reason) == (grpc.StatusCode.ALREADY_EXISTS, Reason.IDEMPOTENCY_CONFLICT)
        fold = await its.core.follow(runs[0])
        assert sorted(item.payload for item in fold.results) == sorted(inputs)


async def test_items_come_in_pages_that_join_to_the_whole(socket_path: str) -> None:
    async with estate(socket_path) as its:
        answer = await its.runs.SubmitRun(submit_request(*([b'"x"'] * 1_234), flow_id=await its.flow(), max_concurrency=100))
        await its.core.follow(answer.run.run_id)
        for order in (run_pb2.RESULT_ORDER_BY_INDEX, run_pb2.RESULT_ORDER_BY_COMPLETION):
            seen: list[int] = []
            token = ""
            while True:
                page = await its.runs.ListRunItems(
                    run_service_pb2.ListRunItemsRequest(
                        run_id=answer.run.run_id, page_size=100, page_token=token, result_order=order
                    )
                )
                seen += [item.item_index for item in page.items]
                token = page.next_page_token
                if not token:
                    break
            assert sorted(seen) == list(range(1_234))


async def test_a_cancelled_run_tells_its_watchers_and_its_reason(socket_path: str) -> None:
    async with estate(socket_path, lambda _call: None) as its:
        answer = await its.runs.SubmitRun(submit_request(*([b"1"] * 50), flow_id=await its.flow()))
        run_id = answer.run.run_id
        stream = its.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=run_id))
        await until(lambda: len(its.played.open) == 10)
        cancelled = await its.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id=run_id, reason="enough"))
        assert cancelled.run.cancel_reason == "enough"
        for call in list(its.played.open.values()):
            its.played.answer(call, b"1")
        fold = RunFold()
        async with asyncio.timeout(15):
            for message in await read_all(stream):
                fold.apply_all(decode_segments(message))
        assert (fold.status, fold.counts().cancelled) == (RunStatusCode.CANCELLED, 50)


async def test_a_draining_core_ends_a_stream_with_its_cursor(socket_path: str) -> None:
    async with estate(socket_path, lambda _call: None) as its:
        answer = await its.runs.SubmitRun(submit_request(b"1", flow_id=await its.flow()))
        stream = its.runs.WatchRun(run_service_pb2.WatchRunRequest(run_id=answer.run.run_id))
        first = await stream.read()
        draining = asyncio.ensure_future(its.core.runtime.drain(0.01))
        code, error = await refusal(read_all(stream))
        assert (code, error.details["afterSeq"]) == (grpc.StatusCode.UNAVAILABLE, first.through_seq)
        await draining


async def test_a_flow_that_does_not_compile_is_refused_with_its_diagnostics(socket_path: str) -> None:
    async with estate(socket_path) as its:
        document = b'{"steps":[{"id":"a","component":"/p/a","input":{"$step":"a"}}],"output":1}'
        code, error = await refusal(its.flows.StoreFlow(flow_service_pb2.StoreFlowRequest(document=document)))
        assert (code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, Reason.FLOW_INVALID)
        assert error.details["diagnostics"][0]["message"]
        dry = await its.flows.StoreFlow(flow_service_pb2.StoreFlowRequest(document=document, dry_run=True))
        assert dry.diagnostics[0].level == flow_service_pb2.DIAGNOSTIC_LEVEL_FATAL
        assert dry.diagnostics[0].message == error.details["diagnostics"][0]["message"]


async def test_large_blobs_go_through_as_they_are(socket_path: str) -> None:
    async with estate(socket_path) as its:
        data = bytes(range(256)) * 20_000
        head = blob_service_pb2.WriteBlobRequest(header=blob_service_pb2.WriteBlobHeader(blob_type=3))
        parts = [data[start : start + (1 << 20)] for start in range(0, len(data), 1 << 20)]
        written = await its.blobs.WriteBlob(iter([head, *(blob_service_pb2.WriteBlobRequest(chunk=part) for part in parts)]))
        info, *chunks = await read_all(its.blobs.ReadBlob(blob_service_pb2.ReadBlobRequest(blob_id=written.info.blob_id)))
        assert info.info == written.info
        assert b"".join(chunk.chunk for chunk in chunks) == data
        code, error = await refusal(its.blobs.GetBlob(blob_service_pb2.GetBlobRequest(blob_id="0" * 64)))
        assert (code, error.reason) == (grpc.StatusCode.NOT_FOUND, Reason.BLOB_NOT_FOUND)
