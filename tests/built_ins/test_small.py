"""`noop`, `sleep`, `create_messages`, `put_blob`, `get_blob`: what they answer, and how they refuse."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.mock_plugin import MockComponent, MockServer, MockSettings
from runtime_core.builtins.work import shown
from tests.built_ins.flows import builtin, call, encoded, refused, results, run
from tests.engine.house import house


@pytest.mark.parametrize("value", [b"null", b"3", b"3.0", b"12345678901234567890123", b'{"b":[1,2.50],"a":null}', b'"x"'])
async def test_noop_answers_with_its_input_as_it_was_written(value: bytes) -> None:
    async with house() as h:
        assert (await call(h, "noop", value)).payload == value


async def test_an_integer_literal_of_a_flow_reaches_sleep_as_an_integer() -> None:
    document = builtin("sleep", input={"duration_ms": 10, "passthrough": {"$input": "$"}})
    async with house() as h:
        [result] = results(await run(h, document, b'{"n":3000,"f":1.0}'))
        assert result.payload == b'{"n":3000,"f":1.0}'


@pytest.mark.parametrize("duration", [b"1", b"1.0", b"0", b"1e0"])
async def test_sleep_takes_whole_numbers_however_they_are_written(duration: bytes) -> None:
    async with house() as h:
        assert (await call(h, "sleep", b'{"duration_ms":%b}' % duration)).payload == b"null"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"duration_ms": 1.5}, "duration_ms must be a whole number in 0..86400000, not 1.5"),
        ({"duration_ms": -1}, "duration_ms must be a whole number"),
        ({"duration_ms": 86_400_001}, "0..86400000"),
        ({"duration_ms": "10"}, "duration_ms: Expected int | float, got str"),
        ({}, "the field duration_ms is missing"),
        ({"duration_ms": 1, "passtrough": 2}, "unknown field passtrough; did you mean passthrough?"),
        ("text", "Expected object, got str"),
    ],
)
async def test_sleep_refuses_bad_input_with_the_name_of_the_field(given: object, says: str) -> None:
    async with house() as h:
        assert says in await refused(h, "sleep", given)


async def test_create_messages_makes_a_system_and_a_user_message() -> None:
    async with house() as h:
        both = await call(h, "create_messages", {"system_instructions": "Be brief.", "user_prompt": "Hello"})
        assert both.value == {
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        }
        one = await call(h, "create_messages", {"system_instructions": None, "user_prompt": "Hello"})
        assert one.value == {"messages": [{"role": "user", "content": "Hello"}]}
        assert "user_prompt" in await refused(h, "create_messages", {"system_instructions": "x"})
        assert "user_prompt: Expected str, got int" in await refused(h, "create_messages", {"user_prompt": 3})


async def test_a_blob_comes_back_as_it_was_put() -> None:
    value = b'{"n":12345678901234567890,"f":2.0,"t":"\xc3\xa9"}'
    async with house() as h:
        put = await call(h, "put_blob", b'{"data":%b}' % value)
        assert put.value == {"blob_id": await h.runtime.put_blob(value)}
        assert (await call(h, "get_blob", put.payload)).payload == b'{"data":%b}' % value


async def test_a_flow_put_as_a_blob_can_be_run() -> None:
    async with house() as h:
        put = await call(h, "put_blob", {"data": {"output": {"$input": "$"}}, "blob_type": "flow"})
        again = await h.submit(put.value["blob_id"], [b"7"])
        assert results(await h.follow(again.run_id))[0].payload == b"7"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'{"a":"' + b"x" * 300 + b'"}', '{"a":...'),
        (b'{"a":1,"b":["c' + b"x" * 150 + b'",{"d":"SECRET' + b"x" * 60 + b'"}]}', '{"a":1,"b":["c' + "x" * 150 + '",{"d":...'),
        (b'["' + b"x" * 190 + b'",1234567890]', '["' + "x" * 190 + '",...'),
        (b'["' + b'\\"' * 300 + b'"]', "[..."),
        (b"x" * 300, "..."),
        (b"words " * 100, "words " * 33 + "..."),
        (b'"' + b"x" * 198 + b'"', '"' + "x" * 198 + '"'),
    ],
)
def test_a_value_in_a_message_is_not_cut_within_a_text_or_a_number(value: bytes, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize("component", ["iterate", "mock"])
async def test_no_part_of_a_secret_is_left_where_a_message_is_cut(component: str) -> None:
    secret = "SECRETabcdefghijklmnopqrstuvwxyz0123456789"
    mock = MockServer(MockSettings("m", {"/a": MockComponent({})}))
    answer = mock.instant("/a")
    assert answer is not None
    told = {"p": {"$input": "$"}, "t": {"$variable": "token"}}
    given: Any = told if component == "mock" else {"flow": {"$literal": {"output": told}}, "initial_input": {"$input": "$"}}
    step = {"id": "a", "component": "/p/a" if component == "mock" else "/builtin/iterate", "input": given}
    document = {
        "schemas": {"properties": {"variables": {"properties": {"token": {"type": "string", "is_secret": True}}}}},
        "steps": [step],
        "output": {"$step": "a"},
    }
    async with house(lambda call: answer(call.input)) as h:
        for length in range(130, 200, 5):
            fold = await run(h, document, "x" * length, variables=encoded({"token": secret}))
            [result] = results(fold)
            assert result.error is not None
            assert "SECR" not in result.error.message


@pytest.mark.parametrize(
    ("component", "given"),
    [
        ("put_blob", {"data": 1, "blob_type": {"$variable": "token"}}),
        ("get_blob", {"blob_id": {"$variable": "token"}}),
        ("eval", {"flow_id": {"$variable": "token"}, "input": 1}),
        ("map", {"flow": {"$variable": "token"}, "items": []}),
    ],
)
@pytest.mark.parametrize("times", [1, 2, 5])
async def test_no_part_of_a_secret_in_the_wrong_place_is_shown(component: str, given: object, times: int) -> None:
    document = {
        "schemas": {"properties": {"variables": {"properties": {"token": {"type": "string", "is_secret": True}}}}},
        "steps": [{"id": "a", "component": f"/builtin/{component}", "input": given}],
        "output": {"$step": "a"},
    }
    async with house() as h:
        fold = await run(h, document, 1, variables=encoded({"token": "SECRETabcdefghijklmnopqrstuvwxyz0123456789" * times}))
    [result] = results(fold)
    assert result.error is not None
    assert result.error.code == "INVALID_INPUT"
    assert "SECR" not in result.error.message


@pytest.mark.parametrize(
    ("component", "given", "says"),
    [
        ("put_blob", {}, "the field data is missing"),
        ("put_blob", {"data": 1, "blob_type": "binary"}, "blob_type must be one of data, flow, not 'binary'"),
        ("put_blob", {"data": 1, "blobtype": "data"}, "did you mean blob_type?"),
        ("get_blob", {"blob_id": "nonsense"}, "blob_id is not a blob id"),
        ("get_blob", {"blob_id": "sha256:" + "0" * 64}, "no blob sha256:"),
        ("get_blob", {"blob_id": 7}, "blob_id: Expected str, got int"),
    ],
)
async def test_blob_components_refuse_bad_input(component: str, given: object, says: str) -> None:
    async with house() as h:
        assert says in await refused(h, component, given)


async def test_a_binary_blob_is_no_value() -> None:
    async with house() as h:
        blob_id = await h.runtime.put_blob(b"\x00\xff", blob_type="binary")
        assert "is binary, not JSON" in await refused(h, "get_blob", {"blob_id": blob_id})


async def test_an_unknown_built_in_is_named_with_those_that_there_are() -> None:
    async with house() as h:
        result = await call(h, "evel", 1)
        assert result.error is not None
        assert result.error.code == "COMPONENT_NOT_FOUND"
        assert "there is no /builtin/evel; there are /builtin/create_messages, /builtin/eval" in result.error.message


async def test_errors_of_built_ins_carry_the_reason_and_the_field_for_machines() -> None:
    async with house() as h:
        result = await call(h, "sleep", {"duration_ms": "x"})
        assert result.error is not None
        assert result.error.data_value == {"reason": "INVALID_ARGUMENT", "domain": "flowspan", "field": "duration_ms"}


async def test_sleeping_items_do_not_wait_for_one_another() -> None:
    async with house() as h:
        document = builtin("sleep", input={"duration_ms": 30})
        async with asyncio.timeout(5):  # one after the other they would take six
            fold = await run(h, document, *range(200), max_concurrency=200)
        assert fold.counts().success == 200
