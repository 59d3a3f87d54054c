"""All that can be said of a flow's document without running it: the parser's findings, the types', those of embedded flows,
each with its place in the text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runtime_core.flow.diagnostics import Diagnostic, DiagnosticLog
from runtime_core.flow.embedded import check_embedded
from runtime_core.flow.parse import CheckedFlow, check_flow
from runtime_core.flow.source import SourceDocument
from runtime_core.flow.types.check import FlowTypes, check_types
from runtime_core.flow.types.components import KnownComponents
from runtime_core.flow.yaml_loader import locate_yaml
from runtime_core.model.json_scan import Position, scan_json


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an inspection found. `types` is None exactly if a finding is fatal."""

    checked: CheckedFlow
    types: FlowTypes | None
    findings: tuple[Diagnostic, ...]


def inspect_flow(checked: CheckedFlow, components: KnownComponents | None = None) -> Inspection:
    """Check the types of a flow that was read, and the flows inside it. Findings have no places yet.

    Args:
        components: None: only what the document says is known.
    """
    if checked.flow is None:
        return Inspection(checked, None, checked.diagnostics)
    log = DiagnosticLog()
    for finding in checked.diagnostics:
        log.take(finding)
    types = check_types(checked.flow, log, components)
    check_embedded(checked.flow, log, components)
    return Inspection(checked, types, tuple(log.findings))


def inspect_document(document: SourceDocument, components: KnownComponents | None = None) -> Inspection:
    """Check a document; every finding gets the place of what it names, or of the nearest thing around that."""
    found = inspect_flow(check_flow(document.value), components)
    return Inspection(found.checked, found.types, located(document, found.findings))


def located(document: SourceDocument, findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The findings with lines and columns, in one walk over the text."""
    findings = tuple(findings)
    wanted = {pointer for finding in findings for pointer in _enclosing(finding.path)}
    if not wanted:
        return findings
    places = locate_yaml(document.data, wanted) if document.is_yaml else scan_json(document.data.decode(), wanted)[1]
    return tuple(_placed(finding, places) for finding in findings)


def _placed(finding: Diagnostic, places: dict[str, Position]) -> Diagnostic:
    place = next((places[pointer] for pointer in _enclosing(finding.path) if pointer in places), None)
    return finding if place is None else finding.at(place.line, place.column)


def _enclosing(pointer: str) -> list[str]:
    """The pointer and those of everything around it, innermost first."""
    parts = pointer.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
