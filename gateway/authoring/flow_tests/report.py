"""What came of the tests of some files: facts, and the lines and the JSON document that show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from flowspan.errors import FlowspanError
from flowspan.jsonrpc import printable
from gateway.authoring.flow_tests.cases import Case
from gateway.authoring.flow_tests.difference import difference
from gateway.authoring.flow_tests.exact_values import ExactObject, FloatLiteral, encode_exact, shown
from gateway.authoring.flow_tests.matching import ABSENT, Mismatch, result_mismatches

MAX_MISMATCHES: Final = 5
"""Shown of one case; the JSON document has all."""


MAX_ERROR_CHARS: Final = 1_000
"""Of an error's message, where an error was not expected; of a case's name."""


class Verdict(StrEnum):
    """What came of a case."""

    PASSED = "passed"
    FAILED = "failed"
    NO_EXPECTATION = "noExpectation"
    """It ran, and nothing was expected of it."""
    UPDATED = "updated"
    """It failed or expected nothing; its expected output was rewritten to what came."""
    NOT_RUN = "notRun"
    """The run ended before it had a result."""


_WORDS: Final = {
    Verdict.PASSED: "ok",
    Verdict.FAILED: "FAILED",
    Verdict.NO_EXPECTATION: "ok",
    Verdict.UPDATED: "updated",
    Verdict.NOT_RUN: "NOT RUN",
}
_WORD_CHARS: Final = max(map(len, _WORDS.values()))
_COLOURS: Final = {Verdict.PASSED: 32, Verdict.NO_EXPECTATION: 33, Verdict.UPDATED: 36, Verdict.FAILED: 31, Verdict.NOT_RUN: 31}
"""SGR codes of terminals."""
_CHARS_OF_AN_ESCAPE: Final = len("\\U0010ffff")
"""At the most, of one character."""


@dataclass(frozen=True, slots=True)
class CaseReport:
    """A case and its result; `actual` is None exactly if it did not run.

    Attributes:
        ended_after_s: from the beginning of the file's run to the end of the case; cases run side by side, so this is more than
            what the case alone took.
    """

    case: Case
    verdict: Verdict
    actual: ExactObject | None = None
    mismatches: Sequence[Mismatch] = ()
    ended_after_s: float | None = None

    @property
    def is_good(self) -> bool:
        return self.verdict not in (Verdict.FAILED, Verdict.NOT_RUN)


@dataclass(frozen=True, slots=True)
class FileReport:
    """The cases of a file that were chosen. `error`: why its run did not come about or broke off."""

    file: str
    cases: Sequence[CaseReport] = ()
    duration_s: float = 0.0
    run_id: str | None = None
    error: FlowspanError | None = None


@dataclass(slots=True)
class Totals:
    """How many cases ended how, and how many files could not be run."""

    files: int = 0
    errors: int = 0
    verdicts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))

    @property
    def cases(self) -> int:
        return sum(self.verdicts.values())

    @property
    def bad(self) -> int:
        return self.verdicts[Verdict.FAILED] + self.verdicts[Verdict.NOT_RUN]


def judge(case: Case, actual: ExactObject | None, ended_after_s: float | None = None) -> CaseReport:
    """The verdict on a case. `actual`: its FlowResult, None if it has none."""
    if actual is None:
        return CaseReport(case, Verdict.NOT_RUN)
    if case.expected is None:
        return CaseReport(case, Verdict.NO_EXPECTATION, actual, (), ended_after_s)
    found = result_mismatches(case.expected, actual)
    return CaseReport(case, Verdict.FAILED if found else Verdict.PASSED, actual, found, ended_after_s)


def totals_of(reports: Iterable[FileReport]) -> Totals:
    totals = Totals()
    for report in reports:
        totals.files += 1
        totals.errors += report.error is not None
        for case in report.cases:
            totals.verdicts[case.verdict] += 1
    return totals


def file_lines(report: FileReport, *, with_diff: bool = False, verbose: bool = False, colour: bool = False) -> list[str]:
    """The file, its cases, and what is wrong with those that failed."""
    noun = "case" if len(report.cases) == 1 else "cases"
    lines = [f"{_harmless(report.file)}: {len(report.cases)} {noun} in {report.duration_s:.2f} s"]
    for case in report.cases:
        lines += _case_lines(case, with_diff=with_diff, verbose=verbose, colour=colour)
    if report.error is not None:
        lines.append(f"  {_painted('ERROR'.ljust(_WORD_CHARS), 31, colour)}  {_harmless(report.error.message)}")
    return lines


def summary(totals: Totals, seconds: float) -> str:
    """One line about all files."""
    counts = totals.verdicts
    parts = [f"{counts[Verdict.PASSED] + counts[Verdict.NO_EXPECTATION]} passed"]
    if counts[Verdict.NO_EXPECTATION]:
        parts[0] += f" ({counts[Verdict.NO_EXPECTATION]} without expectation)"
    for count, words in (
        (counts[Verdict.UPDATED], "updated"),
        (counts[Verdict.FAILED], "failed"),
        (counts[Verdict.NOT_RUN], "not run"),
        (totals.errors, "could not be run" if totals.errors != 1 else "file could not be run"),
    ):
        if count:
            parts.append(f"{count} {words}")
    files = "1 file" if totals.files == 1 else f"{totals.files} files"
    return f"{', '.join(parts)} in {files}, {seconds:.2f} s"


def to_json(reports: Sequence[FileReport], seconds: float) -> ExactObject:
    """The one document of `--json`; values in it keep their numbers. Members that do not apply are left out."""
    totals = totals_of(reports)
    return {
        **{verdict.value: totals.verdicts[verdict] for verdict in Verdict},
        "errors": totals.errors,
        "durationSeconds": _seconds(seconds),
        "files": [_file_to_json(report) for report in reports],
    }


def _file_to_json(report: FileReport) -> ExactObject:
    shown_file: ExactObject = {"file": report.file, "durationSeconds": _seconds(report.duration_s)}
    if report.run_id is not None:
        shown_file["runId"] = report.run_id
    if report.error is not None:
        shown_file["error"] = {"reason": report.error.reason.value, "message": report.error.message}
    shown_file["cases"] = [_case_to_json(case) for case in report.cases]
    return shown_file


def _case_to_json(report: CaseReport) -> ExactObject:
    shown_case: ExactObject = {"name": report.case.name, "index": report.case.index, "verdict": report.verdict.value}
    if report.ended_after_s is not None:
        shown_case["endedAfterSeconds"] = _seconds(report.ended_after_s)
    if report.actual is not None:
        shown_case["result"] = report.actual
    if report.mismatches:
        shown_case["expected"] = report.case.expected
        shown_case["mismatches"] = [_mismatch_to_json(mismatch) for mismatch in report.mismatches]
    return shown_case


def _mismatch_to_json(mismatch: Mismatch) -> ExactObject:
    """Without `actual` where the member is not there."""
    told: ExactObject = {"path": mismatch.pointer, "message": mismatch.message, "expected": mismatch.expected}
    if mismatch.actual is not ABSENT:
        told["actual"] = mismatch.actual
    return told


def failure_lines(report: CaseReport) -> list[str]:
    """What is wrong with a case, a line each."""
    if report.verdict is Verdict.NOT_RUN:
        return ["the run ended before this case had a result"]
    lines = [f"{mismatch.pointer or '/'}: {mismatch.message}" for mismatch in report.mismatches[:MAX_MISMATCHES]]
    if len(report.mismatches) > MAX_MISMATCHES:
        lines.append(f"and {len(report.mismatches) - MAX_MISMATCHES} more")
    if report.actual is not None and any(mismatch.place == ("outcome",) for mismatch in report.mismatches):
        lines.append(_why(report.actual))
    return lines


def _why(actual: ExactObject) -> str:
    """What the word of another outcome alone does not say."""
    error = actual.get("error")
    if isinstance(error, dict) and isinstance(message := error.get("message"), str):
        return printable(f"{error.get('code')}: {message}", MAX_ERROR_CHARS)
    return f"the result is {shown(actual)}"


def diff_lines(report: CaseReport) -> list[str]:
    """Expected and actual as a unified diff; none where the case holds or expects nothing."""
    if report.case.expected is None or report.actual is None or not report.mismatches:
        return []
    return difference(report.case.expected, report.actual)


def _case_lines(report: CaseReport, *, with_diff: bool, verbose: bool, colour: bool) -> list[str]:
    word = _painted(_WORDS[report.verdict].ljust(_WORD_CHARS), _COLOURS[report.verdict], colour)
    note = " (no expected output)" if report.verdict is Verdict.NO_EXPECTATION else ""
    lines = [f"  {word}  {printable(report.case.name, MAX_ERROR_CHARS)}{note}"]
    if not report.is_good:
        lines += [f"      {_harmless(line)}" for line in failure_lines(report)]
    if with_diff:
        lines += [f"      {_painted_diff(_harmless(line), colour)}" for line in diff_lines(report)]
    if verbose and report.actual is not None:
        lines.append(f"      {_harmless(encode_exact(report.actual).decode())}")
    return lines


def _harmless(line: str) -> str:
    """The line uncut, without what would move the cursor of a terminal: members' names and files' names hold anything."""
    return printable(line, _CHARS_OF_AN_ESCAPE * len(line))


def _painted_diff(line: str, colour: bool) -> str:
    return _painted(line, {"+": 32, "-": 31, "@": 36}[line[0]], colour) if line[0] in "+-@" else line


def _painted(text: str, code: int, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def _seconds(seconds: float) -> FloatLiteral:
    return FloatLiteral(f"{seconds:.6f}")
