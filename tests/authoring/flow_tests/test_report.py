"""Reports say which case failed, where and why; as lines, as one JSON document, as JUnit XML."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from flowspan.errors import InvalidArgumentError
from gateway.authoring.flow_tests import (
    Case,
    FileReport,
    Verdict,
    encode_exact,
    file_lines,
    judge,
    summary,
    to_json,
    to_junit,
    totals_of,
)

from .values import exact


def case(name: str, expected: Any = None, index: int = 0) -> Case:
    return Case(index, name, b"null", None if expected is None else exact(expected))


def success(value: Any) -> Any:
    return exact({"outcome": "success", "value": value})


LATE = exact({"outcome": "failed", "error": {"code": "TIMEOUT", "message": "late"}})
REPORT = FileReport(
    "dir/flow.yaml",
    [
        judge(case("good", {"outcome": "success", "value": {"a": 1}}), success({"a": 1, "b": 2}), 0.25),
        judge(case("bad <&>", {"outcome": "success", "value": {"a": 1, "b": [1]}}), success({"a": 2, "b": [1], "c": 1})),
        judge(case("other", {"outcome": "success"}), LATE),
        judge(case("free"), success(1)),
        judge(case("never", {"outcome": "success"}), None),
    ],
    1.5,
    "r1",
)
BROKEN = FileReport("b.json", error=InvalidArgumentError("the variable 'x' is missing"))


def test_nothing_that_a_flow_or_a_file_is_called_moves_the_cursor() -> None:
    hostile = "\x1b[2J\n\x9b\u202e"
    told = judge(case(hostile, {"outcome": "success", "value": {hostile: hostile, "a": 1}}), success({"a": hostile}))
    error = InvalidArgumentError(hostile)
    lines = file_lines(FileReport(hostile, [told], error=error), with_diff=True, verbose=True)
    assert len(lines) > 10
    assert [line for line in lines if not line.isprintable()] == []
    assert "      /value/\\x1b[2J\\n\\x9b\\u202e: expected" in "\n".join(lines)


def test_lines_name_every_case_and_what_is_wrong_with_it() -> None:
    assert file_lines(REPORT) == [
        "dir/flow.yaml: 5 cases in 1.50 s",
        "  ok       good",
        "  FAILED   bad <&>",
        "      /value/a: expected 1, got 2",
        "  FAILED   other",
        '      /outcome: expected "success", got "failed"',
        "      TIMEOUT: late",
        "  ok       free (no expected output)",
        "  NOT RUN  never",
        "      the run ended before this case had a result",
    ]
    assert file_lines(BROKEN) == ["b.json: 0 cases in 0.00 s", "  ERROR    the variable 'x' is missing"]


def test_a_diff_marks_the_mismatches_and_nothing_else() -> None:
    lines = [line.strip() for line in file_lines(REPORT, with_diff=True)]
    assert [line for line in lines if line[:1] in "+-"] == [
        "--- expected",
        "+++ actual",
        '-    "a": 1,',
        '+    "a": 2,',
        "--- expected",
        "+++ actual",
        '-  "outcome": "success"',
        '+  "outcome": "failed",',
        '+  "error": {',
        '+    "code": "TIMEOUT",',
        '+    "message": "late"',
        "+  }",
    ]


def test_a_number_of_equal_value_is_no_difference() -> None:
    told = FileReport("f", [judge(case("x", {"outcome": "success", "value": [1, 2]}), success([1.0, 3]))])
    marked = [line.strip() for line in file_lines(told, with_diff=True) if line.strip()[:2] in ("- ", "+ ")]
    assert marked == ["-    2", "+    3"]


def test_results_are_shown_on_request() -> None:
    assert '      {"outcome":"success","value":{"a":1,"b":2}}' in file_lines(REPORT, verbose=True)


def test_colours_are_for_terminals_only() -> None:
    assert "\x1b[32mok     \x1b[0m" in file_lines(REPORT, colour=True)[1]
    assert not any("\x1b" in line for line in file_lines(REPORT, with_diff=True))


def test_names_and_messages_cannot_steer_a_terminal() -> None:
    error = exact({"outcome": "failed", "error": {"code": "TIMEOUT", "message": "a\nb\x1b[31m"}})
    told = FileReport("f", [judge(case("x\n  ok", {"outcome": "success"}), error)])
    assert file_lines(told)[1:] == [
        "  FAILED   x\\n  ok",
        '      /outcome: expected "success", got "failed"',
        "      TIMEOUT: a\\nb\\x1b[31m",
    ]


def test_the_summary_counts_what_matters() -> None:
    assert summary(totals_of([REPORT, BROKEN]), 2.0) == (
        "2 passed (1 without expectation), 2 failed, 1 not run, 1 file could not be run in 2 files, 2.00 s"
    )
    assert summary(totals_of([FileReport("f")]), 0.0) == "0 passed in 1 file, 0.00 s"


def test_the_json_document_has_all_facts_and_exact_numbers() -> None:
    told = FileReport("f", [judge(case("x", {"outcome": "success", "value": 2**70}), success(2**70 + 1))])
    data = encode_exact(to_json([REPORT, told, BROKEN], 2.0))
    shown = json.loads(data)
    assert {name: shown[name] for name in ("passed", "failed", "noExpectation", "updated", "notRun", "errors")} == {
        "passed": 1, "failed": 3, "noExpectation": 1, "updated": 0, "notRun": 1, "errors": 1,
    }  # fmt: skip
    assert shown["files"][1]["cases"] == [
        {
            "name": "x",
            "index": 0,
            "verdict": "failed",
            "result": {"outcome": "success", "value": 2**70 + 1},
            "expected": {"outcome": "success", "value": 2**70},
            "mismatches": [
                {
                    "path": "/value",
                    "message": f"expected {2**70}, got {2**70 + 1}",
                    "expected": 2**70,
                    "actual": 2**70 + 1,
                }
            ],
        }
    ]
    assert shown["files"][0]["runId"] == "r1"
    assert shown["files"][0]["cases"][0]["endedAfterSeconds"] == 0.25
    assert shown["files"][2]["error"] == {"reason": "INVALID_ARGUMENT", "message": "the variable 'x' is missing"}


def test_junit_has_a_suite_per_file_with_failures_and_errors() -> None:
    root = ElementTree.fromstring(to_junit([REPORT, BROKEN], 2.0))
    assert (root.tag, root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == ("testsuites", "6", "3", "1")
    first, second = root
    assert (first.attrib["name"], first.attrib["tests"], first.attrib["failures"], first.attrib["time"]) == (
        "dir/flow.yaml", "5", "3", "1.500",
    )  # fmt: skip
    assert [found.attrib["name"] for found in first] == ["good", "bad <&>", "other", "free", "never"]
    failure = first[1].find("failure")
    assert failure is not None and failure.text is not None
    assert failure.attrib["message"] == "/value/a: expected 1, got 2"
    assert '+    "a": 2,' in failure.text
    error = second.find("testcase/error")
    assert error is not None and error.attrib["message"] == "the variable 'x' is missing"


@given(st.text(), st.text())
def test_junit_is_valid_xml_whatever_stands_in_names_and_values(name: str, value: str) -> None:
    # Lone surrogates cannot be in a file that was read.
    name, value = (text.encode("utf-8", "replace").decode() for text in (name, value))
    told = FileReport(name, [judge(case(name, {"outcome": "success", "value": value + "x"}), success(value))])
    (suite,) = ElementTree.fromstring(to_junit([told], 0.0))
    assert len(suite) == 1


def test_a_case_that_was_updated_is_good() -> None:
    told = FileReport("f", [replace(REPORT.cases[1], verdict=Verdict.UPDATED)])
    assert file_lines(told)[1:] == ["  updated  bad <&>"]
    assert totals_of([told]).bad == 0
    (suite,) = ElementTree.fromstring(to_junit([told], 0.0))
    assert suite.find("testcase/failure") is None
