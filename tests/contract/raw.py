"""An open execution in a component server that the test plays byte by byte, and what it asks meanwhile."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

from runtime_core.ports import Store
from tests.e2e.house import House, RawPeer, house, one_step, raw_peer_house

CHILD_NAME: Final = "Data Processing Workflow"
PAGE: Final = Path(__file__).parents[2] / "docs" / "protocol" / "runs-methods.md"
RUN_ID: Final = "550e8400-e29b-41d4-a716-446655440000"
FLOW_ID: Final = "sha256:abc123..."
Message = dict[str, Any]

_EXAMPLE: Final = re.compile(r"<!-- example: ([a-z-]+) -->\n+```json\n(.*?)```", re.DOTALL)


def examples() -> dict[str, str]:
    """The page's JSON examples as printed, by name."""
    return dict(_EXAMPLE.findall(PAGE.read_text(encoding="utf-8")))


def as_line(example: str, **ids: str) -> bytes:
    """The example as bytes for the pipe. Only ids are substituted, and its line ends go, which frame messages there."""
    for name, placeholder in (("flow_id", FLOW_ID), ("run_id", RUN_ID)):
        if name in ids:
            assert placeholder in example
            example = example.replace(placeholder, ids[name])
    return example.replace("\n", "").encode() + b"\n"


class Asking:
    """The test, as a component server with one open execution (`execute` is its request)."""

    def __init__(self, h: House, peer: RawPeer, execute: Message, parent_run_id: str) -> None:
        self.h = h
        self.peer = peer
        self.execute = execute
        self.parent_run_id = parent_run_id
        self._ids = count(1)

    @property
    def token(self) -> str:
        token: str = self.execute["params"]["taskToken"]
        return token

    async def child_flow(self, **members: Any) -> str:
        """The id of a flow whose items this server is asked to execute (`/child`)."""
        return await self.h.flow({**one_step("/raw/child"), "name": CHILD_NAME, **members})

    async def begin(self, method: str, params: Message | bytes) -> str:
        """Send a request; its id."""
        request_id = f"ask-{next(self._ids)}"
        body = params if isinstance(params, bytes) else json.dumps(params).encode()
        await self.peer.send(
            b'{"jsonrpc":"2.0","id":"%b","method":"%b","params":%b}\n' % (request_id.encode(), method.encode(), body)
        )
        return request_id

    async def answer_of(self, request_id: object) -> Message:
        """The whole response."""
        return await self.peer.expect(id=request_id)

    async def result_of(self, request_id: object) -> Message:
        answer = await self.answer_of(request_id)
        assert "error" not in answer, answer
        result: Message = answer["result"]
        return result

    async def ask(self, method: str, params: Message | bytes) -> Message:
        """A request's result."""
        return await self.result_of(await self.begin(method, params))

    async def refused(self, method: str, params: Message | bytes) -> Message:
        """A request's error."""
        answer = await self.answer_of(await self.begin(method, params))
        assert "result" not in answer, answer
        error: Message = answer["error"]
        return error

    async def next_execute(self) -> Message:
        return await self.peer.expect(method="components/execute")

    async def output(self, execute: Message, output: Any) -> None:
        await self.peer.send_message({"jsonrpc": "2.0", "id": execute["id"], "result": {"output": output}})

    async def fail(self, execute: Message, code: int = -32602, message: str = "no") -> None:
        await self.peer.send_message({"jsonrpc": "2.0", "id": execute["id"], "error": {"code": code, "message": message}})

    async def serve(self, items: int) -> list[Message]:
        """Answer so many executions, each with its input; the requests in the order they came."""
        executes = []
        for _ in range(items):
            executes.append(await self.next_execute())
            await self.output(executes[-1], executes[-1]["params"]["input"])
        return executes

    async def submit(self, inputs: Sequence[Any], **params: Any) -> Message:
        return await self.ask("runs/submit", {"flowId": await self.child_flow(), "inputs": list(inputs), **params})

    async def get(self, run_id: str, **params: Any) -> Message:
        return await self.ask("runs/get", {"runId": run_id, **params})


@asynccontextmanager
async def open_execution(
    tmp_path: Path, *, capabilities: Message | None = None, store: Store | None = None, **options: Any
) -> AsyncIterator[Asking]:
    """A gateway that has asked the test to execute one item, which stays open."""
    async with raw_peer_house(tmp_path, store=store, **options) as (h, peer):
        await peer.handshake(capabilities, components=("/work", "/child"))
        parent = await h.submit(await h.flow(one_step("/raw/work")), [b"{}"])
        execute = await peer.expect(method="components/execute")
        yield Asking(h, peer, execute, parent.run_id)


__all__ = ["CHILD_NAME", "Asking", "Message", "as_line", "examples", "house", "open_execution"]
