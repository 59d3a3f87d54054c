"""The checks of `flowspan conformance`, and those that need the components of PROTOCOL.md, straight on a server's pipes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from gateway.conformance.checking import (
    ANSWER_S,
    Check,
    CheckFailedError,
    CheckResult,
    Probe,
    Session,
    State,
    check_server,
    shown,
)

from .play import CaseFailure

FORGED: Final = '{"jsonrpc":"2.0","id":1,"result":{"output":"forged"}}'


async def _print(session: Session) -> str:
    server = await session.alive()
    before = len(server.noise) + len(server.unasked) + len(server.repeated)
    for text in ("a plain line", FORGED, "no end of line"):
        answer = await server.answer_to(server.ask(session.execution("/print", {"text": text})), ANSWER_S)
        if answer.get("result") != {"output": "printed"}:
            raise CheckFailedError(f"it answered {shown(answer)}")
    if len(server.noise) + len(server.unasked) + len(server.repeated) > before:
        raise CheckFailedError(f"on stdout: {[*server.noise, *server.unasked, *server.repeated]!r}")
    return "nothing of it on stdout"


async def _progress(session: Session) -> str:
    server = await session.alive()
    number = server.ask(session.execution("/progress", None))
    fractions = []
    while len(fractions) < 3:
        params = (await server.notification("$/progress", ANSWER_S))["params"]
        if params.get("id") != number or not isinstance(params.get("message"), str):
            raise CheckFailedError(f"it told {shown(params)}")
        fractions.append(params.get("fraction"))
    answer = await server.answer_to(number, ANSWER_S)
    if fractions != [0.25, 0.5, 0.75] or answer.get("result") != {"output": "done"}:
        raise CheckFailedError(f"it told {fractions} and answered {shown(answer)}")
    return "three times, with messages"


async def _cancel(session: Session) -> str:
    server = await session.alive()
    begun_s = time.monotonic()
    number = server.ask(session.execution("/sleep", {"ms": 60_000}))
    server.notify("$/cancelRequest", {"id": number})
    answer = await server.answer_to(number, ANSWER_S)
    error = answer.get("error")
    if "result" not in answer and (not isinstance(error, dict) or error.get("code") != -32800):
        raise CheckFailedError(f"it answered {shown(answer)}")
    return f"answered after {time.monotonic() - begun_s:.2f} s"


EXTRA: Final = (
    Check("print", "what a component prints goes to stderr", _print),
    Check("progress", "progress is told between 0 and 1, with its message, ahead of the answer", _progress),
    Check("cancel", "a cancelled execution is answered at once, with -32800 or its result", _cancel),
)


def wire_cases(command: Sequence[str]) -> list[tuple[str, Callable[[], None] | None]]:
    """A case per check, by its name."""
    results = asyncio.run(check_server(command, probe=Probe("/echo", [1, "two"]), extra=EXTRA))
    return [(result.name, _case(result)) for result in results]


def _case(result: CheckResult) -> Callable[[], None] | None:
    if result.state is State.NOT_APPLICABLE:
        return None

    def play() -> None:
        if result.state is State.FAILED:
            raise CaseFailure(f"expected: {result.expected}; came: {result.came}")

    return play
