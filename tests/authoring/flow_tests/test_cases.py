"""The `test` of a flow is read with every mistake at its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.authoring.flow_tests import FlowTestsError, chosen, read_tests

from .values import document, exact

WHOLE = """\
name: x
test:
  config: {plugins: {}}
  variables: {limit: 3}
  x-note: allowed
  cases:
    - name: a
      description: what it is about
      input: {n: 9007199254740993}
      output: {outcome: success, value: 1.50}
    - name: b
      input: null
      output: null
"""


def mistakes(text: str) -> list[tuple[str, str, int, int]]:
    """Pointer, message, line and column of each."""
    with pytest.raises(FlowTestsError) as raised:
        read_tests(document(text), "flow.yaml")
    return [(one.pointer, one.message, one.position.line, one.position.column) for one in raised.value.mistakes if one.position]


def case(**fields: Any) -> str:
    """A flow whose one case has these fields."""
    return json.dumps({"test": {"cases": [{"name": "a", "input": 1, **fields}]}})


def test_everything_that_a_test_may_say_is_read() -> None:
    tests = read_tests(document(WHOLE), "flow.yaml")
    assert tests is not None
    assert tests.config == {"plugins": {}}
    assert tests.variables == {"limit": 3}
    first, second = tests.cases
    assert (first.index, first.name, first.description) == (0, "a", "what it is about")
    assert first.input == b'{"n":9007199254740993}'
    assert first.expected == exact({"outcome": "success", "value": 1.5})
    assert (second.input, second.expected) == (b"null", None)


def test_numbers_of_a_json_flow_are_sent_as_they_are_written() -> None:
    text = '{"test": {"cases": [{"name": "a", "input": [1.50, 1E2, 123456789012345678901234567890]}]}}'
    tests = read_tests(document(text), "f")
    assert tests is not None
    assert tests.cases[0].input == b"[1.50,1E2,123456789012345678901234567890]"


@pytest.mark.parametrize("text", ["name: x\n", "test: null\n", '{"test": null}', "- 1\n"])
def test_a_flow_may_have_no_tests(text: str) -> None:
    assert read_tests(document(text), "f") is None


def test_an_unknown_field_is_told_with_the_nearest_name_and_its_place() -> None:
    text = WHOLE.replace("description:", "descriptoin:").replace("  config:", "  confg:")
    assert mistakes(text) == [
        ("/test/confg", "unknown field 'confg'; did you mean 'config'?", 3, 10),
        ("/test/cases/0/descriptoin", "unknown field 'descriptoin'; did you mean 'description'?", 8, 20),
    ]


def test_a_name_that_stands_twice_is_told_with_the_first_one() -> None:
    assert mistakes(WHOLE.replace("name: b", "name: a")) == [
        ("/test/cases/1/name", "the name 'a' is taken by /test/cases/0; names are unique in a file", 11, 13)
    ]


@pytest.mark.parametrize(
    ("text", "pointer", "message"),
    [
        ("test: 1\n", "/test", "is an object with `cases`, not a number"),
        ("test: {}\n", "/test", "has no cases"),
        ("test: {cases: {}}\n", "/test/cases", "is an array, not an object"),
        ("test: {cases: [1]}\n", "/test/cases/0", "a case is an object with `name` and `input`, not a number"),
        ("test: {cases: [{input: 1}]}\n", "/test/cases/0", "a case needs a name"),
        ("test: {cases: [{name: 1, input: 1}]}\n", "/test/cases/0/name", "is a string, not a number"),
        ("test: {cases: [{name: ' ', input: 1}]}\n", "/test/cases/0/name", "the name is empty"),
        ("test: {cases: [{name: a}]}\n", "/test/cases/0", "write `input: null`"),
        ("test: {cases: [], config: {}, configFile: a}\n", "/test/configFile", "keep one of them"),
        ("test: {cases: [], config: 1}\n", "/test/config", "is an object, not a number"),
        (case(output=1), "/test/cases/0/output", "an expected output is a FlowResult, and it has no outcome; write {outcome: "),
        (case(output={"value": 1}), "/test/cases/0/output", "it has no outcome"),
        (case(output={"outcome": "succes"}), "/test/cases/0/output", "the outcome 'succes' is none; did you mean 'success'?"),
        (case(output={"outcome": 1}), "/test/cases/0/output", "it has no outcome"),
        (case(output={"outcome": "success", "vale": 1}), "/test/cases/0/output/vale", "did you mean 'value'?"),
        (case(output={"outcome": "success", "error": {}}), "/test/cases/0/output/error", "unknown field 'error'"),
        (case(output={"outcome": "success", "value": 1, "result": 1}), "/test/cases/0/output/result", "older spelling"),
        (case(output={"outcome": "failed", "error": "x"}), "/test/cases/0/output/error", "is an object, not a string"),
        (case(output={"outcome": "failed", "error": {"cod": "x"}}), "/test/cases/0/output/error/cod", "did you mean 'code'?"),
        (case(output={"outcome": "failed", "error": {"code": 400}}), "/test/cases/0/output/error/code", "is a string"),
        (case(output={"outcome": "skipped", "reason": 1}), "/test/cases/0/output/reason", "is a string, not a number"),
    ],
)
def test_what_cannot_be_meant_is_told_at_its_place(text: str, pointer: str, message: str) -> None:
    ((found, told, line, column),) = mistakes(text)
    assert found == pointer
    assert message in told
    assert (line, column) >= (1, 1)


def test_a_message_begins_with_file_line_and_column() -> None:
    with pytest.raises(FlowTestsError) as raised:
        read_tests(document(WHOLE.replace("input: null", "")), "dir/flow.yaml")
    assert raised.value.message.startswith("dir/flow.yaml:11:7: /test/cases/1: a case needs an input")


def test_of_very_many_mistakes_the_first_are_shown() -> None:
    with pytest.raises(FlowTestsError) as raised:
        read_tests(document('{"test": {"cases": [' + ",".join(["1"] * 100) + "]}}"), "f")
    lines = raised.value.message.splitlines()
    assert (len(lines), lines[-1]) == (21, "f: and 80 more")


@pytest.mark.parametrize(
    ("patterns", "names"),
    [([], ["one", "two", "[x]"]), (["two"], ["two"]), (["t*", "one"], ["one", "two"]), (["[x]"], ["[x]"]), (["z"], [])],
)
def test_cases_are_chosen_by_name_or_glob(patterns: list[str], names: list[str]) -> None:
    listed = [{"name": name, "input": 1} for name in ("one", "two", "[x]")]
    tests = read_tests(document(json.dumps({"test": {"cases": listed}})), "f")
    assert tests is not None
    assert [found.name for found in chosen(tests.cases, patterns)] == names
