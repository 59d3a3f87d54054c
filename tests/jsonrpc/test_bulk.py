"""Executions in bulk on the wire: what one end writes the other reads, and each answer is judged as if it had come alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.errors import FlowspanError, Reason
from flowspan.jsonrpc import (
    DEFAULT_LIMITS,
    FrameLimits,
    NotificationReceived,
    ProtocolViolation,
    ResponsesReceived,
    Session,
    ViolationKind,
    WireError,
    one_line,
    wire_error,
)
from flowspan.jsonrpc.bulk import (
    LINE_BYTES,
    MANY_BYTES,
    SMALL_BYTES,
    AnswerBatch,
    BulkCall,
    BulkOrigin,
    decode_execute_many,
    encode_execute_many,
    execute_many_head,
)
from flowspan.jsonrpc.events import OutputsReceived
from flowspan.jsonrpc.messages import encode_notification, encode_result

from .test_payload_checks import json_values

TINY = FrameLimits(max_depth=3, max_number_chars=10, max_key_bytes=6)
HEAD = b'{"jsonrpc":"2.0","method":"$/outputs","params":'


@dataclass
class Heard:
    """What a session said about some bytes, and in which order: outputs and failures by number, other messages as None."""

    outputs: dict[int, bytes] = field(default_factory=dict)
    failures: dict[int, WireError] = field(default_factory=dict)
    order: list[int | None] = field(default_factory=list)
    violations: list[ProtocolViolation] = field(default_factory=list)

    @property
    def violation(self) -> ProtocolViolation:
        (violation,) = self.violations
        return violation


def taking(limits: FrameLimits = DEFAULT_LIMITS) -> Session:
    session = Session(limits=limits)
    session.takes_outputs = True
    return session


def hear(session: Session, data: bytes) -> Heard:
    heard = Heard()
    for event in session.receive(data):
        if isinstance(event, OutputsReceived):
            heard.outputs.update(event.outputs)
            heard.order += [number for number, _ in event.outputs]
        elif isinstance(event, ResponsesReceived):
            for number, output, error in event.answers:
                assert isinstance(number, int) and output is None and error is not None
                heard.failures[number] = error
                heard.order.append(number)
        elif isinstance(event, ProtocolViolation):
            heard.violations.append(event)
        else:
            heard.order.append(None)
    return heard


def outputs_line(*answers: tuple[int, bytes]) -> bytes:
    return HEAD + b'{"outputs":[' + b",".join(b"[%d,%b]" % answer for answer in answers) + b"]}}\n"


def alone(output: bytes, limits: FrameLimits = DEFAULT_LIMITS) -> tuple[bytes | None, WireError | None, list[ProtocolViolation]]:
    """What an ordinary answer with this output comes to."""
    session = Session(limits=limits)
    session.register([7])
    result: bytes | None = None
    error: WireError | None = None
    violations = []
    for event in session.receive(b'{"jsonrpc":"2.0","id":7,"result":{"output":' + output + b"}}\n"):
        if isinstance(event, ResponsesReceived):
            ((_, result, error),) = event.answers
        else:
            assert isinstance(event, ProtocolViolation)
            violations.append(event)
    return result, error, violations


class Call(msgspec.Struct):
    number: int
    item_index: int
    attempt: int
    input: bytes


# ---------------------------------------------------------------- what is written is read


written = st.lists(
    st.tuples(
        st.sampled_from(["output", "failure", "line"]),
        json_values.map(lambda value: json.dumps(value, indent=1).encode()) | st.just(b'"%s"' % (b"x" * SMALL_BYTES)),
    ),
    max_size=20,
)


@given(written, st.integers(1, 64))
def test_answers_come_out_as_they_went_in_and_never_across_another_message(steps: list[tuple[str, bytes]], cut: int) -> None:
    batch, session = AnswerBatch(), taking()
    groups: list[set[int]] = [set()]
    for number, (what, value) in enumerate(steps):
        if what == "line":
            batch.add_line(encode_notification("$/progress", b"{}"))
            groups.append(set())
            continue
        groups[-1].add(number)
        if what == "output":
            batch.add_output(number, value)
        else:
            batch.add_failure(number, WireError(-32004, "no", value if value != b"null" else None))
    data = batch.take()
    assert not batch and batch.take() == b""
    assert data.count(b"\n") <= len(steps)
    heard = Heard()
    for start in range(0, len(data), cut * 97):
        part = hear(session, data[start : start + cut * 97])
        heard.outputs |= part.outputs
        heard.failures |= part.failures
        heard.order += part.order
        assert not part.violations
    assert heard.outputs == {n: one_line(value) for n, (what, value) in enumerate(steps) if what == "output"}
    assert set(heard.failures) == {n for n, (what, _) in enumerate(steps) if what == "failure"}
    for number, error in heard.failures.items():
        assert (error.code, error.message) == (-32004, "no")
        assert error.data is None or json.loads(error.data) == json.loads(steps[number][1])
    seen: list[set[int]] = [set()]
    for one in heard.order:
        if one is None:
            seen.append(set())
        else:
            seen[-1].add(one)
    assert seen == groups


@given(
    st.lists(
        st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**31), st.integers(1, 9), json_values.map(json.dumps)), min_size=1
    ),
    st.text(min_size=1),
    st.none() | st.integers(0, 2**53 - 1),
)
def test_calls_come_out_as_they_went_in(facts: list[tuple[int, int, int, str]], text: str, timeout_ms: int | None) -> None:
    origin = BulkOrigin("0af7651916cd43dd8448eb211c80319c", "run %d " + text, "sha256:ab", text, "00")
    calls = [Call(number, item, attempt, data.encode()) for number, item, attempt, data in facts]
    line = encode_execute_many(execute_many_head(text, origin, "abcdef", "5ec2e7-", timeout_ms), calls)
    (event,) = Session().receive(line)
    assert isinstance(event, NotificationReceived) and event.method == "$/execute"
    many = decode_execute_many(event.params)
    assert (many.component, many.observability, many.timeoutMs) == (text, origin, timeout_ms)
    assert [(c.number, c.item_index, c.attempt, bytes(c.input).decode()) for c in many.calls] == facts
    for call in many.calls:
        span = f"abcdef{call.number:010x}"
        assert json.loads(many.params_of(call)) == {
            "attempt": call.attempt,
            "itemIndex": call.item_index,
            "taskToken": f"5ec2e7-{call.number:x}",
            "observability": {
                "trace_id": origin.trace_id, "span_id": span, "run_id": origin.run_id, "flow_id": origin.flow_id,
                "step_id": origin.step_id, "traceparent": f"00-{origin.trace_id}-{span}-00",
            },
        }  # fmt: skip


def test_line_breaks_between_tokens_do_not_end_a_line() -> None:
    origin = BulkOrigin("0af7651916cd43dd8448eb211c80319c", "run", "flow", "step")
    line = encode_execute_many(execute_many_head("/c", origin, "abcdef", "x-", None), [Call(1, 0, 1, b'{"a":\n[1,\r\n2]}')])
    assert line.count(b"\n") == 1 and b"\r" not in line
    assert json.loads(line)["params"]["calls"] == [[1, 0, 1, {"a": [1, 2]}]]
    batch = AnswerBatch()
    batch.add_output(1, b"[1,\n2]")
    batch.add_output(2, b'[\r\n"' + b"x" * SMALL_BYTES + b'"]')
    lines = batch.take().splitlines(keepends=True)
    assert len(lines) == 2 and not any(b"\r" in line for line in lines)
    assert [json.loads(line)["params"]["outputs"][0][0] for line in lines] == [2, 1]


def test_a_call_may_be_longer_in_later_versions() -> None:
    many = decode_execute_many(
        b'{"component":"/c","observability":{"trace_id":"t","run_id":"r","flow_id":"f","step_id":"s","new":1},"spanPrefix":"a",'
        b'"tokenPrefix":"b","calls":[[1,2,3,{"x":1},"later"]],"new":true}'
    )
    assert [msgspec.structs.astuple(call)[:3] for call in many.calls] == [(1, 2, 3)]
    assert type(many.calls[0]) is BulkCall


def test_large_answers_stand_alone_and_a_line_of_small_ones_ends_at_its_length() -> None:
    batch = AnswerBatch()
    batch.add_output(0, b'"%s"' % (b"x" * SMALL_BYTES))
    batch.add_failure(1, WireError(-32004, "y" * SMALL_BYTES))
    error = WireError(-32004, "z" * (SMALL_BYTES - 100))
    for number in range(2, 4002):
        batch.add_failure(number, error)
    for number in range(4002, 8002):
        batch.add_output(number, b'"%s"' % (b"x" * (SMALL_BYTES - 100)))
    lines = batch.take().splitlines()
    assert max(map(len, lines)) <= LINE_BYTES
    said = [json.loads(line)["params"] for line in lines]
    assert [len(one["outputs"]) + len(one.get("failures", ())) for one in said[:2]] == [1, 1]
    assert len(lines) <= 4 + 8000 * (SMALL_BYTES + 100) // LINE_BYTES
    heard = hear(taking(), b"".join(line + b"\n" for line in lines))
    assert (len(heard.outputs), len(heard.failures)) == (4001, 4001)


# ---------------------------------------------------------------- each answer as if it had come alone


def verdict(error: WireError | None) -> tuple[object, ...] | None:
    """Why an answer is refused. Offsets and counts include the envelope, which differs."""
    if error is None:
        return None
    details = json.loads(error.data or b"{}")
    return error.code, error.reason, details.get("limit"), details.get("cause")


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


HOSTILE = {
    "64 levels": nested(64),
    "65 levels": nested(65),
    "900 levels": nested(900),
    "brackets in text": b'"%s"' % (b"[" * 500),
    "wide": b"[%b]" % b",".join([b"0"] * 199_000),
    "too wide": b"[%b]" % b",".join([b"0"] * 200_001),
    "long name": b'{"%s":1}' % (b"n" * 1025),
    "name of 1024": b'{"%s":1}' % (b"n" * 1024),
    "64 digits": b"9" * 64,
    "65 digits": b"[" + b"9" * 65 + b"]",
    "1e308": b'{"a":1e308}',
    "1e309": b'{"a":[1e309]}',
    "1e309 in text": b'"1e309"',
    "invalid UTF-8": b'"\xff"',
    "half a character": b'"\xc3"',
    "encoded surrogate": b'"\xed\xa0\x80"',
    "valid UTF-8": '"é\U0001f600"'.encode(),
    "null": b"null",
}


@pytest.mark.parametrize("output", HOSTILE.values(), ids=HOSTILE)
def test_b22_what_is_wrong_with_an_output_fails_that_one_as_it_would_alone(output: bytes) -> None:
    result, error, violations = alone(output)
    heard = hear(taking(), outputs_line((1, b'"before"'), (2, output), (3, '"ä"'.encode())))
    assert heard.outputs.pop(1) == b'"before"' and heard.outputs.pop(3) == '"ä"'.encode()
    assert heard.outputs == ({} if result is None else {2: output})
    assert verdict(heard.failures.get(2)) == verdict(error)
    assert [(v.kind, v.charged, v.fatal) for v in heard.violations] == [(v.kind, v.charged, v.fatal) for v in violations]
    assert (result is None) == (error is not None)


@given(st.lists(json_values.map(lambda value: json.dumps(value, ensure_ascii=False).encode()), min_size=1, max_size=8))
def test_outputs_within_a_line_are_judged_as_they_would_be_alone(outputs: list[bytes]) -> None:
    heard = hear(taking(TINY), outputs_line(*enumerate(outputs)))
    for number, output in enumerate(outputs):
        result, error, _ = alone(output, TINY)
        assert (number in heard.outputs) == (result is not None)
        assert verdict(heard.failures.get(number)) == verdict(error)


@pytest.mark.parametrize("depth", [65, 66])
def test_b22_the_data_of_a_failure_is_judged_as_it_would_be_alone(depth: int) -> None:
    raw = b'{"code":-32004,"message":"no","data":{"v":' + nested(depth - 1) + b"}}"
    session = Session()
    session.register([7])
    ordinary = session.receive(b'{"jsonrpc":"2.0","id":7,"error":' + raw + b"}\n")
    assert isinstance(ordinary[0], ResponsesReceived)
    heard = hear(taking(), HEAD + b'{"outputs":[[1,1]],"failures":[[7,' + raw + b'],[8,{"code":-1,"message":"x"}]]}}\n')
    assert heard.outputs == {1: b"1"}
    assert verdict(heard.failures[7]) == verdict(ordinary[0].answers[0][2])
    assert heard.failures[8] == WireError(-1, "x")
    assert len(heard.violations) == len(ordinary) - 1 == (depth > 65)


def test_numbers_come_out_exactly_as_they_were_written() -> None:
    output = b"[1.0,-0.0,1e+300,9007199254740993,0.10, 1E2]"
    assert hear(taking(), outputs_line((1, output))).outputs == {1: output}


# ---------------------------------------------------------------- lines that cannot be read


UNREADABLE = {
    "half a line": HEAD + b'{"outputs":[[1,2],[3,',
    "no JSON": HEAD + b'{"outputs":[[1,nil]]}}',
    "spaces": b'{ "jsonrpc": "2.0", "method": "$/outputs", "params": {"outputs": [[1, nil]]}}',
    "escaped slash": b'{"jsonrpc":"2.0","method":"$\\/outputs","params":{"outputs":[[1,nil]]}}',
    "another version": b'{"jsonrpc":"1.0","method":"$/outputs","params":{"outputs":[[1,2]]}}',
    "lone surrogate": HEAD + b'{"outputs":[[1,"\\ud800"]]}}',
    "not a number": HEAD + b'{"outputs":[["1",2]]}}',
    "no value": HEAD + b'{"outputs":[[1]]}}',
    "three members": HEAD + b'{"outputs":[[1,2,3]]}}',
    "an object": HEAD + b'{"outputs":{"1":2}}}',
    "params as an array": HEAD + b"[[1,2]]}",
    "no params": b'{"jsonrpc":"2.0","method":"$/outputs"}',
    "failures without a number": HEAD + b'{"outputs":[[1,2]],"failures":[{"code":1}]}}',
    "a million brackets": HEAD + b'{"outputs":[[1,%b]]}}' % nested(1_000_000),
    "a request": b'{"jsonrpc":"2.0","id":5,"method":"$/outputs","params":{"outputs":[[1,2]]}}',
    "many answers in more than 1 MiB": HEAD + b'{"outputs":[%b]}}' % b",".join([b"[1,1]"] * (MANY_BYTES // 6 + 1)),
}


@pytest.mark.parametrize("line", UNREADABLE.values(), ids=UNREADABLE)
def test_b21_answers_that_cannot_be_read_are_fatal_because_nobody_knows_whose_they_are(line: bytes) -> None:
    heard = hear(taking(), outputs_line((8, b"8")) + line + b"\n" + outputs_line((9, b"9")))
    assert heard.outputs == {8: b"8", 9: b"9"} and not heard.failures
    assert [violation.kind for violation in heard.violations if violation.fatal] == [ViolationKind.BULK_UNREADABLE]


@pytest.mark.parametrize("head", [HEAD, b'{"method": "$/outputs", "params":'])
def test_b21_a_line_of_answers_over_the_limit_is_fatal(head: bytes) -> None:
    session = taking(FrameLimits(max_line_bytes=1024, max_discard_bytes=4096, sniff_bytes=128))
    heard = hear(session, head + b'{"outputs":[[1,"' + b"x" * 2000 + b'"]]}}\n')
    assert heard.violation.fatal and heard.violation.kind is ViolationKind.BULK_UNREADABLE


def test_what_merely_quotes_the_method_is_no_line_of_answers() -> None:
    for line in (b'{"jsonrpc":"2.0","id":1,"result":{"method":"$/outputs"}', b'{"note":["method"],"x":"$/outputs"'):
        assert not hear(taking(), line + b"\n").violation.fatal


def test_one_large_answer_may_fill_a_line() -> None:
    large = b'"%s"' % (b"x" * MANY_BYTES)
    assert hear(taking(), outputs_line((1, large))).outputs == {1: large}
    failure = b'{"code":-32004,"message":"no","data":' + large + b"}"
    heard = hear(taking(), HEAD + b'{"outputs":[],"failures":[[2,' + failure + b"]]}}\n")
    assert heard.failures[2].message == "no" and not heard.violations


def test_nothing_of_it_is_taken_from_a_server_that_did_not_declare_it() -> None:
    line = outputs_line((1, b"1"))
    assert [type(event) for event in Session().receive(line)] == [NotificationReceived]
    assert not hear(Session(), UNREADABLE["half a line"] + b"\n").violation.fatal


# ---------------------------------------------------------------- what is counted


def test_executions_in_bulk_are_counted_and_are_not_open_calls() -> None:
    session = taking()
    session.register([1], in_bulk=63)
    session.receive(outputs_line(*((number, b"0") for number in range(2, 65))))
    statistics = session.statistics()
    assert (statistics.requests_sent, statistics.responses_received, statistics.open_calls) == (64, 63, 1)


@pytest.mark.parametrize("line", [outputs_line((1, b"1")), HEAD + b'{"failures":[[1,{"code":1,"message":""}]]}}\n'])
def test_an_answer_in_bulk_closes_an_execution_that_went_out_alone(line: bytes) -> None:
    session = taking()
    session.register([1, 2])
    assert not hear(session, line).violations
    assert session.open_calls == 1
    second = hear(session, encode_result(1, b'{"output":2}'))
    assert second.violation.kind is ViolationKind.DUPLICATE_RESPONSE


def test_b3_a_late_answer_in_bulk_is_expected_once() -> None:
    session = taking()
    session.forget([1, "1-1"])
    assert [session.take_late(number) for number in (1, 1, 2)] == [True, False, False]
    assert session.statistics().late_responses == 1


def test_a_refused_output_says_the_reason_and_the_figures() -> None:
    error = hear(taking(), outputs_line((1, nested(65)))).failures[1]
    expected: Any = wire_error(FlowspanError("", reason=Reason.LIMIT_EXCEEDED, limit="depth", max=64, actual=65))
    assert replace(error, message="") == replace(expected, message="")
