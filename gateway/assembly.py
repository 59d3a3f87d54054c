"""From a configuration to the parts of a gateway: the one place that knows both the file's words and the parts' own."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import grpc

from gateway.app import BUILTIN, GatewayParts
from gateway.config import BuiltinPlugin, Config, ConfigError, Problem, StdioPlugin, Tls, with_lines
from gateway.config.loading import config_directory
from gateway.grpc_server import Listener
from gateway.secret_box import KEY_FILE, KeyFileBox
from gateway.stdio_bridge.launch import Isolation, LaunchSpec
from gateway.stdio_bridge.settings import StdioPlugin as StdioServerSettings
from gateway.telemetry.observer import TraceSink
from runtime_core.calls import CallNaming
from runtime_core.ports import Store
from runtime_core.stores.memory import MemoryStore as MemoryRuns
from runtime_core.stores.sqlite import SqliteStore as SqliteRuns


def assemble(
    config: Config, *, store: Path | None, listen: Sequence[str] = (), token: str | None = None, name: str = "flowspan.yml"
) -> GatewayParts:
    """The parts of a gateway, none of them started.

    Args:
        store: directory of the runs; None: in memory. (What the configuration says about its store is for the caller.)
        listen: `unix:/path` or `host:port`; none: an embedded gateway without listeners.
        token: what callers on TCP must show; None: nothing.
        name: the configuration's file, for messages.

    Raises:
        ConfigError: the configuration asks for something that this version does not run, or a file of `tls` cannot be used.
    """
    problems: list[Problem] = []
    plugins: list[StdioServerSettings] = []
    for plugin_name, plugin in config.plugins.items():
        if isinstance(plugin, StdioPlugin):
            plugins.append(_stdio(plugin_name, plugin))
        elif not (isinstance(plugin, BuiltinPlugin) and plugin_name == BUILTIN):
            what = (
                f"plugins of type {plugin.type!r}"
                if plugin.type != "builtin"
                else f"built-ins under a name other than {BUILTIN!r}"
            )
            problems.append(Problem(f"/plugins/{plugin_name}", f"{what} are not run by this version"))
    routes: dict[str, str] = {}
    for prefix, targets in config.routes.items():
        if any(route.conditions for route in targets):
            problems.append(Problem(f"/routes/{prefix.replace('/', '~1')}", "conditions are not evaluated by this version"))
        routes[prefix] = targets[0].plugin
    traces = config.telemetry.traces
    if traces != "none" and importlib.util.find_spec("opentelemetry.sdk") is None:
        problems.append(Problem("/telemetry/traces", "spans need OpenTelemetry: pip install 'flowspan-gateway[otel]'"))
    credentials = None
    if config.tls is not None:
        try:
            credentials = _credentials(config.tls)
        except _UnusableFile as unusable:
            problems.append(Problem(f"/tls/{unusable.member}", unusable.message))
    if problems:
        raise ConfigError(name, with_lines(Path(name), problems))
    runs: Store = MemoryRuns() if store is None else SqliteRuns(store)
    return GatewayParts(
        store=runs,
        plugins=plugins,
        routes=routes,
        listeners=[
            Listener(address) if address.startswith("unix:") else Listener(address, token, credentials) for address in listen
        ],
        limits=config.limits.to_core(),
        drain_s=config.engine.drain_grace_s,
        traces=None if traces == "none" else _traces(traces),
        secrets=None if store is None else KeyFileBox(config.secrets.key_file or config_directory() / KEY_FILE),
        # Of commands that run one flow there may be many at a time.
        metrics=config.telemetry.metrics if listen else None,
    )


def _traces(kind: Literal["otlp", "console"]) -> Callable[[CallNaming], TraceSink] | None:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    from gateway.telemetry.traces import console_exporter, otlp_exporter, span_recorder  # the SDK is an extra

    return span_recorder(otlp_exporter() if kind == "otlp" else console_exporter())


def _stdio(name: str, plugin: StdioPlugin) -> StdioServerSettings:
    limits, timeouts = plugin.limits, plugin.timeouts
    return StdioServerSettings(
        launch=LaunchSpec(
            name,
            plugin.command,
            plugin.args,
            env=plugin.env,
            cwd=None if plugin.cwd is None else str(plugin.cwd),
            max_open_files=limits.max_open_files,
            max_address_space_bytes=limits.max_address_space_bytes,
            max_processes=limits.max_processes,
            nice=limits.nice,
            isolation=Isolation(plugin.isolation),
        ),
        replicas=plugin.replicas,
        capacity=plugin.capacity,
        dialect=plugin.dialect,
        max_line_bytes=limits.max_line_bytes,
        max_output_bytes=limits.max_output_bytes,
        initialize_timeout_s=timeouts.initialize_s,
        list_timeout_s=timeouts.list_s,
        stall_s=timeouts.stall_s,
        replace_grace_s=timeouts.replace_grace_s,
        stop_grace_s=timeouts.stop_grace_s,
    )


class _UnusableFile(Exception):
    """A file of `tls`."""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(message)
        self.member = member
        self.message = message


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    certificate, key = _pem("certificate", tls.certificate), _pem("key", tls.key)
    client_ca = None if tls.client_ca is None else _pem("client_ca", tls.client_ca)
    return grpc.ssl_server_credentials([(key, certificate)], client_ca, client_ca is not None)


def _pem(member: str, path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _UnusableFile(member, f"{path} cannot be read: {error.strerror or error}") from error
    if b"-----BEGIN " not in data:
        raise _UnusableFile(member, f"{path} is not PEM; it has no line that starts with -----BEGIN")
    return data
