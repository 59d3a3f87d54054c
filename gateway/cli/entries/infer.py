"""`flowspan infer`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.cli.entries.validate import Offline
from gateway.cli.options import ConfigPath, Json, end


def infer(
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="A flow's file (JSON or YAML); - for stdin.")],
    config: ConfigPath = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the flow to this file instead of stdout.", metavar="FILE")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the flow back to its own file.")] = False,
    offline: Offline = False,
    as_json: Json = False,
) -> NoReturn:
    """Complete a flow's schemas with what is known of its components; all else in the file stays as it is written."""
    from gateway.cli import infer_command

    end(infer_command.infer(flow, config, output=output, write=write, offline=offline, as_json=as_json))
