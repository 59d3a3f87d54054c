"""Component names with parameters: `/users/{id}` fits `/users/7`. Pure."""

from __future__ import annotations

import re
from typing import Final

_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class PathPattern:
    """A name whose parts in braces each stand for one part of a path, never for a slash."""

    __slots__ = ("_expression", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        pieces = _PARAMETER.split(name)
        literal = (re.escape(piece) for piece in pieces[::2])
        self._expression = re.compile("([^/]+)".join(literal))

    def fits(self, path: str) -> bool:
        return self._expression.fullmatch(path) is not None
