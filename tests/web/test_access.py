"""Who gets in: tokens, names, origins."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Config
from tests.web.house import web_house

CALL = "/flowspan.v1.RunService/ListRuns"
PROTO = {"content-type": "application/proto"}


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer another", "Basic a token of some length", "Bearer ä"])
async def test_without_the_token_nothing_is_served_on_either_face(tmp_path: Path, given: str) -> None:
    async with web_house(tmp_path) as house:
        headers = {"authorization": given.encode("latin-1")}
        told = await house.ask("GET", "/v1/runs", headers=headers)
        assert (told.status_code, told.json()["error"]["data"]["reason"]) == (401, "UNAUTHENTICATED")
        assert told.headers["www-authenticate"] == "Bearer"
        told = await house.ask("POST", CALL, headers={**PROTO, **headers})
        assert (told.status_code, told.json()["error"]["data"]["reason"]) == (401, "UNAUTHENTICATED")
        assert (await house.ask("GET", "/v1/openapi.json", headers=headers)).status_code == 200
        health = await house.ask("POST", "/grpc.health.v1.Health/Check", headers={**PROTO, **headers})
        assert (health.status_code, health.content) == (200, b"\x08\x01")


async def test_the_scheme_of_the_token_is_read_in_any_case(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        assert (await house.ask("GET", "/v1/runs", headers={"authorization": "bEARER a token of some length"})).status_code == 200


async def test_without_a_token_everybody_is_served_in_the_default_namespace_only(tmp_path: Path) -> None:
    async with web_house(tmp_path, token=None) as house:
        assert (await house.ask("GET", "/v1/runs")).status_code == 200
        told = await house.ask("GET", "/v1/runs", headers={"flowspan-namespace": "other"})
        assert (told.status_code, told.json()["error"]["data"]["reason"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:80", "[::1", "a b"])
async def test_a_name_that_was_made_to_point_here_is_refused(tmp_path: Path, host: str) -> None:
    async with web_house(tmp_path) as house:
        told = await house.ask("GET", "/v1/openapi.json", headers={"host": host})
        assert told.status_code == 421 and told.json()["error"]["data"]["reason"] == "FAILED_PRECONDITION"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:80", "10.1.2.3", "flows.example.org:8443"])
async def test_addresses_localhost_and_configured_names_are_known(tmp_path: Path, host: str) -> None:
    async with web_house(tmp_path, hosts=("flows.example.org",)) as house:
        assert (await house.ask("GET", "/v1/runs", headers={"host": host})).status_code == 200


async def test_pages_of_other_origins_get_in_only_if_they_are_named(tmp_path: Path) -> None:
    async with web_house(tmp_path, origins=("https://flows.example.org",)) as house:
        friend, stranger = {"origin": "https://flows.example.org"}, {"origin": "https://flows.example.org.evil.example"}
        welcome = await house.ask("GET", "/v1/runs", headers=friend)
        assert welcome.headers["access-control-allow-origin"] == friend["origin"] and welcome.headers["vary"] == "origin"
        error = await house.ask("GET", "/v1/runs/x", headers=friend)
        assert error.headers["access-control-allow-origin"] == friend["origin"]
        for headers in (stranger, {"origin": "null"}, {"origin": "http://flows.example.org"}):
            told = await house.ask("POST", "/v1/runs", headers=headers, content=b"{}")
            assert (told.status_code, told.json()["error"]["data"]["reason"]) == (403, "PERMISSION_DENIED")
            assert "access-control-allow-origin" not in told.headers
        own = await house.ask("GET", "/v1/runs", headers={"origin": house.url})
        assert own.status_code == 200 and "access-control-allow-origin" not in own.headers


async def test_browsers_are_told_beforehand_what_they_may_send(tmp_path: Path) -> None:
    async with web_house(tmp_path, origins=("https://flows.example.org",)) as house:
        asks = {"origin": "https://flows.example.org", "access-control-request-method": "POST", "authorization": ""}
        told = await house.ask("OPTIONS", "/v1/runs", headers=asks)
        assert told.status_code == 204 and told.content == b""
        assert set(told.headers["access-control-allow-methods"].split(", ")) == {"GET", "POST"}
        allowed = told.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "content-type", "last-event-id", "idempotency-key", "connect-protocol-version"} <= set(allowed)
        assert (await house.ask("OPTIONS", CALL, headers=asks)).headers["access-control-allow-methods"] == "POST"
        refused = await house.ask("OPTIONS", "/v1/runs", headers={**asks, "origin": "https://evil.example"})
        assert refused.status_code == 403


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"web": {"listen": "0.0.0.0:80"}}, "needs `tls`"),
        ({"web": {"listen": "0.0.0.0:80"}, "auth": {"type": "none"}}, "loopback only"),
        ({"web": {"listen": "unix:/s"}}, "HOST:PORT"),
        ({"web": {"listen": "127.0.0.1:0", "origins": ["flows.example.org"]}}, "no origin"),
        ({"web": {"listen": "127.0.0.1:0", "origins": ["https://flows.example.org/path"]}}, "no origin"),
    ],
)
def test_a_configuration_that_lets_in_too_many_is_refused(document: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Config.model_validate(document)
