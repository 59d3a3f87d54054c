"""`flowspan conformance`: its options."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from gateway.cli.options import Json, end

Command = Annotated[
    list[str], typer.Argument(metavar="-- COMMAND...", help="The component server: a program and its arguments, behind --.")
]
Component = Annotated[
    str | None,
    typer.Option("--component", metavar="NAME", help="A component to execute as well: one that answers soon and has no effects."),
]
Input = Annotated[str, typer.Option("--input", metavar="JSON", help="Its input.")]


def conformance(command: Command, component: Component = None, value: Input = "null", as_json: Json = False) -> NoReturn:
    """Check that a component server keeps the protocol of stdio, without a gateway; exit code 1 if it does not."""
    from gateway.cli import conformance_command

    end(conformance_command.check(command, component, value, as_json=as_json))
