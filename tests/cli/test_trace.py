"""`flowspan run --trace`: the story of an item, from a real gateway and a plugin."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Ended, Shell

SERVER = """
from flowspan import ComponentServer
server = ComponentServer()
tries = {}

@server.component
def check(input: dict) -> dict:
    n = input["n"]
    tries[n] = tries.get(n, 0) + 1
    if n == 2 and tries[n] < 3:
        raise ValueError(f"not yet, {input['key']}")
    if n == 5:
        raise ValueError("never")
    return {"n": n, "odd": n % 2 == 1}

@server.component
def double(input: int) -> int:
    return input * 2

server.run()
"""
INNER = {
    "name": "inner",
    "steps": [{"id": "i", "component": "/builtin/noop", "input": {"$input": "$"}}],
    "output": {"$step": "i"},
}
FLOW = {
    "name": "traced",
    "schemas": {
        "properties": {
            "input": {"type": "object", "required": ["n"]},
            "variables": {"type": "object", "properties": {"key": {"type": "string", "is_secret": True}}},
        }
    },
    "steps": [
        {
            "id": "check",
            "component": "/p/check",
            "input": {"n": {"$input": "$.n"}, "key": {"$variable": "key", "default": "none"}},
            "onError": {"action": "retry", "maxRetries": 2},
        },
        {
            "id": "double",
            "component": "/p/double",
            "input": {"$step": "check", "path": "$.n"},
            "skip": {"$step": "check", "path": "$.odd"},
        },
        {"id": "eval", "component": "/builtin/eval", "input": {"flow": {"$literal": INNER}, "input": 1}},
    ],
    "output": {"d": {"$coalesce": [{"$step": "double"}, "odd"]}, "e": {"$step": "eval", "path": "$.result.value"}},
}
INPUTS = '{"n":1}\n{"n":2}\n{"n":5}\n{"m":0}\n'


@pytest.fixture
def traced(shell: Shell) -> Shell:
    shell.write("server.py", SERVER)
    shell.write("flowspan.yml", "plugins: {p: {type: stdio, command: python, args: [server.py]}}\n")
    shell.write("flow.json", FLOW)
    shell.write("in.jsonl", INPUTS)
    return shell


def stories(done: Ended) -> list[Any]:
    lines = [json.loads(line) for line in done.err.splitlines()]
    return [line["story"] for line in lines if "story" in line]


def steps_of(story: dict[str, Any]) -> dict[str, Any]:
    return {step["step"]: step for step in story["steps"]}


def test_stories_are_told_after_the_run_as_objects_with_all_there_is(traced: Shell) -> None:
    trace = ("--trace", "1", "--trace", "0")
    done = traced.run("run", "flow.json", "--inputs", "in.jsonl", "--json", *trace, "--variables", '{"key":"hunter2secret"}')
    assert done.code == 1
    assert len(done.lines) == 4
    skipped, retried = stories(done)
    assert (skipped["itemIndex"], skipped["outcome"], skipped["input"]) == (0, "success", {"n": 1})
    assert steps_of(skipped)["double"]["why"] == "its skip condition holds"
    assert skipped["output"]["value"] == {"d": "odd", "e": 1}
    attempts = steps_of(retried)["check"]["attempts"]
    assert [(attempt["attempt"], attempt["outcome"]) for attempt in attempts] == [(1, "failed"), (2, "failed"), (3, "success")]
    assert attempts[0]["error"]["message"] == "ValueError: not yet, ***"
    assert attempts[1]["afterSeconds"] > 0
    assert steps_of(retried)["check"]["input"] == {"n": 2, "key": "***"}
    assert steps_of(retried)["double"]["output"] == 4
    assert "hunter2" not in done.err
    (sub_run,) = retried["subRuns"]
    assert sub_run == {"runId": steps_of(retried)["eval"]["output"]["run_id"], "flowName": "inner", "status": "success"}


def test_the_first_failed_item_is_found_by_itself(traced: Shell) -> None:
    traced.write("in.jsonl", '{"n":1}\n{"n":2}\n{"n":5}\n{"n":7}\n')
    done = traced.run("run", "flow.json", "--inputs", "in.jsonl", "--json", "--trace", "failed")
    (story,) = stories(done)
    assert (story["itemIndex"], story["outcome"]) == (2, "failed")
    assert len(steps_of(story)["check"]["attempts"]) == 3
    assert steps_of(story)["double"]["why"] == "it reads step check, which failed"
    assert story["output"]["why"] == "the output reads step double, which failed"
    assert story["output"]["error"]["code"] == "COMPONENT_FAILED"


def test_the_first_failed_item_of_a_sub_run_is_told_at_two_levels(traced: Shell) -> None:
    """Its run is in a store that is gone with the command: nobody could ask for it later."""
    lowest = {
        "name": "lowest",
        "steps": [{"id": "check", "component": "/p/check", "input": {"n": {"$input": "$"}, "key": "k"}}],
        "output": {"$step": "check"},
    }

    def mapped(name: str, below: dict[str, Any], items: Any) -> dict[str, Any]:
        given = {"items": items, "workflow": {"$literal": below}}
        return {"name": name, "steps": [{"id": "all", "component": "/builtin/map", "input": given}], "output": {"$step": "all"}}

    middle = mapped("middle", lowest, {"$input": "$"})
    middle["steps"].append({"id": "need", "component": "/p/double", "input": {"$step": "all", "path": "$.results[1].value"}})
    middle["output"] = {"$step": "need"}
    traced.write("flow.json", mapped("top", middle, {"$input": "$"}))
    done = traced.run("run", "flow.json", "--input-json", "[[1, 5]]", "--json", "--trace", "0")
    (story,) = stories(done)
    (run,) = story["subRuns"]
    assert (run["flowName"], run["status"], run["failed"], run["total"]) == ("middle", "failed", 1, 1)
    first = run["firstFailed"]
    assert (first["itemIndex"], first["input"]) == (0, [1, 5])
    assert [step["step"] for step in first["steps"]] == ["need"]
    (below,) = first["subRuns"]
    assert (below["firstFailed"]["itemIndex"], below["firstFailed"]["input"]) == (1, 5)
    assert below["firstFailed"]["error"]["message"] == "ValueError: never"
    assert [step["step"] for step in below["firstFailed"]["steps"]] == ["check"]


def test_people_read_it_as_lines_on_stderr(traced: Shell) -> None:
    done = traced.run("run", "flow.json", "--inputs", "in.jsonl", "-q", "--trace", "0", "--trace", "3")
    lines = done.err.splitlines()
    assert "  ✓ check  /p/check  step double needs it" in lines
    assert "  ⤼ double  /p/double  skipped: its skip condition holds" in lines
    assert "  ✗ output  nothing ran: the input was refused" in lines
    assert "\x1b" not in done.err


def test_an_item_that_is_not_there_is_said_not_to_be(traced: Shell) -> None:
    done = traced.run("run", "noop.json", "--input-json", "1", "-q", "--trace", "7", "--trace", "failed")
    assert done.code == 0
    assert done.err.splitlines() == [
        "flowspan: --trace failed: no item failed",
        "flowspan: --trace 7: item 7 has no result: the run has 1 item, from 0",
    ]
    assert traced.run("run", "noop.json", "--input-json", "1", "--trace", "last").code == 2


def test_overrides_and_a_large_input_are_those_of_the_run(shell: Shell) -> None:
    overrides = {"steps": {"a": {"value": {"input": {"$input": None, "got": {"$input": "$"}}}}}}
    shell.write("big.json", json.dumps("x" * 900_000))
    done = shell.run(
        "run", "noop.json", "--input", "big.json", "--overrides", json.dumps(overrides), "--trace", "0", "-q", "--json"
    )
    (story,) = stories(done)
    assert story["input"] == "x" * 900_000
    assert steps_of(story)["a"]["input"] == {"got": "x" * 900_000}


def test_a_run_that_was_over_before_says_that_nothing_was_recorded(shell: Shell) -> None:
    command = ("run", "noop.json", "--input-json", "1", "--state", "state", "-q", "--trace", "0", "--json")
    assert steps_of(stories(shell.run(*command))[0])["a"]["output"] == 1
    (story,) = stories(shell.run(*command))
    assert "earlier session" in story["output"]["why"]
