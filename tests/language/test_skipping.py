"""What a skipped step makes of those that refer to it."""

from __future__ import annotations

from typing import Any

import pytest

from flowspan.view.events import RunStatusCode
from tests.language.house import failed, flow, of, run, step
from tests.language.rows import row


@pytest.mark.parametrize("condition", [True, 0, "", [], {"$input": "$.zero"}, {"a": 1}])
@row("skip.truthy")
async def test_a_truthy_condition_skips(condition: Any) -> None:
    ran = await run(flow(step("a", skip=condition), output=of("a")), {"zero": 0})
    assert (ran.result["outcome"], ran.steps) == ("skipped", [])


@pytest.mark.parametrize("condition", [False, None, {"$input": "$.no"}])
@row("skip.truthy")
async def test_a_falsy_condition_does_not_skip(condition: Any) -> None:
    assert (await run(flow(step("a", 1, skip=condition), output=of("a")), {"no": False})).value == 1


@pytest.mark.parametrize("wrap", [lambda e: e, lambda e: {"x": e}, lambda e: [1, [e]], lambda e: {"x": [{"y": e}]}])
@row("skip.spreads")
async def test_a_reference_to_a_skipped_step_skips_the_referring_step(wrap: Any) -> None:
    document = flow(step("a", skip=True), step("b", wrap(of("a"))), step("c", of("b", "$.x")), output=wrap(of("c")))
    ran = await run(document)
    assert (ran.result["outcome"], ran.steps) == ("skipped", [])


@pytest.mark.parametrize(
    ("caught", "value"),
    [
        (of("a", onSkip={"action": "useDefault", "defaultValue": 1}), 1),
        ({"$coalesce": [of("a"), 2]}, 2),
        ({"$if": of("a"), "then": 1, "else": 3}, 3),
        ({"$if": True, "then": 4, "else": of("a")}, 4),
    ],
)
@row("skip.caught")
async def test_on_skip_coalesce_and_if_catch_it(caught: Any, value: Any) -> None:
    assert (await run(flow(step("a", skip=True), step("b", {"x": caught}), output=of("b", "$.x")))).value == value


@row("skip.output")
async def test_skipped_in_the_output_is_the_item_s_outcome_and_counts_as_success() -> None:
    document = flow(step("a", 1, skip={"$input": "$"}), output={"r": of("a")})
    ran = await run(document, True, False)
    assert [result["outcome"] for result in ran.results] == ["skipped", "success"]
    assert (ran.status.items.success, ran.status.items.failed, ran.status.status) == (2, 0, RunStatusCode.SUCCESS)


@row("skip.mustExecute")
async def test_must_execute_does_not_override_skip() -> None:
    ran = await run(flow(step("a", skip=True, mustExecute=True), output=1))
    assert (ran.value, ran.steps) == (1, [])


@row("tie.skip-fails")
async def test_a_skip_that_fails_makes_the_step_fail() -> None:
    for condition, message in (({"$input": "$.none"}, "Input path $.none not found"), (of("bad"), "gone")):
        document = flow(step("bad"), step("a", skip=condition), output=of("a"))
        ran = await run(document, {}, answers={"bad": failed("gone")})
        assert ran.error["message"] == message
        assert "a" not in ran.steps
