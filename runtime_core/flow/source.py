"""From the bytes of a document to a flow: JSON or YAML in, typed flow and located diagnostics out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flowspan.errors import InvalidArgumentError, LimitExceededError
from runtime_core.flow.diagnostics import MAX_SHOWN, Diagnostic, flow_invalid, worst_first
from runtime_core.flow.document import Flow
from runtime_core.flow.parse import check_flow
from runtime_core.flow.yaml_loader import MAX_NODES, in_behaviors, load_yaml, locate_yaml
from runtime_core.model.json_scan import Position, scan_json
from runtime_core.model.json_value import JsonValue, decode_json, encode_json, node_count

MAX_FLOW_BYTES: Final = 8 * 1024 * 1024
"""Size of a flow document, and of its expansion where YAML repeats parts of it; promises of docs/limits."""


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """A document that was read but not yet checked."""

    data: bytes
    is_yaml: bool
    value: JsonValue


@dataclass(frozen=True, slots=True)
class ParsedFlow:
    """A document and what a check found. `flow` is None exactly if a diagnostic is fatal (only from `check_document`)."""

    document: SourceDocument
    flow: Flow | None
    diagnostics: tuple[Diagnostic, ...]


def read_document(data: bytes, *, is_yaml: bool | None = None) -> SourceDocument:
    """Read JSON or YAML.

    Args:
        data: UTF-8, at most 8 MiB.
        is_yaml: None: JSON if it begins with a brace, else YAML.

    Raises:
        LimitExceededError: too large or too deep.
        FlowspanError: PARSE_ERROR, no JSON or YAML.
        InvalidArgumentError: duplicate keys, more than 10^6 nodes, and what else the YAML loader refuses.
    """
    if len(data) > MAX_FLOW_BYTES:
        raise LimitExceededError(
            f"the flow has {len(data)} bytes; at most {MAX_FLOW_BYTES} are allowed",
            limit="flowBytes",
            max=MAX_FLOW_BYTES,
            actual=len(data),
        )
    if is_yaml is None:
        is_yaml = data.lstrip()[:1] != b"{"
    value = load_yaml(data, takes_mapping_keys=in_behaviors) if is_yaml else decode_json(data, what="the flow")
    # Every node but the first follows one of these marks, so the walk is for documents that may really be too large.
    marks = 0 if is_yaml else sum(data.count(mark) for mark in (b",", b"[", b":"))
    if marks >= MAX_NODES and (actual := node_count(value)) > MAX_NODES:
        raise InvalidArgumentError(f"the flow has {actual} nodes; at most {MAX_NODES} are allowed")
    return SourceDocument(data, is_yaml, value)


def check_document(document: SourceDocument) -> ParsedFlow:
    """All findings, fatal ones too, located in the text (as far as they would be shown)."""
    checked = check_flow(document.value)
    return ParsedFlow(document, checked.flow, _located(document, checked.diagnostics))


def parse_flow(data: bytes, *, is_yaml: bool | None = None) -> ParsedFlow:
    """Read and check a document; the result always has a flow.

    Raises:
        FlowInvalidError: it does not compile; `details["diagnostics"]` says why.
        FlowspanError: as `read_document` does.
    """
    parsed = check_document(read_document(data, is_yaml=is_yaml))
    if parsed.flow is None:
        raise flow_invalid(parsed.diagnostics)
    return parsed


def to_stored_json(document: SourceDocument) -> bytes:
    """What is stored: JSON as it was given, YAML as its compact JSON with the keys in their order."""
    return encode_json(document.value) if document.is_yaml else document.data


def _located(document: SourceDocument, findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    findings = tuple(findings)
    shown = worst_first(findings)[:MAX_SHOWN]
    wanted = {finding.path for finding in shown}
    if not wanted:
        return findings
    places = locate_yaml(document.data, wanted) if document.is_yaml else scan_json(document.data.decode(), wanted)[1]
    return tuple(_placed(finding, places) for finding in findings)


def _placed(finding: Diagnostic, places: dict[str, Position]) -> Diagnostic:
    place = places.get(finding.path)
    return finding if place is None else finding.at(place.line, place.column)
