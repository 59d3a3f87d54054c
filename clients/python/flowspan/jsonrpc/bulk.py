"""Executions and their answers in bulk: what many calls of one step share is said once a line.

Between a gateway and a component server that both declare `bulk`; docs/protocol/stdio.md describes the two notifications. An
execution that came in bulk is known by its number like any other, and may be cancelled, reported on and given back by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple, Protocol

import msgspec

from flowspan.errors import FlowspanError
from flowspan.jsonrpc.error_codes import WireError, decode_wire_error, encode_wire_error, wire_error
from flowspan.jsonrpc.events import Answer
from flowspan.jsonrpc.guard import check_numbers, check_structure, check_utf8, numbers_look_bad, one_line
from flowspan.jsonrpc.limits import FrameLimits

EXECUTE: Final = "$/execute"
"""Gateway to server: an `ExecuteMany`."""
OUTPUTS: Final = "$/outputs"
"""Server to gateway: a `BulkAnswers`."""
OUTPUTS_HEAD: Final = b'{"jsonrpc":"2.0","method":"$/outputs"'
"""How such a line begins when it is written by Flowspan."""
SMALL_BYTES: Final = 4 * 1024
"""What is larger gains nothing from company: an input goes out as a request of its own, an output in a line of its own. So a
line of all that one process may hold (4,096) stays within half of a line's limit."""


class BulkCall(msgspec.Struct, array_like=True, gc=False):
    """One call: `[number, itemIndex, attempt, input]`."""

    number: int
    item_index: int
    attempt: int
    input: msgspec.Raw


class BulkOrigin(msgspec.Struct):
    """What the calls of one step of one run share. `flags`: of `traceparent`, two hex digits."""

    trace_id: str
    run_id: str
    flow_id: str
    step_id: str
    flags: str = "01"


class ExecuteMany(msgspec.Struct, dict=True):
    """Params of `$/execute`. A call's span id is `spanPrefix` and its number as ten hex digits, its task token `tokenPrefix` and
    its number in hex."""

    component: str
    observability: BulkOrigin
    spanPrefix: str
    tokenPrefix: str
    calls: list[BulkCall]
    timeoutMs: float | None = None

    @cached_property
    def _params_format(self) -> bytes:
        origin = self.observability
        text = msgspec.json.encode

        def quoted(value: str) -> bytes:
            return text(value).replace(b"%", b"%%")

        span = quoted(self.spanPrefix)[1:-1] + b"%010x"
        trace = quoted(origin.trace_id)[1:-1]
        return b"".join((
            b'{"attempt":%d,"itemIndex":%d,"taskToken":"', quoted(self.tokenPrefix)[1:-1], b'%x","observability":{"trace_id":"',
            trace, b'","span_id":"', span, b'","run_id":', quoted(origin.run_id), b',"flow_id":', quoted(origin.flow_id),
            b',"step_id":', quoted(origin.step_id), b',"traceparent":"00-', trace, b"-", span, b"-",
            quoted(origin.flags)[1:-1], b'"}}',
        ))  # fmt: skip

    def params_of(self, call: BulkCall) -> bytes:
        """What the params of a `components/execute` would say about this call beside component, input and time-out."""
        number = call.number
        return self._params_format % (call.attempt, call.item_index, number, number, number)


class BulkAnswers(msgspec.Struct, gc=False):
    """Params of `$/outputs`: `[number, value]` for each success, `[number, error]` for each failure."""

    outputs: list[tuple[int, msgspec.Raw]] = []
    failures: list[tuple[int, msgspec.Raw]] = []


class ReadAnswers(NamedTuple):
    """What an `$/outputs` said.

    Attributes:
        outputs: (number, JSON bytes) of successes.
        failures: of executions that failed, and of those whose answer is refused.
        defects: why answers are refused, each with the answer.
    """

    outputs: list[tuple[int, bytes]]
    failures: list[Answer]
    defects: list[tuple[FlowspanError, bytes]]


decode_execute_many: Final = msgspec.json.Decoder(ExecuteMany).decode
"""Raises msgspec.DecodeError or RecursionError."""
_decode_answers: Final = msgspec.json.Decoder(BulkAnswers).decode


