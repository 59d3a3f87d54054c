"""Flows as files: read, checked, and what became of each. One that cannot be read does not keep others from being checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowspan.errors import FlowspanError
from gateway.authoring.checking.configured import PathRecorder, SilentPlugin
from gateway.authoring.flow_tests import FlowTestsError, read_tests
from runtime_core.flow.diagnostics import Diagnostic, Level
from runtime_core.flow.inspection import Inspection, inspect_document, inspect_flow
from runtime_core.flow.parse import check_flow
from runtime_core.flow.source import SourceDocument, read_document, to_stored_json
from runtime_core.flow.types.components import KnownComponents
from runtime_core.model.json_value import blob_id_of_json


@dataclass(frozen=True, slots=True)
class FlowFile:
    """A file that is to be checked. `document` is None exactly if `problem` says why it cannot be read."""

    name: str
    document: SourceDocument | None
    problem: FlowspanError | None = None


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What is wrong with a file.

    Attributes:
        inspection: None where it could not be read.
        flow_id: None where it is no flow.
        silent: plugins of its components that were asked and did not say what they offer: nothing about these components,
            neither that they exist nor what they take, was checked.
    """

    file: FlowFile
    inspection: Inspection | None
    flow_id: str | None
    silent: tuple[SilentPlugin, ...] = ()

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """In the order of their places."""
        found = () if self.inspection is None else self.inspection.findings
        return tuple(sorted(found, key=lambda one: (one.line or 0, one.column or 0)))

    def is_ok(self, *, strict: bool) -> bool:
        """Whether nothing fails it: no fatal finding, no error; with `strict` no warning either, and all of it was checked."""
        if self.inspection is None or (strict and self.silent):
            return False
        return all(one.level is Level.WARNING and not strict for one in self.inspection.findings)


def read_flow(data: bytes, name: str) -> FlowFile:
    """Read a flow's bytes; JSON or YAML as the content tells."""
    try:
        return FlowFile(name, read_document(data))
    except FlowspanError as error:
        return FlowFile(name, None, error)


def component_paths(file: FlowFile) -> set[str]:
    """Components that the flow names, and the flows inside it."""
    recorder = PathRecorder()
    if file.document is not None:
        inspect_flow(check_flow(file.document.value), recorder)
    return recorder.paths


def check_file(file: FlowFile, components: KnownComponents | None, silent: Sequence[SilentPlugin] = ()) -> CheckedFile:
    """Check what was read. `silent`: plugins of its components that did not say what they offer."""
    if file.document is None:
        return CheckedFile(file, None, None)
    found = inspect_document(file.document, components)
    found = replace(found, findings=(*found.findings, *_of_tests(file.document, file.name, found.findings)))
    flow_id = None if found.types is None else blob_id_of_json(to_stored_json(file.document))
    return CheckedFile(file, found, flow_id, tuple(silent))


def _of_tests(document: SourceDocument, name: str, known: tuple[Diagnostic, ...]) -> list[Diagnostic]:
    """What keeps `flowspan test` from running the flow's tests, where nothing is known at that place."""
    if not isinstance(document.value, dict) or document.value.get("test") is None:
        return []
    try:
        read_tests(document, name)
    except FlowTestsError as error:
        places = {finding.path for finding in known}
        return [
            finding if mistake.position is None else finding.at(mistake.position.line, mistake.position.column)
            for mistake in error.mistakes
            if mistake.pointer not in places
            for finding in [Diagnostic(2002, mistake.message, mistake.pointer, Level.ERROR)]
        ]
    return []
