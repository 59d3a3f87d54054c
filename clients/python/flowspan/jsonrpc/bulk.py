"""Executions and their answers in bulk: what many calls of one step share is said once a line.

Between a gateway and a component server that both declare `bulk`; docs/protocol/stdio.md describes the two notifications. An
execution that came in bulk is known by its number like any other, and may be cancelled, reported on and given back by it.
"""

from __future__ import annotations

import re
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
SMALL_BYTES: Final = 4 * 1024
"""What is larger gains nothing from company: an input goes out as a request of its own, an answer in a line of its own."""
LINE_BYTES: Final = 256 * 1024
"""The longest line in bulk that Flowspan writes, beside what all lines have."""
MANY_BYTES: Final = 1024 * 1024
"""A longer line holds one answer: in 32 MiB there would be room for five million, which take forty times as much once read."""

_OUTPUTS_HEAD: Final = b'{"jsonrpc":"2.0","method":"$/outputs"'
_MAYBE_OUTPUTS: Final = re.compile(rb'\{[^{}\[\]]{0,256}?"method"\s*+:\s*+"\$\\?/outputs"')


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


class _OneOutput(msgspec.Struct, gc=False):
    outputs: tuple[tuple[int, msgspec.Raw]]
    failures: tuple[()] = ()


class _OneFailure(msgspec.Struct, gc=False):
    failures: tuple[tuple[int, msgspec.Raw]]
    outputs: tuple[()] = ()


decode_execute_many: Final = msgspec.json.Decoder(ExecuteMany).decode
"""Raises msgspec.DecodeError or RecursionError."""
_decode_answers: Final = msgspec.json.Decoder(BulkAnswers).decode
_decode_one_output: Final = msgspec.json.Decoder(_OneOutput).decode
_decode_one_failure: Final = msgspec.json.Decoder(_OneFailure).decode


def looks_like_outputs(line: bytes) -> bool:
    """Whether a line that cannot be read, or its beginning, is a `$/outputs`: told where `method` stands ahead of `params`."""
    return _MAYBE_OUTPUTS.match(line) is not None


def read_answers(params: msgspec.Raw, limits: FrameLimits, *, numbers_suspicious: bool, is_utf8: bool) -> ReadAnswers:
    """Read the params of `$/outputs`; each answer is checked as if it had come alone.

    Raises:
        ValueError, RecursionError: they cannot be read at all.
    """
    said: BulkAnswers | _OneOutput | _OneFailure
    if len(params) <= MANY_BYTES:
        said = _decode_answers(params)
    else:
        try:
            said = _decode_one_output(params)
        except msgspec.ValidationError:
            try:
                said = _decode_one_failure(params)
            except msgspec.ValidationError:
                raise ValueError(f"a line of more than {MANY_BYTES} bytes holds one answer, which is [number, value]") from None
    outputs = [(number, bytes(output)) for number, output in said.outputs]
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
    for number, error in said.failures:
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
    """What a component server writes next, in its order: lines as they are, answers of bulk executions joined.

    The order matters: a cancel's answer says nothing of executions that were answered before, and progress comes ahead of an
    output. Not for two threads at once.
    """

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
            if self._outputs or self._failures:
                self._join()
            self._lines.append(line)

    def add_output(self, number: int, output: bytes) -> None:
        if len(output) > SMALL_BYTES:
            # Joined: of 1 MB, that takes 0.02 ms, formatting 0.6.
            self._lines.append(b"".join((_OUTPUTS_HEAD, b',"params":{"outputs":[[%d,' % number, one_line(output), b"]]}}\n")))
        else:
            self._outputs.append(b"[%d,%b]" % (number, output))

    def add_failure(self, number: int, error: WireError) -> None:
        piece = b"[%d,%b]" % (number, encode_wire_error(error))
        if len(piece) > SMALL_BYTES:
            self._lines.append(_line(b"", piece))
        else:
            self._failures.append(piece)

    def take(self) -> bytes:
        """All of it, to be written; b"" if there is nothing."""
        if self._outputs or self._failures:
            self._join()
        lines = self._lines
        data = b"".join(lines) if len(lines) != 1 else lines[0]
        lines.clear()
        return data

    def _join(self) -> None:
        outputs, failures = b",".join(self._outputs), b",".join(self._failures)
        if len(outputs) + len(failures) <= LINE_BYTES:
            self._lines.append(_line(outputs, failures))
        else:
            self._lines += [_line(part, b"") for part in _parts_of(self._outputs)]
            self._lines += [_line(b"", part) for part in _parts_of(self._failures)]
        self._outputs.clear()
        self._failures.clear()


def _parts_of(pieces: Sequence[bytes]) -> list[bytes]:
    """Small pieces joined, as many as are surely within a line's length."""
    count = LINE_BYTES // (SMALL_BYTES + MAX_CALL_BYTES)
    return [b",".join(pieces[start : start + count]) for start in range(0, len(pieces), count)]


def _line(outputs: bytes, failures: bytes) -> bytes:
    if failures:
        return one_line(b'%b,"params":{"outputs":[%b],"failures":[%b]}}' % (_OUTPUTS_HEAD, outputs, failures)) + b"\n"
    return one_line(b'%b,"params":{"outputs":[%b]}}' % (_OUTPUTS_HEAD, outputs)) + b"\n"


class OpenCall(Protocol):
    """A call as its sender has it; `input`: JSON bytes."""

    number: int
    item_index: int
    attempt: int
    input: bytes


MAX_CALL_BYTES: Final = 64
"""Of a call in a line beside its input, at most; a number has 19 digits."""


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
