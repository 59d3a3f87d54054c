"""Rows A1 to A20 of the catalogue of hostile input: what a component server may put on its stdout instead of messages."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from flowspan.jsonrpc import (
    FrameLimits,
    NoiseMeter,
    NoiseReceived,
    ProtocolViolation,
    RequestReceived,
    ResponsesReceived,
    Session,
    SessionEvent,
    ViolationKind,
    ViolationMeter,
)

from .pair import small_limits

GOOD = b'{"jsonrpc":"2.0","id":"still-fine","method":"m"}\n'
GOOD_EVENT = RequestReceived("still-fine", "m", b"{}")


def only_violation(events: list[SessionEvent]) -> ProtocolViolation:
    violations = [event for event in events if isinstance(event, ProtocolViolation)]
    assert len(violations) == 1
    return violations[0]


def reply_of(violation: ProtocolViolation) -> dict[str, object]:
    assert violation.reply is not None and violation.reply.endswith(b"\n") and violation.reply.count(b"\n") == 1
    reply = json.loads(violation.reply)
    assert reply["jsonrpc"] == "2.0"
    assert isinstance(reply, dict)
    return reply


def refused_with(line: bytes, code: int, **data: object) -> ProtocolViolation:
    """The line is refused with `code` and id null, and the next line is read as if nothing had been."""
    session = Session()
    events = session.receive(line + b"\n" + GOOD)
    assert events[-1] == GOOD_EVENT
    violation = only_violation(events)
    reply = reply_of(violation)
    assert reply["id"] is None
    error = reply["error"]
    assert isinstance(error, dict)
    assert error["code"] == code
    assert error["data"] == {**error["data"], "domain": "flowspan", **data}
    assert len(violation.quoted) <= 200 and violation.quoted.isprintable()
    return violation


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def response(value: bytes, request_id: bytes = b"1") -> bytes:
    return b'{"jsonrpc":"2.0","id":%s,"result":{"output":%s}}' % (request_id, value)


def request(value: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":"r","method":"runs/submit","params":{"inputs":[%s]}}' % value


def test_a1_text_between_messages_is_noise_and_not_answered() -> None:
    session = Session()
    line = "Downloading model… 5%\n".encode()
    assert session.receive(line + GOOD) == [NoiseReceived("Downloading model… 5%", 1, len(line)), GOOD_EVENT]


def test_a1_log_lines_in_brackets_are_noise() -> None:
    assert Session().receive(b"[INFO] ready\n") == [NoiseReceived("[INFO] ready", 1, 13)]


def test_a1_noise_cannot_forge_log_lines_or_move_the_cursor() -> None:
    (event,) = Session().receive("\x1b[2Jevil\u2028line\x07 \udcff\n".encode("utf-8", "surrogatepass"))
    assert isinstance(event, NoiseReceived)
    assert event.text.isprintable()


def test_a1_the_text_of_noise_is_cut_and_its_size_is_not() -> None:
    first, message, second = Session().receive(b"x" * 6000 + b"\n" + b"y" * 6000 + b"\n" + GOOD + b"later\n")
    assert isinstance(first, NoiseReceived)
    assert len(first.text) <= 8192 and first.text.startswith("x" * 6000 + "\ny") and first.text.endswith("…")
    assert (first.lines, first.size_bytes, message) == (2, 12_002, GOOD_EVENT)
    assert second == NoiseReceived("later", 1, 6)


def test_a1_the_noise_meter_gives_up_beyond_a_thousand_lines_or_a_mebibyte_a_minute() -> None:
    meter = NoiseMeter()
    assert not meter.add(0.0, 1_000, 10)
    assert meter.add(59.0, 1, 1)
    assert not meter.add(130.0, 1, 1024 * 1024)
    assert meter.add(131.0, 1, 1)
    assert not meter.add(300.0, 1, 1)


def test_a2_a_broken_object_is_answered_with_a_parse_error() -> None:
    violation = refused_with(b'{"jsonrpc":"2.0",', -32700, reason="PARSE_ERROR", cause="syntax")
    assert violation.kind is ViolationKind.PARSE_ERROR and violation.charged
    session = Session()
    session.register([1])
    session.receive(b'{"jsonrpc":"2.0","id":1,"result":\n')
    assert session.open_calls == 1


def test_a3_and_a4_half_a_line_is_held_and_can_be_told() -> None:
    session = Session(limits=small_limits())
    assert session.receive(GOOD + b'{"jsonrpc":"2.0","id') == [GOOD_EVENT]
    assert session.partial_bytes == 20
    assert session.partial_line == b'{"jsonrpc":"2.0","id'
    session.receive(b'":"x","method":"m"}\n')
    assert session.partial_bytes == 0 and session.partial_line == b""


def test_a5_an_oversized_answer_fails_its_call_and_nothing_else() -> None:
    session = Session(limits=small_limits())
    session.register([1, 2])
    line = response(b'"' + b"x" * 2000 + b'"')
    events = session.receive(line + b"\n" + response(b"2", b"2") + b"\n")
    failed, violation, fine = events
    assert isinstance(failed, ResponsesReceived)
    ((request_id, result, error),) = failed.answers
    assert (request_id, result) == (1, None)
    assert error is not None and error.code == -32013 and error.data is not None and not error.from_peer
    assert json.loads(error.data) == {
        "reason": "LIMIT_EXCEEDED",
        "domain": "flowspan",
        "limit": "line",
        "max": 1024,
        "actual": len(line),
    }
    assert isinstance(violation, ProtocolViolation)
    assert (violation.kind, violation.reply, violation.charged) == (ViolationKind.LIMIT_EXCEEDED, None, False)
    assert fine == ResponsesReceived([(2, b'{"output":2}', None)])


def test_a5_an_oversized_request_is_refused_by_its_id() -> None:
    session = Session(limits=small_limits())
    events = session.receive(b'{"jsonrpc":"2.0","id":"big","method":"blobs/put","params":{"d":"' + b"x" * 2000 + b'"}}\n' + GOOD)
    reply = reply_of(only_violation(events))
    assert reply["id"] == "big" and isinstance(reply["error"], dict) and reply["error"]["code"] == -32013
    assert events[-1] == GOOD_EVENT and session.open_requests == 1


@pytest.mark.parametrize(
    "head",
    [
        b'{"jsonrpc":"2.0","result":{"id":1,"x":"',  # an id inside the payload is no id of the message
        b'{"text":"\\"id\\":1, ',
        b'{"id":1.5,"result":"',
        b'{"id":true,"result":"',
    ],
)
def test_a5_an_oversized_line_without_a_readable_id_is_refused_with_id_null(head: bytes) -> None:
    session = Session(limits=small_limits())
    session.register([1])
    events = session.receive(head + b"x" * 2000 + b'"}\n' + GOOD)
    assert reply_of(only_violation(events))["id"] is None
    assert session.open_calls == 1 and events[-1] == GOOD_EVENT


def test_a6_an_endless_line_is_fatal_and_costs_no_memory() -> None:
    limits = FrameLimits(max_line_bytes=1024 * 1024, max_discard_bytes=64 * 1024 * 1024)
    session = Session(limits=limits)
    chunk = b"{" + b"x" * 65535
    tracemalloc.start()
    events: list[SessionEvent] = []
    for _ in range(1100):
        events += session.receive(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    violation = only_violation(events)
    assert violation.kind is ViolationKind.ENDLESS_LINE and violation.fatal and violation.charged
    assert peak < 4 * 1024 * 1024
    assert session.receive(b"\n" + GOOD) == []


def test_a7_one_byte_at_a_time_is_fine() -> None:
    session = Session()
    events: list[SessionEvent] = []
    for byte in GOOD:
        events += session.receive(bytes([byte]))
    assert events == [GOOD_EVENT]


def test_a8_empty_lines_are_counted_and_ignored() -> None:
    events = Session().receive(b"\n" * 5000 + b"\r\n" * 5000 + GOOD.replace(b"\n", b"\r\n"))
    assert events == [NoiseReceived("", 10_000, 15_000), GOOD_EVENT]


def test_a9_many_messages_in_one_read_come_in_order() -> None:
    data = b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"m"}\r\n' % number for number in range(100))
    assert Session().receive(data) == [RequestReceived(number, "m", b"{}") for number in range(100)]


def test_a10_interleaved_writers_break_both_messages_only() -> None:
    events = Session().receive(b'{"jsonrpc":"2.0","id":{"jsonrpc":"2.0","id":2,"method":"b"}\n1,"method":"a"}\n' + GOOD)
    assert reply_of(only_violation(events))["id"] is None
    assert isinstance(events[1], NoiseReceived)
    assert events[-1] == GOOD_EVENT


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"])
def test_a11_invalid_utf8_is_refused_and_never_replaced(bad: bytes) -> None:
    refused_with(request(b'"' + bad + b'"'), -32700, cause="utf8")
    session = Session()
    session.register([1])
    events = session.receive(response(b'"' + bad + b'"') + b"\n")
    assert isinstance(events[0], ResponsesReceived)
    ((_, result, error),) = events[0].answers
    assert result is None and error is not None and error.code == -32700


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])
def test_a12_a_byte_order_mark_is_refused(mark: bytes) -> None:
    refused_with(mark + GOOD[:-1], -32700)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_a12_utf16_is_refused(encoding: str) -> None:
    session = Session()
    events = session.receive('{"jsonrpc":"2.0","id":1,"method":"m"}\n'.encode(encoding) + b"\n" + GOOD)
    violations = [event for event in events if isinstance(event, ProtocolViolation)]
    assert violations and all(violation.kind is ViolationKind.PARSE_ERROR for violation in violations)
    assert events[-1] == GOOD_EVENT


@pytest.mark.parametrize("bad", [b"\x00", b"\x01", b"\x1f", b"\t", b"\r"])
def test_a13_raw_control_characters_in_strings_are_refused(bad: bytes) -> None:
    refused_with(request(b'"a' + bad + b'b"'), -32700, cause="syntax")


def test_a14_a_value_of_depth_64_passes_in_both_directions_and_65_does_not() -> None:
    session = Session()
    session.register([1])
    assert session.receive(response(nested(64)) + b"\n") == [ResponsesReceived([(1, b'{"output":%s}' % nested(64), None)])]
    assert isinstance(session.receive(request(nested(64)) + b"\n")[0], RequestReceived)
    session.register([2])
    failed, _ = session.receive(response(nested(65), b"2") + b"\n")
    assert isinstance(failed, ResponsesReceived)
    error = failed.answers[0][2]
    assert error is not None and error.code == -32013 and error.data is not None
    assert json.loads(error.data)["limit"] == "depth"
    (refused,) = Session().receive(request(nested(65)) + b"\n")
    assert isinstance(refused, ProtocolViolation)
    reply = reply_of(refused)
    assert reply["id"] == "r" and isinstance(reply["error"], dict) and reply["error"]["code"] == -32013


@pytest.mark.parametrize("closed", [True, False])
def test_a14_a_million_brackets_are_refused_without_recursion(closed: bool) -> None:
    value = b"[" * 1_000_000 + (b"]" * 1_000_000 if closed else b"")
    refused_with(request(value), -32013, reason="LIMIT_EXCEEDED", limit="depth", max=64)


def test_a14_brackets_inside_strings_are_no_depth_and_hide_none() -> None:
    text = b'"' + b"[{" * 200 + b'\\""'
    assert isinstance(Session().receive(request(text) + b"\n")[0], RequestReceived)
    hidden = b'["' + b"]" * 200 + b'",' + nested(70) + b"]"
    assert isinstance(Session().receive(request(hidden) + b"\n")[0], ProtocolViolation)


def test_a15_wide_values_pass_up_to_the_node_limit() -> None:
    def receive(elements: int) -> SessionEvent:
        return Session().receive(request(b"[" + b",".join([b"1"] * elements) + b"]") + b"\n")[0]

    # params, the list of inputs and the array itself are nodes too
    assert isinstance(receive(200_000 - 3), RequestReceived)
    refused = receive(200_000 - 2)
    assert isinstance(refused, ProtocolViolation) and refused.kind is ViolationKind.LIMIT_EXCEEDED
    error = reply_of(refused)["error"]
    assert isinstance(error, dict) and (error["data"]["limit"], error["data"]["actual"]) == ("nodes", 200_001)


def test_a15_a_million_members_are_refused() -> None:
    members = b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}"
    violation = only_violation(Session().receive(request(members) + b"\n"))
    assert violation.kind is ViolationKind.LIMIT_EXCEEDED


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1E+999", b"1e0000000000309", b"0.1e310"])
def test_a16_numbers_that_no_double_can_hold_are_refused(number: bytes) -> None:
    refused_with(request(number), -32700)


@pytest.mark.parametrize("number", [b"1e308", b"1e-999", b"0e999", b"0.00001e312", b"1e0000000000307"])
def test_a16_numbers_within_a_double_pass(number: bytes) -> None:
    (event,) = Session().receive(request(number) + b"\n")
    assert event == RequestReceived("r", "runs/submit", b'{"inputs":[%s]}' % number)


def test_a16_text_that_looks_like_a_number_is_text() -> None:
    for text in (b'"1e999"', b'"' + b"9" * 500 + b'"', b'"\\"1e999"', b'"deadbeef0e999"'):
        assert isinstance(Session().receive(request(text) + b"\n")[0], RequestReceived)


def test_a17_number_literals_are_bounded() -> None:
    for number in (b"9" * 64, b"-" + b"9" * 63, b"0." + b"1" * 62, b"1" * 31 + b"e" + b"0" * 32):
        assert isinstance(Session().receive(request(number) + b"\n")[0], RequestReceived)
    for number in (b"9" * 65, b"9" * 5000, b"-" + b"9" * 64, b"0." + b"1" * 63, b"1" * 32 + b"e" + b"0" * 32):
        violation = only_violation(Session().receive(request(number) + b"\n"))
        error = reply_of(violation)["error"]
        assert isinstance(error, dict) and error["code"] == -32013
        assert (error["data"]["limit"], error["data"]["actual"]) == ("number", len(number))


@pytest.mark.parametrize("text", [b'"\\ud800"', b'"\\udc00x"', b'"\\ud800\\u0041"', b'"\\uDBFF"', b'"\\\\\\ud800 and more"'])
def test_a18_lone_surrogates_are_refused(text: bytes) -> None:
    refused_with(request(text), -32700)


def test_a18_an_escaped_backslash_before_u_is_no_surrogate() -> None:
    assert isinstance(Session().receive(request(b'"\\\\ud800"') + b"\n")[0], RequestReceived)


def test_a19_content_length_framing_is_named() -> None:
    events = Session().receive(b'Content-Length: 52\r\n\r\n{"jsonrpc":"2.0","id":1,"result":{}}')
    violation = only_violation(events)
    assert violation.kind is ViolationKind.CONTENT_LENGTH_FRAMING and violation.fatal
    assert "use newline framing" in violation.message


def test_a20_the_tenth_violation_within_a_minute_gives_the_peer_up() -> None:
    meter = ViolationMeter()
    assert [meter.add(float(second)) for second in range(0, 63, 7)] == [False] * 9
    assert not meter.add(63.0)
    assert [meter.add(64.0 + step) for step in range(1)] == [True]
    assert ViolationMeter().add(5.0, count=10)


def test_a20_a_flood_of_broken_lines_makes_few_events_that_count_in_full() -> None:
    session = Session()
    events = session.receive(b"{\n" * 30_000)
    assert len(events) == 33 and session.statistics().violations == 30_000
    assert sum(event.count for event in events if isinstance(event, ProtocolViolation)) == 30_000


def test_member_names_are_bounded() -> None:
    def receive(name: bytes, colon: bytes = b":") -> SessionEvent:
        return Session().receive(request(b'{"%s"%s 1}' % (name, colon)) + b"\n")[0]

    assert isinstance(receive(b"k" * 1024), RequestReceived)
    for name, colon in ((b"k" * 1025, b":"), (b"k" * 1025, b"  \t :"), (b'a\\"' * 342, b":")):
        refused = receive(name, colon)
        assert isinstance(refused, ProtocolViolation) and refused.kind is ViolationKind.LIMIT_EXCEEDED
    assert isinstance(Session().receive(request(b'"' + b"long text " * 5000 + b'"') + b"\n")[0], RequestReceived)


def test_one_bad_line_costs_only_itself() -> None:
    session = Session()
    ids = session.integer_ids(100)
    lines = [response(b"%d" % number, b"%d" % number) for number in ids]
    lines[50] = b'{"jsonrpc":"2.0","id":%d,"result":{"output":}}' % ids[50]
    events = session.receive(b"\n".join(lines) + b"\n")
    answered = [answer[0] for event in events if isinstance(event, ResponsesReceived) for answer in event.answers]
    assert answered == [number for number in ids if number != ids[50]]
    assert only_violation(events).kind is ViolationKind.PARSE_ERROR
    assert session.close() == [ids[50]]
