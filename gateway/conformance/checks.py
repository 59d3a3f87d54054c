"""The checks, in the order in which they run. Each is one sentence of docs/protocol/stdio.md."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from gateway.conformance.checking import (
    ANSWER_S,
    LIST_S,
    Check,
    CheckFailedError,
    HintError,
    NotApplicableError,
    Session,
    shown,
)
from gateway.conformance.server_process import Message, NoAnswerError, ServerProcess
from gateway.stdio_bridge.handshake import DEFAULT_CAPACITY, MAX_CAPACITY, ServerDeclaration

CANCEL_S: Final = 1.0
SHUTDOWN_S: Final = 1.0
END_S: Final = 2.0
"""As long as a gateway waits after it has closed a server's stdin."""
LONG_LINE_BYTES: Final = 20_000_000
LONG_LINE_S: Final = 20.0
CAPACITY_S: Final = 30.0
ROUND_TRIPS: Final = 200
SLOW_ROUND_TRIP_S: Final = 0.005
NO_SUCH: Final = "/flowspan/conformance/no_such_component"
UNKNOWN_ID: Final = 4_000_000_000
_SWITCHES: Final = ("timeouts", "derivesTokens", "started", "cancelAck", "ping", "shutdown", "bulk")


def _declared(session: Session) -> ServerDeclaration:
    assert session.declaration is not None, "the first check reads it"
    return session.declaration


async def _initialize(session: Session) -> str:
    server = await session.start()
    answer = await session.initialize(server)
    declared = session.read_declaration(answer)
    return f"protocol version 1, dialect {declared.dialect}"


async def _capabilities(session: Session) -> str:
    found = session.answer.get("capabilities", {})
    if not isinstance(found, dict):
        raise CheckFailedError(f"capabilities is {shown(found)}")
    wrong = [name for name in _SWITCHES if name in found and not isinstance(found[name], bool)]
    capacity = found.get("capacity")
    if capacity is not None and (
        isinstance(capacity, bool) or not isinstance(capacity, int) or not 1 <= capacity <= MAX_CAPACITY
    ):
        wrong.append("capacity")
    if wrong:
        raise CheckFailedError(f"not of its kind: {', '.join(f'{name} = {shown(found[name])}' for name in wrong)}")
    if found.get("bulk") is True and found.get("derivesTokens") is not True:
        raise CheckFailedError("bulk without derivesTokens: it is not used")
    declared = [name for name in _SWITCHES if found.get(name) is True]
    return f"capacity {capacity or f'not declared: {DEFAULT_CAPACITY}'}; {', '.join(declared) or 'nothing else'}"


async def _quiet_start(session: Session) -> str:
    if session.server.early:
        raise CheckFailedError(f"before `initialized` it sent {shown(session.server.early[0])}")
    return "nothing before `initialized`"


async def _components(session: Session) -> str:
    return await session.read_components(await session.alive())


async def _ids(session: Session) -> str:
    server = await session.alive()
    for number in (0, "text-1", 2**40):
        answer = await server.request("components/list", {}, number, session.within(LIST_S))
        if type(answer["id"]) is not type(number):
            raise CheckFailedError(f"id {number!r} came back as {answer['id']!r}")
    return 'ids 0, "text-1" and 2^40 came back'


async def _unknown_method(session: Session) -> str:
    answer = await (await session.alive()).request("flowspan/no_such_method", {}, session.next_id(), session.within(ANSWER_S))
    return _error(answer, -32601)


async def _missing_params(session: Session) -> str:
    server = await session.alive()
    return _error(await server.request("components/execute", {}, session.next_id(), session.within(ANSWER_S)))


async def _unknown_component(session: Session) -> str:
    server = await session.alive()
    answer = await server.answer_to(server.ask(session.execution(NO_SUCH, None)), session.within(ANSWER_S))
    if _declared(session).dialect != "flowspan":
        return _error(answer)
    return _error(answer, -32001, -32601)


