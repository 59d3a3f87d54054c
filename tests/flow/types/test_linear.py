"""The check's work grows with the flow, not with its square."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from runtime_core.flow.inspection import Inspection, inspect_document, inspect_flow
from runtime_core.flow.parse import check_flow
from runtime_core.flow.source import read_document
from runtime_core.flow.types.components import ComponentTypes
from runtime_core.flow.types.conclusions import conclude
from runtime_core.model.json_value import encode_json
from tests.flow.items import calls_made

from .house import ECHO, Components, JsonDict, gives, schemas

TAKES_X = ComponentTypes(
    {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]},
    {"type": "object", "properties": {"y": {"type": "integer"}}, "additionalProperties": False},
)
TREE = {
    "$ref": "#/$defs/t",
    "$defs": {"t": {"type": "object", "properties": {"a": {"$ref": "#/$defs/t"}, "b": {"$ref": "#/$defs/t"}}}},
}
COMPONENTS = Components({"echo": ECHO, "x": TAKES_X, "tree": ComponentTypes(TREE, TREE), "any": gives({})})


def chain(count: int) -> JsonDict:
    """Each step holds the one before it twice: written out, the last type would have 2^count parts."""
    steps: list[JsonDict] = []
    for index in range(count):
        before: Any = {"$step": f"s{index - 1}"} if index else {"$input": "$.start"}
        steps.append({"id": f"s{index}", "component": "/t/echo", "input": {"a": before, "b": before}})
    return {"steps": steps, "output": {"$step": f"s{count - 1}", "path": "$.a.b.a.b"}}


def branches(count: int) -> JsonDict:
    """Unions of unions, and constants that add up."""
    steps: list[JsonDict] = []
    for index in range(count):
        before: Any = {"$step": f"s{index - 1}"} if index else {"$input": "$.start"}
        value = {"$if": {"$input": "$.c"}, "then": before, "else": {f"k{index}": index} if index % 2 else f"v{index}"}
        steps.append({"id": f"s{index}", "component": "/t/echo", "input": value})
    return {"steps": steps, "output": {"$coalesce": [{"$step": f"s{count - 1}"}, None]}}


def mistakes(count: int) -> JsonDict:
    """A finding or two at each step, with names to compare."""
    steps = [
        {"id": f"s{index}", "component": "/t/x" if index % 2 else "/t/xx", "input": {"x": {"$input": "$.nam"}, "y": index}}
        for index in range(count)
    ]
    reads = [{"$step": f"s{index}", "path": "$.why"} for index in range(count)]
    return {"schemas": schemas(input={"properties": {"name": {}}}), "steps": steps, "output": reads}


def trees(count: int) -> JsonDict:
    """Deep types against a recursive schema."""
    document = chain(count)
    for index in range(0, count, 3):
        document["steps"][index]["component"] = "/t/tree"
    return document


def embedded(count: int) -> JsonDict:
    inner = {"steps": [{"id": "a", "component": "/t/x", "input": {"x": 5}}], "output": {"$step": "a", "path": "$.why"}}
    steps = [{"id": f"s{index}", "component": "/t/any", "input": {"f": {"$literal": inner}}} for index in range(count)]
    return {"steps": steps, "output": [{"$step": f"s{index}"} for index in range(count)]}


SHAPES = [chain, branches, mistakes, trees, embedded]


def inspected(document: JsonDict) -> Inspection:
    return inspect_flow(check_flow(document), COMPONENTS)


@pytest.mark.parametrize("make", SHAPES)
def test_twice_the_steps_are_about_twice_the_work(make: Callable[[int], JsonDict]) -> None:
    work = {}
    for count in (1_000, 2_000):
        checked = check_flow(make(count))

        def check() -> None:
            inspect_flow(checked, COMPONENTS)  # noqa: B023 - called at once

        work[count] = calls_made(check)
    print(f"{make.__name__}: {work}")
    assert work[2_000] < 2.5 * work[1_000]


@pytest.mark.parametrize("make", SHAPES)
def test_what_infer_concludes_takes_no_more_than_linear_work(make: Callable[[int], JsonDict]) -> None:
    work = {}
    for count in (150, 300):
        flow = check_flow(make(count)).flow
        assert flow is not None

        def check() -> None:
            conclude(flow, COMPONENTS)  # noqa: B023 - called at once

        work[count] = calls_made(check)
    print(f"{make.__name__}: {work}")
    assert work[300] < 2.6 * work[150]


def test_flows_of_thousands_of_steps_are_checked_in_linear_time() -> None:
    """Prints the figures; the bound is generous, for the machine is shared."""
    took = {}
    for count in (1_000, 2_000, 4_000, 8_000):
        checked = check_flow(mistakes(count))
        began_s = time.perf_counter()
        inspect_flow(checked, COMPONENTS)
        took[count] = time.perf_counter() - began_s
    print({count: f"{seconds * 1e3:.0f} ms" for count, seconds in took.items()})
    assert took[8_000] < 8 * 4 * max(took[1_000], 0.01)


def test_every_finding_of_a_large_document_has_its_place() -> None:
    document = read_document(encode_json(mistakes(300)))
    findings = inspect_document(document, COMPONENTS).findings
    assert len(findings) > 600
    assert all(finding.line is not None for finding in findings)
