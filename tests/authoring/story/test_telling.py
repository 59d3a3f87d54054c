"""An item's story: what ran, what did not, and why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flowspan.view.events import Outcome
from flowspan.view.status import ItemResult
from gateway.authoring.story.attempts import FailedItem, FailedStep, SubRun
from gateway.authoring.story.page import SHOWN_CHARS, page, plain
from gateway.authoring.story.telling import tell
from runtime_core.flow.parse import check_flow
from runtime_core.flow.plan import compile_flow

from .house import Fails, Skips, step_of, story_of


def step(step_id: str, given: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "component": f"/p/{step_id}", "input": given, **more}


def read(step_id: str, **more: Any) -> dict[str, Any]:
    return {"$step": step_id, **more}


def flow(*steps: dict[str, Any], output: Any, **more: Any) -> dict[str, Any]:
    return {"steps": list(steps), "output": output, **more}


CHAIN = flow(step("a", {"$input": "$.n"}), step("b", read("a")), output={"r": read("b")})


def test_a_success_is_told_from_the_input_to_the_output() -> None:
    story = story_of(CHAIN, {"n": 1}, {"a": [2], "b": [3]})
    assert (story["runId"], story["itemIndex"], story["outcome"], story["input"]) == ("run-1", 4, "success", {"n": 1})
    assert step_of(story, "a") == {
        "step": "a",
        "component": "/p/a",
        "status": "success",
        "why": "step b needs it",
        "input": 1,
        "attempts": [{"attempt": 1, "seconds": 0.01, "outcome": "success"}],
        "output": 2,
    }
    assert step_of(story, "b")["why"] == "the output needs it"
    assert story["output"] == {"why": "made of step b", "value": {"r": 3}}


def test_retries_are_told_with_their_errors_and_pauses() -> None:
    retried = flow(step("a", onError={"action": "retry", "maxRetries": 2}), output=read("a"))
    told = step_of(story_of(retried, None, {"a": [Fails("one"), Fails("two"), 5]}), "a")
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["failed", "failed", "success"]
    assert told["attempts"][1] == {
        "attempt": 2,
        "seconds": 0.01,
        "outcome": "failed",
        "afterSeconds": 0.05,
        "error": {"code": "COMPONENT_FAILED", "message": "two"},
    }
    assert told["output"] == 5
    assert "onError" not in told


@pytest.mark.parametrize(
    ("on_error", "effect", "status"),
    [
        ({"action": "useDefault", "defaultValue": 7}, "useDefault: the default value stands in", "success"),
        ({"action": "skip"}, "skip: the step counts as skipped", "skipped"),
        ({"action": "fail"}, "fail: the step has failed", "failed"),
        (
            {"action": "retry", "maxRetries": 0, "defaultValue": 7},
            "retry: the default value stands in once the retries were spent",
            "success",
        ),
        (
            {"action": "retry", "maxRetries": 0},
            "retry: no attempt is left (maxRetries 0), or this failure is not repeated",
            "failed",
        ),
    ],
)
def test_what_on_error_did_is_told(on_error: dict[str, Any], effect: str, status: str) -> None:
    told = step_of(story_of(flow(step("a", onError=on_error), output=read("a")), None, {"a": [Fails("no")]}), "a")
    assert (told["onError"], told["status"]) == (effect, status)
    assert told["attempts"][0]["error"]["message"] == "no"
    assert told.get("output") == (7 if status == "success" else None)


def test_a_skip_condition_that_holds_and_what_it_skips() -> None:
    skipping = flow(step("a"), step("b", skip=read("a")), step("c", [read("b")]), output={"$coalesce": [read("c"), 0]})
    story = story_of(skipping, None, {"a": [True]})
    assert (step_of(story, "b")["status"], step_of(story, "b")["why"]) == ("skipped", "its skip condition holds")
    assert step_of(story, "c")["why"] == "it reads step b, which was skipped"
    assert story["output"]["why"] == "made of step c; taken: element 2 of /output/$coalesce"
    assert [one["step"] for one in story["steps"]] == ["a", "b", "c"]


def test_a_step_that_its_component_skips_has_run() -> None:
    told = step_of(story_of(flow(step("a"), output=read("a")), None, {"a": [Skips()]}), "a")
    assert (told["status"], told["reason"]) == ("skipped", "nothing to do")
    assert told["attempts"][0]["outcome"] == "skipped"


def test_an_untaken_branch_and_a_taken_one() -> None:
    branching = flow(
        step("c"),
        step("x"),
        step("y"),
        step("z", read("y")),
        output={"$if": read("c"), "then": read("x"), "else": [read("y"), read("z")]},
    )
    story = story_of(branching, None, {"c": [True], "x": [1]})
    assert step_of(story, "x")["why"] == "the output needs it: `then` of /output/$if was taken"
    assert step_of(story, "z") == {
        "step": "z",
        "component": "/p/z",
        "status": "not needed",
        "why": "the output needs it only for `else` of /output/$if, which was not taken",
    }
    assert step_of(story, "y")["why"].startswith("step z would need it, and did not run; the output needs it only for `else`")
    assert story["output"]["why"] == "made of step c, step x; taken: `then` of /output/$if"


def test_an_element_that_coalesce_did_not_come_to() -> None:
    story = story_of(flow(step("a"), step("b"), output={"$coalesce": [read("a"), read("b")]}), None, {"a": [1]})
    assert step_of(story, "b")["why"] == "the output needs it only for element 2 of /output/$coalesce, which was not taken"


def test_a_default_of_on_skip_is_needed_only_for_a_skip() -> None:
    late = {"action": "useDefault", "defaultValue": read("d")}
    either = flow(step("s", skip={"$input": "$"}), step("d"), output=read("s", onSkip=late))
    ran = story_of(either, False, {"s": [1]})
    assert step_of(ran, "d")["why"] == "the output needs it only for `if skipped` of /output, which was not taken"
    skipped = story_of(either, True, {"d": [2]})
    assert step_of(skipped, "d")["why"] == "the output needs it: `if skipped` of /output was taken"


def test_a_failed_step_fails_those_that_read_it() -> None:
    story = story_of(CHAIN, {"n": 1}, {"a": [Fails("broken")]})
    assert step_of(story, "b")["status"] == "failed"
    assert step_of(story, "b")["why"] == "it reads step a, which failed"
    assert "attempts" not in step_of(story, "b")
    assert story["output"] == {
        "why": "the output reads step b, which failed",
        "error": {"code": "COMPONENT_FAILED", "message": "broken"},
    }


def test_an_input_that_cannot_be_resolved() -> None:
    story = story_of(CHAIN, {}, {})
    assert step_of(story, "a")["why"] == "its input cannot be resolved"
    assert step_of(story, "a")["error"]["message"] == "Input path $.n not found"
    on_condition = flow(step("a", skip={"$input": "$.zz"}), output=read("a"))
    assert step_of(story_of(on_condition, {}, {}), "a")["why"] == "its skip condition cannot be resolved"


def test_an_output_that_cannot_be_resolved() -> None:
    story = story_of(flow(step("a"), output=read("a", path="$.zz")), None, {"a": [{}]})
    assert story["output"]["why"] == "the output's expression cannot be resolved"
    assert story["outcome"] == "failed"


def test_an_input_that_does_not_fit_its_schema_runs_nothing() -> None:
    checked = {**CHAIN, "schemas": {"properties": {"input": {"type": "object", "required": ["n"]}}}}
    story = story_of(checked, {}, {})
    assert story["steps"] == []
    assert story["output"]["why"] == "nothing ran: the input was refused"
    assert story["output"]["error"]["code"] == "INVALID_INPUT"


def test_a_step_that_nothing_mentions_and_one_that_must_run() -> None:
    audited = flow(step("u"), step("audit", mustExecute=True), output=1)
    story = story_of(audited, None, {"audit": [Fails("no")]})
    assert step_of(story, "u")["why"] == "nothing refers to it"
    assert step_of(story, "audit")["why"] == "it must run"
    assert story["output"]["why"] == "step audit, which must run, failed"


def test_secrets_are_in_no_part_of_a_story() -> None:
    schema = {"type": "object", "properties": {"key": {"type": "string", "is_secret": True}}}
    secretive = flow(
        step("a", {"key": {"$variable": "key"}}, onError={"action": "retry", "maxRetries": 1}),
        output=[read("a")],
        schemas={"properties": {"variables": schema}},
    )
    answers = {"a": [Fails("bad key hunter2secret"), {"echo": "hunter2secret", "list": ["x hunter2secret y"]}]}
    story = story_of(secretive, "hunter2secret", answers, {"key": "hunter2secret"})
    text = msgspec.json.encode(story).decode()
    assert "hunter2" not in text
    assert story["output"]["value"] == [{"echo": "***", "list": ["x *** y"]}]
    assert "hunter2" not in plain(page(story))


def test_numbers_stay_exact() -> None:
    story = story_of(CHAIN, {"n": 2**70}, {"a": [1.0], "b": [2**70]})
    assert msgspec.json.encode(step_of(story, "a")["input"]) == b"1180591620717411303424"
    assert msgspec.json.encode(step_of(story, "a")["output"]) == b"1.0"


def test_an_item_of_an_earlier_session_is_said_to_be_one() -> None:
    checked = check_flow(CHAIN).flow
    assert checked is not None
    plan = compile_flow(checked)
    result = ItemResult(0, Outcome.SUCCESS, b"1", 0)
    story = tell(plan, plan.bind({}), b'{"n":1}', [], result, run_id="r", sub_runs=[SubRun("s", None, "success")])
    assert "earlier session" in story["output"]["why"]
    assert story["subRuns"] == [{"runId": "s", "flowName": None, "status": "success"}]
    cancelled = ItemResult(0, Outcome.CANCELLED, b'{"code":"CANCELLED","message":"the run was cancelled"}', 0)
    story = tell(plan, plan.bind({}), b'{"n":1}', [], cancelled, run_id="r")
    assert story["output"]["why"] == "the run was cancelled"
    assert step_of(story, "a")["status"] == "cancelled"


def test_names_cannot_move_the_cursor_either() -> None:
    named = {"steps": [{"id": "a\x1b[2J", "component": "/p/\x9bx\nb"}], "output": read("a\x1b[2J")}
    lines = plain(page(story_of(named, None, {"a\x1b[2J": [1]}))).splitlines()
    assert "  ✓ a�[2J  /p/�x�b  the output needs it" in lines


def test_the_page_is_short_and_cannot_move_the_cursor() -> None:
    story = story_of(CHAIN, {"n": "x" * 1_000}, {"a": ["\x1b[2J" + "y" * 1_000], "b": [Fails("bad\nworse\x1b[31m")]})
    text = plain(page(story))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < SHOWN_CHARS + 80
    assert "(1,002 characters)" in text
    lines = text.splitlines()
    assert lines[0] == "item 4 of run run-1: failed"
    assert "  ✓ a  /p/a  step b needs it" in lines
    assert "  ✗ b  /p/b  failed: the output needs it" in lines
    assert any(line.startswith("      attempt 1  0.010 s: COMPONENT_FAILED: bad worse") for line in lines)


def test_a_step_that_a_cancel_has_ended_is_told_as_cancelled_and_not_as_failed() -> None:
    chain = flow(step("a"), step("b", read("a"), onError={"action": "skip"}), step("c", read("b")), output=read("c"))
    story = story_of(chain, None, {"a": [1]}, cancelled_at="b")
    told = step_of(story, "b")
    assert (told["status"], told["attempts"][0]["error"]["code"]) == ("cancelled", "CANCELLED")
    assert "onError" not in told
    assert (step_of(story, "a")["status"], step_of(story, "c")["status"]) == ("success", "not run")
    assert story["output"]["why"] == "the run was cancelled"
    assert any(line.startswith("  ⊘ b  /p/b  cancelled") for line in plain(page(story)).splitlines())


def test_the_first_failed_item_of_a_sub_run_is_told_below_it_without_secrets() -> None:
    checked = check_flow(
        CHAIN | {"variablesSchema": {"type": "object", "properties": {"k": {"type": "string", "is_secret": True}}}}
    )
    assert checked.flow is not None
    plan = compile_flow(checked.flow)
    error = b'{"code":"COMPONENT_FAILED","message":"sold out with abcdefgh"}'
    below = SubRun("run-3", None, "success", 0, 1)
    failed = FailedItem(2, b'{"sku":"gone"}', error, (FailedStep("price", "/shop/price", 4),), (below,))
    runs = [SubRun("run-2", "Price a line", "failed", 1, 3, failed)]
    result = ItemResult(0, Outcome.CANCELLED, b"", 0)
    bound = plan.bind({"k": "abcdefgh"})
    story = tell(plan, bound, b"1", [], result, run_id="run-1", sub_runs=runs)
    assert story["subRuns"][0]["firstFailed"] == {
        "itemIndex": 2,
        "input": {"sku": "gone"},
        "steps": [{"step": "price", "component": "/shop/price", "attempts": 4}],
        "error": {"code": "COMPONENT_FAILED", "message": "sold out with ***"},
        "subRuns": [{"runId": "run-3", "flowName": None, "status": "success"}],
    }
    lines = plain(page(story)).splitlines()
    at = lines.index("  sub-run    run-2 of Price a line, failed: 1 of 3 failed")
    assert lines[at + 1 :] == [
        "      ✗ item 2",
        '        input      {"sku":"gone"}',
        "        failed in  step price, /shop/price, attempt 4",
        "        error      COMPONENT_FAILED: sold out with ***",
        "        sub-run    run-3, success",
    ]
