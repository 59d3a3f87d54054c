"""Named figures of a module with what their author says of them: read from its source, valued by importing it."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Constant:
    """`NAME: Final = value`. `meaning`: the string below it, or empty."""

    name: str
    value: Any
    meaning: str


def constants_of(module_name: str, only: Iterable[str] = ()) -> Iterator[Constant]:
    """Public constants of a module in their order; with `only`, those.

    Raises:
        KeyError: `only` names one that the module does not have.
    """
    module = importlib.import_module(module_name)
    body = ast.parse(inspect.getsource(module)).body
    wanted = list(only)
    found: dict[str, Constant] = {}
    for position, node in enumerate(body):
        name = _assigned(node)
        if name is not None and (not wanted or name in wanted):
            found[name] = Constant(name, getattr(module, name), _meaning(body, position))
    for name in wanted or found:
        yield found[name]


def amount(name: str, value: Any) -> str:
    """A figure in the unit that its name says."""
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"`{value}`"
    lower = name.lower()
    if "bytes" in lower or lower.endswith(("_message_length", "_metadata_size")):
        return size(int(value))
    if lower.endswith("_ms"):
        return duration(value / 1000)
    if lower.endswith("_s") and not lower.endswith("_per_s"):
        return duration(value)
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}"


def size(count: int) -> str:
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor and count * 4 % factor == 0:
            return f"{count / factor:g} {unit}"
    return f"{count:,} bytes"


def duration(seconds: float) -> str:
    for unit, factor in (("days", 86_400), ("h", 3_600)):
        if seconds >= factor and seconds % factor == 0:
            return f"{seconds / factor:g} {unit}"
    return f"{seconds:g} s"


def cell(text: str) -> str:
    """Text within a table: one line, no bar, a capital where it begins with a plain word."""
    line = " ".join(text.split()).replace("|", "\\|")
    first = line.partition(" ")[0].rstrip(",.;:")
    return line[:1].upper() + line[1:] if first.isalpha() and first.islower() else line


def _assigned(node: ast.stmt) -> str | None:
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    return target.id if isinstance(target, ast.Name) and target.id.isupper() and not target.id.startswith("_") else None


def _meaning(body: list[ast.stmt], position: int) -> str:
    following = body[position + 1] if position + 1 < len(body) else None
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return str(following.value.value)
    return ""
