"""From the path of a request to what is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar


class Located(Protocol):
    """`method`: GET, POST or DELETE. `path`: such as `/v1/runs/{runId}`; `{path...}` takes the rest, with its slashes."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...


PlaceT = TypeVar("PlaceT", bound=Located)
_REST: Final = "..."


class PathTable(Generic[PlaceT]):
    """Finds operations. Words stand before parameters."""

    def __init__(self, operations: Sequence[PlaceT]) -> None:
        self._operations: Final = [(tuple(one.path.strip("/").split("/")), one) for one in operations]

    def find(self, path: str) -> dict[str, tuple[PlaceT, dict[str, str]]] | None:
        """By method: the operation and its arguments. None: nothing is there."""
        parts = path.strip("/").split("/")
        found: dict[str, tuple[PlaceT, dict[str, str]]] = {}
        for template, operation in self._operations:
            arguments = _match(template, parts)
            if arguments is not None:
                found.setdefault(operation.method, (operation, arguments))
        return found or None


def _match(template: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    takes_rest = template[-1].endswith(_REST + "}")
    if len(parts) < len(template) or (len(parts) > len(template) and not takes_rest):
        return None
    arguments: dict[str, str] = {}
    for position, word in enumerate(template):
        if not word.startswith("{"):
            if word != parts[position]:
                return None
        elif word.endswith(_REST + "}"):
            arguments[word[1 : -len(_REST) - 1]] = "/".join(parts[position:])
        else:
            arguments[word[1:-1]] = parts[position]
    return arguments
