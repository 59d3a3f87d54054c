"""The cases: YAML files below `cases/`, a group each.

    group: cancel
    program: client            # whom they test: client, or server (then the driving client is the reference)
    transports: [stdio]        # server groups only; default: all
    flows:                     # stored before the first case; `$flow.NAME` is their id
      sleep: {…}
    cases:
      - name: a sentence about behaviour
        needs: [/facts]        # components without which the case does not apply
        transports: [stdio]    # default: those of the group
        do:
          - submit: {flow_id: $flow.sleep, inputs: [1, 2]}
            as: run            # `$run.run_id` from here on
            expect: {status: running}
          - cancel: {run_id: $run.run_id}
            fails: {reason: …, grpc: …, retryable: …}   # or expect

`inputs`, `flow`, `data`, `overrides` and `variables` are values, which the runner writes as the JSON texts of PROTOCOL.md; with
`_json` behind their names they are texts already. `begin: true` does not wait for the answer: `finish: NAME` does. `events: […]`
is what came before it, `wait_s` how long it may take. Steps of the runner itself: `finish`, `ends`, `await_events`, `reconnect`
(through the relay), `cut`, `stall`, `resume`, `generate`, `decode`, `compare` (see play.py). `vectors: FILE` makes a case of each
vector. What `expect` may say is told in matching.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

HERE: Final = Path(__file__).parent
CLIENT: Final = "client"
SERVER: Final = "server"
_AS_JSON: Final = {"flow": "flow_json", "data": "data_json", "overrides": "overrides_json", "variables": "variables_json"}


@dataclass(frozen=True, slots=True)
class Case:
    """One sentence about behaviour, and the steps that show it."""

    name: str
    steps: tuple[dict[str, Any], ...]
    needs: tuple[str, ...] = ()
    transports: tuple[str, ...] = ()
    """None: all of its group's."""


@dataclass(frozen=True, slots=True)
class Group:
    """The cases of a file."""

    name: str
    program: str
    cases: tuple[Case, ...]
    flows: Mapping[str, Any] = field(default_factory=dict)
    transports: tuple[str, ...] = ()


def load_groups(directory: Path = HERE / "cases") -> tuple[Group, ...]:
    """All groups, clients' first.

    Raises:
        ValueError: a file is not as described above; the message names it.
    """
    groups = [_group(file) for file in sorted(directory.glob("*.yaml"))]
    return tuple(sorted(groups, key=lambda group: group.program != CLIENT))


def _group(file: Path) -> Group:
    document = yaml.safe_load(file.read_text())
    unknown = document.keys() - {"group", "program", "transports", "flows", "cases"}
    if unknown or document.get("program") not in (CLIENT, SERVER):
        raise ValueError(f"{file.name}: unknown members {sorted(unknown)}, or program is neither client nor server")
    cases: list[Case] = []
    for entry in document["cases"]:
        if extra := entry.keys() - {"name", "do", "needs", "transports", "vectors"}:
            raise ValueError(f"{file.name}: {entry.get('name')}: unknown members {sorted(extra)}")
        if "vectors" in entry:
            cases += _of_vectors(entry)
        else:
            lists = (tuple(entry.get(member, ())) for member in ("do", "needs", "transports"))
            cases.append(Case(entry["name"], *lists))
    names = [case.name for case in cases]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{file.name}: {sorted(twice)} stand there twice")
    return Group(
        document["group"], document["program"], tuple(cases), document.get("flows", {}), tuple(document.get("transports", ()))
    )


def _of_vectors(entry: dict[str, Any]) -> list[Case]:
    """A case for each vector, in which `$vector.json`, `.canonical` and `.blobId` stand for its members."""
    vectors = json.loads((HERE.parent / "vectors" / entry["vectors"]).read_text())
    return [
        Case(
            f"{entry['name']}: {vector['name']}",
            tuple(substituted(entry["do"], {"vector": vector})),
            tuple(entry.get("needs", ())),
        )
        for vector in vectors
    ]


def substituted(value: Any, names: Mapping[str, Any]) -> Any:
    """The same with `$NAME.MEMBER…` replaced wherever it is a whole text; names that are not known stay."""
    if isinstance(value, dict):
        return {key: substituted(member, names) for key, member in value.items()}
    if isinstance(value, list):
        return [substituted(element, names) for element in value]
    if isinstance(value, str) and value.startswith("$") and value[1:].split(".")[0] in names:
        first, *path = value[1:].split(".")
        found: Any = names[first]
        for part in path:
            found = found[int(part)] if isinstance(found, list) else found[part]
        return found
    return value


def in_texts(members: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a command, with values written as the JSON texts of the protocol."""
    command: dict[str, Any] = {}
    for name, value in members.items():
        if name == "inputs":
            command["inputs_json"] = [written(element) for element in value]
        elif name in _AS_JSON:
            command[_AS_JSON[name]] = written(value)
        else:
            command[name] = value
    return command


def written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
