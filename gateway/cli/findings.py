"""What is found about a flow that can be run all the same: said on stderr before it runs."""

from __future__ import annotations

import msgspec

from flowspan.errors import FlowspanError
from gateway.cli.exits import MATTERS_OF_TASTE, say
from gateway.cli.flow_search import configuration_hint
from runtime_core.flow.diagnostics import MAX_SHOWN, worst_first
from runtime_core.flow.inspection import inspect_document
from runtime_core.flow.source import read_document


def say_findings(document: bytes, name: str, *, as_json: bool) -> None:
    """A line for each finding, worst first; nothing about a flow that is none, for the gateway's refusal says all of it.

    Args:
        name: of the file, for messages.
        as_json: objects with the same facts.
    """
    try:
        read = read_document(document)
        found = inspect_document(read)
    except FlowspanError:
        return
    if found.checked.flow is None:
        return
    if (hint := configuration_hint(read.value, name)) is not None:
        say(msgspec.json.encode({"note": hint}).decode() if as_json else f"flowspan: {hint}")
    findings = [finding for finding in worst_first(found.findings) if finding.code not in MATTERS_OF_TASTE]
    for finding in findings[:MAX_SHOWN]:
        if as_json:
            say(msgspec.json.encode({"diagnostic": finding.to_json()}).decode())
            continue
        place = f"{name}:{finding.line}:{finding.column}" if finding.line is not None else name
        say(f"flowspan: {place}: {finding.level.value} {finding.code} ({finding.kind}): {finding.path or '/'}: {finding.message}")
    if len(findings) > MAX_SHOWN and not as_json:
        say(f"flowspan: {name}: and {len(findings) - MAX_SHOWN} more findings")
