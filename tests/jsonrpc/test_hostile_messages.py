"""Rows B1 to B20 of the catalogue of hostile input, as far as one session can decide them: JSON that means nothing good."""

from __future__ import annotations

import json

import pytest

from flowspan.errors import FlowErrorCode
from flowspan.jsonrpc import (
    NotificationReceived,
    ProtocolViolation,
    RequestReceived,
    ResponsesReceived,
    Session,
    ViolationKind,
    classify_execution_error,
    method_not_found,
)
from flowspan.jsonrpc.error_codes import MAX_DATA_BYTES, MAX_MESSAGE_BYTES


def violation_of(session: Session, line: bytes) -> ProtocolViolation:
    (event,) = session.receive(line + b"\n")
    assert isinstance(event, ProtocolViolation)
    return event


def refusal(line: bytes, session: Session | None = None) -> tuple[object, int]:
    """(id, code) of the answer to a line that is refused."""
    violation = violation_of(session or Session(), line)
    assert violation.reply is not None
    reply = json.loads(violation.reply)
    return reply["id"], reply["error"]["code"]


@pytest.mark.parametrize("request_id", [b"99", b'"1-99"', b'"x"', b"-1", b'"-"', b'"1-"', b'"\xc2\xb2-1"'])
def test_b1_a_response_to_nothing_is_dropped_and_charged(request_id: bytes) -> None:
    violation = violation_of(Session(), b'{"jsonrpc":"2.0","id":%s,"result":1}' % request_id)
    assert (violation.kind, violation.reply, violation.charged) == (ViolationKind.UNKNOWN_RESPONSE, None, True)


def test_b2_the_first_of_two_responses_wins() -> None:
    session = Session()
    request_id, _ = session.request("m", b"{}")
    (integer,) = session.integer_ids(1)
    session.register([5])
    for wire_id in (b'"%s"' % str(request_id).encode(), b"%d" % integer, b"5"):
        first, second = session.receive(
            b'{"jsonrpc":"2.0","id":%s,"result":1}\n{"jsonrpc":"2.0","id":%s,"result":2}\n' % (wire_id, wire_id)
        )
        assert isinstance(first, ResponsesReceived) and first.answers[0][1] == b"1"
        assert isinstance(second, ProtocolViolation) and second.kind is ViolationKind.DUPLICATE_RESPONSE


def test_b3_a_late_response_is_dropped_silently_once() -> None:
    session = Session()
    request_id, _ = session.request("m", b"{}")
    session.forget([request_id, "never-open"])
    line = b'{"jsonrpc":"2.0","id":"%s","result":1}\n' % str(request_id).encode()
    assert session.receive(line) == []
    assert session.statistics().late_responses == 1
    assert violation_of(session, line[:-1]).kind is ViolationKind.DUPLICATE_RESPONSE


def test_b3_ids_are_never_reused() -> None:
    session = Session(7)
    ids = [session.request("m", b"{}")[0] for _ in range(3)]
    session.forget(ids)
    assert [*ids, session.request("m", b"{}")[0]] == ["7-1", "7-2", "7-3", "7-4"]
    assert not set(session.integer_ids(5)) & set(session.integer_ids(5))


def test_b4_answers_to_a_former_incarnation_are_fenced() -> None:
    former, session = Session(2), Session(3)
    old_text, _ = former.request("m", b"{}")
    (old_integer,) = former.integer_ids(1)
    new_text, _ = session.request("m", b"{}")
    assert (
        session.receive(
            b'{"jsonrpc":"2.0","id":"%s","result":1}\n{"jsonrpc":"2.0","id":%d,"result":1}\n'
            % (str(old_text).encode(), old_integer)
        )
        == []
    )
    assert session.statistics().fenced_responses == 2
    assert session.close() == [new_text]


@pytest.mark.parametrize("rest", [b"", b',"result":1,"error":{"code":1,"message":"m"}', b',"params":{}'])
def test_b5_a_response_needs_exactly_one_of_result_and_error(rest: bytes) -> None:
    session = Session()
    session.register([1])
    failed, violation = session.receive(b'{"jsonrpc":"2.0","id":1%s}\n' % rest)
    assert isinstance(failed, ResponsesReceived)
    ((request_id, result, error),) = failed.answers
    assert (request_id, result) == (1, None) and error is not None and error.code == -32021
    assert classify_execution_error(error, "flowspan")[0] is FlowErrorCode.UNREACHABLE
    assert isinstance(violation, ProtocolViolation) and violation.kind is ViolationKind.RESULT_AND_ERROR
    assert session.open_calls == 0


