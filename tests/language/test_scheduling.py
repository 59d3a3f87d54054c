"""Which steps of an item run, when, and how the item ends."""

from __future__ import annotations

from typing import Any

import pytest

from flowspan.view.events import RunStatusCode
from tests.language.house import OPEN, failed, flow, language, of, run, step
from tests.language.rows import row


@row("scheduling.lazy")
async def test_only_what_the_output_and_must_execute_steps_reach_is_run() -> None:
    document = flow(
        step("a", 1), step("b", 2), step("c", of("b")), step("d", 4), step("e", of("d"), mustExecute=True), step("f"),
        output=of("a"),
    )  # fmt: skip
    ran = await run(document)
    assert (ran.value, sorted(ran.steps)) == (1, ["a", "d", "e"])


@row("scheduling.side-by-side")
async def test_steps_run_as_soon_as_their_data_is_there_side_by_side() -> None:
    async with language(a=OPEN, b=OPEN, c=OPEN, d=OPEN) as one:
        await one.submit(flow(step("a"), step("b"), step("c", of("a")), step("d", of("b")), output=[of("c"), of("d")]), None)
        await one.core.wait_until(lambda: len(one.calls) == 2)
        server = one.core.server
        by_step = {call.template.step_id: call for call in server.open.values()}
        assert sorted(by_step) == ["a", "b"]
        server.answer(by_step["b"], b"1")
        await one.core.wait_until(lambda: len(one.calls) == 3)
        assert {call.template.step_id for call in server.open.values()} == {"a", "d"}


@row("scheduling.siblings")
async def test_a_failing_step_does_not_stop_its_independent_siblings() -> None:
    document = flow(step("bad"), step("b", 2), step("c", of("b"), mustExecute=True), output=of("bad"))
    ran = await run(document, answers={"bad": failed("gone")})
    assert (ran.error["message"], ran.steps) == ("gone", ["bad", "b", "c"])


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        (flow(step("bad"), output=of("bad")), "failed"),
        (flow(step("bad", mustExecute=True), output=1), "failed"),
        (flow(step("bad", mustExecute=True, onError={"action": "skip"}), output=1), "success"),
        (flow(step("bad"), output={"$if": of("bad"), "then": 1, "else": 2}), "success"),
        (flow(step("good", mustExecute=True), output=1), "success"),
        (flow(step("s", skip=True), output=of("s")), "skipped"),
    ],
)
@row("scheduling.item-fails", "scheduling.same-rule")
async def test_an_item_fails_when_its_output_or_a_must_execute_step_failed_in_runs_and_sub_runs_alike(
    document: Any, outcome: str
) -> None:
    top = await run(document, answers={"bad": failed("gone")})
    assert top.result["outcome"] == outcome
    assert top.status.status is (RunStatusCode.FAILED if outcome == "failed" else RunStatusCode.SUCCESS)
    parent = flow(
        {"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": document}, "input": None}}, output=of("e")
    )
    async with language(bad=failed("gone")) as one:
        nested = await one.run(parent, None)
        assert nested.value["result"] == top.result
        child = await one.runtime.get_run(nested.value["run_id"], max_bytes=1 << 20)
        assert child.status is top.status.status


@row("tie.output-first")
async def test_the_output_s_failure_comes_before_that_of_must_execute_steps_and_these_in_order() -> None:
    answers = {"m1": failed("first must"), "m2": failed("second must"), "o": failed("output")}
    musts = (step("m2", mustExecute=True), step("m1", mustExecute=True))
    assert (await run(flow(*musts, step("o"), output=of("o")), answers=answers)).error["message"] == "output"
    assert (await run(flow(*musts, output=1), answers=answers)).error["message"] == "second must"


@row("tie.item-ends")
async def test_an_item_waits_for_its_must_execute_steps() -> None:
    async with language(must=OPEN) as one:
        status = await one.submit(flow(step("must", mustExecute=True), output=1), None)
        await one.core.wait_until(lambda: len(one.core.server.open) == 1)
        (call,) = one.core.server.open.values()
        assert (await one.runtime.get_run(status.run_id, max_bytes=1 << 20)).items.running == 1
        one.core.server.answer(call, b"2")
        assert (await one.ended(status)).value == 1


@row("tie.item-ends")
async def test_an_item_ends_when_its_output_is_known_and_what_nothing_needs_is_cancelled() -> None:
    async with language(slow=OPEN, bad=OPEN) as one:
        status = await one.submit(flow(step("bad"), step("slow"), output=[of("bad"), of("slow")]), None)
        await one.core.wait_until(lambda: len(one.core.server.open) == 2)
        bad, slow = one.core.server.open.values()
        one.core.server.answer(bad, failed("gone"))
        assert (await one.ended(status)).error["message"] == "gone"
        await one.core.wait_until(lambda: one.core.server.cancelled == [slow])
