"""`serve` and `dev`: a gateway that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from flowspan.discovery import runtime_directory, write_server_file
from gateway.cli.connection import join_environment, run_loop
from gateway.cli.exits import INTERRUPTED, STORAGE, SUCCESS, say
from gateway.cli.output import OutputClosedError, write_stdout
from gateway.config import (
    Config,
    ConfigError,
    LoadedConfig,
    NoAuth,
    Problem,
    TokenAuth,
    Web,
    check_address,
    check_web_address,
    data_directory,
    is_loopback,
    load_config,
)
from gateway.telemetry import flush_logs, setup_telemetry

if TYPE_CHECKING:
    from gateway.app import Gateway

SOCKET_NAME: Final = "flowspan.sock"
DEV_STATE: Final = ".flowspan"
"""Where `dev` keeps its runs, beside the configuration."""
LOOK_EVERY_S: Final = 0.5
"""Between two looks of `dev` at the files; people do not notice it."""
MAX_WATCHED_FILES: Final = 5_000
"""Files of plugins that `dev` looks at; a directory with more is not the source of one."""
WATCHED_SUFFIXES: Final = frozenset({".py", ".js", ".mjs", ".cjs", ".ts", ".json", ".yml", ".yaml"})
PLUGINS_READY_S: Final = 15.0
"""How long the ready line waits for plugins; they go on starting afterwards."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What `serve` and `dev` were given."""

    config: Path | None = None
    listen: tuple[str, ...] = ()
    no_auth: bool = False
    state: Path | None = None
    log_level: str | None = None
    log_format: str | None = None
    web: str | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    loaded: LoadedConfig
    listen: tuple[str, ...]
    token: str | None
    state: Path | None


def serve(options: ServeOptions) -> int:
    """`flowspan serve`. Ends with 0 after SIGTERM or SIGINT, 74 if the store failed."""
    plan = _plan(options, load_config(options.config), data_directory())
    return _run(plan, options, _until)


def dev(options: ServeOptions) -> int:
    """`flowspan dev`: as `serve`, and starts anew when the configuration or a plugin's files change."""
    loaded = load_config(options.config)
    beside = (loaded.path or Path("flowspan.yml")).resolve().parent
    plan = _plan(options, loaded, beside / DEV_STATE)
    while True:
        changed = asyncio.Event()
        # Before anything starts: what changes meanwhile is a change.
        stamp = _file_stamp(plan.loaded)
        code = _run(plan, options, partial(_until_changed, plan.loaded, stamp, changed), grace_s=1.0)
        if code != SUCCESS or not changed.is_set():
            return code
        say("flowspan: files changed; starting anew")
        plan = _replan(plan, options, beside)


async def _until_changed(
    loaded: LoadedConfig, stamp: object, changed: asyncio.Event, gateway: Gateway, stop: asyncio.Event
) -> int:
    looking = asyncio.create_task(_look(loaded, stamp, changed, stop))
    try:
        return await _until(gateway, stop)
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


def _replan(plan: _Plan, options: ServeOptions, beside: Path) -> _Plan:
    """The plan for files that changed; while they are wrong, that is said once per change and the last good one holds."""
    try:
        loaded = load_config(options.config or plan.loaded.path)
        again = _plan(options, loaded, beside / DEV_STATE)
    except ConfigError as error:
        say(f"flowspan: {error.message}\nflowspan: going on with the last configuration that was right")
        return plan
    # Clients find it where it was.
    return _Plan(again.loaded, plan.listen, plan.token, again.state)


def _plan(options: ServeOptions, loaded: LoadedConfig, default_state: Path) -> _Plan:
    """Everything that is decided before anything is started.

    Raises:
        ConfigError: an address is malformed, or would let in who must not come in.
    """
    config, name = loaded.config, str(loaded.path or "--listen")
    for note in loaded.notes:
        say(f"flowspan: {loaded.path}: {note}")
    try:
        for address in options.listen:
            check_address(address)
        if options.web is not None:
            check_web_address(options.web)
            web = Web(listen=options.web) if config.web is None else config.web.model_copy(update={"listen": options.web})
            config = config.model_copy(update={"web": web})
        listen = (*config.listen, *options.listen)
        auth = NoAuth(type="none") if options.no_auth else config.auth
        config = config.model_copy(update={"listen": listen, "auth": auth})
        config.check_access()
    except ValueError as error:
        raise ConfigError(name, [Problem("/listen", str(error))]) from error
    if not any(address.startswith("unix:") for address in listen):
        listen = (f"unix:{_free_socket()}", *listen)
    token = None
    if isinstance(auth, TokenAuth):
        token = auth.token.get_secret_value() if auth.token is not None else secrets.token_urlsafe(32)
    return _Plan(LoadedConfig(config, loaded.path, loaded.notes), listen, token, _state(options, config, default_state))


def _state(options: ServeOptions, config: Config, default: Path) -> Path | None:
    if options.state is not None:
        return options.state.resolve()
    if config.store is None:
        return default
    return config.store.path if config.store.type == "sqlite" else None


def _free_socket() -> Path:
    """The user's socket, or one named after this process where another gateway listens there."""
    directory = runtime_directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / SOCKET_NAME
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return path
    return directory / f"flowspan-{os.getpid()}.sock"


