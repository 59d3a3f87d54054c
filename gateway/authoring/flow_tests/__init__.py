"""Tests in a flow: its cases read, results matched against them, reports, and expected outputs rewritten. Nothing here runs
a flow or touches a file."""

from __future__ import annotations

from gateway.authoring.flow_tests.cases import Case, FlowTests, FlowTestsError, Mistake, chosen, fits, located, read_tests
from gateway.authoring.flow_tests.exact_values import decode_exact, encode_exact
from gateway.authoring.flow_tests.junit import to_junit
from gateway.authoring.flow_tests.report import (
    CaseReport,
    FileReport,
    Totals,
    Verdict,
    file_lines,
    judge,
    summary,
    to_json,
    totals_of,
)
from gateway.authoring.flow_tests.rewriting import RewriteError, edits_of, rewritten, wants_update

__all__ = [
    "Case",
    "CaseReport",
    "FileReport",
    "FlowTests",
    "FlowTestsError",
    "Mistake",
    "RewriteError",
    "Totals",
    "Verdict",
    "chosen",
    "decode_exact",
    "edits_of",
    "encode_exact",
    "file_lines",
    "fits",
    "judge",
    "located",
    "read_tests",
    "rewritten",
    "summary",
    "to_json",
    "to_junit",
    "totals_of",
    "wants_update",
]
