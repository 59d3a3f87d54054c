"""Diagnostics: their shape, what they block, flows within flows, and every code of the table by its number and name."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from flowspan.errors import FlowInvalidError
from tests.cli.conftest import Shell
from tests.language.house import Document, findings, flow, language, of, step
from tests.language.rows import ROWS, row

BROKEN = '{"name": "n", "description": "d",\n "steps": [{"id": "a", "component": "/p/a",\n  "input": {"$step": "b"}}]}'


@row("diagnostics.shape", "diagnostic.3003")
async def test_a_diagnostic_has_a_kind_a_code_a_level_a_message_a_pointer_and_a_place() -> None:
    for text, line, column in (
        (BROKEN, 3, 22),
        ("name: n\ndescription: d\nsteps:\n- id: a\n  component: /p/a\n  input: {$step: b}\n", 6, 18),
    ):
        (found,) = [one for one in await findings(text) if one["level"] == "fatal"]
        assert {key: found[key] for key in ("kind", "code", "level", "path", "line", "column")} == {
            "kind": "undefinedStepReference",
            "code": 3003,
            "level": "fatal",
            "path": "/steps/0/input/$step",
            "line": line,
            "column": column,
        }
        assert "'b'" in found["message"]


@row("diagnostics.blocking")
async def test_only_fatal_findings_keep_a_flow_from_being_stored_and_a_dry_run_stores_nothing() -> None:
    warned = flow({"id": "a", "component": ""}, output={"x": {"$variable": "v"}}, unknwon=1, variablesSchema={"properties": {}})
    async with language() as one:
        found = await one.findings(warned)
        assert {finding["level"] for finding in found} == {"warning", "error"}
        assert list((await one.runtime.list_flows(page_size=9, page_token=None))[0]) == []
        stored = await one.runtime.store_flow(json.dumps(warned).encode())
        assert [dict(finding) for finding in stored.diagnostics] == found
        assert [flow.flow_id for flow in (await one.runtime.list_flows(page_size=9, page_token=None))[0]] == [stored.flow_id]
        with pytest.raises(FlowInvalidError) as refused:
            await one.store(BROKEN)
        assert [finding["code"] for finding in refused.value.details["diagnostics"] if finding["level"] == "fatal"] == [3003]
        assert len((await one.runtime.list_flows(page_size=9, page_token=None))[0]) == 1


EMBEDDED: list[tuple[str, dict[str, Any], str]] = [
    ("eval", {"flow": {"$literal": flow(step("x", of("y")), output=of("x"))}, "input": 1}, "flow/$literal/steps/0/input/$step"),
    ("map", {"workflow": {"$literal": {"steps": 1}}, "items": []}, "workflow/$literal/steps"),
    ("iterate", {"flow": {"$literal": {"output": {"$input": "$["}}}, "initial_input": 1}, "flow/$literal/output/$input"),
    ("put_blob", {"data": {"$literal": {"steps": [{"id": "x"}]}}, "blob_type": "flow"}, "data/$literal/steps/0"),
]


@pytest.mark.parametrize(("component", "given", "place"), EMBEDDED)
@row("diagnostics.embedded", "diagnostic.2003")
async def test_flows_that_stand_in_a_flow_are_validated_too(component: str, given: dict[str, Any], place: str) -> None:
    found = await findings(flow({"id": "b", "component": f"/builtin/{component}", "input": given}, output=of("b")))
    assert [(one["code"], one["kind"], one["level"], one["path"]) for one in found] == [
        (2003, "invalidSubflowLiteral", "error", f"/steps/0/input/{place}")
    ]


@row("diagnostics.embedded")
async def test_flows_within_flows_within_flows_are_validated() -> None:
    inner = {"id": "i", "component": "/builtin/eval", "input": {"flow": {"$literal": {"steps": 1}}, "input": 1}}
    outer = {"id": "o", "component": "/builtin/eval", "input": {"flow": {"$literal": flow(inner, output=of("i"))}, "input": 1}}
    found = [one for one in await findings(flow(outer, output=of("o"))) if one["level"] != "warning"]
    place = "/steps/0/input/flow/$literal/steps/0/input/flow/$literal/steps"
    assert [(one["code"], one["path"]) for one in found] == [(2003, place)]


@row("diagnostic.1000")
async def test_a_step_that_nothing_needs_is_a_warning() -> None:
    (found,) = await findings(flow(step("a"), output=1))
    assert (found["code"], found["kind"], found["level"], found["path"]) == (1000, "unreachableStep", "warning", "/steps/0")


@row("diagnostic.2002")
async def test_a_schema_that_is_none_and_a_field_of_the_wrong_type_are_violations() -> None:
    for document, path in (
        (flow(inputSchema={"type": "intger"}), "/inputSchema/type"),
        (flow(inputSchema={"properties": {"x": {"minimum": "1"}}}), "/inputSchema/properties/x/minimum"),
        (flow(step("a", mustExecute="yes"), output=of("a")), "/steps/0/mustExecute"),
    ):
        (found,) = await findings(document)
        assert (found["code"], found["kind"], found["path"]) == (2002, "schemaViolation", path)


CONFIG: Final = """\
plugins:
  played:
    type: mock
    components:
      /typed:
        input_schema: { type: object, properties: { n: { type: integer } }, required: [n] }
        output_schema: { type: object, properties: { text: { type: string } }, additionalProperties: false }
        behaviors: {}
      /untyped: { behaviors: {} }
