"""Documents that mean harm: refused within a second, with the place, while everybody else is served. See docs/hostile-inputs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from flowspan.errors import (
    DataLossError,
    FlowInvalidError,
    FlowspanError,
    InvalidArgumentError,
    LimitExceededError,
    NotFoundError,
    PreconditionError,
)
from flowspan.view.events import RunStatusCode
from runtime_core.limits import Limits
from runtime_core.model.json_value import blob_id_of_json
from tests.language.house import OPEN, Document, JsonDict, Language, findings, flow, language, of, run, step

AT_MOST_S: Final = 1.0
MANY: Final = 100_000
REMOTE: Final = {"$ref": "http://169.254.169.254/latest/meta-data"}


@contextmanager
def within_a_second() -> Iterator[None]:
    """Of CPU time: a busy machine is no fault of the code."""
    before = time.process_time()
    yield
    assert time.process_time() - before < AT_MOST_S


async def refused(document: Document) -> FlowspanError:
    """Why a document is not stored, found within a second; nothing is left of it."""
    async with language() as one:
        with within_a_second(), pytest.raises(FlowspanError) as error:
            await one.store(document)
        listed, _ = await one.runtime.list_flows(page_size=10, page_token=None)
        assert list(listed) == []
        return error.value


async def fatal(document: Document) -> JsonDict:
    """The one fatal finding in a document, made within a second."""
    with within_a_second():
        (found,) = [one for one in await findings(document) if one["level"] == "fatal"]
    assert found["line"] >= 1
    assert found["column"] >= 1
    return found


@pytest.mark.parametrize("flow_id", ["sha256:../../etc/passwd", "SHA256:ABC", "a" * 63, "a" * 65, "%2e%2e", "../x", "", "A" * 64])
async def test_f1_what_is_no_blob_id_is_refused_before_anything_is_read(flow_id: str) -> None:
    async with language() as one:
        for ask in (one.runtime.get_blob, one.runtime.get_flow, one.runtime.delete_flow):
            with pytest.raises(InvalidArgumentError):
                await ask(flow_id)
        with pytest.raises(InvalidArgumentError):
            await one.core.submit(flow_id, [b"1"])
        assert await one.run_ids() == []


async def test_f2_a_blob_that_is_not_what_its_sender_says_is_refused_and_not_kept() -> None:
    async with language() as one:
        wrong = "sha256:" + "0" * 64
        with pytest.raises(DataLossError):
            await one.runtime.put_blob(b'{"a":1}', expected_blob_id=wrong)
        for blob_id in (wrong, blob_id_of_json(b'{"a":1}')):
            with pytest.raises(NotFoundError):
                await one.runtime.get_blob(blob_id)


@pytest.mark.parametrize("blob", [b"[]", b'"text"', b'{"steps":1}', b'{"steps":[{"id":"a"}]}', b'{"output":{"$step":"x"}}'])
async def test_f3_a_blob_that_does_not_compile_is_not_run_and_the_findings_are_told(blob: bytes) -> None:
    async with language() as one:
        blob_id = await one.runtime.put_blob(blob)
        with pytest.raises(FlowInvalidError) as error:
            await one.core.submit(blob_id, [b"1"])
        assert {one["level"] for one in error.value.details["diagnostics"]} >= {"fatal"}
        assert await one.run_ids() == []


async def test_f4_documents_have_one_id_exactly_if_their_canonical_forms_are_equal() -> None:
    async with language() as one:
        first = await one.store('{"name":"n","output":[1,{"a":1,"b":2}]}')
        assert await one.store('{ "output" : [ 1, {"b":2, "\\u0061":1} ],\n"name":"n"}') == first
        for other in ("1.0", "1e0", "10", '"1"'):
            assert await one.store('{"name":"n","output":[1,{"a":1,"b":2}]}'.replace("[1", f"[{other}")) != first


def bomb(levels: int) -> str:
    """Ten times as much at each level: 10^levels scalars."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize("text", [bomb(9), bomb(40), f"a: &a '{'x' * MANY}'\nb: [{', '.join(['*a'] * 500)}]\n"])
