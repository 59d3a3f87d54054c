"""Finding and reading a configuration: `--config`, else beside the flow and upwards, else the user's, else built-ins only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from flowspan.errors import FlowspanError
from gateway.config.model import Config, with_paths_from
from gateway.config.problems import ConfigError, Problem, nearest
from gateway.config.schema import known_members
from gateway.config.stepflow_file import translate
from gateway.config.substitution import substitute
from runtime_core.flow.yaml_loader import in_behaviors, load_yaml, locate_yaml

FILE_NAMES: Final = ("flowspan.yml", "flowspan.yaml")
STEPFLOW_FILE_NAMES: Final = ("stepflow-config.yml", "stepflow-config.yaml")
MAX_FILE_BYTES: Final = 4 << 20
"""A configuration is written by people; a larger file is something else."""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, the file that it comes from (None: built-ins only), and what people should be told about it."""

    config: Config
    path: Path | None = None
    notes: Sequence[str] = ()


def find_config(beside: Path | None = None, environment: Mapping[str, str] | None = None) -> Path | None:
    """The file that holds for a flow at `beside` (a file or a directory; default: the working directory)."""
    start = (beside or Path()).resolve()
    for directory in (start, *start.parents):
        for name in (*FILE_NAMES, *STEPFLOW_FILE_NAMES):
            if (directory / name).is_file():
                return directory / name
    directory = config_directory(environment)
    return next((directory / name for name in (*FILE_NAMES, *STEPFLOW_FILE_NAMES) if (directory / name).is_file()), None)


def config_directory(environment: Mapping[str, str] | None = None) -> Path:
    """The user's: `$XDG_CONFIG_HOME/flowspan`, else `~/.config/flowspan`."""
    return _user_directory(environment, "XDG_CONFIG_HOME", ".config")


def data_directory(environment: Mapping[str, str] | None = None) -> Path:
    """Where `serve` keeps its runs unless told otherwise: `$XDG_DATA_HOME/flowspan`, else `~/.local/share/flowspan`."""
    return _user_directory(environment, "XDG_DATA_HOME", ".local/share")


def load_config(
    path: Path | None = None, *, beside: Path | None = None, environment: Mapping[str, str] | None = None
) -> LoadedConfig:
    """The configuration at `path`, else the one that `find_config` finds, else built-ins only.

    Raises:
        ConfigError: it cannot be read, or is wrong; every problem that was found is in it.
    """
    path = path if path is not None else find_config(beside, environment)
    if path is None:
        return LoadedConfig(with_paths_from(Config(), Path().resolve()))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror or error}")]) from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(str(path), [Problem("", f"is larger than {MAX_FILE_BYTES >> 20} MiB")])
    is_stepflow = path.name in STEPFLOW_FILE_NAMES
    config, notes = parse_config(data, name=str(path), is_stepflow=is_stepflow, environment=environment)
    return LoadedConfig(with_paths_from(config, path.resolve().parent), path, (*notes, *_unreachable_routes(config)))


def with_lines(path: Path | None, problems: Sequence[Problem]) -> Sequence[Problem]:
    """Problems that were found later than by reading, with the lines of the file that they are about, if it is still there."""
    try:
        return problems if path is None else _located(path.read_bytes(), problems)
    except (OSError, FlowspanError):
        return problems


def parse_config(
    data: bytes, *, name: str, is_stepflow: bool = False, environment: Mapping[str, str] | None = None
) -> tuple[Config, Sequence[str]]:
    """The configuration that YAML (or JSON) text says, and notes. Paths stay as they are written. `name`: for messages.

    Raises:
        ConfigError: all that is wrong with it.
    """
    try:
        document = load_yaml(data, takes_mapping_keys=in_behaviors)
    except FlowspanError as error:
        raise ConfigError(name, [Problem("", error.message.removeprefix("the flow "), error.details.get("line"))]) from error
    document = {} if document is None else document
    if not isinstance(document, dict):
        raise ConfigError(name, [Problem("", "is not a mapping; see `flowspan config schema`")])
    replaced, problems = substitute(document, os.environ if environment is None else environment)
    notes: list[str] = []
    if is_stepflow and not problems:
        replaced, notes = translate(replaced)
    if not problems:
        try:
            return Config.model_validate(replaced), notes
        except ValidationError as error:
            problems = [_problem(entry) for entry in error.errors(include_url=False, include_input=False, include_context=True)]
    raise ConfigError(name, _located(data, problems)) from None


def _problem(entry: Any) -> Problem:
    """What pydantic found, in words for people and with the place in the file."""
    location = _place(entry["loc"])
    kind, last = entry["type"], str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        message = f"unknown key {last!r}{nearest(last, known_members(location[:-1]))}"
    elif kind == "missing":
        message = f"the key {last!r} is missing"
        location = location[:-1]
    elif kind == "union_tag_invalid":
        tag = str(entry["ctx"]["tag"])
        names = entry["ctx"]["expected_tags"].replace("'", "").split(", ")
        message = f"unknown type {tag!r}{nearest(tag, names)}"
        location = (*location, "type")
    elif kind == "union_tag_not_found":
        message = "the key 'type' is missing"
    elif kind == "too_short" and entry["ctx"]["actual_length"] == 0:
        message = "must not be empty"
    else:
        message = str(entry["msg"]).removeprefix("Value error, ")
    return Problem("".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location), message)


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Pydantic's location without the tags of unions, which are no keys of the file."""
    tagged = {("plugins", 2), ("store", 1), ("auth", 1)}
    return tuple(part for index, part in enumerate(location) if (location[0], index) not in tagged and part != "[key]")


def _located(data: bytes, problems: Sequence[Problem]) -> list[Problem]:
    """With lines. A key that is missing, or that a note of ours made, is shown at what it should stand in."""
    wanted = {pointer for problem in problems for pointer in _enclosing(problem.pointer)}
    found = locate_yaml(data, wanted)
    located = []
    for problem in problems:
        position = next((found[pointer] for pointer in _enclosing(problem.pointer) if pointer in found), None)
        located.append(Problem(problem.pointer, problem.message, None if position is None else position.line))
    return located


def _unreachable_routes(config: Config) -> list[str]:
    """Notes about routes behind one that takes everything."""
    notes = []
    for prefix, routes in config.routes.items():
        last = next((index for index, route in enumerate(routes) if not route.conditions), len(routes))
        if behind := routes[last + 1 :]:
            names = ", ".join(route.plugin for route in behind)
            notes.append(
                f"routes: {prefix}: {names} is never reached: the route to {routes[last].plugin} before it takes everything"
            )
    return notes


def _enclosing(pointer: str) -> list[str]:
    """The pointer and those of everything around it, innermost first."""
    parts = pointer.split("/")
    return ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _user_directory(environment: Mapping[str, str] | None, variable: str, below_home: str) -> Path:
    environment = os.environ if environment is None else environment
    configured = environment.get(variable, "")
    if os.path.isabs(configured):
        return Path(configured, "flowspan")
    return Path(environment.get("HOME") or os.path.expanduser("~"), below_home, "flowspan")
