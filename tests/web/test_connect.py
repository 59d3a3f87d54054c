"""Connect and gRPC-Web: streams, deadlines, what is refused, and the clients that people use."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import json_format

from flowspan.protobuf.segments import decode_segments
from flowspan.v1 import blob_service_pb2, json_value_pb2, run_service_pb2
from flowspan.view.fold import RunFold
from tests.conformance.sdks import NotRunError, build
from tests.web.house import HOLD, WAIT_S, WebHouse, holding_plugin, web_house
from tests.web.wires import envelopes, grpc_web_messages, reason_of

WATCH = "/flowspan.v1.RunService/WatchRun"
NOBODY = "0199c4e5-3c11-7000-8000-000000000000"


def envelope(data: bytes, flags: int = 0) -> bytes:
    return bytes([flags]) + len(data).to_bytes(4, "big") + data


async def stream(house: WebHouse, path: str, content_type: str, body: bytes, **headers: str) -> httpx.Response:
    return await house.ask("POST", path, content=body, headers={"content-type": content_type, **headers})


def connect_stream(answer: httpx.Response) -> tuple[list[bytes], dict[str, Any]]:
    """Messages, and what the last envelope says."""
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/connect+")
    *messages, (flags, end) = envelopes(answer.content)
    assert flags == 2 and all(flag == 0 for flag, _ in messages)
    return [data for _, data in messages], json.loads(end)


@pytest.mark.parametrize("kind", ["connect+proto", "connect+json", "grpc-web", "grpc-web+proto"])
async def test_a_watch_tells_the_whole_log_and_ends_well(tmp_path: Path, kind: str) -> None:
    async with web_house(tmp_path) as house:
        run = await house.submitted(await house.store(), [{"n": n} for n in range(300)])
        request = run_service_pb2.WatchRunRequest(run_id=run["runId"])
        body = json_format.MessageToJson(request).encode() if kind.endswith("json") else request.SerializeToString()
        answer = await stream(house, WATCH, f"application/{kind}", envelope(body))
        if kind.startswith("connect"):
            messages, end = connect_stream(answer)
            assert end == {}
        else:
            messages = grpc_web_messages(answer)
        fold = RunFold()
        for data in messages:
            message = run_service_pb2.WatchRunResponse()
            if kind.endswith("json"):
                json_format.Parse(data, message)
            else:
                message.ParseFromString(data)
            fold.apply_all(decode_segments(message))
        assert fold.is_terminal and fold.counts().success == 300


async def test_an_error_is_the_end_of_a_stream_that_went_well_for_http(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        body = envelope(run_service_pb2.WatchRunRequest(run_id=NOBODY).SerializeToString())
        messages, end = connect_stream(await stream(house, WATCH, "application/connect+proto", body))
        assert messages == [] and end["error"]["code"] == "not_found" and reason_of(end["error"]) == "RUN_NOT_FOUND"


async def test_a_submit_and_a_blob_may_be_streamed_in(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store()
        options = run_service_pb2.RunOptions(flow_id=flow_id)
        parts = [run_service_pb2.SubmitRunStreamRequest(options=options)] + [
            run_service_pb2.SubmitRunStreamRequest(inputs=[json_value_pb2.JsonValue(json=b'{"n":%d}' % n)]) for n in range(40)
        ]
        body = b"".join(envelope(part.SerializeToString()) for part in parts)
        (message,), end = connect_stream(
            await stream(house, "/flowspan.v1.RunService/SubmitRunStream", "application/connect+proto", body)
        )
        assert end == {} and run_service_pb2.SubmitRunStreamResponse.FromString(message).run.items.total == 40
        data = bytes(3_000_000)
        header = blob_service_pb2.WriteBlobRequest(header=blob_service_pb2.WriteBlobHeader(blob_type=3))
        chunks = [blob_service_pb2.WriteBlobRequest(chunk=data[at : at + 500_000]) for at in range(0, len(data), 500_000)]
        body = b"".join(envelope(part.SerializeToString()) for part in (header, *chunks))
        (message,), end = connect_stream(
            await stream(house, "/flowspan.v1.BlobService/WriteBlob", "application/connect+proto", body)
        )
        assert blob_service_pb2.WriteBlobResponse.FromString(message).info.size == len(data)
        cut = await stream(house, "/flowspan.v1.BlobService/WriteBlob", "application/connect+proto", body[:-1])
        _, end = connect_stream(cut)
        assert reason_of(end["error"]) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("header", [{"connect-timeout-ms": "100"}, {"grpc-timeout": "100m"}], ids=["connect", "grpc"])
async def test_a_call_ends_with_its_callers_deadline(tmp_path: Path, header: dict[str, str]) -> None:
    async with web_house(tmp_path, holding_plugin(tmp_path)) as house:
        run = await house.submitted(await house.store(HOLD), [60])
        body = envelope(run_service_pb2.WatchRunRequest(run_id=run["runId"]).SerializeToString())
        messages, end = connect_stream(await stream(house, WATCH, "application/connect+proto", body, **header))
        assert messages and end["error"]["code"] == "deadline_exceeded" and reason_of(end["error"]) == "TIMEOUT"
        server = house.gateway._server
        assert server is not None and server.streams.open_streams == 0


async def test_bodies_of_other_kinds_are_refused(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        get = "/flowspan.v1.RunService/GetRun"
        for path, kind in ((get, "text/plain"), (get, "application/connect+proto"), (WATCH, "application/proto"), (WATCH, "")):
            told = await stream(house, path, kind, b"")
            assert told.status_code == 415 and "application/" in told.headers["accept-post"]
        for body in (b"\xff\xff", b"{"):
            told = await stream(house, get, "application/proto", body)
            assert (told.status_code, told.json()["code"], reason_of(told.json())) == (
                400,
                "invalid_argument",
                "INVALID_ARGUMENT",
            )
        told = await stream(house, get, "application/json", b'{"runId": 7}')
        assert (told.status_code, reason_of(told.json())) == (400, "INVALID_ARGUMENT")
        told = await stream(house, get, "application/proto", b"", **{"content-encoding": "gzip"})
        assert (told.status_code, told.json()["code"]) == (501, "unimplemented")
        for body in (b"", b"\0\0\0\0", b"\0\xff\xff\xff\xff", envelope(b"", 1), envelope(b"") * 2):
            _, end = connect_stream(await stream(house, WATCH, "application/connect+proto", body))
            assert reason_of(end["error"]) == "INVALID_ARGUMENT"


_PROGRAM = """
import { Client } from "SDK";
const client = new Client({ baseUrl: process.argv[2], token: process.argv[3], protocol: process.argv[4], numbers: "bigint" });
const say = (line) => console.log(JSON.stringify(line, (_, value) => (typeof value === "bigint" ? `${value}n` : value)));
say(await client.health());
const flow = await client.storeFlow({ name: "same", output: { $input: "$" } });
const run = await client.submit(flow, [1, 2, 3].map((n) => ({ n, big: 9007199254740993n })));
const seen = [];
for await (const item of client.watch(run.runId)) seen.push([item.itemIndex, item.value]);
say(seen);
say((await client.wait(run.runId)).status);
try {
  await client.getRun("NOBODY");
} catch (error) {
  say([error.reason, error.fromPeer]);
}
const stranger = new Client({ baseUrl: process.argv[2], token: "another", retry: { attempts: 1 }, protocol: process.argv[4] });
try {
  await stranger.listComponents();
} catch (error) {
  say(error.reason);
}
"""
NODE = shutil.which("node")
"""The SDK's own client is checked where it is installed; the protocols themselves are above."""