def _run(
    plan: _Plan,
    options: ServeOptions,
    main: Callable[[Gateway, asyncio.Event], Awaitable[int]],
    *,
    grace_s: float | None = None,
) -> int:
    telemetry = plan.loaded.config.telemetry
    setup_telemetry(level=options.log_level or telemetry.log_level, log_format=options.log_format or telemetry.log_format)
    try:
        return run_loop(_serve(plan, main, grace_s))
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        flush_logs()


async def _serve(plan: _Plan, main: Callable[[Gateway, asyncio.Event], Awaitable[int]], grace_s: float | None) -> int:
    from gateway.app import open_gateway
    from gateway.assembly import assemble

    join_environment()
    stop, hard_stop = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        # The first asks, the second insists.
        (hard_stop if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    parts = assemble(
        plan.loaded.config, store=plan.state, listen=plan.listen, token=plan.token, name=str(plan.loaded.path or "flowspan.yml")
    )
    gateway = await open_gateway(parts)
    server_file: Path | None = None
    try:
        await _settled(gateway, stop)
        server_file = write_server_file(
            gateway.addresses[0], plan.token, os.getpid(), addresses=gateway.addresses, config=plan.loaded.path
        )
        _announce(gateway.addresses, gateway.metrics_address, gateway.web_url, server_file)
        return await main(gateway, stop)
    finally:
        if server_file is not None:
            server_file.unlink(missing_ok=True)
        stopping = asyncio.ensure_future(gateway.stop(grace_s))
        insisting = asyncio.ensure_future(hard_stop.wait())
        await asyncio.wait((stopping, insisting, gateway.failed), return_when=asyncio.FIRST_COMPLETED)
        if gateway.failed.done():
            _end_with_store(gateway)
        insisting.cancel()
        if not stopping.done():
            stopping.cancel()
        await asyncio.gather(stopping, insisting, return_exceptions=True)
        if not stopping.cancelled():
            stopping.result()  # a stop that went wrong is not a success


async def _settled(gateway: Gateway, stop: asyncio.Event) -> None:
    """Until the plugins take calls, are broken, or have had their time: who reads the ready line may call at once."""
    ready = asyncio.ensure_future(gateway.wait_plugins(PLUGINS_READY_S))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((ready, stopped), return_when=asyncio.FIRST_COMPLETED)
    for task in (ready, stopped):
        task.cancel()
    await asyncio.gather(ready, stopped, return_exceptions=True)


def _announce(addresses: Sequence[str], metrics: str | None, web: str | None, server_file: Path) -> None:
    unix = next((address for address in addresses if address.startswith("unix:")), None)
    tcp = next((address for address in addresses if not address.startswith("unix:")), None)
    line = {"grpc": tcp or unix, "unix": unix, "pid": os.getpid(), "serverFile": str(server_file)}
    if metrics is not None:
        line["metrics"] = f"http://{metrics}/metrics"
    if web is not None:
        line["web"] = web
    try:
        write_stdout(msgspec.json.encode(line) + b"\n")
    except OutputClosedError:
        say("flowspan: nobody reads the ready line")
    for address in (*addresses, *(() if web is None else (web.partition("://")[2],))):
        if not is_loopback(address):
            say(f"flowspan: {address} can be reached from other machines")


async def _until(gateway: Gateway, stop: asyncio.Event) -> int:
    """Until a signal, or the store's failure."""
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((stopped, gateway.failed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
    if gateway.failed.done():
        _end_with_store(gateway)
    return SUCCESS


def _end_with_store(gateway: Gateway) -> NoReturn:
    """At once: what is in memory is not worth more than what the disk no longer takes."""
    say(f"flowspan: the store failed: {gateway.failed.result()}")
    flush_logs(0.05)
    os._exit(STORAGE)


async def _look(loaded: LoadedConfig, stamp: object, changed: asyncio.Event, stop: asyncio.Event) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if await asyncio.to_thread(_file_stamp, loaded) != stamp:
            changed.set()
            stop.set()
            return


def _file_stamp(loaded: LoadedConfig) -> frozenset[tuple[str, int, int]]:
    """Names, times and sizes of the configuration and the sources of plugins that it starts."""
    found: set[tuple[str, int, int]] = set()
    plugins = loaded.config.plugins.values()
    directories = {plugin.cwd for plugin in plugins if plugin.type in ("stdio", "http", "mcp") and plugin.cwd is not None}
    if loaded.path is not None:
        _add(found, loaded.path)
    for directory in sorted(directories):
        for parent, names, files in os.walk(directory):
            names[:] = [name for name in names if not name.startswith((".", "__pycache__")) and name != "node_modules"]
            for file in files:
                if Path(file).suffix in WATCHED_SUFFIXES:
                    _add(found, Path(parent, file))
                if len(found) >= MAX_WATCHED_FILES:
                    return frozenset(found)
    return frozenset(found)


def _add(found: set[tuple[str, int, int]], path: Path) -> None:
    try:
        facts = path.stat()
    except OSError:
        return
    found.add((str(path), facts.st_mtime_ns, facts.st_size))