async def test_f5_a_bomb_of_aliases_is_refused_at_its_place_before_it_is_expanded(text: str) -> None:
    error = await refused(text)
    assert isinstance(error, InvalidArgumentError)
    assert "aliases expanded" in str(error)
    assert {"line", "column"} <= error.details.keys()


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: &a {b: {c: *a}}\n", "&a [[*a]]\n"])
async def test_f6_a_part_that_contains_itself_is_refused_at_its_place(text: str) -> None:
    error = await refused(text)
    assert "inside its own anchor" in str(error)
    assert error.details["line"] == 1


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [ls]", "!!python/name:os.system", "!own x", "!!binary aGk="])
async def test_f7_a_tag_is_refused_at_its_place_and_nothing_is_made_of_it(tag: str) -> None:
    error = await refused(f"name: n\noutput:\n  x: {tag}\n")
    assert "is not allowed" in str(error)
    assert (error.details["line"], error.details["column"]) == (3, 6)


async def test_f8_plain_words_and_times_are_texts_and_what_json_lacks_is_refused() -> None:
    values = (await run("name: n\noutput: [no, 22:22, 2024-01-01, 0x10, .5, ~]\n")).value
    assert values == ["no", "22:22", "2024-01-01", 16, 0.5, None]
    for text in (".nan", ".inf", "-.inf", "1e999"):
        assert (await refused(f"name: n\noutput: {text}\n")).details["line"] == 2


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ('{"name": "a",\n "output": {"x": 1,\n  "x": 2}}', (2, 13), (3, 3)),
        ('{"name": "a",\n "output": {"x": 1,\n  "\\u0078": 2}}', (2, 13), (3, 3)),
        ("name: a\noutput:\n  x: 1\n  'x': 2\n", (3, 3), (4, 3)),
        ('{"steps": [], "name": "a", "steps": []}', (1, 2), (1, 28)),
    ],
)
async def test_f9_a_key_that_stands_twice_is_refused_with_both_places(text: str, first: Any, second: Any) -> None:
    error = await refused(text)
    assert isinstance(error, InvalidArgumentError)
    details = error.details
    assert (details["firstLine"], details["firstColumn"]) == first
    assert (details["line"], details["column"]) == second
    assert f"line {first[0]}, column {first[1]} and line {second[0]}, column {second[1]}" in str(error)


DEEP = {
    "json, open": '{"output": ' + "[" * MANY,
    "json, closed": '{"output": ' + "[" * MANY + "]" * MANY + "}",
    "json, objects": '{"a":' * MANY,
    "json, behind text": '{"name": "[[{{\\"[", "output": ' + "[" * MANY,
    "yaml, brackets": "output: " + "[" * MANY,
    "yaml, braces": "output: " + "{a: " * MANY,
    "yaml, dashes": "- " * MANY + "x",
    "yaml, lines": "\n".join(" " * n + "a:" for n in range(2_000)),
}


@pytest.mark.parametrize("name", DEEP)
async def test_f10_a_hundred_thousand_brackets_are_refused_at_the_first_that_is_too_deep(name: str) -> None:
    error = await refused(DEEP[name])
    assert isinstance(error, LimitExceededError)
    assert (error.details["limit"], error.details["max"]) == ("jsonDepth", 64)
    assert {"line", "column"} <= error.details.keys()


async def test_f11_a_hundred_thousand_steps_are_refused() -> None:
    found = await fatal(json.dumps(flow(*({"id": f"s{n}", "component": "/p/a"} for n in range(MANY)))))
    assert (found["code"], found["path"]) == (2002, "/steps")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (flow(step("a", of("a")), output=of("a")), 3002),
        (flow(step("a", of("b")), step("b", of("a")), output=of("b")), 3003),
        (flow(step("a", of("nowhere")), output=of("a")), 3003),
    ],
)
async def test_f11_cycles_and_references_to_nowhere_are_refused_at_their_place(document: JsonDict, code: int) -> None:
    found = await fatal(document)
    assert (found["code"], found["path"]) == (code, "/steps/0/input/$step")


async def test_f11_a_document_full_of_mistakes_is_answered_with_twenty_of_them_in_linear_time() -> None:
    wrong = [
        {"id": f"s{n % 7}", "component": "/p/a", "input": [of(f"s{k}x") for k in range(10)], "wrog": 1} for n in range(2_000)
    ]
    error = await refused(json.dumps(flow(*wrong)))
    assert len(error.details["diagnostics"]) == 20
    assert all("line" in one for one in error.details["diagnostics"])


