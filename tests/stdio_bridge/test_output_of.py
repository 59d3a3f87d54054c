"""The output in an answer: a large one is found without parsing it again, and is the same."""

from __future__ import annotations

import json

import msgspec
import pytest

from flowspan.jsonrpc import guard
from gateway.stdio_bridge.call_results import ExecuteResult, output_of

LONG = json.dumps("x" * 20_000)

ANSWERS = [
    '{"output":%s}',
    '{"output":{"a":%s,"output":1}}',
    '{"output": %s}',
    '{"output":%s }',
    '{ "output":%s}',
    '{"output":%s,"more":1}',
    '{"output":%s,"output":2}',
    '{"output":1,"output":%s}',
    '{"output":1,"more":%s}',
    '{"more":%s,"output":[1]}',
]


@pytest.mark.parametrize("answer", [*(text % LONG for text in ANSWERS), '{"output":7}', '{"output":"}"}'])
def test_the_output_is_what_a_parser_finds(answer: str) -> None:
    result = answer.encode()
    assert output_of(result) == bytes(msgspec.json.decode(result, type=ExecuteResult).output)


@pytest.mark.parametrize("answer", ["{}", "[]", f'{{"outputs":{LONG}}}', f'["output",{LONG}]'])
def test_an_answer_without_an_output_is_refused(answer: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        output_of(answer.encode())


def test_a_large_output_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    outline = guard.outline

    def measured(data: bytes) -> bytes:
        outlined = outline(data)
        parsed.append(len(outlined))
        return outlined

    monkeypatch.setattr("gateway.stdio_bridge.call_results.outline", measured)
    data = b'{"n":1,"data":%b}' % LONG.encode()
    assert output_of(b'{"output":%b}' % data) == data
    assert parsed[0] < 100
