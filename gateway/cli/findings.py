"""What is found about a flow that can be run all the same: said on stderr before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from flowspan.errors import FlowspanError
from flowspan.flows.near_names import near_name
from flowspan.jsonrpc import encode_payload
from gateway.cli.exits import MATTERS_OF_TASTE, say
from gateway.cli.flow_search import configuration_hint
from runtime_core.flow.diagnostics import MAX_SHOWN, Diagnostic, worst_first
from runtime_core.flow.document import Flow
from runtime_core.flow.inspection import inspect_flow, located
from runtime_core.flow.overrides import apply_overrides
from runtime_core.flow.parse import check_flow
from runtime_core.flow.source import SourceDocument, read_document
from runtime_core.flow.types.components import KnownComponents
from runtime_core.model.json_value import JsonValue, decode_json

_OVERRIDES: Final = "--overrides"
"""Where a finding is that the file itself does not have."""


def say_findings(
    document: bytes,
    name: str,
    *,
    as_json: bool,
    overrides: Mapping[str, object] | None = None,
    variables: Iterable[str] = (),
    components: KnownComponents | None = None,
) -> None:
    """A line for each finding, worst first; nothing about a flow that is none, for the gateway's refusal says all of it.

    Args:
        name: of the file, for messages.
        as_json: objects with the same facts.
        overrides: the findings are those of the flow that runs, with these.
        variables: names that the run is given; of those that the flow does not know the nearest is told. No more than that, for
            they are passed on to flows that it runs.
        components: what is known of them, if anything.
    """
    try:
        read = read_document(document)
        found = _findings(read, None if overrides is None else decode_json(encode_payload(overrides)), components)
    except FlowspanError:
        return
    if found is None:
        return
    flow, findings, added = found
    notes = [hint] if (hint := configuration_hint(read.value, name)) is not None else []
    for note in [*notes, *_unknown_variables(flow, variables)]:
        say(msgspec.json.encode({"note": note}).decode() if as_json else f"flowspan: {note}")
    shown = [finding for finding in worst_first((*added, *findings)) if finding.code not in MATTERS_OF_TASTE]
    for finding in shown[:MAX_SHOWN]:
        if as_json:
            say(msgspec.json.encode({"diagnostic": finding.to_json()}).decode())
            continue
        file = _OVERRIDES if finding in added else name
        place = f"{file}:{finding.line}:{finding.column}" if finding.line is not None else file
        what = f"{finding.level.value} {finding.code} ({finding.kind})"
        say(f"flowspan: {place}: {what}: {finding.path or 'as a whole'}: {finding.message}")
    if len(shown) > MAX_SHOWN and not as_json:
        say(f"flowspan: {name}: and {len(shown) - MAX_SHOWN} more findings")


def _findings(
    document: SourceDocument, overrides: JsonValue, components: KnownComponents | None
) -> tuple[Flow, Sequence[Diagnostic], Sequence[Diagnostic]] | None:
    """The flow that runs, what is found about it in the file, with places, and what the overrides bring in; None where there
    is no flow to run. Raises FlowspanError."""
    of_file = inspect_flow(check_flow(document.value), components)
    flow = of_file.checked.flow
    if flow is None:
        return None
    if not overrides:
        return flow, located(document, of_file.findings), ()
    patched = inspect_flow(check_flow(apply_overrides(flow.value, overrides)), components)
    if patched.checked.flow is None:
        return None
    known = set(of_file.findings)
    kept = [finding for finding in patched.findings if finding in known]
    return patched.checked.flow, located(document, kept), [finding for finding in patched.findings if finding not in known]


def _unknown_variables(flow: Flow, given: Iterable[str]) -> list[str]:
    schema = flow.schemas.variables
    declared = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(declared, dict) or not declared:
        return []
    notes = []
    for name in given:
        if name not in declared:
            near = near_name(name, declared)
            hint = f"did you mean {near!r}?" if near is not None else f"it declares {', '.join(map(repr, declared))}"
            notes.append(f"--variables: the flow declares no variable {name!r}; {hint}")
    return notes