@pytest.mark.parametrize("path", ["$.a[?(@.__class__)]", "$.a[(1+1)]", "$.{{7*7}}", "$.__import__('os')", "$[?(true)]", "$..a"])
async def test_f12_what_would_be_evaluated_elsewhere_is_no_path(path: str) -> None:
    found = await fatal(flow(output={"$input": path}))
    assert (found["code"], found["path"]) == (3004, "/output/$input")


@pytest.mark.parametrize("text", ["{{7*7}}", "__import__('os').system('ls')", "${7*7}", "={{ $json.x }}"])
async def test_f12_texts_are_never_evaluated(text: str) -> None:
    assert (await run(flow(output=[text, {text: {"$input": "$.x"}}]), {"x": text})).value == [text, {text: text}]


LONG_PATHS = {
    "segments": "$" + ".a" * MANY,
    "indexes": "$" + "[0]" * MANY,
    "huge index": "$[1000000000000000000]",
    "literal name": "a" * 1_000_000,
    "__proto__": "$.__proto__.x",
    "constructor": "$['constructor']['prototype']",
}


@pytest.mark.parametrize("name", LONG_PATHS)
async def test_f13_endless_paths_huge_indexes_and_names_of_other_languages_lead_nowhere(name: str) -> None:
    nested: Any = 1
    for _ in range(50):
        nested = {"a": nested}
    with within_a_second():
        ran = await run(flow(step("s", {"$input": "$"}), output=[of("s", LONG_PATHS[name])]), nested, [], {})
    for result in ran.results:
        assert result["error"]["code"] == "EXPRESSION_FAILURE"
        assert len(result["error"]["message"]) < 4_096


async def test_f13_an_index_that_no_array_can_have_is_no_path() -> None:
    assert (await fatal(flow(output={"$input": f"$[{'9' * MANY}]"})))["path"] == "/output/$input"


async def test_f13_proto_is_a_name_like_any_other_where_a_value_has_it() -> None:
    ran = await run(flow(output={"$input": "$.__proto__"}), b'{"__proto__":{"x":1}}')
    assert ran.value == {"x": 1}


def with_pattern(pattern: str) -> JsonDict:
    return flow(output="taken", inputSchema={"properties": {"x": {"type": "string", "pattern": pattern}}})


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a+)+$", "a" * MANY + "!"),
        ("^(a|aa)+$", "a" * MANY + "!"),
        ("(.*)*,(.*)*,$", ",x" * 10_000),
        ("^(\\w+\\s?)*$", "word " * 10_000 + "!"),
    ],
)
async def test_f14_a_pattern_that_explodes_elsewhere_is_linear_here(pattern: str, text: str) -> None:
    with within_a_second():
        ran = await run(with_pattern(pattern), {"x": text}, {"x": text[:-1]}, {"x": "a"})
    assert ran.results[0]["error"]["code"] == "INVALID_INPUT"
    assert len(ran.results[0]["error"]["message"]) < 2_048


@pytest.mark.parametrize(
    "pattern",
    [
        "((a{100}){100}){100}", "(\\w{1000}){1000}", "(((((a{9}){9}){9}){9}){9}){9}", "\\p{L}{5000}", "a?" * 50_000, "(" * MANY,
        "(a)\\1", "(?<n>a)\\k<n>", "(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", "(", "[z-a]",
    ],
)  # fmt: skip
async def test_f14_a_pattern_that_is_too_large_or_not_linear_is_refused_at_its_place(pattern: str) -> None:
    assert (await fatal(with_pattern(pattern)))["path"] == "/inputSchema/properties/x/pattern"
    by_name = flow(inputSchema={"patternProperties": {pattern: {}}})
    assert (await fatal(by_name))["path"].startswith("/inputSchema/patternProperties/")


def schemas(**parts: Any) -> JsonDict:
    return {"schemas": {"properties": parts}}