@pytest.mark.parametrize(
    "request_id",
    [
        b"1.5",
        b"1.0",
        b"{}",
        b"[]",
        b"null",
        b"true",
        b'"%s"' % (b"x" * 129),
        b'"%s"' % (b"x" * 10_000_000),
        b"9" * 200,
        b"9" * 5000,
    ],
)
def test_b6_ids_are_short_strings_or_integers(request_id: bytes) -> None:
    assert refusal(b'{"jsonrpc":"2.0","id":%s,"method":"m"}' % request_id) == (None, -32600)


@pytest.mark.parametrize("request_id", ["", "x" * 128, "\u4e2d" * 42, 0, -1, 2**63, 10**100, 'q"\\\n'])
def test_b6_ids_within_the_limit_come_back_verbatim(request_id: int | str) -> None:
    session = Session()
    line = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "m"}).encode()
    assert session.receive(line + b"\n") == [RequestReceived(request_id, "m", b"{}")]
    assert json.loads(session.respond(request_id, b"1"))["id"] == request_id


def test_b7_the_id_of_an_open_request_is_refused_to_the_second() -> None:
    session = Session()
    session.receive(b'{"jsonrpc":"2.0","id":1,"method":"first"}\n')
    assert refusal(b'{"jsonrpc":"2.0","id":1,"method":"second"}', session) == (1, -32600)
    assert session.is_open_request(1)
    session.receive(b'{"jsonrpc":"2.0","id":"1","method":"third"}\n')
    assert session.open_requests == 2


@pytest.mark.parametrize("version", [b'"jsonrpc":"1.0",', b"", b'"jsonrpc":2.0,', b'"jsonrpc":null,', b'"jsonrpc":"2",'])
def test_b8_other_versions_are_refused(version: bytes) -> None:
    assert refusal(b'{%s"id":1,"method":"m"}' % version) == (1, -32600)
    session = Session()
    session.register([1])
    failed, violation = session.receive(b'{%s"id":1,"result":1}\n' % version)
    assert isinstance(failed, ResponsesReceived) and failed.answers[0][2] is not None
    assert failed.answers[0][2].code == -32021
    assert isinstance(violation, ProtocolViolation) and violation.kind is ViolationKind.INVALID_MESSAGE


@pytest.mark.parametrize("batch", [b"[]", b'[{"jsonrpc":"2.0","id":1,"method":"m"}]', b"[1,2]", b"[ ]", b'[{"broken'])
def test_b9_batches_are_refused(batch: bytes) -> None:
    session = Session()
    violation = violation_of(session, batch)
    assert violation.kind is ViolationKind.BATCH and "batch not supported" in violation.message
    assert violation.reply is not None and json.loads(violation.reply)["error"]["code"] == -32600


def test_b10_unknown_methods_are_delivered_and_the_refusal_is_ready() -> None:
    session = Session()
    events = session.receive(b'{"jsonrpc":"2.0","id":1,"method":"no/such"}\n{"jsonrpc":"2.0","method":"no/such"}\n')
    assert events == [RequestReceived(1, "no/such", b"{}"), NotificationReceived("no/such", b"{}")]
    assert json.loads(session.fail(1, method_not_found("no/such")))["error"]["code"] == -32601


@pytest.mark.parametrize("params", [b"[]", b"[1]", b'"text"', b"7"])
def test_b11_params_must_be_named(params: bytes) -> None:
    assert refusal(b'{"jsonrpc":"2.0","id":1,"method":"m","params":%s}' % params) == (1, -32602)
    notice = violation_of(Session(), b'{"jsonrpc":"2.0","method":"m","params":%s}' % params)
    assert notice.reply is None and notice.kind is ViolationKind.INVALID_PARAMS


@pytest.mark.parametrize("method", [b"7", b"null", b'["m"]'])
def test_a_method_that_is_no_string_is_refused(method: bytes) -> None:
    assert refusal(b'{"jsonrpc":"2.0","id":1,"method":%s}' % method) == (1, -32600)


