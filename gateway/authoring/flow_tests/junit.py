"""A report as JUnit XML: a suite for each file, a test case for each case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from gateway.authoring.flow_tests.report import CaseReport, FileReport, Verdict, diff_lines, failure_lines, totals_of

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any spelling (its production Char)."""


def to_junit(reports: Sequence[FileReport], seconds: float) -> bytes:
    """The document. Times stand at suites only: the cases of a file run side by side."""
    totals = totals_of(reports)
    root = Element(
        "testsuites",
        name="flowspan",
        tests=str(totals.cases + totals.errors),
        failures=str(totals.bad),
        errors=str(totals.errors),
        time=f"{seconds:.3f}",
    )
    for report in reports:
        root.append(_suite(report))
    indent(root)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _suite(report: FileReport) -> Element:
    totals = totals_of([report])
    suite = Element(
        "testsuite",
        name=_text(report.file),
        tests=str(totals.cases + totals.errors),
        failures=str(totals.bad),
        errors=str(totals.errors),
        skipped="0",
        time=f"{report.duration_s:.3f}",
    )
    for case in report.cases:
        _case(suite, report.file, case)
    if report.error is not None:
        # Readers take errors from test cases only; this one stands for the run of the whole file.
        told = SubElement(suite, "testcase", name="the run", classname=_text(report.file))
        message = _text(report.error.message)
        SubElement(told, "error", message=message, type=report.error.reason.value).text = message
    return suite


def _case(suite: Element, file: str, report: CaseReport) -> None:
    told = SubElement(suite, "testcase", name=_text(report.case.name), classname=_text(file), file=_text(file))
    if not report.is_good:
        lines = failure_lines(report)
        failure = SubElement(told, "failure", message=_text(lines[0]), type=report.verdict.value)
        failure.text = _text("\n".join([*lines, *diff_lines(report)]))
    elif report.verdict is not Verdict.PASSED:
        SubElement(told, "system-out").text = "no expected output" if report.verdict is Verdict.NO_EXPECTATION else "updated"


def _text(text: str) -> str:
    return _NO_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
