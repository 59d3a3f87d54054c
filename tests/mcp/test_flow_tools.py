"""Flows as tools: names, schemas, inputs and outputs."""

from __future__ import annotations

import json
from typing import Any

from flowspan.client import Component
from flowspan.view.events import Outcome
from flowspan.view.status import ItemResult
from gateway.mcp_server.flow_tools import FlowTool, OfferedByGateway, flow_tool, tool_result

FLOW_ID = "sha256:" + "ab" * 32
NOTHING = OfferedByGateway(())


def tool(taken: tuple[str, ...] = (), components: OfferedByGateway = NOTHING, **members: Any) -> FlowTool:
    flow = {
        "steps": [{"id": "a", "component": "/p/work", "input": {"$input": "name"}}],
        "output": {"$step": "a"},
        **members,
    }
    return flow_tool(FLOW_ID, json.dumps(flow).encode(), components, dict.fromkeys(taken))


def result(outcome: Outcome, payload: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(tool_result(tool(), "run-1", ItemResult(0, outcome, payload, 0)))
    return answer


def test_names_are_what_all_clients_take() -> None:
    assert tool(name="Greet someone, politely!").name == "Greet_someone_politely"
    assert tool(name="grüße").name == "gr_e"
    assert tool(name="x" * 200).name == "x" * 64
    assert tool(name="日本").name == "flow"
    assert tool().name == "flow_abababababab"


def test_a_name_that_is_taken_gets_the_beginning_of_the_flows_id() -> None:
    assert tool(("same",), name="same").name == "same_abababababab"
    assert len(tool(("x" * 64,), name="x" * 64).name) == 64


def test_a_declared_schema_of_an_object_is_the_schema_of_the_arguments() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    one = tool(inputSchema=schema)
    assert (one.input_schema, one.wraps_input) == (schema, False)
    assert one.input_of(b'{"name": 1.0}') == b'{"name": 1.0}'
    assert tool(inputSchema={"properties": {"name": {}}}).input_schema["type"] == "object"


def test_any_other_declared_schema_is_that_of_one_argument() -> None:
    flow_schemas = {"properties": {"input": {"$ref": "#/$defs/names"}}, "$defs": {"names": {"type": "array"}}}
    one = tool(schemas=flow_schemas, steps=[], output=1)
    assert one.input_schema["properties"] == {"input": {"$ref": "#/$defs/names"}}
    assert one.input_schema["$defs"] == {"names": {"type": "array"}} and one.input_schema["required"] == ["input"]
    assert one.input_of(b'{"input": [1, 2.0]}') == b"[1, 2.0]"


def test_without_a_declared_schema_it_is_inferred_from_the_flow_and_its_components() -> None:
    assert tool().input_schema["required"] == ["name"]
    known = OfferedByGateway([Component("/p/work", "p", None, {"type": "string", "maxLength": 5}, None)])
    assert tool(components=known).input_schema["properties"]["name"]["type"] == "string"
    assert tool(steps=[], output=1).input_schema == {"type": "object"}


def test_a_declared_output_is_the_schema_of_the_structured_content() -> None:
    assert tool().output_schema is None
    assert tool(outputSchema={"type": "object"}).output_schema == {"type": "object"}
    schema = tool(outputSchema={"type": "integer"}).output_schema
    assert schema == {"type": "object", "properties": {"result": {"type": "integer"}}, "required": ["result"]}


def test_a_value_is_structured_content_and_text_with_its_numbers_as_written() -> None:
    raw = tool_result(tool(), "run-1", ItemResult(0, Outcome.SUCCESS, b'{"n":12345678901234567890.50}', 0))
    assert b'"structuredContent":{"n":12345678901234567890.50}' in raw
    assert json.loads(raw)["content"] == [{"type": "text", "text": '{"n":12345678901234567890.50}'}]
    assert json.loads(raw)["_meta"] == {"flowspan/runId": "run-1"}


def test_a_value_that_is_no_object_is_the_member_result() -> None:
    answer = result(Outcome.SUCCESS, b'"Ann"')
    assert (answer["structuredContent"], answer["content"][0]["text"]) == ({"result": "Ann"}, "Ann")
    assert result(Outcome.SUCCESS, b"[1]")["structuredContent"] == {"result": [1]}


def test_failures_and_skips_are_errors_that_a_model_can_read() -> None:
    failed = result(Outcome.FAILED, b'{"code":"TIMEOUT","message":"too slow"}')
    assert failed["isError"] and failed["content"][0]["text"] == "TIMEOUT: too slow"
    skipped = result(Outcome.SKIPPED, b'{"reason":"nothing to do"}')
    assert skipped["isError"] and skipped["content"][0]["text"] == "the flow skipped this input: nothing to do"
    assert result(Outcome.CANCELLED, b"")["isError"]
