"""From a configuration to the parts of a gateway: the one place that knows both the file's words and the parts' own."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flowspan.errors import FlowspanError
from flowspan.flows.paths import PathSyntaxError, parse_path
from gateway.app import BUILTIN, GatewayParts
from gateway.builtins.settings import OpenAiSettings, OutsideSettings
from gateway.config import (
    BuiltinSettings,
    Config,
    ConfigError,
    HttpPlugin,
    McpPlugin,
    MockPlugin,
    Problem,
    Route,
    StdioPlugin,
    Tls,
    WorkerPlugin,
    with_lines,
)
from gateway.config.loading import config_directory
from gateway.grpc_server.listener import Listener
from gateway.http_bridge.settings import HttpPlugin as HttpServerSettings
from gateway.mcp_bridge.settings import McpPlugin as McpServerSettings
from gateway.mcp_bridge.settings import Root
from gateway.mock_plugin import MockComponent, MockSettings, mock_answer
from gateway.routing import ComponentRules, Condition, PlannedRoute
from gateway.secret_box import KEY_FILE, KeyFileBox
from gateway.stdio_bridge.launch import Isolation, LaunchSpec
from gateway.stdio_bridge.settings import StdioPlugin as StdioServerSettings
from gateway.telemetry.observer import TraceSink
from gateway.web.settings import WebSettings, WebTls
from gateway.workers.worker import QueueSettings
from runtime_core.calls import CallNaming
from runtime_core.flow.schemas import SchemaError, compile_schema
from runtime_core.model.json_scan import escape_pointer_token
from runtime_core.model.json_value import canonical_json, encode_json
from runtime_core.ports import Store

if TYPE_CHECKING:
    import grpc


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
    mocks: list[MockSettings] = []
    queues: dict[str, QueueSettings] = {}
    for plugin_name, plugin in config.plugins.items():
        if isinstance(plugin, StdioPlugin):
            plugins.append(StdioServerSettings(dialect=plugin.dialect, **_process(plugin_name, plugin)))
        elif isinstance(plugin, HttpPlugin):
            shared = _process(plugin_name, plugin)
            plugins.append(HttpServerSettings(url=plugin.url, headers=plugin.headers, dialect=plugin.dialect, **shared))
        elif isinstance(plugin, McpPlugin):
            roots = tuple(Root(root.absolute().as_uri(), root.name or None) for root in plugin.roots)
            plugins.append(McpServerSettings(roots=roots, parse_text=plugin.parse_text, **_process(plugin_name, plugin)))
        elif isinstance(plugin, WorkerPlugin):
            queue = plugin.queue or plugin_name
            if queue in queues:
                what = f"queue {queue!r} is served to plugin {queues[queue].name!r} already; give each plugin its own"
                problems.append(Problem(f"/plugins/{plugin_name}/queue", what))
            queues[queue] = QueueSettings(plugin_name, queue, plugin.max_output_bytes)
        elif isinstance(plugin, MockPlugin):
            mocks.append(_mock(plugin_name, plugin, problems))
        elif plugin_name != BUILTIN:
            what = f"the built-ins are a plugin of the name {BUILTIN!r}; use that name, and routes for other paths"
            problems.append(Problem(f"/plugins/{plugin_name}", what))
    routes = [
        PlannedRoute(prefix, route.plugin, _conditions(prefix, index, route, problems))
        for prefix, targets in config.routes.items()
        for index, route in enumerate(targets)
    ]
    rules = {name: ComponentRules(one.allow, one.deny) for name, one in config.plugins.items() if one.allow or one.deny}
    traces = config.telemetry.traces
    if traces != "none" and importlib.util.find_spec("opentelemetry.sdk") is None:
        problems.append(Problem("/telemetry/traces", "spans need OpenTelemetry: pip install 'flowspan-gateway[otel]'"))
    credentials = None
    if config.tls is not None:
        try:
            credentials = _credentials(config.tls)
        except _UnusableFile as unusable:
            problems.append(Problem(f"/tls/{unusable.member}", unusable.message))
    web = _web(config, token) if listen else None  # as the pages of figures: for gateways that stay
    if web is not None and importlib.util.find_spec("uvicorn") is None:
        problems.append(Problem("/web", "the web face needs uvicorn: pip install 'flowspan-gateway[web]'"))
    if problems:
        raise ConfigError(name, with_lines(Path(name), problems))
    return GatewayParts(
        store=_runs(store),
        plugins=plugins,
        mocks=mocks,
        queues=tuple(queues.values()),
        outside=_outside(config.builtins),
        routes=routes,
        rules=rules,
        listeners=[
            Listener(address) if address.startswith("unix:") else Listener(address, token, credentials) for address in listen
        ],
        web=web,
        limits=config.limits.to_core(),
        drain_s=config.engine.drain_grace_s,
        traces=None if traces == "none" else _traces(traces),
        secrets=None if store is None else KeyFileBox(config.secrets.key_file or config_directory() / KEY_FILE),
        # Of commands that run one flow there may be many at a time.
        metrics=config.telemetry.metrics if listen else None,
    )


def _web(config: Config, token: str | None) -> WebSettings | None:
    web, tls = config.web, config.tls
    if web is None:
        return None
    files = None if tls is None else WebTls(tls.certificate, tls.key, tls.client_ca)
    return WebSettings(web.listen, token, web.origins, web.hosts, files)


def _conditions(prefix: str, index: int, route: Route, problems: list[Problem]) -> tuple[Condition, ...]:
    """What a route asks of inputs; paths that are none are added to `problems`."""
    conditions: list[Condition] = []
    for position, condition in enumerate(route.conditions):
        try:
            conditions.append(Condition(parse_path(condition.path), condition.value))
        except PathSyntaxError as error:
            place = f"/routes/{escape_pointer_token(prefix)}/{index}/conditions/{position}/path"
            problems.append(Problem(place, str(error)))
    return tuple(conditions)


def _runs(directory: Path | None) -> Store:
    if directory is None:
        from runtime_core.stores.memory import MemoryStore

        return MemoryStore()
    from runtime_core.stores.sqlite import SqliteStore

    return SqliteStore(directory)


def _traces(kind: Literal["otlp", "console"]) -> Callable[[CallNaming], TraceSink] | None:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    from gateway.telemetry.traces import console_exporter, otlp_exporter, span_recorder  # the SDK is an extra

    return span_recorder(otlp_exporter() if kind == "otlp" else console_exporter())


def _process(name: str, plugin: StdioPlugin | HttpPlugin | McpPlugin) -> dict[str, Any]:
    """What the settings of all plugins with processes have."""
    limits, timeouts = plugin.limits, plugin.timeouts
    return {
        "launch": LaunchSpec(
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
        "replicas": plugin.replicas,
        "capacity": plugin.capacity,
        "max_line_bytes": limits.max_line_bytes,
        "max_output_bytes": limits.max_output_bytes,
        "initialize_timeout_s": timeouts.initialize_s,
        "list_timeout_s": timeouts.list_s,
        "stall_s": timeouts.stall_s,
        "replace_grace_s": timeouts.replace_grace_s,
        "stop_grace_s": timeouts.stop_grace_s,
    }


def _outside(builtins: BuiltinSettings) -> OutsideSettings:
    openai = builtins.openai
    key = None if openai.api_key is None else openai.api_key.get_secret_value()
    return OutsideSettings(
        builtins.load_file.directories, OpenAiSettings(openai.base_url, key, openai.model, openai.allowed_base_urls)
    )


def _mock(name: str, plugin: MockPlugin, problems: list[Problem]) -> MockSettings:
    """The components of a mock plugin; what is wrong with its behaviours is added to `problems`."""
    components: dict[str, MockComponent] = {}
    for path, component in plugin.components.items():
        behaviors: dict[bytes, bytes] = {}
        for given, flow_result in component.behaviors.items():
            tokens = [escape_pointer_token(part) for part in (name, "components", path, "behaviors", given)]
            place = "/".join(("/plugins", *tokens))
            encoded = encode_json(flow_result)
            try:
                canonical = canonical_json(given.encode(), what="the input")
            except FlowspanError as error:
                problems.append(Problem(place, f"{error.message}; inputs are written as JSON, texts in double quotes"))
                continue
            try:
                mock_answer(encoded)
            except ValueError as error:
                problems.append(Problem(place, f"is no FlowResult: {error}"))
            if canonical in behaviors:
                problems.append(Problem(place, "the same input stands there twice; the order of keys makes no difference"))
            behaviors[canonical] = encoded
        for member, schema in (("input_schema", component.input_schema), ("output_schema", component.output_schema)):
            try:
                compile_schema(True if schema is None else schema)
            except SchemaError as error:
                place = "/".join(("/plugins", escape_pointer_token(name), "components", escape_pointer_token(path), member))
                problems.append(Problem(place + error.pointer, f"is no JSON Schema: {error.message}"))
        schemas = (component.input_schema, component.output_schema)
        own_path = "/" + path.lstrip("/")
        components[own_path] = MockComponent(behaviors, *(None if one is None else encode_json(one) for one in schemas))
    return MockSettings(name, components)


class _UnusableFile(Exception):
    """A file of `tls`."""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(message)
        self.member = member
        self.message = message


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    import grpc  # loaded later where no certificate needs it, while plugins start

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
