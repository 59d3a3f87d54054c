"""`flowspan bridge`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.cli.options import Ca, LogFormatOption, LogLevelOption, Tls, Token, end

Command = Annotated[list[str] | None, typer.Argument(metavar="COMMAND...", help="The component server, behind --.")]
Gateway = Annotated[
    str | None,
    typer.Option("--gateway", help="HOST:PORT or unix:/path; default: FLOWSPAN_TARGET, else the one that runs here."),
]
Queue = Annotated[
    str, typer.Option("--queue", envvar="FLOWSPAN_QUEUE", help="Of a plugin of type worker in the gateway's configuration.")
]


def bridge(
    queue: Queue,
    command: Command = None,
    http: Annotated[
        str | None, typer.Option("--http", help="A component server that listens, instead of a command.", metavar="URL")
    ] = None,
    gateway: Gateway = None,
    token: Token = None,
    tls: Tls = False,
    ca: Ca = None,
    replicas: Annotated[int, typer.Option("--replicas", min=1, max=64, help="Processes of the component server.")] = 1,
    capacity: Annotated[
        int | None, typer.Option("--capacity", min=1, max=4096, help="Executions at once per process; default: what it declares.")
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", help="NAME or NAME=VALUE: a variable for the component server; may be repeated."),
    ] = None,
    cwd: Annotated[Path | None, typer.Option("--cwd", help="Its working directory.", metavar="DIR")] = None,
    log_level: LogLevelOption = None,
    log_format: LogFormatOption = None,
) -> NoReturn:
    """Run a component server here for a gateway elsewhere: over pipes to the one, over gRPC to the other."""
    from gateway.cli import bridge_command
    from gateway.cli.options import server_options

    options = bridge_command.BridgeOptions(tuple(command or ()), queue, replicas, capacity, tuple(env or ()), cwd, http)
    level, form = log_level and log_level.value, log_format and log_format.value
    end(bridge_command.bridge(options, server_options(gateway, token, tls, ca), level, form))
