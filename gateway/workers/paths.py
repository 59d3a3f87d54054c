"""Component names with parameters: `/users/{id}` fits `/users/7`. Pure."""

from __future__ import annotations

import re
from typing import Final

from flowspan.errors import InvalidArgumentError
from flowspan.jsonrpc import printable

_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class PathPattern:
    """A name whose parameters each stand for one whole part of a path, never for a slash.

    Raises:
        InvalidArgumentError: braces that are no parameter, or one that is not a whole part.
    """

    __slots__ = ("_parts", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        # Part by part, and not as one expression: a stranger's name must not make matching slow.
        self._parts = [None if _PARAMETER.fullmatch(part) else part for part in name.split("/")]
        if any(part is not None and ("{" in part or "}" in part) for part in self._parts):
            raise InvalidArgumentError(
                f"component {printable(name, 200)!r}: a parameter is a whole part of the path, such as /users/{{id}}",
                field="components",
            )

    def fits(self, path: str) -> bool:
        parts = path.split("/")
        return len(parts) == len(self._parts) and all(
            part == given if part is not None else given for part, given in zip(self._parts, parts, strict=True)
        )
