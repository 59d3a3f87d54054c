"""What is wrong with a document: codes, levels, places. Only a fatal diagnostic keeps a flow from being stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from flowspan.errors import FlowInvalidError
from flowspan.flows.near_names import near_name


class Level(StrEnum):
    """How bad it is. FATAL: the document is no flow. ERROR: it would fail when it runs. WARNING: probably not meant."""

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"


_KINDS: Final[dict[int, tuple[str, Level]]] = {
    1000: ("unreachableStep", Level.WARNING),
    1001: ("missingFlowName", Level.WARNING),
    1002: ("missingFlowDescription", Level.WARNING),
    1003: ("unvalidatedFieldAccess", Level.WARNING),
    1004: ("missingVariableSchema", Level.WARNING),
    1005: ("unknownField", Level.WARNING),
    1006: ("ignoredKey", Level.WARNING),
    1100: ("untypedComponentOutput", Level.WARNING),
    1500: ("mockComponent", Level.WARNING),
    2000: ("invalidFieldAccess", Level.ERROR),
    2001: ("emptyComponentName", Level.ERROR),
    2002: ("schemaViolation", Level.ERROR),
    2003: ("invalidSubflowLiteral", Level.ERROR),
    2004: ("undefinedVariable", Level.ERROR),
    2005: ("undefinedRequiredVariable", Level.ERROR),
    2100: ("typeMismatch", Level.ERROR),
    2101: ("unknownPropertyInPath", Level.ERROR),
    2200: ("invalidRouteReference", Level.ERROR),
    2500: ("invalidComponent", Level.ERROR),
    3000: ("duplicateStepId", Level.FATAL),
    3001: ("emptyStepId", Level.FATAL),
    3002: ("selfReference", Level.FATAL),
    3003: ("undefinedStepReference", Level.FATAL),
    3004: ("invalidReferenceExpression", Level.FATAL),
}
"""The language's table of codes: the parser finds some, the static check (`runtime_core.flow.types`) others."""

MAX_SHOWN: Final = 20
"""Diagnostics in one error: a hostile document must not be answered with a longer one."""
MAX_KEPT: Final = 1_000
"""Findings of one level that are kept."""
_MAX_CANDIDATES: Final = 500
_MAX_NAME_CHARS: Final = 100
"""Comparing a name with many others is slow; hints are a courtesy."""
_RANK: Final = {Level.FATAL: 0, Level.ERROR: 1, Level.WARNING: 2}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding. `path` is a JSON pointer into the document; `line` and `column` count from 1 where they are known."""

    code: int
    message: str
    path: str
    level: Level
    line: int | None = None
    column: int | None = None

    @property
    def kind(self) -> str:
        """The code's name, such as `duplicateStepId`."""
        return _KINDS[self.code][0]

    def to_json(self) -> dict[str, Any]:
        """The object that users see; `line` and `column` only where they are known."""
        shown: dict[str, Any] = {
            "kind": self.kind,
            "code": self.code,
            "level": self.level.value,
            "message": self.message,
            "path": self.path,
        }
        if self.line is not None and self.column is not None:
            shown |= {"line": self.line, "column": self.column}
        return shown

    def at(self, line: int, column: int) -> Diagnostic:
        """The same finding with its place."""
        return replace(self, line=line, column=column)


class DiagnosticLog:
    """Collects findings in the order in which they are made; work and memory per document are bounded.

    Attributes:
        findings: the first 1,000 of each level.
        has_fatal: whether any finding, kept or not, says that the document is no flow.
    """

    __slots__ = ("_kept", "findings", "has_fatal")

    def __init__(self) -> None:
        self.findings: list[Diagnostic] = []
        self.has_fatal = False
        self._kept = dict.fromkeys(Level, 0)

    def report(self, code: int, message: str, path: str, level: Level | None = None) -> None:
        """Note a finding; `level` raises the code's usual one where the document has no meaning at all."""
        level = level or _KINDS[code][1]
        # Counted per level: fatal findings are not crowded out by a thousand warnings before them.
        if self._kept[level] < MAX_KEPT:
            self._kept[level] += 1
            self.findings.append(Diagnostic(code, message, path, level))
        self.has_fatal = self.has_fatal or level is Level.FATAL

    def take(self, finding: Diagnostic) -> None:
        """Note a finding that was made elsewhere, for the same document."""
        self.report(finding.code, finding.message, finding.path, finding.level)

    def nearest(self, name: str, known: Collection[str]) -> str:
        """`; did you mean 'x'?` where a known name is close; nothing once the findings outnumber what anyone is shown."""
        if len(self.findings) >= MAX_SHOWN or len(known) > _MAX_CANDIDATES or len(name) > _MAX_NAME_CHARS:
            return ""
        near = near_name(name, known)
        return "" if near is None else f"; did you mean {near!r}?"


def worst_first(findings: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Fatal ones first; otherwise the order of the document."""
    return sorted(findings, key=lambda finding: _RANK[finding.level])


def flow_invalid(findings: Iterable[Diagnostic]) -> FlowInvalidError:
    """The error for a document that does not compile: at most 20 findings in its details, fatal ones first."""
    ordered = worst_first(findings)
    first = ordered[0]
    place = f"{first.path or 'the document'}" + (f" (line {first.line}, column {first.column})" if first.line is not None else "")
    fatal = sum(finding.level is Level.FATAL for finding in ordered)
    more = f", and {fatal - 1} more" if fatal > 1 else ""
    return FlowInvalidError(
        f"the document is not a flow: {first.message}, at {place}{more}",
        diagnostics=[finding.to_json() for finding in ordered[:MAX_SHOWN]],
        diagnosticCount=len(ordered),
    )
