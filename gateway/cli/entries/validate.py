"""`flowspan validate`: its options."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from gateway.cli.options import ConfigPath, Json, end

FlowFiles = Annotated[
    list[str],
    typer.Argument(metavar="FLOW...", help="Files of flows (JSON or YAML), or directories to search; - for stdin."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Start no plugin; of its components nothing is known then.")]


def validate(
    flows: FlowFiles,
    config: ConfigPath = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Warnings fail too, and so does a plugin that cannot be asked.")
    ] = False,
    offline: Offline = False,
    as_json: Json = False,
) -> NoReturn:
    """Check flows without running them: structure, references, types; exit code 1 if one of them cannot be right."""
    from gateway.cli import validate_command

    end(validate_command.validate(flows, config, strict=strict, offline=offline, as_json=as_json))
