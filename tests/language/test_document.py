"""The fields of a flow, and what holds for the document as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.language.house import Language, findings, flow, kinds, language, of, run, step
from tests.language.rows import row

INTEGERS_ONLY = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@row("flow.stored-as-blob", "flow.many-inputs")
async def test_a_flow_is_a_blob_of_type_flow_that_is_run_over_many_inputs() -> None:
    async with language() as one:
        document = flow(step("a", {"$input": "$"}), output=of("a"))
        flow_id = await one.store(document)
        blob = await one.runtime.get_blob(flow_id)
        assert blob.blob_type == "flow"
        assert json.loads(blob.data) == document
        ran = await one.run(document, 1, 2, 3)
        assert ran.status.description.flow_id == flow_id
        assert [result["value"] for result in ran.results] == [1, 2, 3]


@row("flow.json-or-yaml")
async def test_a_flow_is_json_or_yaml() -> None:
    text = "name: both\nsteps:\n- {id: a, component: /p/a, input: {$input: $.x}}\noutput: {$step: a}\n"
    assert (await run(text, {"x": 5})).value == 5
    as_json = {
        "name": "both",
        "steps": [{"id": "a", "component": "/p/a", "input": {"$input": "$.x"}}],
        "output": {"$step": "a"},
    }
    assert (await run(as_json, {"x": 5})).value == 5


@row("flow.name")
async def test_the_name_is_the_flow_name_of_a_run() -> None:
    async with language() as one:
        named = await one.run(flow(name="Greeting", description="d", version="2.1"), None)
        assert named.status.description.flow_name == "Greeting"
        nameless = await one.run({"output": 1}, None)
        assert nameless.status.description.flow_name is None


@row("flow.name", "diagnostic.1001", "diagnostic.1002")
async def test_a_missing_name_and_description_are_warnings() -> None:
    found = await findings({"output": 1})
    assert [(one["code"], one["kind"], one["level"]) for one in found] == [
        (1001, "missingFlowName", "warning"),
        (1002, "missingFlowDescription", "warning"),
    ]
    assert await findings({"name": "n", "description": "d"}) == []


SCHEMAS: list[dict[str, Any]] = [
    {"schemas": {"type": "object", "properties": {"input": INTEGERS_ONLY}}},
    {"schemas": {"type": "object", "$defs": {"whole": INTEGERS_ONLY}, "properties": {"input": {"$ref": "#/$defs/whole"}}}},
    {"inputSchema": INTEGERS_ONLY},
    {"input_schema": INTEGERS_ONLY},
]


@pytest.mark.parametrize("schemas", SCHEMAS)
@row("flow.schemas", "flow.schemas.short-forms")
async def test_the_input_schema_has_an_effect_in_all_its_forms(schemas: dict[str, Any]) -> None:
    document = flow(output={"$input": "$.n"}, **schemas)
    assert [one["code"] for one in await findings(document) if one["code"] == 1005] == []
    ran = await run(document, {"n": 1}, {"n": "1"})
    assert [result["outcome"] for result in ran.results] == ["success", "failed"]
    assert ran.results[1]["error"]["code"] == "INVALID_INPUT"


@pytest.mark.parametrize("name", ["variables", "variablesSchema", "variables_schema"])
@row("flow.schemas", "flow.schemas.short-forms")
async def test_the_schema_of_variables_has_an_effect_in_all_its_forms(name: str) -> None:
    schema = {"type": "object", "properties": {"k": {"type": "integer", "default": 7}}}
    schemas = {"schemas": {"type": "object", "properties": {name: schema}}} if name == "variables" else {name: schema}
    assert (await run(flow(output={"$variable": "k"}, **schemas))).value == 7


@pytest.mark.parametrize(
    "schemas", [{"schemas": {"properties": {"output": {"type": "integer"}}}}, {"outputSchema": {"type": "integer"}}]
)
@row("flow.schemas", "flow.schemas.short-forms")
async def test_schemas_of_the_output_and_of_steps_are_read_and_refused_if_they_are_none(schemas: dict[str, Any]) -> None:
    assert kinds(await findings(flow(step("a"), output=of("a"), **schemas))) == []
    broken = {"schemas": {"properties": {"steps": {"properties": {"a": {"type": "no such type"}}}}}}
    assert 2002 in [one["code"] for one in await findings(flow(step("a"), output=of("a"), **broken))]


@row("flow.steps")
async def test_a_flow_without_steps_is_legal() -> None:
    documents: list[dict[str, Any]] = [{}, {"steps": []}, {"steps": None}]
    for document in documents:
        assert (await run(flow(output={"$input": "$"}) | document, 4)).value == 4


@row("flow.output")
async def test_without_an_output_the_value_is_null() -> None:
    ran = await run({"name": "n", "steps": [step("a")]}, 1)
    assert ran.raw == (b'{"outcome":"success","value":null}',)
    assert ran.steps == []


@row("flow.examples", "flow.metadata", "flow.test")
async def test_examples_metadata_and_tests_are_kept_and_without_effect_on_a_run() -> None:
    document = flow(
        output={"$input": "$"},
        examples=[{"name": "one", "description": "d", "input": {"$step": "nowhere"}}],
        metadata={"anything": {"$input": "["}, "n": 1},
        test={"cases": [{"name": "c", "input": 1, "output": {"outcome": "success", "value": 1}}]},
    )
    assert await findings(document) == []
    async with language() as one:
        assert (await one.run(document, 8)).value == 8
        assert json.loads((await one.runtime.get_blob(await one.store(document))).data) == document


@row("flow.null-is-absent")
async def test_explicit_null_means_absent() -> None:
    fields = ("name", "description", "version", "schemas", "inputSchema", "steps", "output", "test", "examples", "metadata")
    assert kinds(await findings(dict.fromkeys(fields))) == [(1001, ""), (1002, "")]
    nothing = dict.fromkeys(("skip", "skipIf", "onError", "on_error", "mustExecute", "timeout", "retry", "metadata", "input"))
    ran = await run(flow({"id": "a", "component": "/p/a", **nothing}, output=of("a")))
    assert (ran.value, ran.steps) == (None, ["a"])


@row("flow.unknown-keys", "diagnostic.1005")
async def test_an_unknown_key_is_a_warning_with_the_nearest_known_name() -> None:
    found = await findings(flow({"id": "a", "component": "/p/a", "inptu": 1, "mustExecute": True}, ouput=1))
    assert [(one["code"], one["kind"], one["path"]) for one in found] == [
        (1005, "unknownField", "/ouput"),
        (1005, "unknownField", "/steps/0/inptu"),
    ]
    assert "'output'" in found[0]["message"]
    assert "'input'" in found[1]["message"]


@row("flow.unknown-keys")
async def test_schema_and_extension_keys_are_allowed() -> None:
    allowed = {"schema": "https://example.org/v1", "$schema": "x", "x-team": {"a": 1}}
    assert await findings(flow({"id": "a", "component": "/p/a", "x-y": 1}, output=of("a"), **allowed)) == []


NUMBERS = ["3000", "3000.0", "9007199254740993", "123456789012345678901234567890", "1e2", "-0.0", "0.1", "1.10"]


@pytest.mark.parametrize("number", NUMBERS)
@row("flow.numbers", "flow.numbers.examples")
async def test_a_number_keeps_its_form_from_the_document_to_the_component_and_back(number: str) -> None:
    document = '{"name":"n","steps":[{"id":"a","component":"/p/a","input":{"in":[%s],"given":{"$input":"$.x"}}}],"output":'
    document = document % number + '{"whole":{"$step":"a"},"one":{"$step":"a","path":"$.in[0]"},"given":{"$input":"$.x"}}}'
    ran = await run(document, b'{"x":%s}' % number.encode())
    spelled = {"1e2": ("1e2", "100.0"), "1.10": ("1.10", "1.1")}.get(number, (number,))
    sent = ran.calls[0].raw.decode()
    (answer,) = ran.raw
    # A value that is taken apart on the way may be spelled anew, never as a number of another kind or value.
    assert sent in {f'{{"in":[{a}],"given":{b}}}' for a in spelled for b in spelled}
    values = json.loads(answer, parse_float=str, parse_int=str)["value"]
    assert {values["one"], values["given"], *values["whole"]["in"], values["whole"]["given"]} <= set(spelled)


@row("flow.numbers", "flow.numbers.examples")
async def test_a_number_in_yaml_keeps_its_kind_and_value() -> None:
    document = (
        "name: n\nsteps: [{id: a, component: /p/a, input: {i: 3000, f: 3000.0, big: 9007199254740993}}]\noutput: {$step: a}\n"
    )
    ran = await run(document)
    assert ran.calls[0].raw == b'{"i":3000,"f":3000.0,"big":9007199254740993}'
    assert ran.raw == (b'{"outcome":"success","value":{"i":3000,"f":3000.0,"big":9007199254740993}}',)


@row("flow.input-schema", "flow.input-schema.violation")
async def test_an_item_that_violates_the_input_schema_fails_with_the_pointer_and_runs_nothing() -> None:
    schema = {
        "type": "object",
        "properties": {"rows": {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}},
        "required": ["rows"],
    }
    document = flow(step("a", {"$input": "$.rows"}), output=of("a"), inputSchema=schema)
    ran = await run(document, {"rows": ["x", 1]}, {"rows": ["x", 1, "two"]}, {}, {"rows": ["y"]})
    assert [result["outcome"] for result in ran.results] == ["success", "failed", "failed", "success"]
    assert {called.item for called in ran.calls} == {0, 3}
    error = ran.results[1]["error"]
    assert error["code"] == "INVALID_INPUT"
    assert "/rows/2" in error["message"]
    assert ran.results[2]["error"]["code"] == "INVALID_INPUT"
    assert (ran.status.items.success, ran.status.items.failed) == (2, 2)


@row("flow.id")
async def test_the_order_of_keys_and_the_kind_of_document_do_not_change_the_id() -> None:
    async with language() as one:
        ids = {
            await one.store('{"name":"n","output":{"a":1,"b":[true,null]}}'),
            await one.store(' { "output" : { "b" : [ true , null ], "a" : 1 } , "name" : "n" } '),
            await one.store("output: {b: [true, ~], a: 1}\nname: n\n"),
        }
        assert len(ids) == 1
        assert await one.runtime.put_blob(b'{"name":"n","output":{"a":1,"b":[true,null]}}') in ids
        assert await one.store('{"name":"n","output":{"a":1.0,"b":[true,null]}}') not in ids


async def _sees(one: Language, document: str) -> Any:
    return (await one.run(document, None)).value


@row("flow.silent")
async def test_words_and_times_of_yaml_are_texts_as_a_reader_would_expect() -> None:
    async with language() as one:
        assert await _sees(one, "name: n\noutput: {a: no, b: 22:22, c: 012, d: 2024-01-01, e: yes, f: 1_000}\n") == {
            "a": "no",
            "b": "22:22",
            "c": 12,
            "d": "2024-01-01",
            "e": "yes",
            "f": "1_000",
        }
