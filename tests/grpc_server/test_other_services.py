"""FlowService, BlobService and ComponentService over a socket; health and reflection beside them."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from flowspan.errors import Reason
from flowspan.v1 import (
    blob_service_pb2,
    blob_service_pb2_grpc,
    component_service_pb2,
    component_service_pb2_grpc,
    flow_service_pb2,
    flow_service_pb2_grpc,
)
from gateway.grpc_server.limits import MAX_FLOW_BYTES, MAX_SEND_BYTES, MAX_SMALL_BLOB_BYTES
from gateway.grpc_server.server import GrpcServer
from tests.grpc_server.calls import read_all, refusal, until
from tests.grpc_server.conftest import FakeCatalog
from tests.grpc_server.fake_runtime import FakeRuntime

MIB = 1 << 20


def blob_id_of(data: bytes) -> str:
    return "sha256:" + sha256(data).hexdigest()


@pytest.fixture
def flows(channel: grpc.aio.Channel) -> flow_service_pb2_grpc.FlowServiceAsyncStub:
    return flow_service_pb2_grpc.FlowServiceStub(channel)


@pytest.fixture
def blobs(channel: grpc.aio.Channel) -> blob_service_pb2_grpc.BlobServiceAsyncStub:
    return blob_service_pb2_grpc.BlobServiceStub(channel)


@pytest.fixture
def components(channel: grpc.aio.Channel) -> component_service_pb2_grpc.ComponentServiceAsyncStub:
    return component_service_pb2_grpc.ComponentServiceStub(channel)


async def test_a_stored_flow_comes_back_with_its_diagnostics(flows, runtime: FakeRuntime) -> None:
    document = b'{"name":"greet"}'
    answer = await flows.StoreFlow(
        flow_service_pb2.StoreFlowRequest(document=document, format=flow_service_pb2.DOCUMENT_FORMAT_JSON, dry_run=True)
    )
    assert (answer.flow_id, answer.flow_name) == (blob_id_of(document), "greet")
    assert list(answer.diagnostics) == [
        flow_service_pb2.Diagnostic(
            kind="unusedStep",
            code=3000,
            level=flow_service_pb2.DIAGNOSTIC_LEVEL_WARNING,
            message="step a is not used",
            path="/steps/0",
            line=4,
            column=2,
        )
    ]
    assert runtime.calls == [("store_flow", {"is_yaml": False, "dry_run": True})]
    read = await flows.GetFlow(flow_service_pb2.GetFlowRequest(flow_id=answer.flow_id))
    assert (read.flow_id, read.document.json, read.flow_name) == (answer.flow_id, document, "greet")
    variables = await flows.GetFlowVariables(flow_service_pb2.GetFlowVariablesRequest(flow_id=answer.flow_id))
    assert variables.schema.json == b'{"type":"object"}'
    listed = await flows.ListFlows(flow_service_pb2.ListFlowsRequest())
    assert [flow.flow_id for flow in listed.flows] == [answer.flow_id]
    await flows.DeleteFlow(flow_service_pb2.DeleteFlowRequest(flow_id=answer.flow_id))
    code, _ = await refusal(flows.GetFlow(flow_service_pb2.GetFlowRequest(flow_id=answer.flow_id)))
    assert code is grpc.StatusCode.NOT_FOUND


async def test_a_flow_too_large_for_a_message_is_named_by_its_blob(flows, blobs) -> None:
    document = b'{"x":"' + b"y" * (4 * MIB) + b'"}'
    stored = await flows.StoreFlow(flow_service_pb2.StoreFlowRequest(document=document))
    read = await flows.GetFlow(flow_service_pb2.GetFlowRequest(flow_id=stored.flow_id))
    assert read.document.blob_id == stored.flow_id
    parts = await read_all(blobs.ReadBlob(blob_service_pb2.ReadBlobRequest(blob_id=read.document.blob_id)))
    assert b"".join(part.chunk for part in parts) == document


async def test_wrong_flows_are_refused_before_the_core_sees_them(flows, runtime: FakeRuntime) -> None:
    code, error = await refusal(flows.StoreFlow(flow_service_pb2.StoreFlowRequest(document=b" " * (MAX_FLOW_BYTES + 1))))
    assert (code, error.details["limit"]) == (grpc.StatusCode.INVALID_ARGUMENT, "flow")
    code, error = await refusal(flows.StoreFlow(flow_service_pb2.StoreFlowRequest(document=b"{}", format=9)))  # type: ignore[arg-type]
    assert (code, error.details["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "format")
    code, error = await refusal(flows.GetFlow(flow_service_pb2.GetFlowRequest(flow_id="x")))
    assert (code, error.details["field"], runtime.calls) == (grpc.StatusCode.INVALID_ARGUMENT, "flowId", [])


async def test_a_small_blob_goes_in_and_out_in_one_message(blobs) -> None:
    put = await blobs.PutBlob(blob_service_pb2.PutBlobRequest(data=b"\x00\xff", blob_type=blob_service_pb2.BLOB_TYPE_BINARY))
    assert put.info == blob_service_pb2.BlobInfo(
        blob_id=blob_id_of(b"\x00\xff"), blob_type=blob_service_pb2.BLOB_TYPE_BINARY, size=2
    )
    got = await blobs.GetBlob(blob_service_pb2.GetBlobRequest(blob_id=put.info.blob_id.removeprefix("sha256:")))
    assert (got.info, got.data) == (put.info, b"\x00\xff")


async def test_a_blob_that_is_not_what_was_expected_is_data_loss(blobs) -> None:
    code, error = await refusal(blobs.PutBlob(blob_service_pb2.PutBlobRequest(data=b"1", expected_blob_id="0" * 64)))
    assert (code, error.reason) == (grpc.StatusCode.DATA_LOSS, Reason.HASH_MISMATCH)


async def test_a_blob_too_large_for_a_message_points_to_the_stream(blobs, runtime: FakeRuntime) -> None:
    data = b"x" * (MAX_SMALL_BLOB_BYTES + 1)
    code, error = await refusal(blobs.PutBlob(blob_service_pb2.PutBlobRequest(data=data)))
    assert (code, "WriteBlob" in error.message) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    blob_id = await runtime.put_blob(data)
    code, error = await refusal(blobs.GetBlob(blob_service_pb2.GetBlobRequest(blob_id=blob_id)))
    assert (code, "ReadBlob" in error.message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)


def _chunks(data: bytes, size: int = MIB, **header: object) -> list[blob_service_pb2.WriteBlobRequest]:
    head = blob_service_pb2.WriteBlobRequest(header=blob_service_pb2.WriteBlobHeader(**header))  # type: ignore[arg-type]
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return [head, *(blob_service_pb2.WriteBlobRequest(chunk=part) for part in parts)]


async def test_a_large_blob_is_streamed_in_and_out(blobs, runtime: FakeRuntime) -> None:
    data = bytes(range(256)) * (20 * 1024)
    written = await blobs.WriteBlob(iter(_chunks(data, blob_type=3, expected_blob_id=blob_id_of(data))))
    assert written.info == blob_service_pb2.BlobInfo(blob_id=blob_id_of(data), blob_type=3, size=len(data))
    first, *rest = await read_all(blobs.ReadBlob(blob_service_pb2.ReadBlobRequest(blob_id=written.info.blob_id)))
    assert first.info == written.info
    assert [len(part.chunk) for part in rest] == [MIB] * 5
    assert b"".join(part.chunk for part in rest) == data
    assert not runtime.writers[0].is_aborted


@pytest.mark.parametrize(
    ("messages", "words", "writers"),
    [
        ([], "first message", 0),
        ([blob_service_pb2.WriteBlobRequest(chunk=b"1")], "first message", 0),
        ([blob_service_pb2.WriteBlobRequest()], "first message", 0),
        ([*_chunks(b"1"), *_chunks(b"2")], "behind the first", 1),
        ([*_chunks(b"1"), blob_service_pb2.WriteBlobRequest()], "behind the first", 1),
        (_chunks(b"x" * (MIB + 1), MIB + 1), "smaller chunks", 1),
        (_chunks(b"1", blob_type=8), "blobType", 0),
        (_chunks(b"1", expected_blob_id="x"), "expectedBlobId", 0),
    ],
)
async def test_a_wrong_blob_stream_is_refused_and_thrown_away(blobs, runtime: FakeRuntime, messages, words, writers) -> None:
    code, error = await refusal(blobs.WriteBlob(iter(messages)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in error.message
    assert [writer.is_aborted for writer in runtime.writers] == [True] * writers
    assert runtime.blobs == {}


async def test_a_blob_stream_that_breaks_leaves_nothing(blobs, runtime: FakeRuntime) -> None:
    for _ in range(30):
        call = blobs.WriteBlob()
        for message in _chunks(b"x" * 100_000):
            await call.write(message)
        call.cancel()
        with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
            await call
    await until(lambda: all(writer.is_aborted for writer in runtime.writers))
    assert runtime.blobs == {}


async def test_a_refused_commit_aborts_the_writer(blobs, runtime: FakeRuntime) -> None:
    code, _ = await refusal(blobs.WriteBlob(iter(_chunks(b"1", expected_blob_id="0" * 64))))
    assert code is grpc.StatusCode.DATA_LOSS
    assert runtime.writers[0].is_aborted


async def test_components_are_listed_with_their_plugins(components) -> None:
    answer = await components.ListComponents(component_service_pb2.ListComponentsRequest())
    (component,), (plugin,) = answer.components, answer.plugins
    assert (component.path, component.input_schema.json) == ("/python/double", b'{"type":"object"}')
    assert not component.HasField("output_schema")
    assert plugin == component_service_pb2.Plugin(
        name="python",
        type="stdio",
        health=component_service_pb2.PLUGIN_HEALTH_UP,
        restarts=2,
        capacity=8,
        in_flight=3,
        stderr_tail=["hello"],
    )
    one = await components.GetComponent(component_service_pb2.GetComponentRequest(path="/python/double"))
    assert (one.component, one.plugin) == (component, plugin)


async def test_schemas_too_large_for_a_list_are_told_one_by_one(components, catalog: FakeCatalog) -> None:
    catalog.schema = b'"' + b"x" * MAX_SEND_BYTES + b'"'
    answer = await components.ListComponents(component_service_pb2.ListComponentsRequest())
    assert [component.HasField("input_schema") for component in answer.components] == [False]


async def test_a_component_that_nobody_offers_is_not_found(components) -> None:
    code, error = await refusal(components.GetComponent(component_service_pb2.GetComponentRequest(path="/no/such")))
    assert (code, error.reason) == (grpc.StatusCode.NOT_FOUND, Reason.COMPONENT_NOT_FOUND)


async def test_health_follows_the_gateway(channel: grpc.aio.Channel, server: GrpcServer) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="flowspan.v1.RunService")
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.set_serving(True)
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
    await server.set_serving(False)
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_reflection_names_every_service(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await call.read()
    call.cancel()
    assert {service.name for service in answer.list_services_response.service} == {
        "flowspan.v1.BlobService",
        "flowspan.v1.ComponentService",
        "flowspan.v1.FlowService",
        "flowspan.v1.RunService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
