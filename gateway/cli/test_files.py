"""Which flows `flowspan test` runs: files found and read, and the configuration that holds for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowspan.errors import FlowspanError
from gateway.authoring.flow_tests import FlowTests, Mistake, encode_exact, located, read_tests
from gateway.cli.exits import UsageError
from gateway.cli.flow_search import documents_below, has_flow_members
from gateway.config import ConfigError, LoadedConfig, Problem, load_config, parse_config
from gateway.config.model import with_paths_from
from runtime_core.flow.diagnostics import flow_invalid
from runtime_core.flow.source import MAX_FLOW_BYTES, SourceDocument, check_document, read_document


@dataclass(frozen=True, slots=True)
class FlowFile:
    """A flow with tests. `name`: the path as people see it."""

    path: Path
    name: str
    document: SourceDocument
    tests: FlowTests


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file's tests run with.

    Attributes:
        inline: the flow's file where the configuration stands in the flow itself.
    """

    loaded: LoadedConfig
    inline: FlowFile | None = None

    def check(self) -> None:
        """Raises ConfigError if a gateway cannot be made of it."""
        from gateway.assembly import assemble

        try:
            assemble(self.loaded.config, store=None, name=str(self.loaded.path or "flowspan.yml"))
        except ConfigError as error:
            if self.inline is None:
                raise
            raise _inline_error(self.inline, error) from None


def find_flows(paths: Sequence[Path]) -> tuple[list[FlowFile], list[FlowspanError]]:
    """The flows with tests at these paths, in their order and in that of their names; and what is wrong with others.

    A file that is named must have tests. Of those that a search finds, only flows with tests count; hidden directories,
    `node_modules` and what is no regular file are left out.
    """
    flows: list[FlowFile] = []
    errors: list[FlowspanError] = []
    seen: set[Path] = set()
    for path in paths:
        searched = path.is_dir()
        count = len(flows) + len(errors)
        for file in documents_below(path) if searched else (path,):
            if (real := file.resolve()) in seen:
                count -= 1  # it counts where it was found first
                continue
            try:
                flow = _read(file, is_named=not searched)
            except FlowspanError as error:
                seen.add(real)
                errors.append(error)
                continue
            if flow is not None:
                seen.add(real)
                flows.append(flow)
        if searched and len(flows) + len(errors) == count:
            errors.append(UsageError(f"{path}: there is no flow with tests in or below this directory"))
    return flows, errors


def configuration_of(flow: FlowFile, given: Path | None) -> Configuration:
    """What `--config` names, else what the tests name, else what holds for a flow at this place.

    Raises:
        ConfigError: it is wrong; its places are those of the file that it stands in.
    """
    tests = flow.tests
    if given is not None:
        return Configuration(load_config(given))
    if tests.config_file is not None:
        file = flow.path.parent / tests.config_file
        if not file.is_file():
            raise _misplaced(flow, [Problem("/test/configFile", f"there is no file {file}")])
        return Configuration(load_config(file))
    if tests.config is None:
        return Configuration(load_config(beside=flow.path.parent))
    try:
        config, notes = parse_config(encode_exact(tests.config), name=flow.name)
    except ConfigError as error:
        raise _inline_error(flow, error) from None
    config = with_paths_from(config, flow.path.resolve().parent)
    return Configuration(LoadedConfig(config, None, [f"{flow.name}: {note}" for note in notes]), flow)


def _read(path: Path, *, is_named: bool) -> FlowFile | None:
    """The flow; None for a file that was not named and has no tests."""
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FLOW_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from error
    if not is_named and not (b"test" in data and b"cases" in data):
        return None
    try:
        document = read_document(data)
    except FlowspanError as error:
        if not is_named and b"steps" not in data:
            return None
        raise _about(name, error) from error
    if not is_named and not _has_tests(document):
        return None
    # Before the flow is checked: a file without tests may be anything.
    tests = read_tests(document, name)
    if tests is None:
        raise UsageError(f"{name}: the flow has no tests; add `test: {{cases: [{{name: …, input: …, output: …}}]}}`")
    parsed = check_document(document)
    if parsed.flow is None:
        raise _about(name, flow_invalid(parsed.diagnostics))
    return FlowFile(path, name, document, tests)


def _has_tests(document: SourceDocument) -> bool:
    """Other programs' files have a member `test` too."""
    flow = document.value
    return isinstance(flow, dict) and flow.get("test") is not None and has_flow_members(flow)


def _about(name: str, error: FlowspanError) -> FlowspanError:
    """The same error, with the file's name before its message."""
    return FlowspanError(f"{name}: {error.message}", reason=error.reason, **error.details)


def _inline_error(flow: FlowFile, error: ConfigError) -> ConfigError:
    return _misplaced(flow, [Problem(f"/test/config{problem.pointer}", problem.message) for problem in error.problems])


def _misplaced(flow: FlowFile, problems: Sequence[Problem]) -> ConfigError:
    places = located(flow.document, [Mistake(problem.pointer, problem.message) for problem in problems])
    lines = [place.position.line if place.position is not None else None for place in places]
    return ConfigError(
        flow.name, [Problem(problem.pointer, problem.message, line) for problem, line in zip(problems, lines, strict=True)]
    )