async def in_node(program: str, tmp_path: Path, protocol: str) -> None:
    try:
        await asyncio.to_thread(build, "typescript")
    except NotRunError as why:
        pytest.fail(f"Node.js is here and the SDK cannot be built: {why}")
    sdk = Path(__file__).parents[2] / "clients" / "typescript" / "dist" / "web.js"
    script = tmp_path / "page.mjs"
    script.write_text(_PROGRAM.replace("SDK", str(sdk)).replace("NOBODY", NOBODY))
    async with web_house(tmp_path) as house:
        child = await asyncio.create_subprocess_exec(
            program, str(script), house.url, "a token of some length", protocol, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(WAIT_S):
            out, _ = await child.communicate()
    lines = [json.loads(line) for line in out.splitlines()]
    values = [[index, {"n": index + 1, "big": "9007199254740993n"}] for index in range(3)]
    assert [lines[0], sorted(lines[1]), *lines[2:]] == [True, values, "success", ["RUN_NOT_FOUND", True], "UNAUTHENTICATED"]


if NODE is not None:

    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("protocol", ["connect", "grpc-web"], ids=["node-connect", "node-grpc-web"])
    async def test_the_typescript_client_for_browsers_runs_a_flow(tmp_path: Path, protocol: str) -> None:
        assert NODE is not None
        await in_node(NODE, tmp_path, protocol)
