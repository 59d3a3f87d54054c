"""The checks of `flowspan conformance`, and those that need the components of PROTOCOL.md, straight on a server's pipes."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def wire_cases(command: Sequence[str]) -> list[tuple[str, Callable[[], None] | None]]:
    """A case per check, by its name."""
    return []