def test_an_object_that_is_no_message_is_refused_without_an_id() -> None:
    assert refusal(b'{"jsonrpc":"2.0"}') == (None, -32600)
    assert refusal(b'{"jsonrpc":"2.0","result":1}') == (None, -32600)


def test_an_error_without_an_id_is_reported_and_never_answered() -> None:
    for line in (
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}',
        b'{"jsonrpc":"2.0","error":{"code":-32700,"message":"what?"}}',
        b'{"id":null,"error":7}',
    ):
        assert violation_of(Session(), line).reply is None


def test_two_messages_on_one_line_and_one_message_on_two_lines_are_broken() -> None:
    joined = b'{"jsonrpc":"2.0","id":1,"method":"a"}{"jsonrpc":"2.0","id":2,"method":"b"}\n'
    split = b'{"jsonrpc":"2.0","id":3,"method":"c","params":\n{"x":1}}\n'
    events = Session().receive(joined + split)
    assert all(isinstance(event, ProtocolViolation) for event in events) and len(events) == 3


def wire_error_of(error: bytes) -> tuple[int, str, bytes | None]:
    session = Session()
    session.register([1])
    (event,) = session.receive(b'{"jsonrpc":"2.0","id":1,"error":%s}\n' % error)
    assert isinstance(event, ResponsesReceived)
    found = event.answers[0][2]
    assert found is not None and found.from_peer
    return found.code, found.message, found.data


@pytest.mark.parametrize("code", [b'"E_FAIL"', b"1.5", b"null", b"true", b"[]", b"9" * 60])
def test_b18_a_code_that_is_no_integer_becomes_component_failed(code: bytes) -> None:
    assert wire_error_of(b'{"code":%s,"message":"m"}' % code) == (-32004, "m", None)


@pytest.mark.parametrize("error", [b'"text"', b"7", b"[1]"])
def test_b18_an_error_that_is_no_object_is_normalised(error: bytes) -> None:
    code, message, data = wire_error_of(error)
    assert code == -32004 and error.decode() in message and data is None


def test_b18_a_missing_message_is_replaced_and_a_long_one_cut() -> None:
    assert wire_error_of(b'{"code":-32004}')[1] != ""
    long = wire_error_of(b'{"code":-32004,"message":"%s"}' % ("é" * 5000).encode())[1]
    assert long.endswith("é…") and MAX_MESSAGE_BYTES - 4 <= len(long.encode()) <= MAX_MESSAGE_BYTES
    assert wire_error_of(b'{"code":-32004,"message":{"text":"m"}}')[1] == '{"text":"m"}'


def test_b18_big_data_is_cut_and_says_so_and_keeps_the_retry_hint() -> None:
    big = b'{"retryAfterMs":1500,"dump":"%s"}' % (b"x" * 5_000_000)
    _, _, data = wire_error_of(b'{"code":-32004,"message":"m","data":%s}' % big)
    assert data is not None and len(data) <= MAX_DATA_BYTES
    cut = json.loads(data)
    assert (cut["truncated"], cut["bytes"], cut["retryAfterMs"]) == (True, len(big), 1500)
    assert big.decode().startswith(cut["head"])


@pytest.mark.parametrize("code", [b"-32020", b"-32022", b"-32013"])
def test_b19_a_component_server_cannot_imitate_the_gateway(code: bytes) -> None:
    session = Session()
    session.register([1])
    (event,) = session.receive(b'{"jsonrpc":"2.0","id":1,"error":{"code":%s,"message":"m","data":{"a":1}}}\n' % code)
    assert isinstance(event, ResponsesReceived) and event.answers[0][2] is not None
    flow_code, _, data = classify_execution_error(event.answers[0][2], "flowspan")
    assert flow_code is FlowErrorCode.COMPONENT_FAILED
    assert data is not None and json.loads(data) == {"a": 1, "pluginCode": int(code)}


def test_b20_a_hostile_method_name_is_cut_and_escaped_where_it_is_quoted() -> None:
    name = "r\u0443ns/subm\u0456t\n\x1b[31m" + "x" * 65536
    session = Session()
    (event,) = session.receive(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name}).encode() + b"\n")
    assert isinstance(event, RequestReceived) and event.method == name
    message = method_not_found(name).message
    assert message.isprintable() and len(message) < 180
