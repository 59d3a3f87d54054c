"""Clients take a builder wherever they take a document; names load when they are needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowspan
import flowspan.flows
from flowspan import AsyncClient, Client, FlowBuilder
from flowspan.v1.flow_service_pb2 import DOCUMENT_FORMAT_JSON, StoreFlowRequest
from tests.client.fake_gateway import FakeGateway


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    fake = FakeGateway(f"unix:{tmp_path}/gateway.sock")
    fake.start()
    yield fake
    fake.stop()


def double() -> FlowBuilder:
    flow = FlowBuilder("double")
    flow.output(flow.add("double", "/python/double", flow.input["n"]))
    return flow


def stored(gateway: FakeGateway) -> list[tuple[bytes, int, bool]]:
    requests = [StoreFlowRequest.FromString(data) for data in gateway.received["StoreFlow"]]
    return [(request.document, request.format, request.dry_run) for request in requests]


async def test_a_client_stores_checks_submits_and_runs_what_a_builder_builds(gateway: FakeGateway) -> None:
    flow = double()
    document = flow.to_json().encode()
    async with AsyncClient(gateway.target) as client:
        flow_id = await client.store_flow(flow)
        await client.check_flow(flow)
        await client.submit(flow, [1])
        assert [item.value for item in (await client.run(flow, [1, 2])).results or ()] == [1, 2]
        assert await client.store_flow(flow.build()) == flow_id
    dry_runs = (False, True, False, False, False)
    assert stored(gateway) == [(document, DOCUMENT_FORMAT_JSON, dry_run) for dry_run in dry_runs]


def test_the_client_without_asyncio_takes_a_builder_too(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        assert len(client.run(double(), [1, 2]).results or ()) == 2
    assert stored(gateway)[0][0] == double().to_json().encode()


@pytest.mark.parametrize("package", [flowspan, flowspan.flows], ids=["flowspan", "flowspan.flows"])
def test_every_name_of_the_package_is_there(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        package.nothing_of_the_kind  # type: ignore[attr-defined]  # noqa: B018


def modules_after(program: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split())


def test_the_builder_is_loaded_only_where_flows_are_built() -> None:
    assert not {name for name in modules_after("import flowspan") if name.startswith("flowspan.flows")}
    assert "flowspan.flows.builder" not in modules_after("import flowspan.flows.paths, flowspan.flows.durations")
    loaded = modules_after("from flowspan import FlowBuilder, if_; FlowBuilder().build()")
    assert not loaded & {"grpc", "google.protobuf", "pydantic", "asyncio", "flowspan.client", "runtime_core"}