routes: { /played: played }
"""


def _typed(given: Any, output: Any, component: str = "/played/typed", **fields: Any) -> dict[str, Any]:
    return flow({"id": "a", "component": component, "input": given}, output=output, **fields)


CONFIGURED: Final[dict[str, tuple[Document, int, str, str]]] = {
    "mock": (_typed({"n": 1}, of("a")), 1500, "warning", "/steps/0/component"),
    "untyped": (_typed(1, of("a", "$.x"), "/played/untyped"), 1100, "warning", "/output/path"),
    "unvalidated": (
        _typed({"n": 1}, {"$input": "$.x"}, inputSchema={"type": "object", "properties": {"y": {}}}),
        1003,
        "warning",
        "/output/$input",
    ),
    "field": (_typed({"n": 1}, of("a", "$.text.x")), 2000, "error", "/output/path"),
    "property": (_typed({"n": 1}, of("a", "$.txt")), 2101, "error", "/output/path"),
    "mismatch": (_typed({"n": "1"}, of("a")), 2100, "error", "/steps/0/input/n"),
    "missing": (_typed({}, of("a")), 2100, "error", "/steps/0/input"),
    "route": (_typed(1, of("a"), "/nowhere/x"), 2200, "error", "/steps/0/component"),
    "component": (_typed(1, of("a"), "/builtin/nop"), 2500, "error", "/steps/0/component"),
}


@row(
    "diagnostic.1003", "diagnostic.1100", "diagnostic.1500", "diagnostic.2000", "diagnostic.2100", "diagnostic.2101",
    "diagnostic.2200", "diagnostic.2500",
)  # fmt: skip
def test_what_is_known_of_components_is_held_against_a_flow(shell: Shell) -> None:
    shell.write("flowspan.yml", CONFIG)
    for name, (document, *_) in CONFIGURED.items():
        shell.write(f"{name}.json", document)
    done = shell.run("validate", "--json", *(f"{name}.json" for name in CONFIGURED))
    assert done.code == 1, done.err
    files = {one["file"].removesuffix(".json"): one for one in done.lines[0]["files"]}
    for name, (_, code, level, path) in CONFIGURED.items():
        found = {(one["code"], one["kind"], one["level"], one["path"]) for one in files[name]["diagnostics"]}
        assert (code, ROWS[f"diagnostic.{code}"], level, path) in found, (name, found)
        assert all(one["line"] == 1 and one["column"] >= 1 for one in files[name]["diagnostics"])
    assert [name for name, one in files.items() if one["ok"]] == ["mock", "untyped", "unvalidated"]
