"""The conversation when both ends behave."""

from __future__ import annotations

import json

import pytest

from flowspan.errors import FlowspanError, InvalidArgumentError, Reason
from flowspan.jsonrpc import (
    NotificationReceived,
    ProtocolViolation,
    RequestReceived,
    ResponsesReceived,
    Session,
    WireError,
    to_flowspan_error,
)

from .pair import Pair


def test_a_request_is_answered_and_both_sides_are_idle_again() -> None:
    pair = Pair()
    request_id, line = pair.gateway.request("components/list", b"{}")
    pair.to_server += line
    assert pair.pump_server() == [RequestReceived(request_id, "components/list", b"{}")]
    assert pair.gateway.open_calls == 1 and pair.server.open_requests == 1
    pair.to_gateway += pair.server.respond(request_id, b'{"components":[]}')
    assert pair.pump_gateway() == [ResponsesReceived([(request_id, b'{"components":[]}', None)])]
    assert pair.gateway.open_calls == 0 and pair.server.open_requests == 0


def test_requests_of_both_ends_cross_under_the_same_id() -> None:
    pair = Pair()
    ours, line = pair.gateway.request("components/execute", b'{"input":1}')
    pair.to_server += line
    theirs, line = pair.server.request("runs/submit", b'{"inputs":[]}')
    pair.to_gateway += line
    assert ours == theirs
    assert pair.pump_server() == [RequestReceived(ours, "components/execute", b'{"input":1}')]
    assert pair.pump_gateway() == [RequestReceived(theirs, "runs/submit", b'{"inputs":[]}')]
    pair.to_gateway += pair.server.respond(ours, b"1")
    pair.to_server += pair.gateway.respond(theirs, b"2")
    assert pair.pump_gateway() == [ResponsesReceived([(ours, b"1", None)])]
    assert pair.pump_server() == [ResponsesReceived([(theirs, b"2", None)])]


def test_responses_of_one_read_come_as_one_event_in_any_order() -> None:
    pair = Pair()
    ids = pair.gateway.integer_ids(3)
    for request_id in ids:
        pair.to_server += b'{"jsonrpc":"2.0","id":%d,"method":"components/execute","params":{}}\n' % request_id
    assert [event.id for event in pair.pump_server() if isinstance(event, RequestReceived)] == list(ids)
    pair.to_gateway += pair.server.respond_all([(ids[2], b"2"), (ids[0], b"0"), (ids[1], b"1")])
    assert pair.pump_gateway() == [ResponsesReceived([(ids[2], b"2", None), (ids[0], b"0", None), (ids[1], b"1", None)])]


def test_order_between_responses_and_other_messages_is_kept() -> None:
    session = Session()
    first, second = session.integer_ids(2)
    line = b'{"jsonrpc":"2.0","id":%d,"result":1}\n'
    notice = b'{"jsonrpc":"2.0","method":"$/progress","params":{"p":0.5}}\n'
    assert session.receive(line % first + notice + line % second) == [
        ResponsesReceived([(first, b"1", None)]),
        NotificationReceived("$/progress", b'{"p":0.5}'),
        ResponsesReceived([(second, b"1", None)]),
    ]


def test_integer_and_text_ids_that_look_alike_are_different_calls() -> None:
    session = Session()
    session.register([1, "1"])
    (event,) = session.receive(b'{"jsonrpc":"2.0","id":"1","result":"text"}\n')
    assert event == ResponsesReceived([("1", b'"text"', None)])
    (event,) = session.receive(b'{"jsonrpc":"2.0","id":1,"result":"number"}\n')
    assert event == ResponsesReceived([(1, b'"number"', None)])


def test_id_zero_is_an_id() -> None:
    session = Session()
    assert session.receive(b'{"jsonrpc":"2.0","id":0,"method":"m"}\n') == [RequestReceived(0, "m", b"{}")]
    assert json.loads(session.respond(0, b"[]")) == {"jsonrpc": "2.0", "id": 0, "result": []}


def test_params_that_are_null_or_absent_read_as_an_empty_object() -> None:
    session = Session()
    data = b'{"jsonrpc":"2.0","id":"a","method":"m","params":null}\n{"jsonrpc":"2.0","method":"n"}\n'
    assert session.receive(data) == [RequestReceived("a", "m", b"{}"), NotificationReceived("n", b"{}")]


def test_a_null_error_beside_a_result_counts_as_absent() -> None:
    session = Session()
    session.register(["a", "b", "c"])
    (event,) = session.receive(
        b'{"jsonrpc":"2.0","id":"a","result":1,"error":null}\n'
        b'{"jsonrpc":"2.0","id":"b","result":null,"error":{"code":-32004,"message":"no"}}\n'
        b'{"jsonrpc":"2.0","id":"c","result":null}\n'
    )
    assert event == ResponsesReceived([("a", b"1", None), ("b", None, WireError(-32004, "no")), ("c", b"null", None)])


