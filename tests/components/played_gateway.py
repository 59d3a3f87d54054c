"""A gateway played by hand: a real child process, bytes in, bytes out."""

from __future__ import annotations

import json
import os
import select
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAIT_S = 5.0

HEAD = """
import asyncio, dataclasses, os, sys, threading, time
from typing import Any, TypedDict
from flowspan import ComponentContext, ComponentServer
from flowspan.components import BlockingContext, ComponentError
server = ComponentServer(capacity={capacity})
"""

Message = dict[str, Any]


class PlayedGateway:
    """Speaks to one component server over its pipes; every wait is bounded."""

    def __init__(self, path: Path, source: str, *, loop: str = "auto", capacity: int = 256) -> None:
        path.write_text(HEAD.format(capacity=capacity) + source + f"\nserver.run(event_loop={loop!r})\n")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, str(path)], stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._stdin, self._stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdout, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._selector.register(self._stdin, selectors.EVENT_WRITE)
        self._outgoing = bytearray()
        self._partial = b""
        self._last_id = 0
        self.inbox: list[Message] = []
        self.lines: list[bytes] = []
        self.ended = False

    # ---------------------------------------------------------------- bytes

    def _turn(self, deadline_s: float) -> None:
        """Move bytes both ways once."""
        self._selector.modify(self._stdin, selectors.EVENT_WRITE) if self._outgoing else None
        for key, _ in self._selector.select(min(0.05, max(0.0, deadline_s - time.monotonic()))):
            if key.fd == self._stdout:
                data = os.read(self._stdout, 1 << 20)
                if not data:
                    self.ended = True
                    self._selector.unregister(self._stdout)
                    return
                *lines, self._partial = (self._partial + data).split(b"\n")
                self.lines += lines
                self.inbox += [json.loads(line) for line in lines]
            elif self._outgoing:
                try:
                    del self._outgoing[: os.write(self._stdin, self._outgoing[: 1 << 20])]
                except BlockingIOError:
                    continue
        if not self._outgoing and self._stdin in self._selector.get_map():
            # Nothing to write: a writable pipe would make every wait a spin.
            self._selector.unregister(self._stdin)

    def write(self, data: bytes) -> None:
        """Send raw bytes; they leave during the next wait at the latest."""
        self._outgoing += data
        if self._stdin not in self._selector.get_map():
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        self._turn(time.monotonic())

    def write_without_reading(self, data: bytes, stall_s: float) -> bytes:
        """Write until the child has taken nothing for `stall_s`; what it did not take."""
        view = memoryview(data)
        while view and select.select([], [self._stdin], [], stall_s)[1]:
            view = view[os.write(self._stdin, view[: 1 << 20]) :]
        return bytes(view)

    def send(self, message: Message) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    # ---------------------------------------------------------------- messages

    def take(self, wanted: Callable[[Message], bool], wait_s: float = WAIT_S) -> Message:
        """The first message that fits, now or later."""
        deadline_s = time.monotonic() + wait_s
        while True:
            for index, message in enumerate(self.inbox):
                if wanted(message):
                    return self.inbox.pop(index)
            assert not self.ended, f"the child ended: {self.stderr_text()}"
            assert time.monotonic() < deadline_s, f"nothing fits within {wait_s} s; there is {self.inbox}"
            self._turn(deadline_s)

    def request(self, method: str, params: object = None) -> int:
        self._last_id += 1
        self.send({"id": self._last_id, "method": method, "params": {} if params is None else params})
        return self._last_id

    def answer_to(self, request_id: int | str, wait_s: float = WAIT_S) -> Message:
        return self.take(lambda message: message.get("id") == request_id and "method" not in message, wait_s)

    def call(self, method: str, params: object = None) -> Any:
        answer = self.answer_to(self.request(method, params))
        assert "error" not in answer, answer
        return answer["result"]

    def initialize(self) -> PlayedGateway:
        params = {"runtimeProtocolVersion": 1, "runtime_protocol_version": 1, "protocolVersions": [1], "capabilities": {}}
        self.call("initialize", params)
        self.send({"method": "initialized", "params": {}})
        return self

    def execute(self, component: str, value: object, **more: object) -> int:
        return self.request("components/execute", execute_params(component, value, **more))

    def output(self, component: str, value: object, **more: object) -> Any:
        answer = self.answer_to(self.execute(component, value, **more))
        assert "error" not in answer, answer
        return answer["result"]["output"]

    def next_request(self, method: str) -> Message:
        return self.take(lambda message: message.get("method") == method and "id" in message)

    def next_notification(self, method: str) -> Message:
        return self.take(lambda message: message.get("method") == method and "id" not in message)

    def answer(self, request: Message, result: object) -> None:
        self.send({"id": request["id"], "result": result})

    # ---------------------------------------------------------------- end

    def close_stdin(self) -> None:
        if self.process.stdin is not None and not self.process.stdin.closed:
            if self._stdin in self._selector.get_map():
                self._selector.unregister(self._stdin)
            self.process.stdin.close()

    def wait_for_exit(self) -> int:
        return self.process.wait(WAIT_S)

    def stderr_text(self) -> str:
        """All of it; the child must have ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        self.close_stdin()
        try:
            self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(WAIT_S)
            raise
        finally:
            self._selector.close()
            for pipe in (self.process.stdout, self.process.stderr):
                assert pipe is not None
                pipe.close()


def execute_params(component: str, value: object, **more: object) -> Message:
    """As a gateway sends them."""
    return {
        "component": component,
        "input": value,
        "attempt": 1,
        "observability": {
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "b7ad6b7169203331",
            "run_id": "0190f5fe-7c00-7000-8000-000000000001",
            "flow_id": "sha256:" + "ab" * 32,
            "step_id": "only",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
        "taskToken": "task-1",
        "idempotencyToken": "abcdefghijklmnopqrstuvwxyz",
        **more,
    }


def run_status(run_id: str, values: list[object], status: str = "success", **more: object) -> Message:
    """A RunStatus as the contract shows it, with a successful result per value."""
    done = len(values) if status == "success" else 0
    return {
        "runId": run_id,
        "flowId": "sha256:" + "cd" * 32,
        "flowName": "Sub",
        "status": status,
        "items": {
            "total": len(values), "pending": 0, "running": len(values) - done, "success": done, "failed": 0, "cancelled": 0,
        },
        "createdAt": "2025-01-15T10:30:00.000Z",
        **({"completedAt": "2025-01-15T10:30:05.000Z", "results": [item(i, v) for i, v in enumerate(values)]} if done else {}),
        **more,
    }  # fmt: skip


def item(index: int, value: object) -> Message:
    return {
        "itemIndex": index,
        "result": {"outcome": "success", "value": value},
        "completedAt": f"2025-01-15T10:30:{index % 60:02}.000Z",
    }
