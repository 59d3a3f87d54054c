"""`flowspan schema`: JSON Schemas for editors."""

from __future__ import annotations

from typing import NoReturn

import typer

from gateway.cli.options import end

schema_app = typer.Typer(help="Print JSON Schemas, with which editors complete and check.", no_args_is_help=True)


@schema_app.command("flow")
def print_flow_schema() -> NoReturn:
    """Print the JSON Schema of a flow."""
    from gateway.cli import schema_commands

    end(schema_commands.flow())


@schema_app.command("config")
def print_config_schema() -> NoReturn:
    """Print the JSON Schema of flowspan.yml."""
    from gateway.cli import schema_commands

    end(schema_commands.config())