async def _unknown_notification(session: Session) -> str:
    return await _ignored(session, [_line('{"jsonrpc":"2.0","method":"$/flowspan/no_such_notification","params":{}}')])


async def _unknown_cancel(session: Session) -> str:
    return await _ignored(session, [_line(f'{{"jsonrpc":"2.0","method":"$/cancelRequest","params":{{"id":{UNKNOWN_ID}}}}}')])


async def _unasked_answer(session: Session) -> str:
    return await _ignored(session, [_line(f'{{"jsonrpc":"2.0","id":{UNKNOWN_ID},"result":{{}}}}')])


async def _malformed(session: Session) -> str:
    server = await session.alive()
    before = len(server.unasked)
    for line in (b"{oops\n", b"\n", b"[]\n", b'"text"\n', b'{"jsonrpc":"2.0"}\n', b"\xff\xfe\n"):
        server.send_bytes(line)
        await _still_answers(session, server, f"after the line {line!r}")
    for message in server.unasked[before:]:
        if message.get("id") is not None or "error" not in message:
            raise CheckFailedError(f"it answered {shown(message)}")
    return "six lines that are no messages, and it goes on"


async def _line_ends(session: Session) -> str:
    server = await session.alive()
    number = session.next_id()
    line = b'{"params":{},"method":"components/list","id":%d,"jsonrpc":"2.0"}\r\n' % number
    server.expect(number)
    server.send_bytes(line)
    await server.answer_to(number, session.within(ANSWER_S))
    return "answered"


async def _two_at_once(session: Session) -> str:
    """Lines that come in pieces, and many in one piece: the pipe knows no messages."""
    server = await session.alive()
    numbers = [session.next_id() for _ in range(20)]
    lines = b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"components/list","params":{}}\n' % number for number in numbers)
    for number in numbers:
        server.expect(number)
    half = len(lines) // 2 + 7
    server.send_bytes(lines[:half])
    await server.drain(session.within(ANSWER_S))
    await asyncio.sleep(0.02)  # so that the halves are read apart
    server.send_bytes(lines[half:])
    for number in numbers:
        await server.answer_to(number, session.within(ANSWER_S))
    return "20 requests, cut in the middle of one, 20 answers"


async def _long_line(session: Session) -> str:
    if _declared(session).dialect != "flowspan":
        raise NotApplicableError("servers of the older dialect are sent no long lines")
    server = await session.alive()
    number = server.ask(session.execution(NO_SUCH, "x" * LONG_LINE_BYTES))
    await server.drain(session.within(LONG_LINE_S))
    return f"{_error(await server.answer_to(number, session.within(LONG_LINE_S)))} to a line of 20 MB"


async def _ping(session: Session) -> str:
    if not _declared(session).ping:
        raise NotApplicableError("ping is not declared")
    answer = await (await session.alive()).request("ping", {}, session.next_id(), session.within(ANSWER_S))
    return _result(answer)


async def _cancel_ack(session: Session) -> str:
    if not _declared(session).cancel_ack:
        raise NotApplicableError("cancelAck is not declared")
    server = await session.alive()
    answer = await server.request("$/cancel", {"ids": [UNKNOWN_ID]}, session.next_id(), CANCEL_S)
    result = answer.get("result")
    if not isinstance(result, dict) or UNKNOWN_ID in result.get("running", ()):
        raise CheckFailedError(f"it answered {shown(answer)}")
    return _result(answer)


async def _execute(session: Session) -> str:
    probe = session.probe
    if probe is None:
        raise NotApplicableError("name a component with --component (and --input)")
    server = await session.alive()
    begun_s = time.monotonic()
    answer = await server.answer_to(server.ask(session.execution(probe.component, probe.input)), session.within(ANSWER_S))
    result = answer.get("result")
    if not isinstance(result, dict) or "output" not in result:
        raise CheckFailedError(f"it answered {shown(answer)}")
    return f"output {shown(result['output'])} in {1000 * (time.monotonic() - begun_s):.1f} ms"


