"""Handshake, list, execute and the end, as bytes over the pipes of a real process."""

from __future__ import annotations

import json

import pytest

from tests.components.conftest import Spawn

ECHO = """
@server.component
def echo(input): return input

@server.component(inline=True)
def echo_inline(input): return input

@server.component
async def echo_async(input): return input
"""


@pytest.mark.parametrize(
    "params",
    [{"runtimeProtocolVersion": 1}, {"runtime_protocol_version": 1}, {"protocolVersions": [1, 2]}, {}],
)
def test_initialize_is_answered_in_both_spellings(spawn: Spawn, params: dict[str, object]) -> None:
    gateway = spawn(ECHO, capacity=7)
    result = gateway.call("initialize", params)
    assert result["serverProtocolVersion"] == result["server_protocol_version"] == 1
    capabilities = result["capabilities"]
    assert capabilities["capacity"] == 7
    assert all(capabilities[name] is True for name in ("cancelAck", "timeouts", "reentrant", "ping", "shutdown"))


def test_an_unknown_protocol_version_is_refused_with_both_versions(spawn: Spawn) -> None:
    gateway = spawn(ECHO)
    answer = gateway.answer_to(gateway.request("initialize", {"protocolVersions": [2, 3]}))
    assert answer["error"]["code"] == -32005
    assert answer["error"]["data"]["gatewayVersions"] == [2, 3]
    assert answer["error"]["data"]["serverVersions"] == [1]


def test_what_comes_before_initialize_is_refused(spawn: Spawn) -> None:
    gateway = spawn(ECHO)
    for request_id in (gateway.request("components/list"), gateway.execute("/echo", 1)):
        assert gateway.answer_to(request_id)["error"]["code"] == -32002


@pytest.mark.parametrize("component", ["/echo", "/echo_inline", "/echo_async", "echo"])
def test_plain_values_go_through_a_component(spawn: Spawn, loop: str, component: str) -> None:
    gateway = spawn(ECHO, loop=loop).initialize()
    value = {"n": [1, 2.5, None, True, "\u00e9\U0001f600"]}
    assert gateway.output(component, value) == value


@pytest.mark.parametrize("component", ["/echo", "/echo_inline", "/echo_async"])
def test_values_come_back_exactly_as_they_were_written(spawn: Spawn, component: str) -> None:
    gateway = spawn(ECHO).initialize()
    written = (
        b"[9007199254740993,1000000000000000000000000000000,-9223372036854775809,18446744073709551616,1.0,-0.0,1e+300,0.1,"
        b'"\\u0000\xf0\x9f\x98\x80\xe2\x80\xa8",null]'
    )
    params = json.dumps({"component": component, "input": 0}).encode().replace(b'"input": 0', b'"input": ' + written)
    gateway.write(b'{"jsonrpc":"2.0","id":"exact","method":"components/execute","params":' + params + b"}\n")
    answer = gateway.answer_to("exact")
    line = next(line for line in gateway.lines if b'"exact"' in line)
    assert json.dumps(answer["result"]["output"]) == json.dumps(json.loads(written))
    assert b"[9007199254740993,1000000000000000000000000000000,-9223372036854775809,18446744073709551616,1.0,-0.0," in line


@pytest.mark.parametrize("value", ["float('nan')", "float('-inf')", "[None, {'a': float('nan')}]", "'\\ud800'", "object()"])
def test_an_output_that_json_cannot_say_fails_the_item(spawn: Spawn, value: str) -> None:
    gateway = spawn(f"@server.component\ndef bad(input): return {value}").initialize()
    assert gateway.answer_to(gateway.execute("/bad", 0))["error"]["code"] == -32011


def test_a_line_of_20_megabytes_goes_through(spawn: Spawn, loop: str) -> None:
    gateway = spawn(ECHO, loop=loop).initialize()
    text = "x" * 20_000_000
    answer = gateway.answer_to(gateway.execute("/echo", text), wait_s=15)
    assert answer["result"]["output"] == text


def test_ping_and_unknown_methods_are_answered(spawn: Spawn) -> None:
    gateway = spawn(ECHO).initialize()
    assert gateway.call("ping") == {}
    assert gateway.answer_to(gateway.request("components/nothing"))["error"]["code"] == -32601
    assert gateway.answer_to(gateway.execute("/nothing", 1))["error"]["code"] == -32001
    assert gateway.answer_to(gateway.request("components/info", {"component": "x"}))["error"]["code"] == -32001
    assert gateway.answer_to(gateway.request("components/execute", {"input": 1}))["error"]["code"] == -32602


def test_the_process_ends_with_its_stdin(spawn: Spawn, loop: str) -> None:
    gateway = spawn("@server.component\ndef hang(input): time.sleep(3600)\nthreading.excepthook = print", loop=loop).initialize()
    gateway.execute("/hang", 1)
    gateway.call("ping")
    gateway.close_stdin()
    assert gateway.wait_for_exit() == 0


def test_shutdown_ends_the_process_once_nothing_is_executed(spawn: Spawn, loop: str) -> None:
    source = """
release = threading.Event()
@server.component
def hold(input): release.wait(5); return "held"
@server.component
def free(input): release.set()
"""
    gateway = spawn(source, loop=loop).initialize()
    held = gateway.execute("/hold", 1)
    gateway.call("shutdown")
    gateway.execute("/free", 1)
    assert gateway.answer_to(held)["result"]["output"] == "held"
    assert gateway.wait_for_exit() == 0
