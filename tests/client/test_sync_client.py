from __future__ import annotations

import inspect
import threading

import pytest

from flowspan.client import AsyncClient, Client
from flowspan.errors import NotFoundError, RequestCancelledError
from flowspan.v1 import run_service_pb2 as pb
from tests.client.conftest import QUICK
from tests.client.fake_gateway import FLOW_ID, FakeGateway


def test_it_does_what_the_async_client_does(gateway: FakeGateway) -> None:
    gateway.cuts = [2, 1]
    with Client(gateway.target, retry=QUICK) as client:
        flow_id = client.store_flow({"steps": []})
        status = client.run(flow_id, [10**30, 1.0, "é"])
        assert [item.value for item in status.results or ()] == [10**30, 1.0, "é"]
        with client.submit_and_watch(flow_id, range(20)) as watch:
            assert next(watch).item_index == 0
            assert [item.item_index for item in watch] == list(range(1, 20))
            assert watch.is_over and watch.status is not None and watch.run_id == watch.status.run_id
        assert sum(len(batch) for batch in client.watch(status.run_id).batches()) == 3
        assert [item.value for item in client.items(status.run_id)] == [10**30, 1.0, "é"]
        assert len(list(client.list())) == 2
        assert client.wait(status.run_id).is_terminal and client.health()
        assert client.get_blob(client.put_blob([1.0])) == [1.0]
        assert client.raw.runs.GetRun(pb.GetRunRequest(run_id=status.run_id), timeout=5).run.run_id == status.run_id
        with pytest.raises(NotFoundError):
            client.get("nothing")


def test_its_surface_is_that_of_the_async_client() -> None:
    def surface(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(kind, callable)
            if not name.startswith("_")
        }

    asynchronous, blocking = surface(AsyncClient), surface(Client)
    asynchronous["close"] = asynchronous.pop("aclose")
    assert blocking == asynchronous


def test_inputs_may_come_from_the_same_client(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        first = client.submit(FLOW_ID, list(range(30)))
        second = client.submit(FLOW_ID, (item.value + 1 for item in client.items(first.run_id)))
        assert [item.value for item in client.watch(second.run_id)] == list(range(1, 31))


def test_it_leaves_no_thread_behind(gateway: FakeGateway) -> None:
    client = Client(gateway.target)
    assert client.health()
    assert any(thread.name == "flowspan-client" for thread in threading.enumerate())
    client.close()
    client.close()
    assert not any(thread.name == "flowspan-client" for thread in threading.enumerate())
    with pytest.raises(RequestCancelledError):
        client.health()


async def test_it_works_beside_a_running_loop(gateway: FakeGateway, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncClient(gateway.target) as other:
        with Client(gateway.target) as client:
            for _ in range(20):
                assert client.run(FLOW_ID, [1]).items.success == 1
                assert (await other.run(FLOW_ID, [1])).items.success == 1
    assert not caplog.records