@pytest.mark.parametrize("number", ["9007199254740993", "1" + "0" * 30, "1.0", "-0.0", "1E5", "0.10", "-0"])
def test_numbers_pass_as_they_were_written(number: str) -> None:
    session = Session()
    session.register([7])
    (event,) = session.receive(b'{"jsonrpc":"2.0","id":7,"result":{"output":%s}}\n' % number.encode())
    assert event == ResponsesReceived([(7, b'{"output":%s}' % number.encode(), None)])


def test_all_planes_of_unicode_pass_raw_and_escaped() -> None:
    text = json.dumps("a\u00e9\u4e2d\U0001f600\U0010ffff", ensure_ascii=False).encode()
    escaped = json.dumps("\U0001f600\u2028").encode()
    session = Session()
    session.register([1, 2])
    (event,) = session.receive(b'{"jsonrpc":"2.0","id":1,"result":%s}\n{"jsonrpc":"2.0","id":2,"result":%s}\n' % (text, escaped))
    assert event == ResponsesReceived([(1, text, None), (2, escaped, None)])


def test_a_payload_with_line_breaks_is_written_on_one_line() -> None:
    pair = Pair()
    _, line = pair.gateway.request("m", b'{\r\n  "a":\n 1}')
    assert line.count(b"\n") == 1 and line.endswith(b"\n") and b"\r" not in line
    pair.to_server += line
    (event,) = pair.pump_server()
    assert isinstance(event, RequestReceived) and json.loads(event.params) == {"a": 1}


def test_an_error_arrives_with_its_reason_and_details() -> None:
    pair = Pair()
    request_id, line = pair.server.request("runs/submit", b"{}")
    pair.to_gateway += line
    pair.pump_gateway()
    pair.to_server += pair.gateway.fail(
        request_id, InvalidArgumentError("maxConcurrency must be at least 1", field="maxConcurrency")
    )
    (event,) = pair.pump_server()
    assert isinstance(event, ResponsesReceived)
    (answer,) = event.answers
    assert answer[2] is not None and answer[2].code == -32602 and answer[2].from_peer
    error = to_flowspan_error(answer[2])
    assert (error.reason, error.message) == (Reason.INVALID_ARGUMENT, "maxConcurrency must be at least 1")
    assert error.details == {"field": "maxConcurrency"} and error.from_peer


def test_closing_names_the_calls_that_will_never_be_answered() -> None:
    session = Session()
    session.register(["a", "b"])
    session.receive(b'{"jsonrpc":"2.0","id":9,"method":"m"}\n{"jsonrpc":"2.0","id":"a","result":1}\n')
    assert session.close() == ["b"]
    assert session.close() == []
    assert session.receive(b'{"jsonrpc":"2.0","id":"b","result":1}\n') == []
    assert session.respond(9, b"1") == b""
    with pytest.raises(FlowspanError) as caught:
        session.request("m", b"{}")
    assert caught.value.reason is Reason.UNAVAILABLE


def test_a_request_is_answered_once_only() -> None:
    session = Session()
    session.receive(b'{"jsonrpc":"2.0","id":9,"method":"m"}\n')
    assert session.is_open_request(9)
    session.respond(9, b"1")
    with pytest.raises(ValueError, match="not open"):
        session.respond(9, b"1")
    assert session.receive(b'{"jsonrpc":"2.0","id":9,"method":"again"}\n') == [RequestReceived(9, "again", b"{}")]


def test_registering_an_id_twice_opens_nothing() -> None:
    session = Session()
    session.register([1])
    for ids in ([2, 1], [3, 3]):
        with pytest.raises(ValueError, match="once only"):
            session.register(ids)
    assert session.open_calls == 1


def test_statistics_count_what_happened() -> None:
    session = Session()
    session.register([1, 2])
    session.forget([2])
    session.receive(
        b'{"jsonrpc":"2.0","id":1,"result":1}\n{"jsonrpc":"2.0","id":2,"result":1}\nnoise\n{"jsonrpc":"2.0","method":"n"}\n'
        b'{"jsonrpc":"2.0","id":1,"method":"m"}\n{\n'
    )
    figures = session.statistics()
    assert (figures.open_calls, figures.open_requests, figures.requests_sent) == (0, 1, 2)
    assert (figures.responses_received, figures.late_responses, figures.requests_received) == (1, 1, 1)
    assert (figures.notifications_received, figures.violations) == (1, 1)
    assert (figures.noise_lines, figures.noise_bytes) == (1, 6)


def test_two_sessions_do_not_argue_without_end() -> None:
    pair = Pair()
    pair.to_gateway += b'{"jsonrpc":"2.0","id":1.5,"method":"m"}\n{broken\n{"jsonrpc":"2.0"}\n'
    rounds = 0
    while pair.to_gateway or pair.to_server:
        events = pair.pump_gateway() + pair.pump_server()
        assert all(isinstance(event, ProtocolViolation) for event in events)
        rounds += 1
        assert rounds < 3
