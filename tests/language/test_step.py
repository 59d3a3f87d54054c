"""The fields of a step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.language.house import OPEN, attempts, failed, findings, flow, kinds, language, of, run, step
from tests.language.rows import row


@row("step.id", "diagnostic.3000")
async def test_an_id_that_stands_twice_is_fatal() -> None:
    found = await findings(flow(step("a"), step("a"), output=of("a")))
    assert [(one["code"], one["kind"], one["level"], one["path"]) for one in found] == [
        (3000, "duplicateStepId", "fatal", "/steps/1/id")
    ]


@pytest.mark.parametrize("first", [{"id": ""}, {}, {"id": None}])
@row("step.id", "diagnostic.3001")
async def test_an_empty_or_missing_id_is_fatal(first: dict[str, Any]) -> None:
    found = await findings(flow({"component": "/p/a", **first}))
    assert [(one["code"], one["kind"], one["level"]) for one in found if one["level"] == "fatal"] == [
        (3001, "emptyStepId", "fatal")
    ]


@row("step.component")
async def test_a_component_is_required_and_found_by_its_route() -> None:
    assert [one["level"] for one in await findings(flow({"id": "a"}, output=of("a")))] == ["fatal"]
    assert (await run(flow({"id": "a", "component": "/builtin/noop", "input": 3}, output=of("a")))).value == 3
    nowhere = await run(flow({"id": "a", "component": "/nowhere/x", "input": 3}, output=of("a")))
    assert nowhere.error["code"] == "COMPONENT_NOT_FOUND"
    assert "/nowhere/x" in nowhere.error["message"]


@row("step.input")
async def test_the_input_is_an_expression_and_null_by_default() -> None:
    document = flow({"id": "a", "component": "/p/a"}, step("b", {"x": [{"$input": "$.n"}]}), output=[of("a"), of("b")])
    ran = await run(document, {"n": 1})
    assert (ran.input_of("a"), ran.input_of("b")) == (None, {"x": [1]})


@pytest.mark.parametrize("name", ["skip", "skipIf"])
@row("step.skip", "skip.truthy")
async def test_a_truthy_skip_skips_the_step_under_both_names(name: str) -> None:
    document = flow(step("a", 1, **{name: {"$input": "$.off"}}), output=of("a", onSkip={"action": "useDefault"}))
    ran = await run(document, {"off": True}, {"off": False})
    assert [result["value"] for result in ran.results] == [None, 1]
    assert [called.item for called in ran.calls] == [1]


@pytest.mark.parametrize("name", ["onError", "on_error"])
@row("step.onError", "onError.useDefault")
async def test_on_error_has_effect_under_both_names(name: str) -> None:
    document = flow(step("a", **{name: {"action": "useDefault", "defaultValue": 5}}), output=of("a"))
    assert (await run(document, answers={"a": failed()})).value == 5


@row("step.onError", "onError.fail")
async def test_without_on_error_a_failure_fails_the_step() -> None:
    given: list[dict[str, Any]] = [{}, {"onError": {}}, {"onError": {"action": "fail"}}]
    for fields in given:
        ran = await run(flow(step("a", **fields), output=of("a")), answers={"a": failed("no luck")})
        assert (ran.error, len(ran.calls)) == ({"code": "COMPONENT_FAILED", "message": "no luck"}, 1)


@row("step.mustExecute")
async def test_must_execute_runs_what_nothing_needs_and_is_off_by_default() -> None:
    ran = await run(flow(step("a"), step("b", mustExecute=True), step("c", mustExecute=False), output=1))
    assert (ran.value, ran.steps) == (1, ["b"])


@pytest.mark.parametrize("timeout", [0.02, "20ms"])
@row("step.timeout", "error.codes")
async def test_a_timeout_covers_one_attempt_and_is_timeout(timeout: Any) -> None:
    document = flow(step("a", timeout=timeout, retry={"maxRetries": 0}), output=of("a"))
    ran = await run(document, answers={"a": OPEN})
    assert (ran.error["code"], len(ran.calls)) == ("TIMEOUT", 1)


@row("step.timeout", "attempt.rises")
async def test_each_attempt_has_the_whole_timeout() -> None:
    document = flow(step("a", timeout=0.02, retry={"maxRetries": 1, "backoff": "constant"}), output=of("a"))
    ran = await run(document, answers={"a": attempts(OPEN, "second")})
    assert (ran.value, [called.attempt for called in ran.calls]) == ("second", [1, 2])


@pytest.mark.parametrize(
    ("timeout", "good"), [("1m30s", True), (90, True), (1.5, True), ("soon", False), (0, False), (-1, False)]
)
@row("step.timeout")
async def test_a_timeout_is_a_number_of_seconds_or_a_length_of_time(timeout: Any, good: bool) -> None:
    assert (kinds(await findings(flow(step("a", timeout=timeout), output=of("a")))) == []) is good


@row("step.retry")
async def test_retry_is_read_and_a_figure_that_is_none_is_refused() -> None:
    assert await findings(flow(step("a", retry={"maxRetries": 2, "backoff": "fibonacci"}), output=of("a"))) == []
    for retry in ({"maxRetries": -1}, {"maxRetries": 1.5}, {"backoff": "linear"}, {"backoff": 1}):
        found = await findings(flow(step("a", retry=retry), output=of("a")))
        assert [one["level"] for one in found] == ["fatal"], retry


@row("step.metadata")
async def test_metadata_of_a_step_is_free_and_without_effect() -> None:
    document = flow(step("a", 1, metadata={"$input": "[", "deep": [{"$step": "nowhere"}]}), output=of("a"))
    assert await findings(document) == []
    assert (await run(document)).value == 1


@row("diagnostic.2001")
async def test_an_empty_component_is_an_error_but_no_obstacle_to_storing() -> None:
    document = flow({"id": "a", "component": ""}, output=of("a"))
    found = await findings(document)
    assert [(one["code"], one["kind"], one["level"]) for one in found] == [(2001, "emptyComponentName", "error")]
    async with language() as one:
        assert (await one.store(document)).startswith("sha256:")
