"""What the nearest system gets wrong, each by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowspan.errors import InvalidArgumentError, Reason
from flowspan.view.events import AttemptEnded, RunStatusCode
from tests.language.house import OPEN, attempts, failed, findings, flow, language, of, run, step

MIB = 1 << 20


def literal_flow(component: str, inner: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A flow whose only step gives a flow to a built-in."""
    return flow(
        {"id": "sub", "component": f"/builtin/{component}", "input": {"flow": {"$literal": inner}, **fields}}, output=of("sub")
    )


async def test_a_late_if_dependency_in_the_output_runs_at_once() -> None:
    document = flow(
        step("c", True), step("late", 1), step("after", of("late")), output={"x": {"$if": of("c"), "then": of("after")}}
    )
    async with language(late=OPEN) as one:
        status = await one.submit(document, None)
        # No time passes and nothing else happens between the condition's answer and the call that became needed.
        await one.core.wait_until(lambda: len(one.calls) == 2)
        (call,) = one.core.server.open.values()
        one.core.server.answer(call, b"7")
        ran = await one.ended(status)
        assert (ran.value, ran.steps) == ({"x": 7}, ["c", "late", "after"])


@pytest.mark.parametrize("place", ["output", "input"])
async def test_a_late_if_dependency_waits_for_nothing_else_in_its_value(place: str) -> None:
    value = [of("slow"), {"deep": {"$if": of("c"), "then": of("late")}}]
    document = flow(step("c", True), step("late", 1), step("slow"), step("user", value), output=of("user"))
    if place == "output":
        document = flow(step("c", True), step("late", 1), step("slow"), output=value)
    async with language(slow=OPEN) as one:
        status = await one.submit(document, None)
        # The late step is called and has answered while the slow one is still out.
        await one.core.wait_until(lambda: len(one.calls) == 3 and len(one.core.server.open) == 1)
        assert [call.template.step_id for call in one.core.server.open.values()] == ["slow"]
        one.core.server.answer(next(iter(one.core.server.open.values())), b"2")
        ran = await one.ended(status)
        assert ran.value == [2, {"deep": 1}]


async def test_a_late_if_dependency_in_a_step_s_input_runs_at_once() -> None:
    given = {"a": {"$if": of("c"), "then": of("late")}, "b": {"$coalesce": [of("nothing"), of("other")]}}
    document = flow(step("c", 0), step("late", 1), step("nothing"), step("other", 2), step("user", given), output=of("user"))
    ran = await run(document)
    assert ran.value == {"a": 1, "b": 2}
    assert sorted(ran.steps) == ["c", "late", "nothing", "other", "user"]


@pytest.mark.parametrize("form", ["json", "yaml", "input", "override"])
async def test_integer_literals_stay_integers_where_whole_numbers_are_wanted(form: str) -> None:
    inner = flow(step("i", {"$input": "$"}), output=of("i"))
    sleep = {"duration_ms": 10, "passthrough": {"n": 3}}
    steps: list[dict[str, Any]] = [
        {"id": "sleep", "component": "/builtin/sleep", "input": sleep},
        {
            "id": "map",
            "component": "/builtin/map",
            "input": {"workflow": {"$literal": inner}, "items": [1, 2, 3, 4], "max_concurrency": 3},
        },
        step("flaky", {"maxRetries": 2}, onError={"action": "retry", "maxRetries": 2}, retry={"backoff": "constant"}),
    ]
    output = {"slept": of("sleep"), "mapped": of("map", "$.successful"), "flaky": of("flaky")}
    options: dict[str, Any] = {}
    if form == "input":
        steps[0]["input"] = {"$input": "$"}
    elif form == "override":
        steps[0]["input"] = {"duration_ms": "none", "passthrough": {"n": 3}}
        options["overrides"] = {"sleep": {"value": {"input": {"duration_ms": 10}}}}
    document: Any = flow(*steps, output=output)
    text = json.dumps(document)
    async with language(flaky=attempts(failed(), failed(), "third")) as one:
        # JSON is YAML; said to be YAML, it is read by the other reader.
        item = json.dumps(sleep, separators=(",", ":")).encode()
        ran = await one.run("# yaml\n" + text if form == "yaml" else text, item, **options)
        assert ran.raw == (b'{"outcome":"success","value":{"slept":{"n":3},"mapped":4,"flaky":"third"}}',)
        assert {called.raw for called in ran.calls if called.step == "flaky"} == {b'{"maxRetries":2}'}
        assert [called.attempt for called in ran.calls if called.step == "flaky"] == [1, 2, 3]


