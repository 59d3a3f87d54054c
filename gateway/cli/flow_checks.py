"""What `validate` and `infer` share: the files, the configuration that holds for each, and what its plugins offer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.authoring.checking.configured import ConfiguredComponents, SilentPlugin
from gateway.authoring.checking.documents import CheckedFile, FlowFile, check_file, component_paths, read_flow
from gateway.cli.component_answers import Answers, ask_plugins
from gateway.cli.exits import UsageError, say
from gateway.cli.flow_search import configuration_hint, documents_below, may_be_flow
from gateway.cli.reading import STDIN, read_whole
from gateway.config import find_config, load_config
from runtime_core.flow.source import MAX_FLOW_BYTES
from runtime_core.flow.types.components import NoRoute


class NoFlowsError(UsageError):
    """A directory in which and below which there is no flow."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a file's components. `silent`: plugins of theirs that were asked and did not say what they offer."""

    components: ConfiguredComponents
    silent: tuple[SilentPlugin, ...] = ()


def read_files(names: Sequence[str]) -> list[FlowFile]:
    """The files, in their order; each once, however often it is named."""
    return [_read(name) for name in dict.fromkeys(names)]


def find_files(names: Sequence[str]) -> tuple[list[FlowFile], int | None]:
    """The files that are named, and the flows in and below directories that are named; each once. And how many files were
    looked at for it, or None if no directory was named."""
    files: dict[str, FlowFile] = {}
    looked_at, searched = set[str](), False
    for name in names:
        if name == STDIN or not Path(name).is_dir():
            key = name if name == STDIN else os.path.realpath(name)
            files.setdefault(key, _read(name))
            continue
        searched, count = True, len(looked_at)
        found = False
        for path in documents_below(Path(name)):
            key = os.path.realpath(path)
            looked_at.add(key)
            file = files.get(key) or _read_found(path)
            if file is not None:
                found = True
                files.setdefault(key, file)
        if not found:
            problem = NoFlowsError(f"{name}: there is no flow in or below this directory; looked at: {len(looked_at) - count}")
            files[name] = FlowFile(name, None, problem)
    return list(files.values()), len(looked_at) if searched else None


def _read(name: str) -> FlowFile:
    shown = "stdin" if name == STDIN else name
    try:
        return read_flow(read_whole(name), shown)
    except UsageError as error:
        return FlowFile(shown, None, error)


def _read_found(path: Path) -> FlowFile | None:
    """A file that a search came by; None where nothing says that it is a flow."""
    try:
        with path.open("rb") as opened:
            data = opened.read(MAX_FLOW_BYTES + 1)
    except OSError as error:
        return FlowFile(str(path), None, UsageError(f"{path}: {error.strerror or error}"))
    if not (b"steps" in data or b"output" in data):
        return None
    file = read_flow(data, str(path))
    if file.document is None:
        return file if b"steps" in data else None
    return file if may_be_flow(file.document.value) else None


def known_components(files: Sequence[FlowFile], config: Path | None, *, offline: bool, as_json: bool = False) -> list[Known]:
    """What is known for each file: from the configuration that holds for it, and, unless `offline`, from the plugins that
    its steps are routed to. Plugins of one configuration are asked together. Notes go to stderr.

    Raises:
        ConfigError: a configuration is wrong.
    """
    paths = [config or find_config(_directory(file)) for file in files]
    named = [component_paths(file) for file in files]
    known: dict[Path | None, Known] = {}
    for path in dict.fromkeys(paths):
        loaded = load_config(path, beside=None if path is not None else _directory(files[paths.index(path)]))
        for note in loaded.notes:
            _say_note(f"{loaded.path}: {note}", as_json=as_json)
        here = set[str]().union(*(names for names, own in zip(named, paths, strict=True) if own == path))
        without_asking = ConfiguredComponents(loaded.config)
        if path is None and any(isinstance(without_asking.look_up(one), NoRoute) for one in here):
            _say_note(
                "there is no configuration beside the flow or above it, so built-ins are all there is; see --config",
                as_json=as_json,
            )
        answers = Answers({}) if offline else ask_plugins(loaded, without_asking.plugins_of(here))
        for one in answers.silent:
            _say_note(f"plugin {one.name} does not start, so its components are not known: {one.why}", as_json=as_json)
        known[path] = Known(ConfiguredComponents(loaded.config, answers.offered), tuple(answers.silent))
    return [_of_these(known[path], names) for path, names in zip(paths, named, strict=True)]


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of files. `looked_at`: how many were looked at to find them, None where no directory was named."""

    files: Sequence[CheckedFile]
    looked_at: int | None


def check_files(names: Sequence[str], config: Path | None, *, offline: bool, as_json: bool) -> Checked:
    """Find, read and check files. Raises ConfigError."""
    files, looked_at = find_files(names)
    for file in files:
        if file.document is not None and (hint := configuration_hint(file.document.value, file.name)) is not None:
            _say_note(hint, as_json=as_json)
    known = known_components(files, config, offline=offline, as_json=as_json)
    checked = [check_file(file, one.components, one.silent) for file, one in zip(files, known, strict=True)]
    return Checked(checked, looked_at)


def _of_these(known: Known, paths: set[str]) -> Known:
    """The same, with those silent plugins that offer one of these components, or may."""
    used = known.components.plugins_of(paths) if known.silent else set()
    return Known(known.components, tuple(one for one in known.silent if one.name in used))


def _directory(file: FlowFile) -> Path:
    return Path() if file.name == "stdin" else Path(file.name).parent


def _say_note(note: str, *, as_json: bool) -> None:
    say(msgspec.json.encode({"note": note}).decode() if as_json else f"flowspan: {note}")
