"""Flows that are checked with components that the test names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime_core.flow.diagnostics import Level
from runtime_core.flow.inspection import Inspection, inspect_flow
from runtime_core.flow.parse import check_flow
from runtime_core.flow.types.components import ComponentTypes, Knowledge, NoComponent, NoRoute

JsonDict = dict[str, Any]


class Components:
    """Everything below `/t` is one plugin that offers these components, by the last word of their paths."""

    def __init__(self, components: Mapping[str, ComponentTypes]) -> None:
        self._components = {f"/t/{name}": types for name, types in components.items()}

    def look_up(self, path: str) -> Knowledge:
        if not path.startswith("/t/"):
            return NoRoute(f"no route leads to component {path!r}")
        return self._components.get(path) or NoComponent("t", self._components.keys())


ECHO = ComponentTypes(echoes=())


def takes(schema: Any) -> ComponentTypes:
    return ComponentTypes(input_schema=schema)


def gives(schema: Any) -> ComponentTypes:
    return ComponentTypes(output_schema=schema)


def step(name: str, input: Any = None, **fields: Any) -> JsonDict:
    """A step that is named as its component."""
    return {"id": name, "component": f"/t/{name}", "input": input, **fields}


def flow(*steps: JsonDict, output: Any = None, **fields: Any) -> JsonDict:
    """A flow all of whose steps are used."""
    used = [{"$step": one["id"]} for one in steps]
    return {"name": "f", "description": "d", "steps": list(steps), "output": [output, used], **fields}


def schemas(**parts: Any) -> JsonDict:
    return {"type": "object", "properties": parts}


def inspect(document: JsonDict, **components: ComponentTypes) -> Inspection:
    return inspect_flow(check_flow(document), Components(components))


def found(document: JsonDict, **components: ComponentTypes) -> list[tuple[int, str]]:
    """Codes and places of all findings."""
    return [(one.code, one.path) for one in inspect(document, **components).findings]


def errors(document: JsonDict, **components: ComponentTypes) -> list[tuple[int, str]]:
    """Codes and places of what is reported as an error."""
    findings = inspect(document, **components).findings
    return [(one.code, one.path) for one in findings if one.level is not Level.WARNING]


def message(document: JsonDict, **components: ComponentTypes) -> str:
    """What the one finding says."""
    [finding] = inspect(document, **components).findings
    return finding.message
