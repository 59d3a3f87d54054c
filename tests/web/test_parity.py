"""One meaning on every wire: the same answers and the same refusals, whatever carries the call."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf.message import Message

from flowspan.protobuf.convert import item_result_from_message, run_status_from_message
from flowspan.v1 import blob_service_pb2, flow_service_pb2, json_value_pb2, run_service_pb2
from flowspan.view.wire import item_results_to_wire, run_status_to_wire
from tests.web.house import WebHouse, web_house
from tests.web.wires import WIRES, Refused, call, over_json, over_stdio

NOBODY = "0199c4e5-3c11-7000-8000-000000000000"
NO_BLOB = "sha256:" + "0" * 64


@dataclass
class Known:
    """What refusals are about."""

    flow_id: str
    run_id: str
    data_id: str


@dataclass(frozen=True)
class Case:
    """A call that is refused. `grpc`: method, request, answer; `http`: method, path, body; `stdio`: method, params."""

    reason: str
    grpc: Callable[[Known], tuple[str, Message, type[Message]]]
    http: Callable[[Known], tuple[str, str, bytes | None]]
    stdio: Callable[[Known], tuple[str, bytes]] | None = None


def submit_case(reason: str, members: Callable[[Known], str], inputs: str = '[{"n":1}]', **options: Any) -> Case:
    """A submit of one input. `members`: flowId and the other members, as JSON; `options`: the same for gRPC."""
    raw = [bytes(value) for value in msgspec.json.decode(inputs, type=list[msgspec.Raw])] if inputs.startswith("[{") else []

    def over_grpc(known: Known) -> tuple[str, Message, type[Message]]:
        made = {name: value(known) if callable(value) else value for name, value in options.items()}
        made.setdefault("flow_id", known.flow_id)
        request = run_service_pb2.SubmitRunRequest(
            inputs=[json_value_pb2.JsonValue(json=data) for data in raw], options=run_service_pb2.RunOptions(**made)
        )
        return "RunService/SubmitRun", request, run_service_pb2.SubmitRunResponse

    def body(known: Known) -> bytes:
        return f'{{{members(known)},"inputs":{inputs}}}'.encode()

    return Case(reason, over_grpc, lambda known: ("POST", "/v1/runs", body(known)), lambda known: ("runs/submit", body(known)))


def flow(known: Known) -> str:
    return f'"flowId":"{known.flow_id}"'


DEEP = '[{"n":' + "[" * 80 + "]" * 80 + "}]"
CASES = {
    "a run that there is not": Case(
        "RUN_NOT_FOUND",
        lambda _: ("RunService/GetRun", run_service_pb2.GetRunRequest(run_id=NOBODY), run_service_pb2.GetRunResponse),
        lambda _: ("GET", f"/v1/runs/{NOBODY}", None),
        lambda _: ("runs/get", b'{"runId":"%b"}' % NOBODY.encode()),
    ),
    "an id that is none": Case(
        "INVALID_ARGUMENT",
        lambda _: ("RunService/GetRun", run_service_pb2.GetRunRequest(run_id="x"), run_service_pb2.GetRunResponse),
        lambda _: ("GET", "/v1/runs/x", None),
    ),
    "cancelling a run that there is not": Case(
        "RUN_NOT_FOUND",
        lambda _: ("RunService/CancelRun", run_service_pb2.CancelRunRequest(run_id=NOBODY), run_service_pb2.CancelRunResponse),
        lambda _: ("POST", f"/v1/runs/{NOBODY}/cancel", b"{}"),
        lambda _: ("runs/cancel", b'{"runId":"%b"}' % NOBODY.encode()),
    ),
    "retrying a run without failures": Case(
        "FAILED_PRECONDITION",
        lambda k: ("RunService/RetryRun", run_service_pb2.RetryRunRequest(run_id=k.run_id), run_service_pb2.RetryRunResponse),
        lambda k: ("POST", f"/v1/runs/{k.run_id}/retry", None),
    ),
    "a page token of somebody else": Case(
        "INVALID_ARGUMENT",
        lambda _: ("RunService/ListRuns", run_service_pb2.ListRunsRequest(page_token="?"), run_service_pb2.ListRunsResponse),
        lambda _: ("GET", "/v1/runs?pageToken=%3F", None),
    ),
    "a negative page": Case(
        "INVALID_ARGUMENT",
        lambda k: (
            "RunService/ListRunItems",
            run_service_pb2.ListRunItemsRequest(run_id=k.run_id, page_size=-1),
            run_service_pb2.ListRunItemsResponse,
        ),
        lambda k: ("GET", f"/v1/runs/{k.run_id}/items?pageSize=-1", None),
    ),
    "a blob that there is not": Case(
        "BLOB_NOT_FOUND",
        lambda _: ("BlobService/GetBlob", blob_service_pb2.GetBlobRequest(blob_id=NO_BLOB), blob_service_pb2.GetBlobResponse),
        lambda _: ("GET", f"/v1/blobs/{NO_BLOB}", None),
        lambda _: ("blobs/get", b'{"blobId":"%b"}' % NO_BLOB.encode()),
    ),
    "a document that is no flow": Case(
        "FLOW_INVALID",
        lambda _: (
            "FlowService/StoreFlow",
            flow_service_pb2.StoreFlowRequest(document=b'{"steps":7}'),
            flow_service_pb2.StoreFlowResponse,
        ),
        lambda _: ("POST", "/v1/flows", b'{"steps":7}'),
    ),
    "a run of a flow that there is not": submit_case("FLOW_NOT_FOUND", lambda _: f'"flowId":"{NO_BLOB}"', flow_id=NO_BLOB),
    "a run of a blob that is no flow": submit_case(
        "FLOW_INVALID", lambda known: f'"flowId":"{known.data_id}"', flow_id=lambda known: known.data_id
    ),
    "a bound of none": submit_case("INVALID_ARGUMENT", lambda k: flow(k) + ',"maxConcurrency":0', max_concurrency=0),
    "an input that is too deep": submit_case("LIMIT_EXCEEDED", flow, DEEP),
    "an input that is too large": submit_case("LIMIT_EXCEEDED", flow, '[{"n":"' + "x" * (1 << 20) + '"}]'),
    "overrides that are no object": submit_case(
        "INVALID_ARGUMENT", lambda k: flow(k) + ',"overrides":[]', overrides=json_value_pb2.JsonValue(json=b"[]")
    ),
    "labels for other items": submit_case(
        "INVALID_ARGUMENT", lambda k: flow(k) + ',"itemLabels":["a","b"]', item_labels=["a", "b"]
    ),
    "a request id of another request": submit_case(
        "IDEMPOTENCY_CONFLICT", lambda k: flow(k) + ',"requestId":"taken"', request_id="taken"
    ),
}
NOT_AT_THE_TABLE = frozenset({"an input that is too deep", "labels for other items"})
"""Component servers are told by the reader of their lines, or by the core in other words."""


async def known_things(house: WebHouse) -> Known:
    flow_id = await house.store()
    run = await house.submitted(flow_id, [{"n": "the first"}], wait=True, requestId="taken")
    data = await house.ask("POST", "/v1/blobs", json={"data": ["no flow"]})
    return Known(flow_id, run["runId"], data.json()["blobId"])


async def outcome(asking: Awaitable[Any]) -> str:
    try:
        await asking
    except Refused as refused:
        return refused.reason
    return "answered"


async def test_every_wire_refuses_with_the_same_reason(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        known = await known_things(house)
        found: dict[str, dict[str, str]] = {}
        for name, case in CASES.items():
            seen = found[name] = {}
            for wire in WIRES:
                seen[wire] = await outcome(call(house, wire, *case.grpc(known)))
            seen["json"] = await outcome(over_json(house, *case.http(known)))
            if case.stdio is not None and name not in NOT_AT_THE_TABLE:
                seen["stdio"] = await outcome(over_stdio(house, *case.stdio(known)))
        assert found == {name: dict.fromkeys(found[name], case.reason) for name, case in CASES.items()}


async def test_every_wire_tells_the_same_run(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store({"name": "needs a", "output": {"$input": "$.a"}})
        inputs = [{"a": 9007199254740993}, {}, {"a": 1.0}, {"a": "Ж 𝄞"}]
        run_id = (await house.submitted(flow_id, inputs, wait=True, metadata={"k": "v"}, flowLabel="l"))["runId"]
        over_http = await house.ask("GET", f"/v1/runs/{run_id}?includeResults=true")
        request = run_service_pb2.GetRunRequest(run_id=run_id, include_results=True)
        for wire in WIRES:
            answer = await call(house, wire, "RunService/GetRun", request, run_service_pb2.GetRunResponse)
            assert isinstance(answer, run_service_pb2.GetRunResponse)
            assert run_status_to_wire(run_status_from_message(answer.run)) == over_http.content
        told = await over_stdio(house, "runs/get", json.dumps({"runId": run_id, "includeResults": True}).encode())
        assert told == over_http.json()
        items = await house.ask("GET", f"/v1/runs/{run_id}/items")
        page = run_service_pb2.ListRunItemsRequest(run_id=run_id)
        for wire in WIRES:
            listed = await call(house, wire, "RunService/ListRunItems", page, run_service_pb2.ListRunItemsResponse)
            assert isinstance(listed, run_service_pb2.ListRunItemsResponse)
            assert item_results_to_wire([item_result_from_message(one) for one in listed.items]) == items.content[9:-1]
