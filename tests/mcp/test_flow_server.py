"""`flowspan mcp`, the real command in a process of its own, spoken to line by line."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

WAIT_S = 30.0
FLOWSPAN = str(Path(sys.executable).with_name("flowspan"))

WAIT = {
    "name": "wait",
    "description": "Waits.",
    "steps": [{"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}, "passthrough": 7}}],
    "output": {"$step": "a"},
}
MANY = {
    "name": "many",
    "steps": [
        {"id": "a", "component": "/builtin/map", "input": {"workflow": {"$literal": WAIT}, "items": {"$input": "items"}}},
    ],
    "output": {"$step": "a", "path": "$.successful"},
}


class Client:
    """A client without any SDK."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._unread = b""
        self.notices: list[dict[str, Any]] = []

    def send(self, *messages: Any) -> None:
        assert self.process.stdin is not None
        lines = [
            message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode() for message in messages
        ]
        self.process.stdin.write(b"".join(line + b"\n" for line in lines))
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        ends = time.monotonic() + WAIT_S
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, ends - time.monotonic()))
            assert ready, "no answer in time"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, "the server has gone"
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def answer_to(self, request_id: int) -> dict[str, Any]:
        while True:
            message = self.receive()
            if "method" not in message:
                assert message["id"] == request_id
                return message
            self.notices.append(message)

    def ask(self, request_id: int, method: str, **params: Any) -> dict[str, Any]:
        self.send({"id": request_id, "method": method, "params": params})
        return self.answer_to(request_id)

    def shake_hands(self, version: str = "2025-06-18") -> dict[str, Any]:
        info = {"name": "test", "version": "1"}
        told = self.ask(0, "initialize", protocolVersion=version, capabilities={}, clientInfo=info)["result"]
        self.send({"method": "notifications/initialized"})
        result: dict[str, Any] = told
        return result


