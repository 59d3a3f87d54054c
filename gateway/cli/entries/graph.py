"""`flowspan graph`: its options."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.cli.options import Ca, ConfigPath, Target, Tls, Token, end, id_of_run, server_options


class PictureFormat(StrEnum):
    SVG = "svg"
    DOT = "dot"
    MERMAID = "mermaid"


FlowToDraw = Annotated[
    str | None, typer.Argument(metavar="FLOW", help="A flow's file (JSON or YAML), - for stdin; not needed with --run.")
]
Form = Annotated[PictureFormat | None, typer.Option("--format", help="Default: by the name of --output, else svg.")]
PictureFile = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the picture to this file instead of stdout.", metavar="FILE")
]
RunToShow = Annotated[
    str | None,
    typer.Option(
        "--run",
        help="Colour the steps by how they fared in this run of a gateway that runs.",
        metavar="RUN",
        callback=id_of_run("--run"),
    ),
]


def graph(
    flow: FlowToDraw = None,
    form: Form = None,
    output: PictureFile = None,
    run: RunToShow = None,
    config: ConfigPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="The graph's nodes and edges instead of a picture.")] = False,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Draw a flow: its steps, what needs what, its branches; colours tell the plugins apart."""
    from gateway.cli import graph_command

    request = graph_command.GraphRequest(flow, form and form.value, output, run, config, as_json)
    end(graph_command.graph(request, server_options(target, token, tls, ca)))
