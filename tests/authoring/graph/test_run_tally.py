"""How steps fared, counted from the events of a run."""

from __future__ import annotations

from typing import Any

from flowspan.view.events import AttemptCause, AttemptEnded, Event, ItemCompleted, ItemsStarted, Outcome, StepCompleted
from gateway.authoring.graph.run_tally import RunTally
from runtime_core.flow.document import Flow
from runtime_core.flow.parse import check_flow

OK, FAILED = Outcome.SUCCESS, Outcome.FAILED


def flow_of(*steps: dict[str, Any], output: Any) -> Flow:
    flow = check_flow({"steps": list(steps), "output": output}).flow
    assert flow is not None
    return flow


def step(step_id: str, given: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "component": "/p/x", "input": given, **more}


def counts(tally: RunTally) -> dict[str, dict[str, int]]:
    return {node: status.counts() for node, status in tally.statuses().items()}


CHAIN = flow_of(step("a"), step("b", {"$step": "a"}), output={"$step": "b"})


def broken(step_id: str) -> bytes:
    return b'{"code":"COMPONENT_FAILED","message":"of %b"}' % step_id.encode()


def at(place: str) -> bytes:
    return b'{"code":"EXPRESSION_FAILURE","message":"not found","data":{"path":"%b"}}' % place.encode()


def fails(item: int, index: int) -> list[Event]:
    """The events of an item that ends by the failure of a step."""
    return [StepCompleted(item, index, FAILED, broken(str(index))), ItemCompleted(item, FAILED, broken(str(index)))]


def test_steps_are_counted_and_the_success_that_ends_an_item_is_inferred() -> None:
    tally = RunTally(CHAIN)
    tally.apply([ItemsStarted(0, 3), StepCompleted(0, 0, OK, b""), StepCompleted(1, 0, OK, b"")])
    tally.apply([ItemCompleted(0, OK, b""), *fails(1, 1), *fails(2, 0), None])
    assert counts(tally) == {
        "/steps/0": {"success": 2, "failed": 1},
        "/steps/1": {"success": 1, "failed": 1},
        "/output": {"success": 1, "failed": 2},
    }
    assert tally.untold_failures == 0


def test_the_only_step_of_a_flow_is_told_by_its_items() -> None:
    tally = RunTally(flow_of(step("a"), step("unused"), output={"$step": "a"}))
    tally.apply([ItemCompleted(0, OK, b""), ItemCompleted(1, Outcome.CANCELLED, b"")])
    assert counts(tally) == {
        "/steps/0": {"success": 1, "cancelled": 1},
        "/steps/1": {},
        "/output": {"success": 1, "cancelled": 1},
    }


def test_what_the_output_needs_has_succeeded_where_nothing_was_logged() -> None:
    silent = RunTally(CHAIN)
    silent.apply([ItemCompleted(0, OK, b"")])
    assert counts(silent)["/steps/0"] == counts(silent)["/steps/1"] == {"success": 1}


def test_a_step_that_may_have_failed_is_not_coloured_and_its_items_are_not_told() -> None:
    """Nothing was logged, and either step can have failed."""
    silent = RunTally(CHAIN)
    silent.apply([ItemCompleted(0, OK, b""), ItemCompleted(1, FAILED, broken("?"))])
    assert counts(silent)["/steps/1"] == {"success": 1, "untold": 1}
    assert silent.statuses()["/steps/1"].word == ""
    assert silent.untold_failures == 1


def test_branches_are_told_by_the_values_of_steps() -> None:
    """Which step was the last, and which was skipped by its condition, follow from what the first one said."""
    given = {"$step": "c", "path": "$.go"}
    steps = (step("c"), step("x"), step("y"), step("z", given, skip=given))
    either = {"$if": given, "then": {"$step": "x"}, "else": {"$step": "y"}}
    kept = {"$step": "z", "onSkip": {"action": "useDefault", "defaultValue": None}}
    flow = flow_of(*steps, output=[either, kept])
    tally = RunTally(flow)
    tally.apply([StepCompleted(0, 0, OK, b'{"go":true}'), ItemCompleted(0, OK, b"")])
    tally.apply([StepCompleted(1, 0, OK, b'{"go":false}'), StepCompleted(1, 3, OK, b"1"), ItemCompleted(1, OK, b"")])
    assert counts(tally) == {
        "/steps/0": {"success": 2},
        "/steps/1": {"success": 1},
        "/steps/2": {"success": 1},
        "/steps/3": {"success": 1, "skipped": 1},
        "/output": {"success": 2},
    }


def test_without_values_branches_are_left_open_and_nothing_is_coloured_that_may_have_failed() -> None:
    either = {"$if": {"$step": "c"}, "then": {"$step": "x"}, "else": {"$step": "y"}}
    tally = RunTally(flow_of(step("c"), step("x"), step("y"), output=either))
    tally.apply([StepCompleted(0, 0, OK, b""), ItemCompleted(0, OK, b"")], has_payloads=False)
    assert counts(tally)["/steps/1"] == counts(tally)["/steps/2"] == {"untold": 1}


def test_a_step_that_reads_what_failed_was_not_reached() -> None:
    """It is red where the failure arose, and nowhere else."""
    tally = RunTally(CHAIN)
    tally.apply(fails(0, 0))
    assert counts(tally)["/steps/1"] == {}


def test_an_error_that_names_its_place_counts_there() -> None:
    tally = RunTally(flow_of(step("a"), step("b", {"$step": "a", "path": "$.x"}), output={"$step": "b", "path": "$.y"}))
    tally.apply([StepCompleted(0, 0, OK, b'{"x":1}'), ItemCompleted(0, FAILED, at("/output"))])
    tally.apply([ItemCompleted(1, FAILED, at("/steps/1/input"))])
    assert counts(tally)["/steps/1"] == {"success": 1, "failed": 1}
    assert counts(tally)["/steps/0"] == {"success": 2}


def test_a_log_that_the_flow_cannot_have_written_is_told_by_itself() -> None:
    """The run had overrides, which a client cannot read."""
    tally = RunTally(flow_of(step("a"), step("b", {"$step": "a"}, skip=True), output={"$step": "b"}))
    tally.apply([StepCompleted(0, 0, OK, b"1"), StepCompleted(0, 1, FAILED, broken("b")), ItemCompleted(0, FAILED, broken("b"))])
    assert counts(tally)["/steps/1"] == {"failed": 1}
    assert tally.contradicts == 1


def test_on_error_is_applied_and_repeated_attempts_are_counted() -> None:
    caught = flow_of(
        step("a", onError={"action": "useDefault"}),
        step("b", onError={"action": "skip"}),
        step("c", [{"$step": "a"}, {"$step": "b"}]),
        output={"$step": "c"},
    )
    tally = RunTally(caught)
    tally.apply([AttemptEnded(0, 0, 1, AttemptCause.TRANSPORT_FAILED, True, b"")])
    tally.apply([StepCompleted(0, 0, FAILED, b""), StepCompleted(0, 1, FAILED, b"")])
    assert counts(tally)["/steps/0"] == {"success": 1, "repeated": 1}
    assert counts(tally)["/steps/1"] == {"skipped": 1}


def test_nothing_of_an_item_is_kept_when_it_has_ended() -> None:
    tally = RunTally(CHAIN)
    for item in range(10_000):
        tally.apply([StepCompleted(item, 0, OK, b""), ItemCompleted(item, OK, b"")])
    assert not tally._underway
    assert len(tally._ways) == 1
    assert counts(tally)["/steps/1"] == {"success": 10_000}