def read_answers(params: msgspec.Raw, limits: FrameLimits, *, numbers_suspicious: bool, is_utf8: bool) -> ReadAnswers:
    """Read the params of `$/outputs`; each answer is checked as if it had come alone.

    Raises:
        ValueError, RecursionError: they cannot be read at all.
    """
    answers = _decode_answers(params)
    outputs = [(number, bytes(output)) for number, output in answers.outputs]
    failures: list[Answer] = []
    defects: list[tuple[FlowspanError, bytes]] = []
    unchecked_bytes = limits.unchecked_bytes
    if numbers_suspicious or not is_utf8 or any(len(output) > unchecked_bytes for _, output in outputs):
        sound: list[tuple[int, bytes]] = []
        for number, output in outputs:
            defect = _defect_of(output, limits, 0, numbers_suspicious, is_utf8)
            if defect is None:
                sound.append((number, output))
            else:
                defects.append((defect, output))
                failures.append((number, None, wire_error(defect)))
        outputs = sound
    for number, error in answers.failures:
        raw = bytes(error)
        defect = _defect_of(raw, limits, limits.response_envelope_depth, numbers_suspicious, is_utf8)
        if defect is None:
            failures.append((number, None, decode_wire_error(raw)))
        else:
            defects.append((defect, raw))
            failures.append((number, None, wire_error(defect)))
    return ReadAnswers(outputs, failures, defects)


def _defect_of(
    payload: bytes, limits: FrameLimits, envelope_depth: int, numbers_suspicious: bool, is_utf8: bool
) -> FlowspanError | None:
    try:
        if not is_utf8:
            check_utf8(payload)
        if len(payload) > limits.unchecked_bytes:
            check_structure(payload, limits, envelope_depth)
        if numbers_suspicious and numbers_look_bad(payload, limits):
            check_numbers(payload, limits)
    except FlowspanError as error:
        return error
    return None


class AnswerBatch:
    """What a component server writes next: lines as they are, answers of bulk executions joined. Not for two threads at once."""

    __slots__ = ("_failures", "_lines", "_outputs")

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._outputs: list[bytes] = []
        self._failures: list[bytes] = []

    def __len__(self) -> int:
        return len(self._lines) + len(self._outputs) + len(self._failures)

    def add_line(self, line: bytes) -> None:
        """A whole line, its newline included; nothing for b""."""
        if line:
            self._lines.append(line)

    def add_output(self, number: int, output: bytes) -> None:
        if len(output) > SMALL_BYTES:
            # Joined: of 1 MB, that takes 0.02 ms, formatting 0.6.
            self._lines.append(b"".join((OUTPUTS_HEAD, b',"params":{"outputs":[[%d,' % number, one_line(output), b"]]}}\n")))
        else:
            self._outputs.append(b"[%d,%b]" % (number, output))

    def add_failure(self, number: int, error: WireError) -> None:
        self._failures.append(b"[%d,%b]" % (number, encode_wire_error(error)))

    def take(self) -> bytes:
        """All of it, to be written; b"" if there is nothing."""
        lines, outputs, failures = self._lines, self._outputs, self._failures
        if outputs or failures:
            lines.append(_line(b",".join(outputs), b",".join(failures)))
            outputs.clear()
            failures.clear()
        data = b"".join(lines) if len(lines) != 1 else lines[0]
        lines.clear()
        return data


def _line(outputs: bytes, failures: bytes) -> bytes:
    if failures:
        return one_line(b'%b,"params":{"outputs":[%b],"failures":[%b]}}' % (OUTPUTS_HEAD, outputs, failures)) + b"\n"
    return one_line(b'%b,"params":{"outputs":[%b]}}' % (OUTPUTS_HEAD, outputs)) + b"\n"


class OpenCall(Protocol):
    """A call as its sender has it; `input`: JSON bytes."""

    number: int
    item_index: int
    attempt: int
    input: bytes


def encode_execute_many(head: bytes, calls: Sequence[OpenCall]) -> bytes:
    """One `$/execute` line. `head`: from `execute_many_head`."""
    return one_line(head + b",".join([b"[%d,%d,%d,%b]" % (c.number, c.item_index, c.attempt, c.input) for c in calls])) + b"]}}\n"


def execute_many_head(component: str, origin: BulkOrigin, span_prefix: str, token_prefix: str, timeout_ms: int | None) -> bytes:
    """The line up to its calls."""
    members: dict[str, object] = {
        "component": component, "observability": origin, "spanPrefix": span_prefix, "tokenPrefix": token_prefix,
    }  # fmt: skip
    if timeout_ms is not None:
        members["timeoutMs"] = timeout_ms
    params = msgspec.json.encode(members)
    return b'{"jsonrpc":"2.0","method":"$/execute","params":' + params[:-1] + b',"calls":['
