"""Sections 4 to 6: scheduling inside an item, onError, skipping, and what survives a crash of the gateway."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.view.events import Outcome
from runtime_core.flow.execution import ItemExecution, ReadyCall
from runtime_core.flow.expressions import FAILED

from .items import calls_made, failed, plan_of, run_item, step

BROKEN = b'{"code":"COMPONENT_FAILED","message":"broken"}'


def ready(calls: Sequence[ReadyCall]) -> list[str]:
    return [call.step.id for call in calls]


def payload_of(item: ItemExecution) -> bytes | None:
    return None if item.result is None else item.result.payload


# Scheduling


def test_a_flow_without_steps_ends_at_once() -> None:
    item = ItemExecution(plan_of({"output": {"v": 1}}), b"null")
    assert item.start() == []
    assert item.result is not None
    assert (item.result.outcome, item.result.payload) == (Outcome.SUCCESS, b'{"v":1}')


def test_an_absent_output_is_null() -> None:
    assert run_item({"steps": [step("a")]}).payload is None


def test_only_what_the_output_and_must_execute_steps_reach_runs() -> None:
    flow = {"steps": [step("a"), step("b"), step("c", {"$step": "b"}, mustExecute=True), step("d")], "output": {"$step": "a"}}
    assert set(run_item(flow).calls) == {"a", "b", "c"}
    assert plan_of(flow).needed == {0, 1, 2}


def test_independent_steps_are_ready_side_by_side_and_dependents_when_all_their_data_is_there() -> None:
    flow = {"steps": [step("a"), step("b"), step("c", [{"$step": "a"}, {"$step": "b"}])], "output": {"$step": "c"}}
    item = ItemExecution(plan_of(flow), b"null")
    assert ready(item.start()) == ["a", "b"]
    assert item.complete(1, Outcome.SUCCESS, b"2") == []
    [call] = item.complete(0, Outcome.SUCCESS, b"1")
    assert (call.step.id, call.input) == ("c", b"[1,2]")


def test_a_failing_step_does_not_stop_its_independent_siblings() -> None:
    flow = {
        "steps": [step("f"), step("a"), step("b", {"$step": "a"})],
        "output": [{"$step": "b"}, {"$step": "f"}],
    }
    ran = run_item(flow, answers={"f": failed("first")})
    assert (ran.outcome, ran.payload["message"], list(ran.calls)) == ("failed", "first", ["f", "a", "b"])


def test_an_item_fails_with_its_output_before_its_must_execute_steps_and_these_in_order() -> None:
    flow = {"steps": [step("x", mustExecute=True), step("y", mustExecute=True), step("o")], "output": {"$step": "o"}}
    answers = {"x": failed("x"), "y": failed("y"), "o": failed("o")}
    assert run_item(flow, answers=answers).payload["message"] == "o"
    assert run_item(flow, answers={"x": failed("x"), "y": failed("y")}).payload["message"] == "x"
    assert run_item(flow, answers={"y": failed("y")}).payload["message"] == "y"


def test_an_item_ends_only_when_its_must_execute_steps_are_done() -> None:
    flow = {"steps": [step("m", mustExecute=True), step("o")], "output": {"$step": "o"}}
    item = ItemExecution(plan_of(flow), b"null")
    item.start()
    item.complete(1, Outcome.SUCCESS, b"1")
    assert payload_of(item) is None
    item.complete(0, Outcome.SUCCESS, b"2")
    assert payload_of(item) == b"1"


def test_a_chain_of_ten_thousand_steps_is_walked_without_recursion() -> None:
    steps = [step("s0", {"$input": "$"})] + [step(f"s{n}", {"$step": f"s{n - 1}"}) for n in range(1, 10_000)]
    flow = {"steps": steps, "output": {"$step": "s9999"}}
    ran = run_item(flow, answers={"s0": failed("root")})
    assert (ran.payload["message"], list(ran.calls)) == ("root", ["s0"])
    steps[0]["skip"] = True
    assert run_item(flow).outcome == "skipped"
    late = {"steps": [step("s0"), *steps[1:]], "output": {"$if": True, "then": {"$step": "s9999"}}}
    assert run_item(late, answers={"s0": failed("root")}).payload["message"] == "root"


def test_component_steps_counts_what_can_run() -> None:
    flow = {"steps": [step("a"), step("b"), step("never")], "output": {"$if": {"$step": "a"}, "then": {"$step": "b"}}}
    assert plan_of(flow).component_steps == 2
    assert plan_of({"steps": [step("a"), step("never")], "output": {"$step": "a"}}).component_steps == 1


def test_a_second_answer_to_a_call_is_a_mistake_of_the_caller() -> None:
    item = ItemExecution(plan_of({"steps": [step("a"), step("b")], "output": [{"$step": "a"}, {"$step": "b"}]}), b"null")
    item.start()
    item.complete(0, Outcome.SUCCESS, b"1")
    with pytest.raises(ValueError, match="not in flight"):
        item.complete(0, Outcome.SUCCESS, b"1")


def test_a_cancelled_call_ends_the_item_and_leaves_the_others_abandoned() -> None:
    cancelled = b'{"code":"CANCELLED","message":"the run was cancelled"}'
    flow = {"steps": [step("a", onError={"action": "useDefault"}), step("b")], "output": [{"$step": "a"}, {"$step": "b"}]}
    item = ItemExecution(plan_of(flow), b"null")
    item.start()
    assert item.complete(0, Outcome.CANCELLED, cancelled) == []
    assert item.result is not None
    assert (item.result.outcome, item.result.payload, item.abandoned()) == (Outcome.CANCELLED, cancelled, [1])
    assert item.complete(1, Outcome.SUCCESS, b"late") == []


# Known early


def of(step_id: str) -> dict[str, str]:
    return {"$step": step_id}


def started(flow: Any) -> ItemExecution:
    item = ItemExecution(plan_of(flow), b"null")
    item.start()
    return item


@pytest.mark.parametrize(
    "output",
    [
        [of("bad"), of("slow")],
        {"x": of("bad"), "y": {"z": of("slow")}},
        [[1, {"x": of("bad")}], of("slow")],
        {"x": {"y": [of("bad"), of("slow")]}, "z": of("slow")},
        [{"$coalesce": [of("bad"), of("slow")]}, of("slow")],
        [{"$if": of("bad"), "then": 1, "else": of("bad")}, of("slow")],
        [of("skipped"), of("bad"), of("slow")],
        of("both"),
        {"x": of("both"), "y": of("slow")},
    ],
)
def test_an_item_ends_with_its_first_failure_although_what_stands_behind_still_runs(output: Any) -> None:
    steps = [step("bad"), step("slow"), step("skipped", skip=True), step("both", [of("bad"), of("slow")])]
    item = started({"steps": steps, "output": output})
    assert item.complete(0, Outcome.FAILED, BROKEN) == []
    assert item.result is not None
    assert (item.result.outcome, item.result.payload, item.abandoned()) == (Outcome.FAILED, BROKEN, [1])
    assert item.complete(1, Outcome.SUCCESS, b"late") == []
    assert item.result.payload == BROKEN


@pytest.mark.parametrize("last", [(Outcome.SUCCESS, b"1"), (Outcome.SKIPPED, b"{}"), (Outcome.FAILED, b'{"code":"TIMEOUT"}')])
def test_what_stands_before_a_failure_and_still_runs_keeps_the_item_open(last: tuple[Outcome, bytes]) -> None:
    flow = {"steps": [step("a"), step("b"), step("bad"), step("z")], "output": [of("a"), of("b"), of("bad"), of("z")]}
    item = started(flow)
    item.complete(2, Outcome.FAILED, BROKEN)
    item.complete(0, Outcome.SUCCESS, b"0")
    assert item.result is None
    item.complete(1, *last)
    assert payload_of(item) == (last[1] if last[0] is Outcome.FAILED else BROKEN)
    assert item.abandoned() == [3]


def test_a_later_failure_does_not_overtake_an_earlier_one_that_is_still_open() -> None:
    item = started({"steps": [step(name) for name in "abcd"], "output": [of(name) for name in "abcd"]})
    item.complete(3, Outcome.FAILED, b'{"code":"D"}')
    item.complete(1, Outcome.FAILED, b'{"code":"B"}')
    assert item.result is None
    item.complete(0, Outcome.SUCCESS, b"1")
    assert (payload_of(item), item.abandoned()) == (b'{"code":"B"}', [2])


def test_a_step_whose_input_has_failed_early_is_not_called_whatever_its_on_error_says() -> None:
    for on_error in ({"action": "useDefault"}, {"action": "skip"}, {"action": "retry", "defaultValue": 1}):
        steps = [step("bad"), step("slow"), step("a", [of("bad"), of("slow")], mustExecute=True, onError=on_error)]
        item = started({"steps": steps, "output": 1})
        assert item.complete(0, Outcome.FAILED, BROKEN) == []
        assert (payload_of(item), item.abandoned()) == (BROKEN, [1])


def test_an_item_that_is_still_open_goes_on_after_an_early_failure() -> None:
    steps = [step("bad"), step("slow"), step("a", [of("bad"), of("slow")]), step("b", of("slow"))]
    item = started({"steps": steps, "output": [of("b"), of("a")]})
    assert item.complete(0, Outcome.FAILED, BROKEN) == []
    assert (item.result, item.abandoned()) == (None, [])
    assert ready(item.complete(1, Outcome.SUCCESS, b"1")) == ["b"]
    item.complete(3, Outcome.SUCCESS, b"2")
    assert payload_of(item) == BROKEN


def test_a_must_execute_step_keeps_an_item_open_whose_output_has_failed_early() -> None:
    steps = [step("bad"), step("slow"), step("must", mustExecute=True), step("later", of("slow"))]
    item = started({"steps": steps, "output": [of("bad"), of("later")]})
    item.complete(0, Outcome.FAILED, BROKEN)
    assert item.result is None
    item.complete(2, Outcome.FAILED, b'{"code":"MUST"}')
    assert (payload_of(item), item.abandoned()) == (BROKEN, [1])


def test_a_condition_that_has_failed_early_decides_its_branch_at_once() -> None:
    choice = {"$if": [of("bad"), of("slow")], "then": 1, "else": of("late")}
    item = started({"steps": [step("bad"), step("slow"), step("late")], "output": choice})
    assert ready(item.complete(0, Outcome.FAILED, BROKEN)) == ["late"]
    item.complete(2, Outcome.SUCCESS, b"3")
    assert (payload_of(item), item.abandoned()) == (b"3", [1])


def test_what_is_needed_late_before_a_failure_begins_at_once_and_what_stands_behind_it_does_not() -> None:
    steps = [step("c"), step("bad"), step("slow"), step("before"), step("behind")]
    output = [{"$if": of("c"), "then": of("before")}, of("bad"), {"$if": of("c"), "then": of("behind")}, of("slow")]
    item = started({"steps": steps, "output": output})
    assert item.complete(1, Outcome.FAILED, BROKEN) == []
    assert ready(item.complete(0, Outcome.SUCCESS, b"true")) == ["before"]
    item.complete(3, Outcome.SUCCESS, b"1")
    assert (payload_of(item), item.abandoned()) == (BROKEN, [2])


def test_a_branch_inside_a_value_begins_as_soon_as_it_is_known_whatever_else_the_value_waits_for() -> None:
    branch = {"deep": [{"$if": of("c"), "then": of("late")}]}
    steps = [step("c"), step("late"), step("slow")]
    item = started({"steps": steps, "output": [of("slow"), branch]})
    assert ready(item.complete(0, Outcome.SUCCESS, b"true")) == ["late"]
    assert item.complete(1, Outcome.SUCCESS, b"1") == []
    item.complete(2, Outcome.SUCCESS, b"2")
    assert payload_of(item) == b'[2,{"deep":[1]}]'


def test_a_branch_that_needs_no_step_to_be_known_begins_with_the_item() -> None:
    flow = {"steps": [step("late"), step("slow")], "output": [{"$if": {"$input": "$.x"}, "then": of("late")}, of("slow")]}
    item = ItemExecution(plan_of(flow), b'{"x":1}')
    assert ready(item.start()) == ["slow", "late"]
    idle = ItemExecution(plan_of(flow), b'{"x":false}')
    assert ready(idle.start()) == ["slow"]


def test_branches_inside_branches_begin_one_after_the_other() -> None:
    inner = {"$if": of("b"), "then": of("late")}
    steps = [step("a"), step("b"), step("late"), step("slow")]
    item = started({"steps": steps, "output": [of("slow"), {"$if": of("a"), "then": [inner]}]})
    assert ready(item.complete(0, Outcome.SUCCESS, b"true")) == ["b"]
    assert ready(item.complete(1, Outcome.SUCCESS, b"true")) == ["late"]


def test_a_branch_in_the_input_of_a_step_begins_at_once_but_not_before_the_step_is_needed_and_not_skipped() -> None:
    value = [of("slow"), {"$if": of("c"), "then": of("late")}]
    steps = [step("c"), step("late"), step("slow"), step("s"), step("x", value, skip=of("s"))]
    item = started({"steps": steps, "output": of("x")})
    assert item.in_flight() == [3]
    assert sorted(ready(item.complete(3, Outcome.SUCCESS, b"false"))) == ["c", "slow"]
    assert ready(item.complete(0, Outcome.SUCCESS, b"true")) == ["late"]
    skipped = started({"steps": steps, "output": of("x")})
    assert skipped.complete(3, Outcome.SUCCESS, b"true") == []
    unneeded = started({"steps": [*steps, step("y")], "output": of("y")})
    assert unneeded.in_flight() == [5]


def test_a_branch_whose_owner_has_failed_begins_nothing() -> None:
    value = [of("bad"), of("slow"), {"$if": of("c"), "then": of("late")}]
    steps = [step("c"), step("late"), step("slow"), step("bad"), step("x", value)]
    item = started({"steps": steps, "output": [{"$coalesce": [of("keep"), 1]}, of("x")]} | {"steps": [*steps, step("keep")]})
    item.complete(3, Outcome.FAILED, BROKEN)
    assert item.complete(0, Outcome.SUCCESS, b"true") == []


def test_a_late_need_that_has_failed_already_does_not_wait_for_its_other_needs() -> None:
    late = step("late", [of("bad"), of("slow"), of("idle")])
    steps = [step("bad"), step("c"), step("slow", mustExecute=True), step("idle"), late]
    output = [{"$if": of("bad"), "then": 1}, {"$coalesce": [of("c"), of("late")]}]
    item = started({"steps": steps, "output": output})
    item.complete(0, Outcome.FAILED, BROKEN)
    assert item.complete(1, Outcome.SUCCESS, b"null") == []
    assert item.states[4] == FAILED
    assert item.complete(2, Outcome.SUCCESS, b"1") == []
    assert payload_of(item) == BROKEN


def test_a_logged_early_failure_ends_the_item_that_a_new_gateway_takes_over() -> None:
    flow = {"steps": [step("bad"), step("slow"), step("must", mustExecute=True)], "output": [of("bad"), of("slow")]}
    item = started(flow)
    assert item.recall(0, Outcome.FAILED, BROKEN) == []
    item.interrupted()
    assert item.in_flight() == [1, 2]
    item.recall(2, Outcome.SUCCESS, b"1")
    assert (payload_of(item), item.abandoned()) == (BROKEN, [1])


@pytest.mark.parametrize("shape", ["all fail backwards", "all fail from the middle", "the last fails first", "dependents"])
def test_failures_in_a_wide_value_cost_no_more_than_its_width(shape: str) -> None:
    def cost(width: int) -> int:
        steps = [step(f"s{number}") for number in range(width)]
        numbers = list(range(width))
        fails = set(numbers)
        if shape == "all fail backwards":
            numbers.reverse()
        elif shape == "all fail from the middle":
            numbers = numbers[width // 2 :] + numbers[: width // 2][::-1]
        elif shape == "the last fails first":
            numbers, fails = [width - 1, *numbers[:-1]], {width - 1}
        else:  # many steps fail in one breath, behind as many that run
            steps += [step(f"d{number}", of(f"s{width - 1}")) for number in range(width)]
            numbers, fails = [width - 1, *numbers[:-1]], {width - 1}
        members = [of(one["id"]) for one in steps if shape != "dependents" or one["id"] != f"s{width - 1}"]
        item = started({"steps": steps, "output": members})

        def work() -> None:
            for number in numbers:
                assert item.result is None
                item.complete(number, Outcome.FAILED if number in fails else Outcome.SUCCESS, BROKEN)

        calls = calls_made(work)
        assert payload_of(item) == BROKEN
        return calls

    assert cost(2_000) < 2.3 * cost(1_000)


# onError


def test_without_on_error_a_failure_is_final() -> None:
    assert run_item({"steps": [step("a")], "output": {"$step": "a"}}, answers={"a": failed("no")}).payload["message"] == "no"


@pytest.mark.parametrize(("on_error", "value"), [({"defaultValue": {"$input": "$"}}, {"$input": "$"}), ({}, None)])
def test_use_default_makes_the_step_succeed_with_a_literal(on_error: dict[str, Any], value: Any) -> None:
    for name in ("onError", "on_error"):
        flow = {"steps": [step("a", **{name: {"action": "useDefault", **on_error}})], "output": {"$step": "a"}}
        ran = run_item(flow, answers={"a": failed()})
        assert (ran.outcome, ran.payload) == ("success", value)


def test_use_default_does_not_cover_a_failure_to_resolve_the_own_input() -> None:
    for action in ("useDefault", "skip", "retry"):
        flow = {"steps": [step("a", {"$input": "$.x"}, onError={"action": action, "defaultValue": 1})], "output": {"$step": "a"}}
        assert run_item(flow, {}).payload["message"] == "Input path $.x not found"


def test_use_default_does_not_cover_a_failed_reference() -> None:
    flow = {"steps": [step("f"), step("a", {"$step": "f"}, onError={"action": "useDefault"})], "output": {"$step": "a"}}
    assert run_item(flow, answers={"f": failed("root")}).payload["message"] == "root"


def test_retry_with_a_default_value_gives_it_once_the_retries_are_spent() -> None:
    with_default = {"steps": [step("a", onError={"action": "retry", "defaultValue": None})], "output": {"$step": "a"}}
    ran = run_item(with_default, answers={"a": failed()})
    assert (ran.outcome, ran.payload) == ("success", None)
    without = {"steps": [step("a", onError={"action": "retry"})], "output": {"$step": "a"}}
    assert run_item(without, answers={"a": failed()}).outcome == "failed"


def test_on_error_skip_counts_as_skipped_and_says_why() -> None:
    flow = {"steps": [step("a", onError={"action": "skip"})], "output": {"$step": "a"}}
    ran = run_item(flow, answers={"a": failed("no")})
    assert (ran.outcome, ran.payload) == ("skipped", {"reason": "step a failed: no"})
    flow["output"] = {"$coalesce": [{"$step": "a"}, 1]}
    assert run_item(flow, answers={"a": failed()}).payload == 1


# Skipping


@pytest.mark.parametrize(("condition", "runs"), [(True, False), (0, False), ("", False), (False, True), (None, True)])
def test_a_truthy_condition_skips_the_step(condition: Any, runs: bool) -> None:
    for name in ("skip", "skipIf"):
        ran = run_item({"steps": [step("a", 1, **{name: {"$input": "$"}})], "output": {"$step": "a"}}, condition)
        assert (ran.outcome, list(ran.calls)) == (("success", ["a"]) if runs else ("skipped", []))


def test_a_reference_to_a_skipped_step_skips_through_objects_and_arrays() -> None:
    flow = {"steps": [step("a", skip=True), step("b", {"x": [{"y": {"$step": "a"}}]})], "output": {"$step": "b"}}
    ran = run_item(flow)
    assert (ran.outcome, ran.calls) == ("skipped", {})
    assert ran.payload == {"reason": "the skip condition of step a holds"}


def test_on_skip_catches_a_skipped_reference() -> None:
    caught = {"$step": "a", "path": "$.x", "onSkip": {"action": "useDefault", "defaultValue": {"$input": "$"}}}
    assert run_item({"steps": [step("a", skip=True)], "output": [caught]}, 5).payload == [5]
    caught["onSkip"] = {"action": "useDefault"}
    assert run_item({"steps": [step("a", skip=True)], "output": [caught]}).payload == [None]
    caught["onSkip"] = {"action": "skip"}
    assert run_item({"steps": [step("a", skip=True)], "output": [caught]}).outcome == "skipped"


def test_must_execute_does_not_override_skip() -> None:
    ran = run_item({"steps": [step("a", skip=True, mustExecute=True)], "output": 1})
    assert (ran.outcome, ran.payload, ran.calls) == ("success", 1, {})


def test_a_condition_that_fails_makes_the_step_fail() -> None:
    ran = run_item({"steps": [step("a", skip={"$input": "$.x"}, onError={"action": "skip"})], "output": {"$step": "a"}}, {})
    assert (ran.outcome, ran.payload["message"]) == ("failed", "Input path $.x not found")


def test_a_condition_that_refers_to_a_skipped_step_skips() -> None:
    flow = {"steps": [step("a", skip=True), step("b", skip={"$step": "a"})], "output": {"$step": "b"}}
    assert run_item(flow).outcome == "skipped"


def test_what_only_the_input_of_a_skipped_step_needs_does_not_run() -> None:
    flow = {
        "steps": [step("c"), step("dear"), step("a", {"$step": "dear"}, skip={"$step": "c"})],
        "output": {"$coalesce": [{"$step": "a"}, 0]},
    }
    assert list(run_item(flow, answers={"c": True}).calls) == ["c"]
    assert list(run_item(flow, answers={"c": False, "dear": 3}).calls) == ["c", "dear", "a"]


# Crashes of the gateway


def test_after_a_crash_what_was_in_flight_is_a_later_attempt_and_nothing_else() -> None:
    flow = {"steps": [step("a"), step("b"), step("c", [{"$step": "a"}, {"$step": "b"}])], "output": {"$step": "c"}}
    item = ItemExecution(plan_of(flow), b"null")
    item.start()
    item.complete(0, Outcome.SUCCESS, b"1")
    item.interrupted()
    item.interrupted()
    assert (item.attempt_base(0), item.attempt_base(1), item.attempt_base(2)) == (0, 2, 0)
    assert item.in_flight() == [1]
    assert ready(item.complete(1, Outcome.SUCCESS, b"2")) == ["c"]
    assert item.attempt_base(2) == 0
    item.interrupted()
    assert item.attempt_base(2) == 1


def test_a_crash_before_any_answer_counts_for_every_first_call() -> None:
    item = ItemExecution(plan_of({"steps": [step("a")], "output": {"$step": "a"}}), b"null")
    item.start()
    item.interrupted()
    assert item.attempt_base(0) == 1
    item.complete(0, Outcome.SUCCESS, b"1")
    item.interrupted()
    assert item.attempt_base(0) == 1


def test_a_logged_step_whose_unlogged_predecessor_runs_again_is_not_called_again() -> None:
    flow = {
        "steps": [
            step("a"),
            step("b", {"$step": "a"}),
            step("c", {"$step": "b"}, onError={"action": "useDefault"}),
            step("d", {"$step": "c"}),
        ],
        "output": {"$step": "d"},
    }
    item = ItemExecution(plan_of(flow), b"null")
    assert ready(item.start()) == ["a"]
    assert item.recall(1, Outcome.SUCCESS, b"2") == []
    assert item.recall(2, *failed()) == []
    item.interrupted()
    [call] = item.complete(0, Outcome.SUCCESS, b"1")
    assert (call.step.id, call.input) == ("d", b"null")
    assert [item.attempt_base(index) for index in range(4)] == [1, 0, 0, 0]


def test_a_logged_step_in_flight_is_completed() -> None:
    item = ItemExecution(plan_of({"steps": [step("a"), step("b", {"$step": "a"})], "output": {"$step": "b"}}), b"null")
    item.start()
    assert ready(item.recall(0, Outcome.SUCCESS, b"1")) == ["b"]
    item.recall(1, Outcome.SUCCESS, b"2")
    assert item.result is not None
    assert item.recall(1, Outcome.SUCCESS, b"3") == []
    assert item.result.payload == b"2"


# Any flow


REFERENCE_KINDS = st.sampled_from(["plain", "if", "coalesce", "onSkip", "path"])


@st.composite
def flows(draw: Any) -> dict[str, Any]:
    count = draw(st.integers(0, 7))

    def expression(here: int) -> Any:
        if here == 0 or draw(st.booleans()):
            return draw(st.sampled_from([None, 1, {"$input": "$"}, {"$input": "$.zz"}, {"$literal": {"$step": "x"}}]))
        reference: dict[str, Any] = {"$step": f"s{draw(st.integers(0, here - 1))}"}
        kind = draw(REFERENCE_KINDS)
        if kind == "path":
            return [reference | {"path": "$.k"}, expression(here)]
        if kind == "if":
            return {"$if": reference, "then": expression(here), "else": {"v": expression(here)}}
        if kind == "coalesce":
            return {"$coalesce": [reference, expression(here), {"w": expression(here)}]}
        if kind == "onSkip":
            return reference | {"onSkip": {"action": "useDefault", "defaultValue": expression(here)}}
        return reference

    steps = []
    for here in range(count):
        fields: dict[str, Any] = {"mustExecute": draw(st.booleans())}
        if draw(st.booleans()):
            fields["skip"] = expression(here)
        fields["onError"] = {"action": draw(st.sampled_from(["fail", "useDefault", "skip", "retry"]))}
        steps.append(step(f"s{here}", expression(here), **fields))
    return {"steps": steps, "output": expression(count)}


ANSWERS = st.sampled_from(
    [(Outcome.SUCCESS, b"null"), (Outcome.SUCCESS, b"false"), (Outcome.SUCCESS, b'{"k":1}'), (Outcome.FAILED, BROKEN)]
)


@given(flows(), st.lists(ANSWERS, min_size=7, max_size=7), st.randoms(use_true_random=False))
def test_every_item_ends_once_and_alike_in_whatever_order_its_calls_complete(flow: Any, answers: Any, random: Any) -> None:
    plan = plan_of(flow)
    ends = []
    for in_order in (True, False):
        item = ItemExecution(plan, b'{"k":2}')
        queue = item.start()
        called = []
        while queue:
            call = queue.pop(0 if in_order else random.randrange(len(queue)))
            assert call.step.index not in called
            called.append(call.step.index)
            json.loads(call.input)
            has_ended = item.result is not None
            assert not has_ended or call.step.index in item.abandoned()
            more = item.complete(call.step.index, *answers[call.step.index])
            assert not (has_ended and more)
            queue += more
        assert item.result is not None, "the item stalled"
        assert plan.needed >= set(plan.must_execute)
        ends.append(item.result)
    assert ends[0] == ends[1]
