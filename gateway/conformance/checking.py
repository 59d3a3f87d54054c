"""Runs the checks in their order, on as few processes as they leave alive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from flowspan.errors import FlowspanError
from gateway.catalog import OfferedComponent
from gateway.conformance.server_process import Message, NoAnswerError, ServerProcess
from gateway.stdio_bridge.handshake import INITIALIZE_PARAMS, ServerDeclaration, read_components, read_initialize

INITIALIZE_S: Final = 10.0
LIST_S: Final = 5.0
"""As long as a gateway waits (docs/protocol/stdio.md, Handshake)."""
ANSWER_S: Final = 5.0


class State(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    HINT = "hint"
    """Worth knowing, and no reason to fail."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check went. `expected`: the sentence. `came`: what was seen."""

    name: str
    state: State
    expected: str
    came: str
    took_s: float = 0.0


class CheckFailedError(Exception):
    """What was seen is not what was expected; the text says what it was."""


class NotApplicableError(Exception):
    """The server does not declare what this is about."""


class HintError(Exception):
    """Something worth saying that fails nothing."""


@dataclass(frozen=True, slots=True)
class Probe:
    """An execution that the server is to be asked for, by its author: a component that answers this input within seconds."""

    component: str
    input: Any


@dataclass(frozen=True, slots=True)
class Check:
    """`run` returns what was seen, or raises one of the errors above."""

    name: str
    expected: str
    run: Callable[[Session], Awaitable[str]]


class Session:
    """What the checks share: the process that lives now, and what it said of itself."""

    def __init__(self, command: Sequence[str], probe: Probe | None, patience: float) -> None:
        self._patience = patience
        self._command = command
        self._last_id = 0
        self._lives: list[ServerProcess] = []
        self.probe = probe
        self.declaration: ServerDeclaration | None = None
        self.answer: Message = {}
        """The answer to `initialize`."""
        self.components: dict[str, OfferedComponent] | None = None

    @property
    def server(self) -> ServerProcess:
        return self._lives[-1]

    def within(self, seconds: float) -> float:
        """How long to wait for what should take at most so long."""
        return seconds * self._patience

    @property
    def lives(self) -> Sequence[ServerProcess]:
        return self._lives

    async def start(self) -> ServerProcess:
        """A fresh process, without a handshake."""
        server = ServerProcess(self._command)
        await server.open()
        self._lives.append(server)
        return server

    async def start_initialized(self) -> ServerProcess:
        """A fresh process that has had its handshake.

        Raises:
            NoAnswerError, CheckFailedError: it did not answer.
        """
        server = await self.start()
        await self.initialize(server)
        await server.request("components/list", {}, self.next_id(), self.within(LIST_S))
        return server

    async def initialize(self, server: ServerProcess) -> Message:
        params = msgspec.json.decode(INITIALIZE_PARAMS)
        answer = await server.request("initialize", params, f"1-{self.next_id()}", self.within(INITIALIZE_S))
        if "result" not in answer:
            raise CheckFailedError(f"it answered {shown(answer)}")
        server.notify("initialized", {})
        return answer

    async def alive(self) -> ServerProcess:
        """The present process, or a new one where that has ended."""
        if not self._lives or self.server.has_ended:
            return await self.start_initialized()
        return self.server

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def execution(self, component: str, value: Any, **more: Any) -> Message:
        """A request `components/execute` as a gateway sends it."""
        number = self.next_id()
        trace_id, span_id = "ba2344c25efaa066799d79ef65547fe5", f"ed1d78{number:010x}"
        params = {
            "component": component,
            "input": value,
            "attempt": 1,
            "observability": {
                "trace_id": trace_id,
                "span_id": span_id,
                "run_id": "01a20405-1cb2-7994-b237-b12c826b5016",
                "flow_id": "sha256:5fc837d9c807df6561db58832f246ddbcaebcebbb7fe0f15c6d81f95de6e9ebd",
                "step_id": "check",
                "traceparent": f"00-{trace_id}-{span_id}-01",
            },
            "taskToken": f"f20c05ade37b5a926fdfde48623d8d6e-{number:x}",
            "itemIndex": number,
            "idempotencyToken": "662gikzkpxm6pbnlgmaotghac6",
            **more,
        }
        return {"jsonrpc": "2.0", "id": number, "method": "components/execute", "params": params}

    async def read_components(self, server: ServerProcess) -> str:
        """Ask for the list; what it said."""
        answer = await server.request("components/list", {}, self.next_id(), self.within(LIST_S))
        if error := answer.get("error"):
            if isinstance(error, dict) and error.get("code") == -32601:
                return "-32601: it is asked for any name"
            raise CheckFailedError(f"it answered {shown(answer)}")
        try:
            self.components, twice = read_components(msgspec.json.encode(answer.get("result")))
        except FlowspanError as error:
            raise CheckFailedError(error.message) from None
        if twice:
            raise CheckFailedError(f"listed twice: {', '.join(sorted(twice))}")
        return f"{len(self.components)} components"

    def read_declaration(self, answer: Message) -> ServerDeclaration:
        try:
            self.declaration = read_initialize(msgspec.json.encode(answer["result"]), None)
        except FlowspanError as error:
            raise CheckFailedError(error.message) from None
        self.answer = answer["result"]
        return self.declaration

    async def close(self) -> None:
        await asyncio.gather(*(server.aclose() for server in self._lives))


async def check_server(
    command: Sequence[str],
    *,
    probe: Probe | None = None,
    extra: Sequence[Check] = (),
    patience: float = 1.0,
    tell: Callable[[CheckResult], None] | None = None,
) -> list[CheckResult]:
    """All checks, in order.

    Args:
        command: the program and its arguments.
        extra: checks that need to know more of the server.
        patience: factor on the waits for answers.
        tell: called with each result as it comes.

    Raises:
        UnavailableError: the program cannot be started.
    """
    from gateway.conformance.checks import ENDINGS, TALK

    session = Session(command, probe, patience)
    results: list[CheckResult] = []
    try:
        for check in (*TALK, *extra, *ENDINGS):
            result = await _run(check, session)
            results.append(result)
            if tell is not None:
                tell(result)
            if not session.lives or session.declaration is None:
                break  # no handshake, no server
    finally:
        await session.close()
    return results


async def _run(check: Check, session: Session) -> CheckResult:
    begun_s = time.monotonic()
    try:
        state, came = State.PASSED, await check.run(session)
    except NotApplicableError as error:
        state, came = State.NOT_APPLICABLE, str(error)
    except HintError as error:
        state, came = State.HINT, str(error)
    except (CheckFailedError, NoAnswerError) as error:
        state, came = State.FAILED, str(error)
    return CheckResult(check.name, state, check.expected, came, time.monotonic() - begun_s)


def shown(value: Any) -> str:
    """A message for people."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 200 else f"{text[:197]}..."
