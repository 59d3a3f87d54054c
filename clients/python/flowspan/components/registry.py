"""The components of one server, by name."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from flowspan.components.schemas import InputReader, JsonSchema, input_reader, output_schema, signature_types

_PARAMETER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
MAX_COMPONENTS: Final = 10_000
"""A gateway refuses a longer list."""


class Kind(Enum):
    """Where a component runs."""

    INLINE = "inline"
    ASYNC = "async"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class Component:
    """One component: `name` begins with a slash."""

    name: str
    function: Callable[..., Any]
    kind: Kind
    takes_context: bool
    read_input: InputReader
    input_schema: JsonSchema
    output_schema: JsonSchema
    description: str | None

    def info(self) -> dict[str, Any]:
        """The entry of `components/list` and the `info` of `components/info`."""
        info: dict[str, Any] = {"component": self.name, "name": self.name}
        if self.description is not None:
            info["description"] = self.description
        return {**info, "input_schema": self.input_schema, "output_schema": self.output_schema}


class Registry:
    """Components by name; looked up with and without the leading slash. A part of a name in braces is a parameter, which stands
    for one whole part of a path: `/users/{id}` is found by `/users/7`."""

    def __init__(self) -> None:
        self._with_parameters: list[Component] = []
        self._components: dict[str, Component] = {}
        self.by_name: dict[str, Component] = {}

    def add(
        self,
        function: Callable[..., Any],
        name: str | None,
        description: str | None,
        inline: bool,
        local_names: dict[str, Any],
    ) -> Component:
        """Register a function; the default name is the function's, the default description its docstring's first paragraph.

        Raises:
            TypeError: the signature or the types do not fit, or an async function is to run inline.
            ValueError: the name is taken or empty, its braces are no whole part, or there are too many.
        """
        path = "/" + (name if name is not None else getattr(function, "__name__", "")).strip("/")
        if path == "/":
            raise ValueError("a component needs a name")
        if any(("{" in part or "}" in part) and not _PARAMETER.fullmatch(part) for part in path.split("/")):
            raise ValueError(f"component {path}: a parameter is a whole part of the name, such as /users/{{id}}")
        if path in self._components:
            raise ValueError(f"there is already a component {path}")
        if len(self._components) >= MAX_COMPONENTS:
            raise ValueError(f"a server offers at most {MAX_COMPONENTS} components")
        is_async = _is_async(function)
        if inline and is_async:
            raise TypeError(f"component {path}: an async function cannot run inline; leave out inline=True")
        input_kind, output_kind, takes_context = signature_types(function, local_names)
        reader, schema = input_reader(input_kind, path)
        component = Component(
            name=path,
            function=function,
            kind=Kind.INLINE if inline else Kind.ASYNC if is_async else Kind.SYNC,
            takes_context=takes_context,
            read_input=reader,
            input_schema=schema,
            output_schema=output_schema(output_kind),
            description=description if description is not None else _first_paragraph(function),
        )
        self._components[path] = component
        self.by_name[path] = self.by_name[path[1:]] = component
        if "{" in path:
            self._with_parameters.append(component)
        return component

    def find(self, path: str) -> Component | None:
        """The component that a path names: the one of this very name, else the first whose parameters fit."""
        component = self.by_name.get(path)
        if component is None and self._with_parameters:
            return next((one for one in self._with_parameters if path_parameters(one.name, path) is not None), None)
        return component

    def all(self) -> list[Component]:
        """In the order of their registration."""
        return list(self._components.values())


def path_parameters(name: str, path: str) -> dict[str, str] | None:
    """What the parameters of a name stand for in a path; None if it does not fit."""
    named, given = name.strip("/").split("/"), path.strip("/").split("/")
    if len(named) != len(given):
        return None
    found: dict[str, str] = {}
    for part, value in zip(named, given, strict=True):
        if part.startswith("{"):
            if not value:
                return None
            found[part[1:-1]] = value
        elif part != value:
            return None
    return found


def _is_async(function: Callable[..., Any]) -> bool:
    inner = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inner.func
    call = getattr(inner, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(call)


def _first_paragraph(function: Callable[..., Any]) -> str | None:
    text = inspect.getdoc(function)
    return " ".join(text.split("\n\n", 1)[0].split()) if text else None
