"""Flows inside flows (docs/flow-language, diagnostics): found, checked, and told with their place in the whole document."""

from __future__ import annotations

from typing import Any

import pytest

from runtime_core.flow.inspection import inspect_document
from runtime_core.flow.parse import check_flow
from runtime_core.flow.source import read_document

from .house import ECHO, JsonDict, errors, flow, found, message, step, takes

BROKEN = {"steps": [{"id": "a", "component": "/t/a", "input": {"$step": "b"}}], "output": {"$step": "a"}}
FINE = {"steps": [{"id": "a", "component": "/t/a"}], "output": {"$step": "a"}}
FAULT = "/steps/0/input/$step"


def built_in(name: str, given: Any) -> JsonDict:
    return {"id": "s", "component": f"/builtin/{name}", "input": given}


def subflow_faults(document: JsonDict) -> list[str]:
    """Places of findings about embedded flows."""
    return [path for code, path in found(document, a=ECHO) if code == 2003]


@pytest.mark.parametrize(
    ("name", "member", "more"),
    [
        ("eval", "flow", {}),
        ("map", "workflow", {}),
        ("map", "flow", {}),
        ("iterate", "flow", {}),
        ("put_blob", "data", {"blob_type": "flow"}),
    ],
)
def test_a_literal_that_a_built_in_takes_as_a_flow_is_checked(name: str, member: str, more: JsonDict) -> None:
    document = flow(built_in(name, {member: {"$literal": BROKEN}, **more}))
    assert subflow_faults(document) == [f"/steps/0/input/{member}/$literal{FAULT}"]
    whole = flow(built_in(name, {"$literal": {member: BROKEN, **more}}))
    assert subflow_faults(whole) == [f"/steps/0/input/$literal/{member}{FAULT}"]
    assert subflow_faults(flow(built_in(name, {member: {"$literal": FINE}, **more}))) == []
    assert subflow_faults(flow(built_in(name, {member: {"$literal": 5}, **more}))) == [f"/steps/0/input/{member}/$literal"]
    assert subflow_faults(flow(built_in(name, {member: {"$literal": "sha256:0"}, **more}))) == []


def test_the_outer_flow_can_be_stored_all_the_same() -> None:
    document = flow(built_in("eval", {"flow": {"$literal": BROKEN}}))
    assert check_flow(document).flow is not None
    assert message(flow(step("a", {"$literal": BROKEN})), a=ECHO) == "the embedded flow cannot run: there is no step 'b'"


@pytest.mark.parametrize(
    "value",
    [
        {"steps": ["mix", "bake"]},
        {"steps": [{"id": "a"}]},
        {"output": {"$step": "b"}, "lines": 3},
        {"name": "n", "description": {"$step": "b"}},
        [BROKEN],
        {"flow": BROKEN},
    ],
)
def test_a_literal_that_only_resembles_a_flow_is_left_alone(value: Any) -> None:
    assert found(flow(step("a", {"$literal": value})), a=ECHO) == []
    assert found(flow(step("a"), output={"$literal": value}), a=ECHO) == []


@pytest.mark.parametrize("value", [BROKEN, {"output": {"$step": "a"}}, {"name": "n", "steps": [], "output": {"$step": "a"}}])
def test_a_literal_that_can_hardly_be_anything_else_is_checked_wherever_it_stands(value: Any) -> None:
    for document in (flow(step("a", {"x": [{"$literal": value}]})), flow(step("a"), output={"$literal": value})):
        [(code, path)] = found(document, a=ECHO)
        assert code == 2003
        assert "/$literal/" in path


def test_names_and_descriptions_are_not_asked_of_flows_inside_but_all_other_warnings_are() -> None:
    inner = {"stepz": [], "output": 1}
    assert found(flow(built_in("eval", {"flow": {"$literal": inner}})), a=ECHO) == [
        (2200, "/steps/0/component"),
        (1005, "/steps/0/input/flow/$literal/stepz"),
    ]


def test_types_are_checked_inside_too() -> None:
    inner = {"steps": [{"id": "x", "component": "/t/b", "input": 5}], "output": {"$step": "x"}}
    document = flow(step("a", {"$literal": inner}))
    assert errors(document, a=ECHO, b=takes({"type": "string"})) == [(2100, "/steps/0/input/$literal/steps/0/input")]


def test_flows_inside_flows_inside_flows_are_checked_to_a_bound() -> None:
    inner: JsonDict = BROKEN
    for _ in range(6):
        inner = {"steps": [{"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": inner}}}], "output": {}}
    [place] = subflow_faults(inner)
    assert place == "/steps/0/input/flow/$literal" * 6 + FAULT
    for _ in range(4):
        inner = {"steps": [{"id": "e", "component": "/builtin/eval", "input": {"flow": {"$literal": inner}}}], "output": {}}
    assert subflow_faults(inner) == []


def test_findings_inside_have_lines_and_columns() -> None:
    text = b"""\
name: outer
steps:
  - id: e
    component: /builtin/eval
    input:
      flow:
        $literal:
          steps:
            - id: a
              component: /t/a
              input: {$step: missing}
output: {$step: e}
"""
    [finding] = [one for one in inspect_document(read_document(text)).findings if one.code == 2003]
    assert (finding.line, finding.column) == (11, 30)
