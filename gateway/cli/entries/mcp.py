"""`flowspan mcp`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.cli.options import Ca, Deadline, LogLevel, LogLevelOption, Target, Tls, Token, Variables, end, server_options


def mcp(
    flows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FLOW...",
            help="Flows to offer: files, ids or names of stored ones; default: all stored flows with a name.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Run the flows in a gateway of this process, as this flowspan.yml says.", metavar="FILE"),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="Run the flows in a gateway of this process that keeps its runs here.", metavar="DIR"),
    ] = None,
    variables: Variables = None,
    deadline: Deadline = None,
    log_level: LogLevelOption = LogLevel.WARNING,
    target: Target = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
) -> NoReturn:
    """Offer stored flows as tools, as an MCP server over stdin and stdout; each call is a run of one item."""
    from gateway.cli import mcp_command
    from gateway.telemetry import setup_telemetry

    setup_telemetry(level=(log_level or LogLevel.WARNING).value)
    options = mcp_command.Options(tuple(flows or ()), config, state, variables, deadline)
    end(mcp_command.serve(options, server_options(target, token, tls, ca)))