async def _capacity(session: Session) -> str:
    probe = session.probe
    if probe is None:
        raise NotApplicableError("name a component with --component (and --input)")
    server = await session.alive()
    count = _declared(session).capacity or DEFAULT_CAPACITY
    begun_s = time.monotonic()
    numbers = [server.ask(session.execution(probe.component, probe.input)) for _ in range(count)]
    for number in numbers:
        answer = await server.answer_to(number, session.within(CAPACITY_S))
        if "result" not in answer:
            raise CheckFailedError(f"one of {count} answered {shown(answer)}")
    return f"{count} at once, {count / (time.monotonic() - begun_s):,.0f} a second"


async def _bulk(session: Session) -> str:
    probe = session.probe
    if not _declared(session).bulk:
        raise NotApplicableError("bulk is not declared")
    if probe is None:
        raise NotApplicableError("name a component with --component (and --input)")
    server = await session.alive()
    numbers = [session.next_id() for _ in range(_declared(session).capacity or DEFAULT_CAPACITY)]
    params = session.execution(probe.component, None)["params"]
    ids = params["observability"]
    shared = {name: ids[name] for name in ("trace_id", "run_id", "flow_id", "step_id")} | {"flags": "01"}
    calls = [[number, position, 1, probe.input] for position, number in enumerate(numbers)]
    prefixes = {"spanPrefix": "ed1d78", "tokenPrefix": "f20c05ade37b5a926fdfde48623d8d6e-"}
    server.notify("$/execute", {"component": probe.component, "observability": shared, **prefixes, "calls": calls})
    answered: dict[int, Any] = {}
    while len(answered) < len(numbers):
        message = await server.notification("$/outputs", session.within(ANSWER_S))
        outputs, failures = message["params"].get("outputs", ()), message["params"].get("failures", ())
        if failures:
            raise CheckFailedError(f"call {failures[0][0]} failed: {shown(failures[0][1])}")
        for number, output in outputs:
            if number in answered or number not in numbers:
                raise CheckFailedError(f"call {number} was answered twice, or is none")
            answered[number] = output
    return f"{len(numbers)} calls in one line, an output for each"


async def _purity(session: Session) -> str:
    noise = [line for server in session.lives for line in server.noise]
    if noise:
        raise CheckFailedError(f"{len(noise)} lines that are no messages; the first: {noise[0]!r}. Logs belong on stderr")
    repeated = [message for server in session.lives for message in server.repeated]
    if repeated:
        raise CheckFailedError(f"{len(repeated)} answers more than once, or too late; the first: {shown(repeated[0])}")
    return "only messages"


