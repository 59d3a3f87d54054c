"""cli.md: the options of every command, from the command itself."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer.core
import typer.main

from gateway.cli.entry import app

from .constants import cell


def commands() -> str:
    parts: list[str] = []
    for path, command in leaves():
        arguments = [one for one in command.params if isinstance(one, typer.core.TyperArgument)]
        options = [one for one in command.params if isinstance(one, typer.core.TyperOption)]
        shown = " ".join(str(one.metavar) if one.required else f"[{one.metavar}]" for one in arguments)
        said = [f"`{one.metavar}`: {one.help}" for one in arguments if one.help]
        usage = f"`flowspan {' '.join((*path, shown)).strip()}`"
        parts += [f"### {' '.join(path)}", "", f"{usage}. {' '.join([cell(command.help or ''), *said])}", ""]
        if options:
            parts += ["| Option | |", "|---|---|", *map(_row, options), ""]
    return "\n".join(parts).rstrip()


def leaves() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with its words."""
    yield from _leaves(typer.main.get_command(app), ())


def _leaves(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from _leaves(command, (*path, name))
        else:
            yield (*path, name), command


def _row(option: typer.core.TyperOption) -> str:
    metavar = f" {option.metavar}".replace("|", "\\|") if option.metavar else ""
    names = ", ".join(f"`{name}{metavar if name.startswith('--') else ''}`" for name in reversed(option.opts))
    annotation = option.type_descriptor.annotation
    sentences = [option.help or ""]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        sentences.append(f"One of {', '.join(str(member.value) for member in annotation)}.")
    if not option.help:
        raise LookupError(f"{option.opts[0]} has no help")
    default = getattr(option.default, "value", option.default)
    if default not in (None, False, (), "", 0) and "efault" not in sentences[0]:
        sentences.append(f"Default: {default}.")
    return f"| {names} | {cell(' '.join(filter(None, sentences)))} |"


SECTIONS = {"commands": commands}
