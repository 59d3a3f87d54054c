"""Params in the model's own spelling are read at once; nothing of the checks is lost by that."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from flowspan.errors import InvalidArgumentError
from gateway.methods import wire
from gateway.methods.table import METHODS

VALUES: dict[str, Any] = {
    "flowId": st.sampled_from(["f", "", 5, None, "x" * 2000]),
    "inputs": st.sampled_from([[1, {"a_b": None}], [], None, "no"]),
    "wait": st.sampled_from([True, False, None, "yes"]),
    "maxConcurrency": st.sampled_from([1, 10.0, 0, 1.5, None]),
    "overrides": st.sampled_from([{}, None, {"a": None}, 5]),
    "variables": st.sampled_from([{"v": 1}, None]),
    "metadata": st.sampled_from([{"a": "b"}, None, {"a": 1}]),
    "itemLabels": st.sampled_from([["a"], None, [1]]),
    "deadlineSecs": st.sampled_from([1, 1.5, -1, None]),
    "requestId": st.sampled_from(["r", None, ""]),
    "timeoutSecs": st.sampled_from([0, 2.5, None]),
    "runId": st.sampled_from(["r", None]),
    "resultOrder": st.sampled_from(["byIndex", "by_completion", "RESULT_ORDER_BY_INDEX", "no", None]),
    "includeResults": st.sampled_from([True, None]),
    "afterItemIndex": st.sampled_from([-1, -2, None]),
    "limit": st.sampled_from([1, 0, None]),
    "taskToken": st.sampled_from(["t", None, 5]),
    "observability": st.sampled_from(
        [
            {"trace_id": "a", "span_id": "b", "run_id": "c", "flow_id": "d", "step_id": "e", "traceparent": "f"},
            {"traceId": "a", "runId": "c"},
            {"trace_id": 5, "runId": "c"},
            {"run_id": None, "other": 1},
            None,
            "no",
        ]
    ),
    "input": st.sampled_from([1, None]),
    "data": st.sampled_from([1, None]),
    "flow": st.sampled_from([{}, None]),
    "other": st.just(1),
}


def snake(name: str) -> str:
    return "".join(["_" + letter.lower() if letter.isupper() else letter for letter in name])


@st.composite
def params(draw: st.DrawFn) -> bytes:
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=8))
    spelled = {draw(st.sampled_from([name, name, name, snake(name)])): draw(VALUES[name]) for name in names}
    return msgspec.json.encode(spelled)


def facts(model: type[Any], read: Any) -> dict[str, Any]:
    """What was read, comparable."""
    found: dict[str, Any] = {}
    for name in model.__struct_fields__:
        value = getattr(read, name)
        if isinstance(value, msgspec.Raw):
            value = bytes(value)
        elif isinstance(value, list):
            value = [bytes(one) if isinstance(one, msgspec.Raw) else one for one in value]
        elif isinstance(value, msgspec.Struct):
            value = msgspec.structs.asdict(value)
        found[name] = value
    return found


def answer(model: type[Any], data: bytes) -> Any:
    try:
        return facts(model, wire.read_params(model, data))
    except InvalidArgumentError as error:
        return (error.message, error.details)


@given(st.sampled_from(sorted(METHODS)), params())
@settings(max_examples=400)
def test_params_mean_the_same_whether_they_are_read_at_once_or_spelled_anew_first(method: str, data: bytes) -> None:
    model = METHODS[method].params
    at_once = answer(model, data)
    # An unknown member is ignored, and keeps params from being read at once.
    members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    assert at_once == answer(model, msgspec.json.encode({"notKnownAtAll": 1, **members}))


def test_what_our_sdk_sends_is_read_at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(wire, "_normal", None)
    sent = (
        b'{"flowId":"f","inputs":[{"a":null}],"wait":true,"observability":{"trace_id":"a","span_id":"b","run_id":"c","flow_id":"d",'
        b'"step_id":"e","traceparent":"f"},"taskToken":"t"}'
    )
    read = wire.read_params(wire.SubmitParams, sent)
    assert (read.flow_id, read.wait, read.origin.run_id, bytes(read.inputs[0])) == ("f", True, "c", b'{"a":null}')