PLACES: dict[str, JsonDict] = {
    "/inputSchema/$ref": {"inputSchema": REMOTE},
    "/outputSchema/$ref": {"outputSchema": REMOTE},
    "/variables_schema/properties/v/$ref": {"variables_schema": {"properties": {"v": REMOTE}}},
    "/schemas/properties/input/items/$ref": schemas(input={"items": REMOTE}),
    "/schemas/properties/output/$ref": schemas(output=REMOTE),
    "/schemas/properties/variables/properties/v/$ref": schemas(variables={"properties": {"v": REMOTE}}),
    "/schemas/properties/steps/properties/a/$ref": schemas(steps={"properties": {"a": REMOTE}}),
    "/schemas/$defs/d/$ref": {"schemas": {"$defs": {"d": REMOTE}, "properties": {"input": {"$ref": "#/$defs/d"}}}},
    **{
        f"/inputSchema/{place}/$ref": {"inputSchema": one}
        for place, one in {
            "properties/x": {"properties": {"x": REMOTE}},
            "patternProperties/^x": {"patternProperties": {"^x": REMOTE}},
            "additionalProperties": {"additionalProperties": REMOTE},
            "unevaluatedProperties": {"unevaluatedProperties": REMOTE},
            "unevaluatedItems": {"unevaluatedItems": REMOTE},
            "propertyNames": {"propertyNames": REMOTE},
            "dependentSchemas/x": {"dependentSchemas": {"x": REMOTE}},
            "prefixItems/0": {"prefixItems": [REMOTE]},
            "contains": {"contains": REMOTE},
            "allOf/0": {"allOf": [REMOTE]},
            "anyOf/1": {"anyOf": [{}, REMOTE]},
            "oneOf/0": {"oneOf": [REMOTE]},
            "not": {"not": REMOTE},
            "if": {"if": REMOTE},
            "then": {"if": {}, "then": REMOTE},
            "else": {"if": {}, "else": REMOTE},
            "$defs/unused": {"$defs": {"unused": REMOTE}},
            "dependencies/x": {"$schema": "http://json-schema.org/draft-07/schema#", "dependencies": {"x": REMOTE}},
        }.items()
    },
}


@pytest.mark.parametrize("pointer", PLACES)
async def test_f15_a_reference_to_elsewhere_is_refused_at_its_place_and_never_followed(pointer: str) -> None:
    found = await fatal(flow(step("a"), output=of("a"), **PLACES[pointer]))
    assert (found["code"], found["path"]) == (2002, pointer)
    assert "nothing is fetched" in found["message"]


@pytest.mark.parametrize(
    "reference",
    ["file:///etc/passwd", "https://localhost/x.json#/a", "other.json", "//host/x", "urn:x:y", "data:application/json,{}"],
)
async def test_f15_no_kind_of_address_is_followed(reference: str) -> None:
    for keyword in ("$ref", "$dynamicRef"):
        assert (await fatal(flow(inputSchema={keyword: reference})))["path"] == f"/inputSchema/{keyword}"


async def test_f15_a_base_address_and_a_meta_schema_of_elsewhere_are_not_fetched_either() -> None:
    based = {"$id": "http://169.254.169.254/", "properties": {"x": {"$ref": "latest"}}}
    assert (await fatal(flow(inputSchema=based)))["path"] == "/inputSchema/properties/x/$ref"
    meta = {"$schema": "http://169.254.169.254/meta", "type": "integer"}
    with within_a_second():
        ran = await run(flow(output=1, inputSchema=meta), 1, "x")
    assert [result["outcome"] for result in ran.results] == ["success", "failed"]


