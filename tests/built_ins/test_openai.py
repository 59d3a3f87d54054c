"""`/builtin/openai` against an endpoint on loopback: requests, answers, failures, and where it does not go."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Container
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpcore
import pytest

from gateway.builtins.http_answers import retry_after
from gateway.builtins.public_addresses import NotPublicError, PublicAddresses, is_public
from tests.built_ins.gateways import call, configured, refused
from tests.built_ins.model_server import Answer, ModelServer, model_server, says
from tests.e2e.house import House

KEY = 'sk-te/st-012"34\\56789'
ASK = {"messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server() as server:
        yield server


@pytest.fixture
async def h(model: ModelServer, tmp_path: Path) -> AsyncIterator[House]:
    text = "builtins: { openai: { base_url: '${URL}', api_key: '${KEY}', model: small } }"
    async with configured(tmp_path, text, URL=model.url, KEY=KEY) as house:
        yield house


async def test_it_answers_with_the_text_of_the_first_choice(h: House, model: ModelServer) -> None:
    assert (await call(h, "openai", ASK)).value == {"response": "hello"}
    assert model.asked[0].path == "/v1/chat/completions"
    assert model.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert model.last == {"model": "small", **ASK}


async def test_options_reach_the_endpoint_as_they_were_written(h: House, model: ModelServer) -> None:
    given = b'{"messages":[{"role":"user","content":[{"n":12345678901234567890}]}],"model":"big","max_tokens":7,"temperature":1}'
    assert (await call(h, "openai", given)).error is None
    assert model.asked[0].body == (
        b'{"model":"big","messages":[{"role":"user","content":[{"n":12345678901234567890}]}],"max_tokens":7,"temperature":1}'
    )


async def test_connections_are_used_again(h: House, model: ModelServer) -> None:
    for _ in range(5):
        assert (await call(h, "openai", ASK)).error is None
    assert model.connections == 1


async def test_a_key_of_the_input_is_used_instead_of_the_configured_one(h: House, model: ModelServer) -> None:
    await call(h, "openai", {**ASK, "api_key": "own-key"})
    assert model.asked[0].headers["authorization"] == "Bearer own-key"


async def test_the_configured_key_goes_to_the_configured_endpoint_alone(model: ModelServer, tmp_path: Path) -> None:
    text = "builtins: { openai: { api_key: '${KEY}', model: m, allowed_base_urls: ['${URL}/'] } }"
    async with configured(tmp_path, text, URL=model.url, KEY=KEY) as h:
        assert (await call(h, "openai", {**ASK, "base_url": model.url + "/"})).error is None
        assert "authorization" not in model.asked[0].headers


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, "the field messages is missing"),
        ({"messages": []}, "messages must not be empty"),
        ({**ASK, "max_tokens": 1.5}, "max_tokens must be a whole number"),
        ({**ASK, "temperature": "hot"}, "temperature: Expected int | float | null, got str"),
        ({**ASK, "api_key": "a\r\nx: y"}, "api_key holds characters that no key has"),
        ({**ASK, "modell": "x"}, "unknown field modell; did you mean model?"),
        ({**ASK, "base_url": "nonsense"}, "base_url is not a URL"),
    ],
)
async def test_bad_input_is_refused_with_the_name_of_the_field(h: House, model: ModelServer, given: object, names: str) -> None:
    message = await refused(h, "openai", given)
    assert names in message
    assert "x: y" not in message
    assert model.asked == []


async def test_without_a_model_or_a_key_the_setting_is_named(tmp_path: Path) -> None:
    async with configured(tmp_path, "") as h:
        assert "builtins.openai.model" in await refused(h, "openai", {**ASK, "api_key": "k"})
        assert "builtins.openai.api_key" in await refused(h, "openai", {**ASK, "model": "m"})


def wrong(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "x"}}).encode()


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (Answer(400, wrong("bad request")), "INVALID_INPUT", "answered 400: bad request"),
        (Answer(404, b"<html>"), "INVALID_INPUT", "answered 404"),
        (Answer(422, json.dumps({"error": "no such model"}).encode()), "INVALID_INPUT", "no such model"),
        (Answer(401, wrong(f"wrong key {KEY}")), "COMPONENT_FAILED", "the api_key was not accepted: wrong key ***"),
        (Answer(401, wrong(KEY).replace(b"/", b"\\/")), "COMPONENT_FAILED", "the api_key was not accepted: ***"),
        (Answer(401, wrong("-" + KEY).replace(b"k", b"\\u006B")), "COMPONENT_FAILED", "the api_key was not accepted: -***"),
        (Answer(401, KEY.encode()), "COMPONENT_FAILED", "the api_key was not accepted"),
        (Answer(403), "COMPONENT_FAILED", "the api_key was not accepted"),
        (Answer(302, headers={"location": "http://127.0.0.1:1/"}), "COMPONENT_FAILED", "redirects are not followed"),
    ],
)
async def test_final_answers_fail_at_once(h: House, model: ModelServer, answer: Answer, code: str, words: str) -> None:
    model.answer = lambda asked: answer
    result = await call(h, "openai", ASK, onError={"action": "retry", "maxRetries": 3})
    assert result.error is not None
    assert result.error.code == code
    assert words in result.error.message
    assert result.error.data_value == {"status": answer.status}
    assert len(model.asked) == 1
    assert KEY[-4:].encode() not in result.payload


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_endpoint_is_asked_again_when_it_says_so(h: House, model: ModelServer, status: int) -> None:
    busy = Answer(status, wrong("busy"), {"Retry-After": "0"})
    model.answer = lambda asked: busy if len(model.asked) < 3 else says("at last")
    assert (await call(h, "openai", ASK, onError={"action": "retry", "maxRetries": 2})).value == {"response": "at last"}
    model.answer = lambda asked: Answer(status, wrong("busy"), {"Retry-After": "7"})
    result = await call(h, "openai", ASK)
    assert result.error is not None
    assert result.error.code == "RESOURCE_UNAVAILABLE"
    assert result.error.data_value == {"status": status, "retryAfter": 7.0}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices":[]}', b"\xff", b'{"choices":[{"message":{"content":null}}]}'])
async def test_an_answer_without_a_text_is_a_failure(h: House, model: ModelServer, body: bytes) -> None:
    model.answer = lambda asked: Answer(body=body)
    result = await call(h, "openai", ASK)
    assert result.error is not None
    assert result.error.code == "COMPONENT_FAILED"
    assert "without a text" in result.error.message


async def test_an_endless_answer_is_cut_off(h: House, model: ModelServer) -> None:
    model.answer = lambda asked: Answer(body=b" " * ((16 << 20) + 1))
    result = await call(h, "openai", ASK)
    assert result.error is not None
    assert "more than 16777216 bytes" in result.error.message


async def test_an_endpoint_that_does_not_answer_is_a_time_out(h: House, model: ModelServer) -> None:
    model.answer = lambda asked: None
    result = await call(h, "openai", ASK, timeout=0.2, retry={"maxRetries": 0})
    assert result.error is not None
    assert result.error.code == "TIMEOUT"


async def test_an_endpoint_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        async with configured(tmp_path, f"builtins: {{ openai: {{ base_url: '{url}', model: m }} }}") as h:
            result = await call(h, "openai", ASK, retry={"maxRetries": 0})
    assert result.error is not None
    assert result.error.code == "UNREACHABLE"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/v1",
        "https://localhost/v1",
        "https://169.254.169.254/latest",
        "https://10.0.0.1",
        "https://[::1]/v1",
        "https://[::ffff:127.0.0.1]/v1",
        "https://2130706433/v1",
        "https://0x7f.1/v1",
        "https://0/v1",
    ],
)
async def test_a_flow_cannot_make_it_ask_inside(h: House, url: str) -> None:
    message = await refused(h, "openai", {**ASK, "base_url": url})
    assert "which is not a public address" in message
    assert "allowed_base_urls" in message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.com/v1", "must begin with https://"),
        ("file:///etc/passwd", "is not a URL"),
        ("https://user:pw@example.com/v1", "must not hold a user"),
        ("https://example.com/v1?x=1", "a query"),
        ("https://example.com:0x1/", "is not a URL"),
        ("https://exa mple.com/", "is not a URL"),
    ],
)
async def test_a_base_url_of_a_flow_is_https_and_nothing_else(h: House, url: str, words: str) -> None:
    assert words in await refused(h, "openai", {**ASK, "base_url": url})


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("192.0.0.8", False),
        ("192.0.0.192", False),
        ("192.88.99.1", False),
        ("fec0::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


class RecordingNetwork(httpcore.AsyncMockBackend):
    def __init__(self, down: Container[str] = ()) -> None:
        super().__init__([])
        self.hosts: list[str] = []
        self._down = down

    async def connect_tcp(self, host: str, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        self.hosts.append(host)
        if host in self._down:
            raise httpcore.ConnectError("no route")
        return await super().connect_tcp(host, *args, **options)


async def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that answers differently the second time changes nothing."""
    answers = [["1.1.1.1"], ["127.0.0.1"], ["8.8.8.8", "10.0.0.1"]]

    async def resolve(host: str, port: int, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    network, backend = RecordingNetwork(), PublicAddresses()
    monkeypatch.setattr(backend, "_network", network)
    await backend.connect_tcp("model.example", 443, 5.0)
    assert (network.hosts, len(answers)) == (["1.1.1.1"], 2)
    for _ in range(2):
        with pytest.raises(NotPublicError):
            await backend.connect_tcp("model.example", 443, 5.0)
    assert network.hosts == ["1.1.1.1"]


@pytest.mark.parametrize("down", [("2606:4700::1",), ("2606:4700::1", "1.1.1.1")])
async def test_a_host_is_reached_at_any_of_its_addresses(monkeypatch: pytest.MonkeyPatch, down: tuple[str, ...]) -> None:
    addresses = ["2606:4700::1", "1.1.1.1", "8.8.8.8"]

    async def resolve(host: str, port: int, **options: Any) -> list[Any]:
        return [(0, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    network, backend = RecordingNetwork(down), PublicAddresses()
    monkeypatch.setattr(backend, "_network", network)
    await backend.connect_tcp("model.example", 443, 5.0)
    assert network.hosts == addresses[: len(down) + 1]


async def test_an_answer_that_nests_without_end_is_no_text_and_no_message(h: House, model: ModelServer) -> None:
    for status, code in ((200, "COMPONENT_FAILED"), (400, "INVALID_INPUT")):
        model.answer = lambda asked, status=status: Answer(status, b'{"error":' + b"[" * 200_000)  # type: ignore[misc]
        result = await call(h, "openai", ASK)
        assert result.error is not None
        assert result.error.code == code
        assert f"answered {status}" in result.error.message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"7", 7.0),
        (b"Wed, 15 Jan 2025 10:30:30 GMT", 30.0),
        (b"Wed, 15 Jan 2025 10:00:00 GMT", 0.0),
        (b"soon", None),
        (b"Mon, 99999999999999999999 Jan 2025 00:00:00 GMT", None),
        (b"-1", None),
        (b"", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: bytes, seconds: float | None) -> None:
    now = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
    assert retry_after([(b"Retry-After", value)], now) == seconds


def test_a_gateway_that_asks_no_model_loads_no_http_client() -> None:
    code = "import gateway.assembly, sys; print([name for name in ('httpx', 'httpcore', 'anyio') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
