"""`${VAR}` and `${VAR:-default}` in the strings of a configuration, after it was parsed: a value can never become syntax."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.config.problems import Problem

# `$${` stands for `${` itself; a name that shells would take; a default without braces.
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\Z", re.DOTALL)


def substitute(value: Any, environment: Mapping[str, str]) -> tuple[Any, list[Problem]]:
    """The value with every reference replaced, and what could not be. Keys are left alone. A default is used where the
    variable is absent or empty, as in shells."""
    problems: list[Problem] = []
    return _replaced(value, environment, "", problems), problems


def _replaced(value: Any, environment: Mapping[str, str], pointer: str, problems: list[Problem]) -> Any:
    # The depth of the value is bounded by the loader.
    if isinstance(value, dict):
        return {key: _replaced(part, environment, f"{pointer}/{_token(key)}", problems) for key, part in value.items()}
    if isinstance(value, list):
        return [_replaced(part, environment, f"{pointer}/{index}", problems) for index, part in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def expand(match: re.Match[str]) -> str:
        if match[1] is None:
            return "${"
        reference = _NAME.match(match[1])
        if reference is None:
            problems.append(
                Problem(pointer, f"{match[0]!r} is no reference; write ${{NAME}}, ${{NAME:-default}}, or $${{ for the characters")
            )
            return ""
        name, default = reference.groups()
        found = environment.get(name, "")
        if found or default is not None:
            return found or str(default)
        if name not in environment:
            problems.append(
                Problem(pointer, f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
            )
        return found

    return _REFERENCE.sub(expand, value)


def _token(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
