"""How steps fared, counted from the events of a run."""

from __future__ import annotations

from typing import Any

from flowspan.view.events import AttemptCause, AttemptEnded, ItemCompleted, ItemsStarted, Outcome, StepCompleted
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


def test_steps_are_counted_and_the_last_one_is_inferred() -> None:
    tally = RunTally(CHAIN)
    tally.apply([ItemsStarted(0, 3), StepCompleted(0, 0, OK, b""), StepCompleted(1, 0, OK, b"")])
    tally.apply([ItemCompleted(0, OK, b""), ItemCompleted(1, FAILED, b""), ItemCompleted(2, FAILED, b""), None])
    assert counts(tally) == {
        "/steps/0": {"success": 2, "failed": 1},
        "/steps/1": {"success": 1, "failed": 1},
        "/output": {"success": 1, "failed": 2},
    }


def test_the_only_step_of_a_flow_is_told_by_its_items() -> None:
    tally = RunTally(flow_of(step("a"), step("unused"), output={"$step": "a"}))
    tally.apply([ItemCompleted(0, OK, b""), ItemCompleted(1, Outcome.CANCELLED, b"")])
    assert counts(tally) == {
        "/steps/0": {"success": 1, "cancelled": 1},
        "/steps/1": {},
        "/output": {"success": 1, "cancelled": 1},
    }


def test_what_cannot_be_told_is_left_open() -> None:
    """Without an event for any step, and where two steps can have been the last."""
    silent = RunTally(CHAIN)
    silent.apply([ItemCompleted(0, OK, b"")])
    assert counts(silent)["/steps/0"] == counts(silent)["/steps/1"] == {}
    either = {"$if": {"$step": "c"}, "then": {"$step": "x"}, "else": {"$step": "y"}}
    branching = RunTally(flow_of(step("c"), step("x"), step("y"), output=either))
    branching.apply([StepCompleted(0, 0, OK, b""), ItemCompleted(0, OK, b"")])
    assert counts(branching) == {"/steps/0": {"success": 1}, "/steps/1": {}, "/steps/2": {}, "/output": {"success": 1}}


def test_failures_whose_step_cannot_be_told_are_counted() -> None:
    flow = flow_of(step("c"), step("x", {"$step": "c"}), step("y", {"$step": "c"}), output=[{"$step": "x"}, {"$step": "y"}])
    tally = RunTally(flow, {2: "/output", 3: "/steps/1/input"})
    tally.apply([StepCompleted(item, 0, OK, b"") for item in range(5)])
    tally.apply([ItemCompleted(item, FAILED, b"") for item in range(4)])
    tally.apply([StepCompleted(4, 1, OK, b""), ItemCompleted(4, FAILED, b"")])
    tally.apply([StepCompleted(5, 0, FAILED, b""), ItemCompleted(5, FAILED, b"")])
    steps = [counts(tally)[f"/steps/{index}"] for index in range(3)]
    assert steps == [{"success": 5, "failed": 1}, {"success": 1, "failed": 1}, {"failed": 1}]
    assert tally.untold_failures == 2


def test_an_error_that_names_its_place_counts_there() -> None:
    tally = RunTally(CHAIN, {0: "/steps/1/input/x", 1: "/output"})
    tally.apply([StepCompleted(0, 0, OK, b""), ItemCompleted(0, FAILED, b""), ItemCompleted(1, FAILED, b"")])
    assert counts(tally)["/steps/1"] == {"failed": 1}
    assert counts(tally)["/steps/0"] == {"success": 1}


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
    assert not tally._seen
    assert len(tally._ends) == 1
    assert counts(tally)["/steps/1"] == {"success": 10_000}
