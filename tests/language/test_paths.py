"""Paths: which texts are paths, what they lead to, what is said of those that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.language.house import findings, flow, language, of, run, step
from tests.language.rows import row

VALUE = {
    "a": {"b": [10, {"c": 11}]},
    "a.b": 12,
    "x]y": 13,
    "it's": 14,
    'say "x"': 15,
    "": 16,
    "$": 17,
    "é": 18,
    "0": 19,
    "a-b": 20,
}


@pytest.mark.parametrize("path", ["", None, "$"])
@row("path.whole")
async def test_an_empty_or_absent_path_is_the_whole_value(path: str | None) -> None:
    assert (await run(flow(step("a", VALUE), output={"$step": "a", "path": path}))).value == VALUE
    assert (await run(flow(step("a", VALUE), output={"$step": "a"}))).value == VALUE
    assert (await run(flow(output={"$input": path}), VALUE)).value == VALUE


@pytest.mark.parametrize(("path", "value"), [("a.b", 12), ("x]y", 13), ("it's", 14), ("a", VALUE["a"]), ("0", 19), ("é", 18)])
@row("path.literal-name")
async def test_without_a_dollar_a_path_is_one_field_name(path: str, value: Any) -> None:
    ran = await run(flow(step("a", VALUE), output=[of("a", path), {"$input": path}]), VALUE)
    assert ran.value == [value, value]


PATHS = [
    ("$.a.b[0]", 10), ("$.a.b[1].c", 11), ("$[\"a\"]['b'][1][\"c\"]", 11), ("$['a.b']", 12), ('$["a.b"]', 12), ("$['x]y']", 13),
    ('$["x]y"]', 13), ('$["it\'s"]', 14), ("$['it\\'s']", 14), ("$['say \"x\"']", 15), ('$["say \\"x\\""]', 15), ("$['']", 16),
    ("$['$']", 17), ("$.é", 18), ("$['0']", 19), ("$.0", 19), ("$.a-b", 20),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), PATHS)
@row("path.forms")
async def test_with_a_dollar_names_and_indexes_lead_into_the_value(path: str, value: Any) -> None:
    ran = await run(flow(step("a", VALUE), output=[of("a", path), {"$input": path}]), VALUE)
    assert ran.value == [value, value]


NO_PATHS = [
    "$.*", "$[*]", "$..a", "$[0:1]", "$[-1]", "$[?(@.a)]", "$.a[?(@.__class__)]", "$['a','b']", "$[a]", "$a", "$.", "$[", "$['a",
    "$.a b", "$[01]", "$[1.0]", "$ .a", "$.a()", "$['a'", "$[ 0 ]", "${a}", "$[]",
]  # fmt: skip


@pytest.mark.parametrize("path", NO_PATHS)
@row("path.nothing-else", "path.errors", "diagnostic.3004")
async def test_nothing_else_is_a_path_and_the_message_names_the_place_and_the_whole_path(path: str) -> None:
    (found,) = await findings(flow(output={"x": {"$input": path}}))
    assert (found["code"], found["kind"], found["level"], found["path"]) == (
        3004,
        "invalidReferenceExpression",
        "fatal",
        "/output/x/$input",
    )
    assert path in found["message"]


@pytest.mark.parametrize(
    ("path", "named"), [("$.a.*", ("'*'", "4")), ("$.rows[-1]", ("'-'", "7")), ("$.a..b", ("'.'", "4")), ("$.a b", ("' '", "3"))]
)
@row("path.errors")
async def test_an_error_names_the_offending_character(path: str, named: tuple[str, str]) -> None:
    (found,) = await findings(flow(output={"$input": path}))
    assert named[0] in found["message"], found["message"]


@row("path.stored-form")
async def test_a_name_with_a_dot_is_still_one_field_after_the_document_was_stored_and_read_again() -> None:
    value = {"a.b": "one field", "a": {"b": "two"}}
    async with language() as one:
        flow_id = await one.store(flow(step("s", {"$input": "$['a.b']"}), output=[of("s"), {"$input": "$['a.b']"}]))
        stored = (await one.runtime.get_flow(flow_id)).document
        assert json.loads(stored)["output"][1] == {"$input": "$['a.b']"}
        again = await one.store(stored)
        assert again == flow_id
        assert (await one.run(stored, value)).value == ["one field", "one field"]
        missing = await one.run(flow(output={"$input": "$['a.b']"}), {"a": {"b": 1}})
        assert missing.error["message"] == "Input path $['a.b'] not found"
