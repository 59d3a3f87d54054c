"""`flowspan graph`: a flow, or a run of it, as a picture."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from .conftest import Shell

SERVER = """
from flowspan import ComponentServer
server = ComponentServer()

@server.component
def check(input: dict) -> dict:
    if input["n"] == 3:
        raise ValueError("three is not liked")
    return {"n": input["n"], "odd": input["n"] % 2 == 1}

@server.component
def double(input: int) -> int:
    if input == 4:
        raise ValueError("four is not liked")
    return input * 2

server.run()
"""
FLOW = {
    "name": "numbers",
    "inputSchema": {"type": "object"},
    "steps": [
        {"id": "check", "component": "/p/check", "input": {"n": {"$input": "$.n"}}},
        {"id": "double", "component": "/p/double", "input": {"$step": "check", "path": "$.n"}},
    ],
    "output": {"$step": "double"},
}


def statuses(graph: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {node["label"]: node["status"] for node in graph["nodes"] if "status" in node}


def with_plugin(shell: Shell) -> None:
    shell.write("server.py", SERVER)
    shell.write(
        "flowspan.yml", "plugins: {p: {type: stdio, command: python, args: [server.py]}}\nroutes: {/p: p, /builtin: builtin}\n"
    )
    shell.write("numbers.json", FLOW)


def test_the_picture_goes_to_stdout_or_to_a_file_whose_name_says_the_format(shell: Shell) -> None:
    svg = shell.run("graph", "noop.json")
    assert svg.code == 0
    assert ElementTree.fromstring(svg.out).tag == "{http://www.w3.org/2000/svg}svg"
    for name, start in (("a.svg", "<svg"), ("a.dot", "digraph"), ("a.mmd", "---\ntitle:")):
        done = shell.run("graph", "noop.json", "-o", name)
        assert (done.code, done.out) == (0, "")
        assert (shell.directory / name).read_text().startswith(start)
    assert shell.run("graph", "noop.json", "--format", "dot", "-o", "b.svg").code == 0
    assert (shell.directory / "b.svg").read_text().startswith("digraph")


def test_with_json_it_is_the_graph_itself(shell: Shell) -> None:
    (graph,) = shell.run("graph", "noop.json", "--json").lines
    assert [node["id"] for node in graph["nodes"]] == ["$input", "/steps/0", "/output"]
    assert graph["edges"] == [
        {"source": "$input", "target": "/steps/0", "kind": "needed", "paths": ["$"]},
        {"source": "/steps/0", "target": "/output", "kind": "needed", "paths": ["$"]},
    ]


def test_colours_follow_the_routes_of_the_configuration(shell: Shell) -> None:
    with_plugin(shell)
    shell.write("flowspan.yml", "plugins: {tools: {type: stdio, command: x}}\nroutes: {/p: tools}\n")
    (graph,) = shell.run("graph", "numbers.json", "--json").lines
    assert {node["plugin"] for node in graph["nodes"] if node["kind"] == "step"} == {"tools"}


def test_a_configuration_that_is_wrong_is_told_but_hinders_only_if_it_was_named(shell: Shell) -> None:
    shell.write("flowspan.yml", "plugins: 7\n")
    done = shell.run("graph", "noop.json", "--format", "dot")
    assert done.code == 0
    assert "colours are by path" in done.err
    assert shell.run("graph", "noop.json", "--config", "flowspan.yml").code == 78


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name the flow's file"),
        (["none.json"], "none.json"),
        (["noop.json", "-o", "no/such/place.svg"], "place.svg"),
        (["noop.json", "-o", "noop.png"], "name it .svg, .dot or .mmd"),
        (["broken.json"], "broken.json: the document is not a flow:\n  1:35: /output/$step: there is no step"),
    ],
)
def test_what_cannot_be_drawn_is_said_with_code_2(shell: Shell, arguments: list[str], message: str) -> None:
    shell.write("broken.json", {"steps": [], "output": {"$step": "x"}})
    done = shell.run("graph", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_a_run_shows_how_often_each_step_succeeded_and_failed(shell: Shell) -> None:
    """Items 3 and 5 fail in `check` (one by the component, one for its input), item 4 in `double`, item 6 before any."""
    with_plugin(shell)
    inputs = '{"n":1}\n{"n":2}\n{"n":3}\n{"n":4}\n{"m":5}\n6\n'
    with shell.server():
        (run,) = shell.run("submit", "numbers.json", "--inputs", "-", "--detach", stdin=inputs).lines
        assert shell.run("watch", run["runId"], "-q").code == 1
        (graph,) = shell.run("graph", "--run", run["runId"], "--json").lines
        svg = shell.run("graph", "numbers.json", "--run", run["runId"])
        other = shell.run("graph", "noop.json", "--run", run["runId"])
    assert statuses(graph) == {
        "check": {"success": 3, "failed": 2},
        "double": {"success": 2, "failed": 1},
        "output": {"success": 2, "failed": 4},
    }
    assert graph["title"] == "numbers: failed"
    assert graph["note"] == f"run {run['runId']}: 2 succeeded, 4 failed of 6"
    assert "✓ 3  ✗ 2" in svg.out
    assert "is-failed" in svg.out
    assert other.code == 2
    assert "another flow" in other.err


def test_no_step_is_green_in_which_items_failed_and_skips_are_told(shell: Shell) -> None:
    """Each item is ended by another step: the log has its failures, and the values tell which steps were skipped."""
    with_plugin(shell)
    double = {"$step": "double"}
    flow = FLOW | {
        "steps": [
            *FLOW["steps"],
            {"id": "gift", "component": "/p/double", "input": 1, "skip": {"$step": "check", "path": "$.odd"}},
            {"id": "last", "component": "/p/check", "input": {"n": double}, "mustExecute": True},
        ],
        "output": {"d": double, "g": {"$step": "gift", "onSkip": {"action": "useDefault", "defaultValue": None}}},
    }
    shell.write("gifts.json", flow)
    with shell.server():
        inputs = '{"n":1}\n{"n":2}\n{"n":3}\n{"n":4}\n{"n":5}\n'
        (run,) = shell.run("submit", "gifts.json", "--inputs", "-", "--detach", stdin=inputs).lines
        shell.run("watch", run["runId"], "-q")
        (graph,) = shell.run("graph", "--run", run["runId"], "--json").lines
        mermaid = shell.run("graph", "--run", run["runId"], "--format", "mermaid")
    found = statuses(graph)
    assert found["check"] == {"success": 4, "failed": 1}
    assert found["double"] == {"success": 3, "failed": 1}
    assert found["gift"]["skipped"] == 2
    assert found["last"] == {"success": 3}
    assert found["output"] == {"success": 3, "failed": 2}
    assert "is_failed" in mermaid.out


def test_steps_that_are_not_in_the_log_are_told_by_what_the_output_needs(shell: Shell) -> None:
    flow = {
        "name": "two inside",
        "steps": [
            {"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}},
            {"id": "b", "component": "/builtin/noop", "input": {"$step": "a"}},
        ],
        "output": {"$step": "b"},
    }
    shell.write("two.json", flow)
    with shell.server():
        (run,) = shell.run("submit", "two.json", "--inputs", "-", "--detach", stdin="1\n2\n").lines
        shell.run("watch", run["runId"], "-q")
        (graph,) = shell.run("graph", "--run", run["runId"], "--json").lines
        missing = shell.run("graph", "--run", "01890000-0000-7000-8000-000000000000")
    assert statuses(graph) == {"a": {"success": 2}, "b": {"success": 2}, "output": {"success": 2}}
    assert graph["title"] == "two inside: success"
    assert missing.code == 2
