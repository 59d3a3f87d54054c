"""Expected outputs of a file written anew, in the text as its author laid it out."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence

from flowspan.errors import FlowspanError, Reason
from gateway.authoring.flow_tests.cases import exact_document
from gateway.authoring.flow_tests.exact_values import encode_exact, replaced_at
from gateway.authoring.flow_tests.json_edit import edit_json
from gateway.authoring.flow_tests.matching import Edit, result_edits
from gateway.authoring.flow_tests.report import CaseReport, Verdict
from runtime_core.flow.source import SourceDocument, read_document
from runtime_core.model.json_value import canonical_json, canonical_of_value


class RewriteError(FlowspanError):
    """The text is laid out so that its expected outputs cannot be replaced one by one; it stays as it is."""

    default_reason = Reason.FLOW_INVALID


def wants_update(report: CaseReport) -> bool:
    """Whether `--update` writes an expected output for this case."""
    return report.verdict in (Verdict.FAILED, Verdict.NO_EXPECTATION)


def edits_of(reports: Iterable[CaseReport]) -> list[Edit]:
    """What has to be written for these cases to hold; of a case that expects nothing, the whole result."""
    edits: list[Edit] = []
    for report in reports:
        if wants_update(report) and report.actual is not None:
            output = ("test", "cases", report.case.index, "output")
            found = result_edits(report.case.expected, report.actual)
            edits += [Edit((*output, *edit.place), edit.value) for edit in found]
    return edits


def rewritten(document: SourceDocument, file: str, edits: Sequence[Edit]) -> bytes:
    """The document's bytes with these parts replaced. What comes out is read again: it says exactly what was meant.

    Raises:
        RewriteError: it would not; nothing is to be written.
    """
    mark = BOM_UTF8 if document.data.startswith(BOM_UTF8) else b""
    if mark:  # it belongs to neither language: offsets do not count it, and JSON behind one is read as YAML
        document = read_document(document.data.removeprefix(mark))
    text = document.data.decode()
    meant = exact_document(document)
    for edit in edits:
        meant = replaced_at(meant, edit.place, edit.value)
    try:
        if document.is_yaml:
            from gateway.authoring.flow_tests.yaml_edit import edit_yaml  # ruamel.yaml takes time to load

            data = edit_yaml(text, edits).encode()
        else:
            data = edit_json(text, edits).encode()
        is_meant = canonical_of_value(read_document(data, is_yaml=document.is_yaml).value) == canonical_json(encode_exact(meant))
    except (LookupError, FlowspanError) as error:
        raise _refusal(file) from error
    if not is_meant:
        raise _refusal(file)
    return mark + data


def _refusal(file: str) -> RewriteError:
    return RewriteError(
        f"{file}: the expected outputs cannot be rewritten, as parts of the tests are shared by an anchor or laid out in an "
        "unusual way; write them by hand (--diff shows them)"
    )
