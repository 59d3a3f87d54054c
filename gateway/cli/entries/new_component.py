"""`flowspan new component`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.cli.options import Json, end

new_app = typer.Typer(help="Write projects to begin with.", no_args_is_help=True)


@new_app.callback()
def new() -> None:
    """Write projects to begin with."""


@new_app.command("component")
def component(
    lang: Annotated[
        str, typer.Option("--lang", help="Of the components: python, typescript, go, rust or java.", metavar="LANGUAGE")
    ],
    directory: Annotated[Path | None, typer.Argument(metavar="DIR", help="Where; default: a new directory of that name.")] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the project, its plugin and its route; default: the directory's.", metavar="NAME"),
    ] = None,
    sdk: Annotated[
        Path | None,
        typer.Option(
            "--sdk",
            help="The SDK: its directory, or a packed one (Python: .whl, .tar.gz; TypeScript: .tgz). "
            "Default: that of the checkout from which this command runs, else the published version.",
            metavar="PATH",
        ),
    ] = None,
    as_json: Json = False,
) -> NoReturn:
    """Write a component server that runs at once, with a test, a flow and inputs for it. No file is overwritten."""
    from gateway.cli import new_component

    end(new_component.write_project(lang, directory, name, sdk, as_json=as_json))
