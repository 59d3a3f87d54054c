"""Inputs as arguments, results as outputs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowspan.errors import FlowErrorCode
from flowspan.jsonrpc import WireError
from gateway.mcp_bridge.settings import FRAME_LIMITS
from gateway.mcp_bridge.tool_calls import arguments_of, error_failure, read_result
from runtime_core.calls import CallAnswer, CallFailure


def read(result: Any, *, parse_text: bool = True, max_bytes: int = 1 << 20) -> CallAnswer:
    data = result if isinstance(result, bytes) else json.dumps(result).encode()
    return read_result("tool", data, parse_text=parse_text, max_bytes=max_bytes, limits=FRAME_LIMITS)


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def test_structured_content_is_the_output_byte_for_byte() -> None:
    result = b'{"content":[{"type":"text","text":"seen by people"}],"structuredContent":{"n":12345678901234567890.50}}'
    assert read(result) == b'{"n":12345678901234567890.50}'


def test_one_text_is_a_string() -> None:
    assert read(text("21 degrees")) == b'"21 degrees"'
    assert read(text("42")) == b'"42"'
    assert read(text("null")) == b'"null"'


def test_one_text_that_spells_an_object_or_an_array_is_that_with_its_numbers_as_written() -> None:
    assert read(text(' {"n": 1.0, "big": 12345678901234567890}\n')) == b'{"n": 1.0, "big": 12345678901234567890}'
    assert read(text("[1, 2]")) == b"[1, 2]"
    assert read(text("{not json}")) == b'"{not json}"'
    assert read(text("[INFO] ready")) == b'"[INFO] ready"'


def test_a_text_that_spells_more_than_a_value_may_have_stays_a_text() -> None:
    deep = "[" * 200 + "]" * 200
    assert read(text(deep)) == json.dumps(deep).encode()


def test_texts_stay_texts_where_the_plugin_says_so() -> None:
    assert read(text("[1, 2]"), parse_text=False) == b'"[1, 2]"'


def test_several_blocks_or_other_ones_come_as_the_list_that_they_are() -> None:
    image = {"type": "image", "data": "aGk=", "mimeType": "image/png"}
    answer = read({"content": [image]})
    assert isinstance(answer, bytes) and json.loads(answer) == [image]
    answer = read({"content": [text("a")["content"][0], image]})
    assert isinstance(answer, bytes) and len(json.loads(answer)) == 2


def test_no_content_at_all_is_null() -> None:
    assert read({"content": []}) == b"null"


def test_an_error_is_a_failed_step_with_the_texts_as_its_message() -> None:
    failed = read(
        {"isError": True, "content": [*text("first")["content"], *text("second")["content"]], "structuredContent": {"a": 1}}
    )
    assert isinstance(failed, CallFailure)
    assert (failed.code, failed.message) == (FlowErrorCode.COMPONENT_FAILED, "first\nsecond")
    assert failed.data is not None and json.loads(failed.data) == {"tool": "tool", "structuredContent": {"a": 1}}
    silent = read({"isError": True, "content": []})
    assert isinstance(silent, CallFailure) and "'tool' failed" in silent.message


def test_a_long_error_is_cut() -> None:
    failed = read({"isError": True, **text("x" * 100_000)})
    assert isinstance(failed, CallFailure) and len(failed.message) == 4_096


@pytest.mark.parametrize("result", [{}, {"content": "text"}, {"content": [1]}, [], "text"])
def test_what_is_no_result_is_refused(result: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read(result)


def test_an_output_that_is_too_long_fails_its_call() -> None:
    failed = read(text("x" * 100), max_bytes=50)
    assert isinstance(failed, CallFailure) and "102 bytes" in failed.message


def test_an_object_is_the_arguments_and_null_means_none() -> None:
    assert arguments_of("tool", b' {"a": 1}') == b' {"a": 1}'
    assert arguments_of("tool", b"null") == b"{}"


@pytest.mark.parametrize(
    ("given", "kind"), [(b"[1]", "an array"), (b'"a"', "a string"), (b"true", "a boolean"), (b"-3", "a number")]
)
def test_any_other_input_is_refused_by_its_kind(given: bytes, kind: str) -> None:
    failed = arguments_of("tool", given)
    assert isinstance(failed, CallFailure)
    assert failed.code is FlowErrorCode.INVALID_INPUT and f"is {kind}" in failed.message


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-32602, FlowErrorCode.INVALID_INPUT),
        (-32601, FlowErrorCode.COMPONENT_NOT_FOUND),
        (-32603, FlowErrorCode.COMPONENT_FAILED),
        (0, FlowErrorCode.COMPONENT_FAILED),
        # In MCP these mean a time-out of a request and a resource that is not there; in our table other things.
        (-32001, FlowErrorCode.COMPONENT_FAILED),
        (-32002, FlowErrorCode.COMPONENT_FAILED),
    ],
)
def test_only_codes_of_json_rpc_itself_have_a_meaning(code: int, expected: FlowErrorCode) -> None:
    failure = error_failure(WireError(code, "said"))
    assert (failure.code, failure.message) == (expected, "said")
