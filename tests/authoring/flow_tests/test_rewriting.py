"""Expected outputs are rewritten where they stand: everything else in the file stays, to the last character."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from flowspan.errors import FlowspanError
from gateway.authoring.flow_tests import RewriteError, Verdict, edits_of, judge, read_tests, rewritten
from gateway.authoring.flow_tests.exact_values import decode_exact

from .values import VALUES, document, exact, plain


def updated(text: str, *results: Any) -> str:
    """The text after an update with these FlowResults, one per case (None: it holds). The cases then hold, and a second
    update has nothing to write."""
    source = document(text)
    tests = read_tests(source, "f")
    assert tests is not None
    actual = [exact(result) if result is not None else case.expected for case, result in zip(tests.cases, results, strict=True)]
    edits = edits_of([judge(case, result) for case, result in zip(tests.cases, actual, strict=True)])
    if not edits:
        return text
    data = rewritten(source, "f", edits)
    again = read_tests(document(data.decode()), "f")
    assert again is not None
    reports = [judge(case, result) for case, result in zip(again.cases, actual, strict=True)]
    assert [report.verdict for report in reports] == [Verdict.PASSED] * len(actual)
    assert edits_of(reports) == []
    return data.decode()


def success(value: Any) -> dict[str, Any]:
    return {"outcome": "success", "value": value}


YAML = """\
# head
name:   x   # odd   spacing stays

test:
    cases:  # four columns
      - name: one        # first
        input: { a: 0x1F }
        output:   # what we want
            outcome: success
            value:
                greeting: 'hello'   # why
                list: [1, 2.50]
                # between
                other: kept

      - name: two
        input: 1
        # at the end of two

      - { name: three, input: 1, output: {outcome: success, value: 1} }   # short