@pytest.mark.parametrize(
    "overrides",
    [
        {"steps": {"nowhere": {"value": {"input": 1}}}},
        {"a": {"$type": "json_patch", "value": [{"op": "test", "path": "/component", "value": "x"}]}},
        {"a": {"value": {"input": {"$step": "a"}}}},
        {"a": {"value": {"input": {"$step": "none"}}}},
        {"a": {"value": {"onError": {"action": "explode"}}}},
    ],
)
async def test_a_failing_override_leaves_no_run(overrides: Any) -> None:
    async with language() as one:
        error = await one.refusal(flow(step("a", 1), output=of("a")), 1, 2, overrides=overrides)
        assert (type(error), error.reason) == (InvalidArgumentError, Reason.INVALID_ARGUMENT)
        assert (await one.run_ids(), one.calls) == ([], [])


@pytest.mark.parametrize("code", ["TIMEOUT", "UNREACHABLE"])
async def test_use_default_applies_after_spent_transport_retries(code: str) -> None:
    document = flow(
        step("a", onError={"action": "useDefault", "defaultValue": {"d": 1}}, retry={"maxRetries": 2, "backoff": "constant"}),
        output=of("a"),
    )
    ran = await run(document, answers={"a": failed(code=code)})
    assert ran.value == {"d": 1}
    assert [called.attempt for called in ran.calls] == [1, 2, 3]


BAD_INPUTS: list[tuple[str, Any]] = [
    ("eval", {"flow_id": 5, "input": 1}), ("eval", 1), ("eval", {"flow_id": "sha256:" + "0" * 64, "input": 1}),
    ("eval", {"flow": {"$literal": {"steps": 1}}, "input": 1}), ("map", {"items": [1]}),
    ("map", {"workflow": {"steps": []}, "items": 1}),
    ("map", {"workflow": {"steps": []}, "items": [1], "max_concurrency": 1.5}), ("iterate", {"flow": {}}),
    ("iterate", {"flow": {}, "initial_input": 1, "max_iterations": 0}), ("put_blob", {}), ("get_blob", {"blob_id": "x"}),
    ("create_messages", {}), ("sleep", {"duration_ms": 1.5}), ("sleep", 10),
]  # fmt: skip


@pytest.mark.parametrize(("component", "given"), BAD_INPUTS)
async def test_bad_input_to_a_built_in_is_invalid_input_and_not_retried(component: str, given: Any) -> None:
    bad = {"id": "bad", "component": f"/builtin/{component}", "input": given, "onError": {"action": "retry", "maxRetries": 5}}
    # Before it in the output a step that is retried, which the log shows.
    flaky = step("flaky", onError={"action": "retry"}, retry={"backoff": "constant"})
    async with language(flaky=attempts(failed(), 1)) as one:
        ran = await one.run(flow(bad, flaky, output=[of("flaky"), of("bad")]), None)
        assert ran.error["code"] == "INVALID_INPUT", ran.error
        events = [event for segment in await one.core.log(ran.status.run_id) for event in segment.events]
        assert [event.step_index for event in events if isinstance(event, AttemptEnded)] == [1]