LINKED = {
    "$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "additionalProperties": False}},
    "$ref": "#/$defs/n",
}
TWICE = {"$defs": {"n": {"anyOf": [{"properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}] * 2}}, "$ref": "#/$defs/n"}


@pytest.mark.parametrize(("schema", "ends"), [(LINKED, {"wrong": 1}), (TWICE, {})])
async def test_f16_a_recursive_schema_on_deep_data_ends(schema: JsonDict, ends: Any) -> None:
    deep = ends
    for _ in range(50):
        deep = {"n": deep}
    with within_a_second():
        ran = await run(flow(output=1, inputSchema=schema), deep)
    assert ran.error["code"] == "INVALID_INPUT"


async def test_f16_references_that_multiply_are_refused() -> None:
    doubling = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)} | {"d60": {}}
    found = await fatal(flow(inputSchema={"$defs": doubling, "$ref": "#/$defs/d0"}))
    assert (found["code"], found["path"]) == (2002, "/inputSchema")


@pytest.mark.parametrize(
    "overrides",
    [
        {"steps": {"nowhere": {"value": {}}}},
        {"a": {"value": {"__proto__": {"x": 1}}}},
        {"a": {"value": {"input": [{"__proto__": 1}]}}},
        {"a": {"$type": "json_patch", "value": [{"op": "add", "path": "/__proto__/x", "value": 1}]}},
        {"a": None},
        {"__proto__": {"value": {}}},
        {"a": {"$type": "json_patch", "value": [{"op": "copy", "from": "/input", "path": "/input/-"}] * 40}},
    ],
)
async def test_f17_hostile_overrides_are_refused_and_leave_no_run(overrides: Any) -> None:
    async with language() as one:
        with within_a_second():
            error = await one.refusal(flow(step("a", [1, 2]), output=of("a")), None, overrides=overrides)
        assert isinstance(error, InvalidArgumentError)


async def test_f22_an_output_that_doubles_at_each_step_fails_its_item_alone() -> None:
    doubling = [step("s0", {"$input": "$"}), *(step(f"s{n}", [of(f"s{n - 1}")] * 2) for n in range(1, 18))]
    document = flow(*doubling, output={"$if": of("s17"), "then": "small", "else": "failed"})
    async with language() as one:
        with within_a_second():
            ran = await one.run(document, "x" * 64, 0)
        # The condition of the large item failed, long before the last step; the other one stays small enough.
        assert [result["value"] for result in ran.results] == ["failed", "small"]
        assert "s17" not in {called.step for called in ran.calls if called.item == 0}


@pytest.mark.parametrize("reference", [{"$input": "$"}, {"$input": "$.x"}, of("s"), of("s", "$.x"), {"$variable": "v"}])
async def test_f22_a_large_value_that_is_repeated_a_thousand_times_is_not_built(reference: JsonDict) -> None:
    large = {"x": ["y" * 100, 1] * 2_000}
    document = flow(step("s", {"$input": "$"}), output=[reference] * 1_000, variablesSchema={"properties": {"v": {}}})
    with within_a_second():
        ran = await run(document, large, variables={"v": large})
    assert ran.result["error"]["data"]["limit"] == "builtBytes"


async def test_f22_a_value_just_below_the_bound_is_built() -> None:
    ran = await run(flow(output=[{"$input": "$"}] * 7), "x" * 1_000_000)
    assert ran.result["error"]["data"]["limit"] == "resultBytes"  # what an item may yield is less than what a step may be given
    taken = await run(
        flow(step("a", [{"$input": "$"}] * 7), output={"$if": of("a"), "then": 1}), "x" * 1_000_000, answers={"a": 0}
    )
    assert taken.value == 1


async def test_f18_a_run_without_items_succeeds_at_once() -> None:
    async with language() as one:
        status = await one.submit(flow(step("a"), output=of("a")))
        assert (status.status, status.items.total, one.calls) == (RunStatusCode.SUCCESS, 0, [])


@pytest.mark.parametrize("figure", [0, -1, -(10**18)])
async def test_f20_a_concurrency_below_one_is_refused(figure: int) -> None:
    async with language() as one:
        assert isinstance(await one.refusal(flow(output=1), 1, max_concurrency=figure), InvalidArgumentError)


async def test_f20_a_concurrency_above_the_cap_is_clamped_and_told() -> None:
    async with language(limits=Limits(max_concurrency_cap=7)) as one:
        assert (await one.submit(flow(output=1), 1, max_concurrency=10**9)).description.max_concurrency == 7


async def test_f21_a_flow_cannot_be_deleted_while_a_run_of_it_exists() -> None:
    async with language(a=OPEN) as one:
        status = await one.submit(flow(step("a"), output=of("a")), 1)
        with pytest.raises(PreconditionError):
            await one.runtime.delete_flow(status.description.flow_id)
        await one.core.wait_until(lambda: len(one.core.server.open) == 1)
        (call,) = one.core.server.open.values()
        one.core.server.answer(call, b"5")
        assert (await one.ended(status)).value == 5


async def _turns_while(one: Language, document: Document) -> int:
    """How many turns others got while a document was read."""
    turns = 0
    storing = asyncio.create_task(one.store(document))
    while not storing.done():
        await asyncio.sleep(0)
        turns += 1
    await storing
    return turns


async def test_the_gateway_answers_others_while_it_reads_a_large_flow() -> None:
    wide = flow(
        *(step(f"s{n}", {"x": [{"$input": f"$.rows[{n}]"}] * 5}) for n in range(2_000)),
        output=[of(f"s{n}") for n in range(2_000)],
    )
    async with language() as one:
        assert await _turns_while(one, wide) > 50
        assert await _turns_while(one, "# yaml\n" + json.dumps(wide)) > 50