steps: []   # tail
"""


def test_only_the_parts_that_differ_are_replaced() -> None:
    said = updated(YAML, success({"greeting": "bye", "list": [1, 3], "other": "kept", "more": 1}), success(1), success(1))
    assert said == YAML.replace("'hello'   # why", "bye   # why").replace("[1, 2.50]", "[1, 3]").replace(
        "        input: 1\n        # at",
        "        input: 1\n        output:\n            outcome: success\n            value: 1\n        # at",
    )


def test_a_case_on_one_line_stays_on_one_line() -> None:
    said = updated(YAML, None, success(1), success({"a": [1, "x, y"], "b": None}))
    assert "{ name: three, input: 1, output: {outcome: success, value: {a: [1, 'x, y'], b: null}} }   # short\n" in said


def test_a_collection_in_place_of_a_scalar_is_written_in_the_indentation_of_the_file() -> None:
    said = updated(YAML, success({"greeting": {"de": ["hallo", {"x": 1}]}, "list": [1, 2.50], "other": "kept"}), success(1), None)
    assert (
        "                greeting:   # why\n"
        "                    de:\n"
        "                      - hallo\n"
        "                      - x: 1\n"
        "                list: [1, 2.50]\n"
    ) in said


def test_a_scalar_in_place_of_a_collection_keeps_the_comment_beside_the_key() -> None:
    text = "test:\n  cases:\n  - name: a\n    input: 1\n    output:\n      outcome: success\n      value:  # see\n        a: 1\n"
    assert updated(text, success(5)) == text.replace("# see\n        a: 1\n", "# see\n        5\n")
    assert updated(text.replace("  # see", ""), success(5)) == text.replace("  # see\n        a: 1\n", " 5\n")


def test_another_outcome_replaces_the_whole_output_without_the_data_of_the_error() -> None:
    error = {"code": "TIMEOUT", "message": "late", "data": {"at": 1}}
    said = updated(YAML, {"outcome": "failed", "error": error}, success(1), None)
    assert (
        "        output:   # what we want\n"
        "            outcome: failed\n"
        "            error:\n"
        "                code: TIMEOUT\n"
        "                message: late\n"
        "\n"
        "      - name: two\n"
    ) in said
    assert "at: 1" not in said


def test_text_of_many_lines_is_written_as_a_block() -> None:
    text = "test:\n  cases:\n    - name: a\n      input: 1\n      output: {outcome: success}\n"
    text = text.replace("{outcome: success}", "\n        outcome: success\n        value: old # c")
    said = updated(text, success("one\ntwo: 2\n"))
    assert said.endswith("        value: | # c\n          one\n          two: 2\n")


@pytest.mark.parametrize(
    "value", ["yes", "null", "0x1F", "1_000", "a\n", "\n", " a\nb", "# no", "é\u2028", "\x00\x7f", "😀", "- a"]
)
def test_text_that_yaml_could_misread_is_quoted(value: str) -> None:
    said = updated(YAML, None, success([value, {value: value}]), success(value))
    assert said.startswith("# head\nname:   x   # odd   spacing stays\n")


def test_numbers_are_written_as_the_result_spells_them() -> None:
    for text in (YAML, json.dumps(document(YAML).value, indent=1)):
        source = document(text)
        tests = read_tests(source, "f")
        assert tests is not None
        actual = decode_exact(b'{"outcome":"success","value":[1.50e3,-0.0,123456789012345678901234567890,1e2]}')
        assert isinstance(actual, dict)
        data = rewritten(source, "f", edits_of([judge(tests.cases[1], actual)]))
        assert re.search(r"1\.50e3\b.*-0\.0\b.*\b123456789012345678901234567890\b.*\b1e2\b", data.decode(), re.DOTALL)


def test_line_ends_of_the_file_are_kept() -> None:
    for text in (YAML, json.dumps(document(YAML).value, indent=2)):
        first = success({"greeting": {"a": 1}, "list": [], "other": 1})
        said = updated(text.replace("\n", "\r\n"), first, success([1]), success(2))
        assert "\n" not in said.replace("\r\n", "")


def test_a_byte_order_mark_stays_and_changes_nothing_else() -> None:
    for text in (YAML, json.dumps(document(YAML).value, indent=2)):
        results = [success({"greeting": {"a": 1}}), success([1]), success(2)]
        assert updated("\ufeff" + text, *results) == "\ufeff" + updated(text, *results)


def test_a_file_without_a_last_line_end_gets_the_output_all_the_same() -> None:
    text = "test:\n  cases:\n  - name: a\n    input: 1"
    assert updated(text, success([1])) == f"{text}\n    output:\n      outcome: success\n      value:\n      - 1"


def test_an_explicit_null_is_where_the_output_goes() -> None:
    for empty in ("", " null", " ~"):
        text = f"test:\n  cases:\n  - name: a\n    output:{empty}  # todo\n    input: 1\n"
        said = updated(text, {"outcome": "skipped"})
        assert said == "test:\n  cases:\n  - name: a\n    output:  # todo\n      outcome: skipped\n    input: 1\n"


JSON = """\
{
\t"name": "x",
\t"test": { "cases": [
\t\t{
\t\t\t"name": "one", "input": 1.0,
\t\t\t"output": { "outcome": "success", "value": {"a":1, "b" :  [ 1 ]} }
\t\t},
\t\t{"name": "two",  "input": null},
\t\t{
\t\t\t"name": "three",
\t\t\t"input": null
\t\t}
\t] }
}
"""


def test_a_json_text_keeps_its_layout() -> None:
    said = updated(JSON, success({"a": 2, "b": [1]}), success({"x": []}), success({"x": []}))
    assert said == JSON.replace('{"a":1,', '{"a":2,').replace(
        '"input": null}', '"input": null, "output": {"outcome": "success", "value": {"x": []}}}'
    ).replace(
        '"input": null\n',
        '"input": null,\n\t\t\t"output": {\n\t\t\t\t"outcome": "success",\n'
        '\t\t\t\t"value": {\n\t\t\t\t\t"x": []\n\t\t\t\t}\n\t\t\t}\n',
    )


def test_json_without_spaces_stays_without() -> None:
    text = '{"test":{"cases":[{"name":"a","input":[1]}]}}'
    assert updated(text, success({"a": [1, 2]})) == (
        '{"test":{"cases":[{"name":"a","input":[1],"output":{"outcome":"success","value":{"a":[1,2]}}}]}}'
    )


def test_outputs_that_an_anchor_shares_are_refused_and_not_broken() -> None:
    text = (
        "test:\n  cases:\n  - {name: a, input: 1, output: &good {outcome: success, value: {x: 1}}}\n"
        "  - {name: b, input: 1, output: *good}\n"
    )
    with pytest.raises(RewriteError, match="shared by an anchor"):
        updated(text, success({"x": 2}), None)
    with pytest.raises(RewriteError):
        updated(text, None, success({"x": 2}))
    # The alias itself can be replaced as a whole.
    said = updated(text, None, {"outcome": "skipped"})
    assert "output: {outcome: skipped}}" in said and "&good" in said


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dump_yaml(flow: Any, style: Any, indent: int) -> str:
    options = {"indent": indent, "sort_keys": False, "allow_unicode": True, "width": 60}
    lines = str(yaml.dump(flow, Dumper=_NoAliases, default_flow_style=style, **options)).split("\n")
    # A comment beside the keys that end a line, and one on a line of its own at each end.
    marked = [
        f"{line}  # {number}" if line.endswith(("name: x", "output:", "value:", "cases:")) else line
        for number, line in enumerate(lines)
    ]
    return "# top\n" + "\n".join(marked) + "# end\n"


LAYOUTS = [
    lambda flow: json.dumps(flow),
    lambda flow: json.dumps(flow, indent=2, ensure_ascii=False),
    lambda flow: json.dumps(flow, indent="\t"),
    lambda flow: json.dumps(flow, separators=(",", ":")),
    lambda flow: _dump_yaml(flow, False, 2),
    lambda flow: _dump_yaml(flow, False, 4),
    lambda flow: _dump_yaml(flow, None, 2),
    lambda flow: _dump_yaml(flow, True, 2),
]
COMMENT = re.compile(r"  # \d+$|^# (?:top|end)$", re.MULTILINE)
RESULTS = st.one_of(
    VALUES.map(lambda value: {"outcome": "success", "value": plain(value)}),
    st.just({"outcome": "skipped"}),
    VALUES.map(lambda value: {"outcome": "failed", "error": {"code": "TIMEOUT", "message": "late", "data": plain(value)}}),
)
CASES = st.lists(st.tuples(st.one_of(st.none(), RESULTS), RESULTS), min_size=1, max_size=3)


@given(CASES, st.sampled_from(LAYOUTS))
def test_after_an_update_all_cases_hold_and_comments_are_there(cases: list[tuple[Any, Any]], layout: Any) -> None:
    listed = [
        {"name": f"n{index}", "input": index} | ({} if expected is None else {"output": expected})
        for index, (expected, _) in enumerate(cases)
    ]
    text = layout({"name": "x", "test": {"cases": listed}, "steps": []})
    try:
        document(text)
    except FlowspanError:
        assume(False)  # a comment landed inside a text of many lines
    said = updated(text, *(actual for _, actual in cases))
    assert said.startswith(text[:4])
    if all(expected is None or expected["outcome"] == actual["outcome"] == "skipped" for expected, actual in cases):
        assert COMMENT.findall(said) == COMMENT.findall(text)
    assert said.count("# end") == text.count("# end")