async def _speed(session: Session) -> str:
    server = await session.alive()
    took = []
    for _ in range(ROUND_TRIPS):
        begun_s = time.monotonic()
        await server.request("flowspan/no_such_method", {}, session.next_id(), session.within(ANSWER_S))
        took.append(time.monotonic() - begun_s)
    median_s = sorted(took)[len(took) // 2]
    text = f"a round trip takes {1000 * median_s:.2f} ms (median of {ROUND_TRIPS})"
    if median_s > SLOW_ROUND_TRIP_S:
        raise HintError(f"{text}; is every line flushed at once, and stdin read without polling?")
    return text


async def _shutdown(session: Session) -> str:
    if not _declared(session).shutdown:
        raise NotApplicableError("shutdown is not declared")
    server = await session.start_initialized()
    answer = await server.request("shutdown", {}, session.next_id(), SHUTDOWN_S)
    said = _result(answer)
    if not await server.close_stdin(END_S):
        raise CheckFailedError(f"it answered and went on {END_S:g} s after its stdin was closed")
    return said


async def _end_of_stdin(session: Session) -> str:
    server = await session.start_initialized()
    begun_s = time.monotonic()
    if not await server.close_stdin(END_S):
        raise CheckFailedError(f"it goes on {END_S:g} s after its stdin was closed")
    took_s = time.monotonic() - begun_s
    text = await server.end_text()
    return f"{text.partition(';')[0]} after {took_s:.2f} s"


async def _crashes(session: Session) -> str:
    """What the checks before the last two have cost."""
    if len(session.lives) > 1:
        ends = [await server.end_text() for server in session.lives[:-1]]
        raise CheckFailedError(f"it had to be started {len(session.lives)} times; {ends[0]}")
    return "one process lived through all checks"


async def _ignored(session: Session, lines: list[bytes]) -> str:
    server = await session.alive()
    before = len(server.unasked)
    for line in lines:
        server.send_bytes(line)
    await _still_answers(session, server, "after it")
    if server.unasked[before:]:
        raise CheckFailedError(f"it answered {shown(server.unasked[before])}")
    return "ignored"


async def _still_answers(session: Session, server: ServerProcess, when: str) -> None:
    try:
        await server.request("components/list", {}, session.next_id(), session.within(LIST_S))
    except NoAnswerError as error:
        raise CheckFailedError(f"{when}: {error}") from None


def _line(text: str) -> bytes:
    return text.encode() + b"\n"


def _error(answer: Message, *codes: int) -> str:
    """The error's code and message, which must be one of `codes`; none: any."""
    error: Any = answer.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    if "result" in answer or not isinstance(code, int) or not isinstance(error.get("message"), str):
        raise CheckFailedError(f"it answered {shown(answer)}")
    text = f"{code} {error['message'][:80]}"
    if codes and code not in codes:
        raise CheckFailedError(text)
    return text


def _result(answer: Message) -> str:
    if "result" not in answer or "error" in answer:
        raise CheckFailedError(f"it answered {shown(answer)}")
    return shown(answer["result"])


TALK: Final = (
    Check("handshake", "initialize is answered within 10 s, with protocol version 1", _initialize),
    Check("capabilities", "capabilities are of the kinds that docs/protocol/stdio.md says", _capabilities),
    Check("quiet start", "nothing but answers before initialized", _quiet_start),
    Check("components", "components/list is answered within 5 s, each name once (or with -32601)", _components),
    Check("ids", "an id comes back as it was sent: zero, text, large", _ids),
    Check("unknown method", "an unknown method is answered with -32601", _unknown_method),
    Check("missing params", "an execution without its params is answered with an error", _missing_params),
    Check("unknown component", "an unknown component is answered with -32001", _unknown_component),
    Check("unknown notification", "an unknown notification is ignored", _unknown_notification),
    Check("cancel of an unknown id", "$/cancelRequest of an id that is not open is ignored", _unknown_cancel),
    Check("unasked answer", "an answer that it did not ask for is ignored", _unasked_answer),
    Check("line ends", "a line may end with CR LF, and members may stand in any order", _line_ends),
    Check("pieces", "lines come in pieces, and many in one piece", _two_at_once),
    Check("malformed lines", "a line that is no message is survived", _malformed),
    Check("long line", "a line of 20 MB is read and answered", _long_line),
    Check("ping", "ping is answered, if declared", _ping),
    Check("cancel acknowledged", "$/cancel is answered within 1 s, if declared", _cancel_ack),
    Check("execution", "the named component gives an output", _execute),
    Check("capacity", "as many executions as its capacity, all at once", _capacity),
    Check("bulk", "each call of $/execute is answered in $/outputs, if declared", _bulk),
)
"""What a server must do while it lives."""

ENDINGS: Final = (
    Check("speed", "a round trip takes well below 5 ms", _speed),
    Check("no crash", "one process lives through all of this", _crashes),
    Check("shutdown", "shutdown is answered within 1 s, if declared, and the end follows", _shutdown),
    Check("end of stdin", "it ends within 2 s when its stdin is closed", _end_of_stdin),
    Check("stdout", "nothing but messages on stdout, each answer once", _purity),
)
"""What is judged, or done, last."""