@contextmanager
def command(directory: Path, *arguments: str) -> Iterator[Client]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}
    process = subprocess.Popen(
        [FLOWSPAN, *arguments],
        cwd=directory,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield Client(process)
    finally:
        process.kill()
        process.wait(WAIT_S)
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    for flow in (WAIT, MANY):
        (tmp_path / f"{flow['name']}.json").write_text(json.dumps(flow))
    with command(tmp_path, "mcp", "--state", "state", "wait.json", "many.json") as one:
        yield one


def runs(directory: Path) -> list[dict[str, Any]]:
    """What is in the state of a gateway that has ended."""
    with command(directory, "serve", "--state", "state", "--listen", "127.0.0.1:0", "--no-auth") as server:
        target = server.receive()["grpc"]
        listing = [FLOWSPAN, "list", "--json", "--target", target]
        done = subprocess.run(listing, capture_output=True, timeout=WAIT_S, cwd=directory, check=True)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(WAIT_S)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_conversation(client: Client) -> None:
    hello = client.shake_hands()
    assert hello["protocolVersion"] == "2025-06-18" and hello["serverInfo"]["name"] == "flowspan"
    tools = client.ask(1, "tools/list")["result"]["tools"]
    assert [tool["name"] for tool in tools] == ["wait", "many"] and tools[0]["description"] == "Waits."
    assert tools[0]["inputSchema"]["required"] == ["ms"]
    answer = client.ask(2, "tools/call", name="wait", arguments={"ms": 1})["result"]
    assert (answer["isError"], answer["structuredContent"]) == (False, {"result": 7})
    assert client.ask(3, "ping")["result"] == {}
    assert client.ask(4, "tools/call", name="nowhere")["error"]["code"] == -32602
    assert client.ask(5, "tools/call", name="wait", arguments=[1])["error"]["code"] == -32602
    assert client.ask(6, "resources/list")["error"]["code"] == -32601
    wrong = client.ask(7, "tools/call", name="wait")["result"]
    assert wrong["isError"] and wrong["content"][0]["text"]


def test_a_revision_that_is_not_known_is_answered_with_the_newest(client: Client) -> None:
    assert client.shake_hands("2030-01-01")["protocolVersion"] == "2025-11-25"


def test_lines_that_are_no_messages_do_no_harm(client: Client) -> None:
    client.shake_hands()
    client.send(b"hello?", b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}', b"{")
    assert client.receive()["error"]["code"] == -32700
    assert client.ask(1, "ping")["result"] == {}


def test_progress_rises_and_tells_of_the_items_of_sub_runs(client: Client) -> None:
    client.shake_hands()
    items = [{"ms": 120 * n} for n in range(1, 11)]
    meta = {"progressToken": "p"}
    answer = client.ask(1, "tools/call", name="many", arguments={"items": items}, _meta=meta)["result"]
    assert not answer["isError"], answer
    told = [notice["params"] for notice in client.notices]
    assert {notice["progressToken"] for notice in told} == {"p"}
    amounts = [notice["progress"] for notice in told]
    assert len(amounts) >= 3 and amounts == sorted(set(amounts))
    assert any("of 11 items done" in notice["message"] for notice in told)


def test_a_cancelled_call_is_not_answered_and_its_run_is_cancelled(client: Client, tmp_path: Path) -> None:
    client.shake_hands()
    client.send(
        {"id": 1, "method": "tools/call", "params": {"name": "wait", "arguments": {"ms": 60_000}, "_meta": {"progressToken": 9}}}
    )
    assert client.receive()["method"] == "notifications/progress"  # it runs
    client.send({"method": "notifications/cancelled", "params": {"requestId": 1, "reason": "enough"}})
    # The answer to the next one is the next message: there is none to the first.
    client.send({"id": 2, "method": "tools/call", "params": {"name": "wait", "arguments": {"ms": 1}}})
    assert client.answer_to(2)["result"]["structuredContent"] == {"result": 7}
    assert client.process.stdin is not None
    client.process.stdin.close()
    assert client.process.wait(WAIT_S) == 0
    assert sorted(run["status"] for run in runs(tmp_path)) == ["cancelled", "success"]


def test_the_end_of_stdin_cancels_what_runs(client: Client, tmp_path: Path) -> None:
    client.shake_hands()
    client.send(
        {"id": 1, "method": "tools/call", "params": {"name": "wait", "arguments": {"ms": 60_000}, "_meta": {"progressToken": 9}}}
    )
    assert client.receive()["method"] == "notifications/progress"
    assert client.process.stdin is not None
    client.process.stdin.close()
    assert client.process.wait(WAIT_S) == 0
    (run,) = runs(tmp_path)
    assert (run["status"], run["metadata"]) == ("cancelled", {"mcpClient": "test"})


def test_flows_of_a_gateway_that_runs_are_offered_by_name(tmp_path: Path) -> None:
    (tmp_path / "wait.json").write_text(json.dumps(WAIT))
    with command(tmp_path, "serve", "--listen", "127.0.0.1:0", "--no-auth") as server:
        target = server.receive()["grpc"]
        with command(tmp_path, "mcp", "--target", target, "wait.json") as first:
            first.shake_hands()
            assert len(first.ask(1, "tools/list")["result"]["tools"]) == 1
        for arguments in ((), ("wait",)):
            with command(tmp_path, "mcp", "--target", target, *arguments) as client:
                client.shake_hands()
                (tool,) = client.ask(1, "tools/list")["result"]["tools"]
                assert tool["name"] == "wait"
                assert client.ask(2, "tools/call", name="wait", arguments={"ms": 1})["result"]["structuredContent"] == {
                    "result": 7
                }
        with command(tmp_path, "mcp", "--target", target, "wiat") as client:
            assert client.process.wait(WAIT_S) == 2
            assert client.process.stderr is not None and "no flow of the name 'wiat'" in client.process.stderr.read().decode()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--state", "s", "--target", "unix:/nowhere"), "give either"),
        (("--config", "flowspan.yml"), "name the files of flows"),
        (("--state", "s", "missing.json"), "No such file"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    with command(tmp_path, "mcp", *arguments) as client:
        assert client.process.wait(WAIT_S) == 2
        assert client.process.stderr is not None and words in client.process.stderr.read().decode()
