"""The `test` of a flow, read and checked: every mistake with its place, before anything runs.

Here an unknown field is a mistake and not a warning as elsewhere in a flow: a misspelt `output` would be a test that tests
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from flowspan.errors import FlowspanError, Reason
from flowspan.flows.near_names import near_name
from gateway.authoring.flow_tests.exact_values import ExactObject, ExactValue, decode_exact, encode_exact
from runtime_core.flow.source import SourceDocument
from runtime_core.flow.yaml_loader import locate_yaml
from runtime_core.model.json_scan import Position, escape_pointer_token, scan_json
from runtime_core.model.json_value import encode_json

TEST_FIELDS: Final = ("cases", "config", "configFile", "variables")
CASE_FIELDS: Final = ("name", "description", "input", "output")
RESULT_FIELDS: Final = {
    "success": ("outcome", "value", "result"),
    "failed": ("outcome", "error"),
    "skipped": ("outcome", "reason"),
}
"""Of an expected FlowResult, by its outcome; `result` is the older spelling of `value`."""
ERROR_FIELDS: Final = ("code", "message", "data")
MAX_PROBLEMS: Final = 20

_FORM: Final = "{outcome: success, value: …}, {outcome: failed, error: {code: …, message: …}} or {outcome: skipped}"
_Part = TypeVar("_Part", str, list[ExactValue], ExactObject)


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `input`: JSON; `expected`: a FlowResult in the spelling of the file, or None if nothing is expected."""

    index: int
    name: str
    input: bytes
    expected: ExactObject | None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class FlowTests:
    """What the `test` of a flow says. `config` is the value as it stands there; `variables` those of the one run."""

    cases: tuple[Case, ...]
    config: ExactObject | None = None
    config_file: str | None = None
    variables: ExactObject | None = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something about a `test` that has to be mended."""

    pointer: str
    message: str
    position: Position | None = None


class FlowTestsError(FlowspanError):
    """The `test` of a file cannot be used. `details`: `file` and `problems`."""

    default_reason = Reason.FLOW_INVALID

    def __init__(self, file: str, mistakes: Sequence[Mistake]) -> None:
        more = len(mistakes) - MAX_PROBLEMS
        lines = [f"{_place(file, mistake)}: {mistake.pointer}: {mistake.message}" for mistake in mistakes[:MAX_PROBLEMS]]
        super().__init__(
            "\n".join([*lines, f"{file}: and {more} more"] if more > 0 else lines),
            file=file,
            problems=[
                {
                    "path": mistake.pointer,
                    "message": mistake.message,
                    "line": mistake.position and mistake.position.line,
                    "column": mistake.position and mistake.position.column,
                }
                for mistake in mistakes
            ],
        )
        self.mistakes = tuple(mistakes)


def exact_document(document: SourceDocument) -> ExactValue:
    """The document with the numbers of a JSON text as they were written; those of YAML as they are stored."""
    return decode_exact(encode_json(document.value) if document.is_yaml else document.data)


def read_tests(document: SourceDocument, file: str) -> FlowTests | None:
    """The tests of a flow; None if it has none (explicit null means absent).

    Args:
        file: for messages.

    Raises:
        FlowTestsError: everything that is wrong with them.
    """
    flow = exact_document(document)
    value = flow.get("test") if isinstance(flow, dict) else None
    if value is None:
        return None
    reader = _Reader()
    tests = reader.read(value)
    if reader.mistakes:
        raise FlowTestsError(file, located(document, reader.mistakes))
    return tests


def located(document: SourceDocument, mistakes: Sequence[Mistake]) -> list[Mistake]:
    """The same mistakes with their places in the text; what is missing is shown at what it should stand in."""
    wanted = {pointer for mistake in mistakes for pointer in _enclosing(mistake.pointer)}
    places = locate_yaml(document.data, wanted) if document.is_yaml else scan_json(document.data.decode(), wanted)[1]
    return [
        Mistake(
            mistake.pointer,
            mistake.message,
            next((places[pointer] for pointer in _enclosing(mistake.pointer) if pointer in places), None),
        )
        for mistake in mistakes
    ]


def chosen(cases: Iterable[Case], patterns: Sequence[str]) -> list[Case]:
    """The cases with one of these names, or whose name fits one of these globs; all if there are no patterns."""
    return [case for case in cases if not patterns or any(fits(case.name, pattern) for pattern in patterns)]


def fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


class _Reader:
    """Collects mistakes and goes on, so that one reading finds all."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def read(self, value: ExactValue) -> FlowTests:
        if not isinstance(value, dict):
            self._wrong("/test", f"is an object with `cases`, not {_kind(value)}")
            return FlowTests(())
        self._check_fields(value, TEST_FIELDS, "/test")
        config = self._part(value, "config", dict, "/test")
        config_file = self._part(value, "configFile", str, "/test")
        if config is not None and config_file is not None:
            self._wrong("/test/configFile", "stands beside `config`; keep one of them")
        listed = self._part(value, "cases", list, "/test")
        if value.get("cases") is None:
            self._wrong("/test", "has no cases; write `cases: [{name: …, input: …, output: …}]`")
        cases = [self._case(index, part) for index, part in enumerate(listed or ())]
        self._check_names(cases)
        return FlowTests(tuple(cases), config, config_file, self._part(value, "variables", dict, "/test"))

    def _case(self, index: int, value: ExactValue) -> Case:
        pointer = f"/test/cases/{index}"
        if not isinstance(value, dict):
            self._wrong(pointer, f"a case is an object with `name` and `input`, not {_kind(value)}")
            return Case(index, "", b"null", None)
        self._check_fields(value, CASE_FIELDS, pointer)
        name = self._part(value, "name", str, pointer)
        if name is None and value.get("name") is None:
            self._wrong(pointer, "a case needs a name")
        elif name is not None and not name.strip():
            self._wrong(f"{pointer}/name", "the name is empty")
        if "input" not in value:
            self._wrong(pointer, "a case needs an input; write `input: null` if the flow uses none")
        expected = value.get("output")
        if expected is not None:
            self._check_expected(expected, f"{pointer}/output")
        return Case(
            index,
            name or "",
            encode_exact(value.get("input")),
            expected if isinstance(expected, dict) else None,
            self._part(value, "description", str, pointer),
        )

    def _check_names(self, cases: Sequence[Case]) -> None:
        first: dict[str, int] = {}
        for case in cases:
            if not case.name.strip():
                continue
            if case.name in first:
                message = f"the name {case.name!r} is taken by /test/cases/{first[case.name]}; names are unique in a file"
                self._wrong(f"/test/cases/{case.index}/name", message)
            first.setdefault(case.name, case.index)

    def _check_expected(self, value: ExactValue, pointer: str) -> None:
        outcome = value.get("outcome") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(outcome, str) or outcome not in RESULT_FIELDS:
            near = _nearest(outcome, RESULT_FIELDS) if isinstance(outcome, str) else ""
            found = f"the outcome {outcome!r} is none" if isinstance(outcome, str) else "it has no outcome"
            self._wrong(pointer, f"an expected output is a FlowResult, and {found}{near}; write {_FORM}")
            return
        self._check_fields(value, RESULT_FIELDS[outcome], pointer, extensible=False)
        if "value" in value and "result" in value:
            self._wrong(f"{pointer}/result", "stands beside `value`, of which it is the older spelling; keep one of them")
        self._part(value, "reason", str, pointer)
        error = self._part(value, "error", dict, pointer)
        if error is not None:
            self._check_fields(error, ERROR_FIELDS, f"{pointer}/error", extensible=False)
            self._part(error, "code", str, f"{pointer}/error")
            self._part(error, "message", str, f"{pointer}/error")

    def _check_fields(self, value: ExactObject, known: Sequence[str], pointer: str, *, extensible: bool = True) -> None:
        for name in value:
            if name not in known and not (extensible and (name.startswith("x-") or name in ("schema", "$schema"))):
                message = f"unknown field {name!r}{_nearest(name, known)}"
                self._wrong(f"{pointer}/{escape_pointer_token(name)}", message)

    def _part(self, value: ExactObject, name: str, kind: type[_Part], pointer: str) -> _Part | None:
        part = value.get(name)
        if part is None or isinstance(part, kind):
            return part
        self._wrong(f"{pointer}/{name}", f"is {_NAMES[kind]}, not {_kind(part)}")
        return None

    def _wrong(self, pointer: str, message: str) -> None:
        self.mistakes.append(Mistake(pointer, message))


_NAMES: Final[dict[type, str]] = {str: "a string", list: "an array", dict: "an object", bool: "a boolean", type(None): "null"}


def _kind(value: ExactValue) -> str:
    return _NAMES.get(type(value), "a number")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = near_name(name, names)
    return f"; did you mean {near!r}?" if near is not None else f"; known are {', '.join(names)}"


def _enclosing(pointer: str) -> list[str]:
    """The pointer and those of everything around it, innermost first."""
    parts = pointer.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _place(file: str, mistake: Mistake) -> str:
    return file if mistake.position is None else f"{file}:{mistake.position.line}:{mistake.position.column}"