async def test_eval_returns_the_sub_run_s_own_id() -> None:
    inner = flow(step("i", {"$input": "$"}), output=of("i"), name="inner")
    async with language() as one:
        ran = await one.run(literal_flow("eval", inner, input=5), None)
        assert ran.value["result"] == {"outcome": "success", "value": 5}
        (called,) = ran.calls
        assert ran.value["run_id"] == called.run_id != ran.status.run_id
        child = await one.runtime.get_run(ran.value["run_id"], max_bytes=MIB)
        assert child.description.parent_run_id == child.description.root_run_id == ran.status.run_id
        assert (child.description.flow_name, child.status) == ("inner", RunStatusCode.SUCCESS)
        assert sorted(await one.run_ids()) == sorted([ran.status.run_id, called.run_id])


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        (flow(step("bad"), output={"x": of("bad")}), "failed"),
        (flow(step("bad", mustExecute=True), output="fine"), "failed"),
        (flow(step("bad"), step("good", mustExecute=True), output="fine"), "success"),
        (flow(step("bad", skip=True, mustExecute=True), output=of("bad")), "skipped"),
    ],
)
async def test_one_status_rule_holds_for_runs_and_sub_runs(document: Any, outcome: str) -> None:
    async with language(bad=failed("gone")) as one:
        top = await one.run(document, None)
        nested = await one.run(literal_flow("eval", document, input=None), None)
        child = await one.runtime.get_run(nested.value["run_id"], max_bytes=MIB)
        assert top.result["outcome"] == outcome
        assert nested.value["result"] == top.result
        assert (child.status, child.items) == (top.status.status, top.status.items)
        assert nested.status.status is RunStatusCode.SUCCESS


async def test_a_quoted_field_with_a_dot_survives_a_round_trip() -> None:
    value = {"a.b": "one field", "a": {"b": "two"}}
    document = flow(
        step("s", {"$input": "$['a.b']"}), output=[of("s"), {"$input": "$['a.b']"}, {"$input": '$["a.b"]'}, {"$input": "a.b"}]
    )
    async with language() as one:
        stored = (await one.runtime.get_flow(await one.store(document))).document
        ran = await one.run(stored, value)
        assert ran.value == ["one field"] * 4
        # Also as what a message says, which an author may paste back.
        message = (await one.run(flow(output={"$input": "$['a.b'].c"}), {"a": {"b": {"c": 1}}})).error["message"]
        assert message == "Input path $['a.b'].c not found"


async def test_a_missing_required_variable_is_refused_at_submit() -> None:
    schema = {"properties": {"token": {"type": "string"}}, "required": ["token"]}
    async with language() as one:
        error = await one.refusal(flow(step("a", {"$variable": "token"}), output=of("a"), variablesSchema=schema), 1)
        assert error.reason is Reason.INVALID_ARGUMENT
        assert "'token'" in str(error)
        assert one.calls == []


async def test_secrets_in_arrays_are_redacted() -> None:
    schema = {"properties": {"tokens": {"type": "array", "items": {"type": "object"}, "is_secret": True}}}
    tokens = [{"name": "n", "value": "tok-1111"}, {"value": ["tok-2222", {"deep": "tok-3333"}]}]
    document = flow(step("a", {"$variable": "tokens"}), output=of("a"), variablesSchema=schema)
    answer = failed("rejected tok-1111 and tok-2222", data=b'{"seen":["tok-3333",{"x":"=tok-1111="}]}')
    ran = await run(document, answers={"a": answer}, variables={"tokens": tokens})
    assert ran.calls[0].input == tokens
    assert b"tok-" not in ran.raw[0]
    assert ran.error["message"].startswith("rejected ")


async def test_unknown_keys_are_reported_with_the_nearest_name() -> None:
    document = {
        "name": "n", "description": "d", "stpes": [], "output": {"$step": "a", "pth": "$.x"},
        "steps": [{"id": "a", "component": "/p/a", "inputs": 1, "on_eror": {}, "onError": {"action": "fail", "maxretries": 1},
                   "retry": {"back_off": "constant"}}],
    }  # fmt: skip
    found = {one["path"]: one for one in await findings(document)}
    nearest = {
        "/stpes": "'steps'", "/steps/0/inputs": "'input'", "/steps/0/on_eror": "'on_error'",
        "/steps/0/onError/maxretries": "'maxRetries'", "/steps/0/retry/back_off": "'backoff'", "/output/pth": "'path'",
    }  # fmt: skip
    assert {path: one["level"] for path, one in found.items()} == dict.fromkeys(nearest, "warning")
    for path, name in nearest.items():
        assert name in found[path]["message"]
