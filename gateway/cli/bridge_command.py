"""`flowspan bridge`: a component server on this host, a gateway on another."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.cli.connection import ServerOptions, join_environment, run_loop
from gateway.cli.exits import SUCCESS, UsageError
from gateway.http_bridge.settings import HttpPlugin
from gateway.sidecar.program import ServerMaker, http_server, serve_bridge, stdio_server
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.settings import StdioPlugin
from gateway.telemetry import flush_logs, setup_telemetry

NAME: Final = "bridged"
"""Of the component server, in messages."""


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """What `bridge` was given: a command or a URL. `env`: NAME, which is passed on, or NAME=VALUE."""

    command: tuple[str, ...]
    queue: str
    replicas: int
    capacity: int | None
    env: tuple[str, ...]
    cwd: Path | None
    http: str | None = None


def bridge(options: BridgeOptions, server: ServerOptions, log_level: str | None, log_format: str | None) -> int:
    """Ends with 0 after SIGTERM or SIGINT.

    Raises:
        UsageError: there is neither a command nor a URL, or both.
        FlowspanError: there is no gateway to be found, or the component server cannot be used.
    """
    if bool(options.command) == (options.http is not None):
        raise UsageError("give either a component server's command, behind --, or --http with the URL of one that runs")
    if options.http is not None and not options.http.startswith(("http://", "https://")):
        raise UsageError(f"--http: {options.http!r} is no URL of a server; write http://HOST:PORT/")
    setup_telemetry(level=log_level or "info", log_format=log_format or "auto")
    join_environment()
    environment: dict[str, str] = {}
    for entry in options.env:
        name, has_value, value = entry.partition("=")
        if has_value or name in os.environ:
            environment[name] = value if has_value else os.environ[name]
    program, *args = options.command or ("",)
    launch = LaunchSpec(NAME, program, tuple(args), env=environment, cwd=None if options.cwd is None else str(options.cwd))
    if options.http is not None:
        make_server = http_server(HttpPlugin(launch, capacity=options.capacity, url=options.http))
    else:
        make_server = stdio_server(StdioPlugin(launch, replicas=options.replicas, capacity=options.capacity))
    try:
        run_loop(_serve(make_server, options.queue, server))
    finally:
        flush_logs()
    return SUCCESS


async def _serve(make_server: ServerMaker, queue: str, server: ServerOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve_bridge(make_server, server.connect(), queue, stop)
