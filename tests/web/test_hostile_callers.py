"""Callers that send too much, too little, too slowly, or something else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.web import connection, exchange, limits
from tests.web.house import WebHouse, raw_caller, web_house

HEAD = b"Host: localhost\r\nAuthorization: Bearer a token of some length\r\n"


async def still_serves(house: WebHouse) -> None:
    assert (await house.ask("GET", "/v1/runs")).status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"GET /v1/runs\r\n\r\n",
        b"GET /v1/runs HTTP/1.1\r\n\r\n",
        b"GET /v1/runs HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /v1/runs HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/runs HTTP/1.1\r\n" + HEAD + b"Content-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X: y\r\n" * 8_000 + b"\r\n",
    ],
    ids=["tls", "http09", "no host", "two hosts", "two lengths", "negative", "long header", "long path", "many headers"],
)
async def test_what_is_no_request_is_refused_in_our_words_and_the_connection_ends(tmp_path: Path, data: bytes) -> None:
    async with web_house(tmp_path) as house:
        async with raw_caller(house) as caller:
            await caller.send(data)
            answer = await caller.rest()
        if answer:  # a caller that sends on may see a reset instead
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["data"]["reason"] in (
                "INVALID_REQUEST",
                "LIMIT_EXCEEDED",
            )
        await still_serves(house)


async def test_the_preface_of_http_2_is_refused(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house, raw_caller(house) as caller:
        await caller.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert (await caller.rest()).startswith(b"HTTP/1.1 4")


async def test_a_head_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.3)
    async with web_house(tmp_path) as house:
        async with raw_caller(house) as silent, raw_caller(house) as slow:
            await slow.send(b"GET /v1/runs HTTP/1.1\r\n")
            dripping = asyncio.create_task(_drip(slow.writer))
            assert await silent.rest() == b"" and await slow.rest() == b""
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
        await still_serves(house)


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"X: y\r\n")
        await asyncio.sleep(0.02)


async def test_a_second_head_that_never_ends_is_given_up_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.3)
    async with web_house(tmp_path) as house, raw_caller(house) as caller:
        await caller.send(b"GET /v1/flows HTTP/1.1\r\n", HEAD, b"\r\nGET /v1/fl")
        answer = await caller.rest()
        assert answer.count(b"HTTP/1.1 200 OK") == 1 and answer.endswith(b'{"flows":[]}')


async def test_requests_behind_one_another_are_answered_in_order(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house, raw_caller(house) as caller:
        last = b"GET /v1/flows HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n"
        await caller.send(b"GET /v1/runs HTTP/1.1\r\n", HEAD, b"\r\n", last)
        answer = await caller.rest()
        assert answer.index(b'{"runs":[]}') < answer.index(b'{"flows":[]}')


async def test_a_body_that_pauses_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "READ_TIMEOUT_S", 0.2)
    async with web_house(tmp_path) as house, raw_caller(house) as caller:
        await caller.send(b"POST /v1/runs HTTP/1.1\r\n", HEAD, b"Content-Length: 100\r\n\r\n{")
        answer = await caller.rest()
        assert answer.startswith(b"HTTP/1.1 504 ") and b'"TIMEOUT"' in answer


@pytest.mark.parametrize(
    "head", [b"Content-Length: 99999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"], ids=["told", "chunked"]
)
async def test_a_body_that_is_too_large_is_refused_before_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr("gateway.web.request.MAX_BODY_BYTES", 100_000)
    async with web_house(tmp_path) as house, raw_caller(house) as caller:
        await caller.send(b"POST /v1/runs HTTP/1.1\r\n", HEAD, head)
        if b"chunked" in head:
            await caller.send(b"1d4c0\r\n" + b" " * 120_000 + b"\r\n")
        answer = await caller.rest()
        assert answer.startswith(b"HTTP/1.1 400 ") and b'"LIMIT_EXCEEDED"' in answer and b"connection: close" in answer


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "PARSE_ERROR"),
        (b"", "INVALID_ARGUMENT"),
        (b"[]", "INVALID_ARGUMENT"),
        (b"null", "INVALID_ARGUMENT"),
        (b'{"flowId":"\xff"}', "PARSE_ERROR"),
        (b'{"flowId":1,"inputs":[]}', "INVALID_ARGUMENT"),
        (b'{"flowId":"x","inputs":[]}', "INVALID_ARGUMENT"),
        (b'{"flowId":"x","inputs":{}}', "INVALID_ARGUMENT"),
        (b'{"inputs":[NaN]}', "PARSE_ERROR"),
        (b'{"inputs":[' + b"1" * 100 + b"]}", "LIMIT_EXCEEDED"),
        (b'{"inputs":[1e999]}', "PARSE_ERROR"),
        (b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "LIMIT_EXCEEDED"),
        (b'{"flowId":"' + b"0" * 64 + b'","inputs":[[' + b"0," * 300_000 + b"0]]}", "LIMIT_EXCEEDED"),
        (b'{"flowId":"' + b"0" * 64 + b'","inputs":[' + b"0," * 100_000 + b"0]}", "LIMIT_EXCEEDED"),
        (b'{"flowId":"' + b"0" * 64 + b'","inputs":[],"overrides":{"a":[' + b"0," * 300_000 + b"0]}}", "LIMIT_EXCEEDED"),
        (b'{"%b":1}' % (b"k" * 2_000), "LIMIT_EXCEEDED"),
    ],
)
async def test_bodies_that_are_not_what_is_asked_for_are_refused_by_reason(tmp_path: Path, body: bytes, reason: str) -> None:
    async with web_house(tmp_path) as house:
        told = await house.ask("POST", "/v1/runs", content=body)
        assert (told.status_code, told.json()["error"]["data"]["reason"]) == (400, reason), told.text


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/runs?pageSize=x", "pageSize"),
        ("/v1/runs?pageSize=-1", "pageSize"),
        ("/v1/runs?status=done", "status"),
        ("/v1/runs?createdAfter=yesterday", "createdAfter"),
        ("/v1/runs?metadata.k=" + "v" * 2_000, "metadata.k"),
        ("/v1/runs/%2e%2e", "runId"),
        ("/v1/runs/x/items", "runId"),
        ("/v1/flows/x", "flowId"),
        ("/v1/blobs/x", "blobId"),
    ],
)
async def test_wrong_parameters_are_named(tmp_path: Path, path: str, field: str) -> None:
    async with web_house(tmp_path) as house:
        told = await house.ask("GET", path)
        assert (told.status_code, told.json()["error"]["data"].get("field")) == (400, field), told.text


@pytest.mark.parametrize("query", ["%ff", "&".join("a=b" for _ in range(300))], ids=["utf8", "many"])
async def test_queries_that_cannot_be_read_are_refused(tmp_path: Path, query: str) -> None:
    async with web_house(tmp_path) as house:
        told = await house.ask("GET", f"/v1/runs?{query}")
        assert told.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", "/v1/runs", 405), ("GET", "/v2/runs", 404), ("GET", "/", 404), ("GET", "/flowspan.v1.RunService/GetRun", 405),
     ("POST", "/flowspan.v1.RunService/Nothing", 404), ("POST", "/flowspan.v1.WorkerService/Connect", 404),
     ("GET", "/v1/runs/a/b/c", 404)],
)  # fmt: skip
async def test_what_there_is_not_is_told(tmp_path: Path, method: str, path: str, status: int) -> None:
    async with web_house(tmp_path) as house:
        told = await house.ask(method, path)
        assert told.status_code == status and told.json()["error"]["data"]["domain"] == "flowspan"
        assert ("allow" in told.headers) == (status == 405)


async def test_more_requests_than_the_bound_are_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.application.MAX_REQUESTS", 0)
    async with web_house(tmp_path) as house:
        told = await house.ask("GET", "/v1/runs")
        assert (told.status_code, told.headers["retry-after"]) == (429, "1")
        assert told.json()["error"]["data"] == {"reason": "OVERLOADED", "domain": "flowspan", "retryAfterMs": 1_000}


async def test_more_connections_than_the_bound_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 2)
    async with web_house(tmp_path) as house, raw_caller(house) as first, raw_caller(house) as second:
        async with raw_caller(house) as third:
            assert await third.rest() == b""
        await first.send(b"GET /v1/runs HTTP/1.1\r\nConnection: close\r\n", HEAD, b"\r\n")
        assert (await first.rest()).startswith(b"HTTP/1.1 200 ")
        assert not second.writer.is_closing()


async def test_a_bug_is_told_as_an_incident_and_never_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_house(tmp_path) as house:

        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(house.gateway.api, "list_runs", broken)
        told = await house.ask("GET", "/v1/runs")
        assert (told.status_code, told.json()["error"]["data"]["reason"]) == (500, "INTERNAL")
        assert "secret" not in told.text and "incident" in told.text


async def test_a_web_socket_is_not_opened(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house, raw_caller(house) as caller:
        await caller.send(
            b"GET /v1/runs HTTP/1.1\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            HEAD,
            b"\r\n",
        )
        assert (await caller.rest()).startswith(b"HTTP/1.1 200 ")


def test_heads_are_bounded_as_on_grpc() -> None:
    assert limits.MAX_HEAD_BYTES == 16_384
