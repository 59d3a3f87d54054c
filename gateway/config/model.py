"""The configuration as a whole: a value that does not change, with absolute paths and every `${...}` replaced."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.config.builtins import BuiltinSettings
from gateway.config.plugins import BuiltinPlugin, HttpPlugin, McpPlugin, Plugin, ProcessPlugin, Seconds, Section, StdioPlugin
from gateway.config.problems import nearest
from runtime_core.limits import Limits

BUILTIN: Final = "builtin"
"""Name of the plugin, and of its route, that every gateway has unless the file says otherwise."""

_CORE: Final = Limits()
_ORIGIN: Final = re.compile(r"https?://[^/?#@\s]+")


class RouteCondition(Section):
    """Holds where the component's input has this value at this path (`$.model`)."""

    path: str = Field(pattern=r"^\$")
    value: Any


class Route(Section):
    """Where components below a prefix are looked for. The first route whose conditions all hold is taken."""

    plugin: str
    conditions: tuple[RouteCondition, ...] = ()


class SqliteStore(Section):
    """Runs are kept in a directory. `path`: relative to the configuration file."""

    type: Literal["sqlite"]
    path: Path


class MemoryStore(Section):
    """Nothing is kept beyond the process."""

    type: Literal["memory"]


Store = Annotated[SqliteStore | MemoryStore, Field(discriminator="type")]


class Engine(Section):
    """How runs are carried out."""

    drain_grace_s: Seconds = Field(default=10.0, description="At SIGTERM, for items that run.")


class TokenAuth(Section):
    """Callers on TCP show a bearer token. Without `token` one is made at each start and put into the server file."""

    type: Literal["token"]
    token: SecretStr | None = Field(default=None, min_length=16)


class NoAuth(Section):
    """Anybody who can reach the port may call; loopback only."""

    type: Literal["none"]


Auth = Annotated[TokenAuth | NoAuth, Field(discriminator="type")]


class Tls(Section):
    """PEM files, relative to the configuration file. With `client_ca` callers must show a certificate that it signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class Web(Section):
    """The run API over HTTP, for browsers and curl (docs/web.md); needs `flowspan-gateway[web]`."""

    listen: str = Field(description="HOST:PORT; port 0: any free one. Token and TLS as for the other listeners.")
    origins: tuple[str, ...] = Field(
        default=(), description="Whose pages may call, such as https://flows.example.org; none beside its own."
    )
    hosts: tuple[str, ...] = Field(
        default=(), description="Names by which it may be asked, beside addresses, localhost and the host in `listen`."
    )

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, address: str) -> str:
        check_web_address(address)
        return address

    @field_validator("origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin; write one like https://flows.example.org, without a path")
        return origins


class Secrets(Section):
    """How secret variables are kept with the runs that use them."""

    key_file: Path | None = Field(
        default=None,
        description="Relative to the configuration file; default: secret.key in the user's configuration directory, made when "
        "it is needed. The environment's FLOWSPAN_SECRET_KEY stands over it.",
    )


class LimitSettings(Section):
    """What is accepted; see docs/limits. Defaults and meanings are those of `runtime_core.limits.Limits`."""

    max_concurrency_cap: int = Field(default=_CORE.max_concurrency_cap, ge=1, le=100_000)
    items_per_run: int = Field(default=_CORE.items_per_run, ge=1, le=10_000_000)
    depth: int = Field(default=_CORE.depth, ge=1, le=64)
    runs_per_tree: int = Field(default=_CORE.runs_per_tree, ge=1)
    open_runs: int = Field(default=_CORE.open_runs, ge=1)
    result_bytes: int = Field(default=_CORE.result_bytes, ge=1 << 20, le=16 << 20)
    call_timeout_s: Seconds = Field(default=_CORE.call_timeout_s)
    transport_retries: int = Field(default=_CORE.transport_retries, ge=0, le=100)
    attributable_crashes: int = Field(default=_CORE.attributable_crashes, ge=1, le=100)
    cancel_ack_s: Seconds = Field(default=_CORE.cancel_ack_s)
    cancel_grace_s: Seconds = Field(default=_CORE.cancel_grace_s)
    key_life_s: float = Field(default=_CORE.key_life_s, gt=0)

    def to_core(self) -> Limits:
        """The same figures for the core."""
        return Limits(**self.model_dump())


class Telemetry(Section):
    """Logs go to stderr, spans to an OpenTelemetry collector, figures to whoever asks on this machine."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "text"] = Field(default="auto", description="auto: text on a terminal, else json.")
    traces: Literal["none", "otlp", "console"] = Field(
        default="none", description="otlp: to the collector that the OTEL_* variables name; console: lines on stderr."
    )
    metrics: str | None = Field(
        default=None, description="HOST:PORT on loopback where `serve` answers /metrics, /livez and /readyz; none: nowhere."
    )

    @field_validator("metrics")
    @classmethod
    def _check_metrics(cls, address: str | None) -> str | None:
        if address is None:
            return None
        check_address(address)
        if address.startswith("unix:") or not is_loopback(address):
            raise ValueError(f"{address!r}: the pages ask for no token, so they are for a loopback address: 127.0.0.1:9464")
        return address


class Config(Section):
    """Everything that a gateway is told before it starts.

    Attributes:
        plugins: by name. `builtin` is there in any case.
        routes: prefix (`/python`) -> routes in order; the longest prefix that fits is tried first. Where the file has none,
            each plugin is reached below its own name.
        store: None: `serve` keeps runs in the user's data directory.
        listen: `unix:/path` and `host:port`; empty: a unix socket in the user's runtime directory.
    """

    plugins: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)], Plugin] = Field(
        default_factory=dict
    )
    routes: dict[str, tuple[Route, ...]] = Field(default_factory=dict)
    builtins: BuiltinSettings = Field(
        default=BuiltinSettings.of_defaults(), description="Files and endpoints that built-ins may reach."
    )
    store: Store | None = None
    engine: Engine = Engine.of_defaults()
    listen: tuple[str, ...] = ()
    auth: Auth = TokenAuth.model_construct(type="token")
    tls: Tls | None = None
    web: Web | None = Field(default=None, description="The run API over HTTP; none: there is none.")
    limits: LimitSettings = LimitSettings.of_defaults()
    secrets: Secrets = Secrets.of_defaults()
    telemetry: Telemetry = Telemetry.of_defaults()

    @field_validator("routes", mode="before")
    @classmethod
    def _read_short_routes(cls, routes: Any) -> Any:
        """`"/prefix": name` and `"/prefix": [name]` stand for `[{plugin: name}]`."""
        if not isinstance(routes, dict):
            return routes
        return {prefix: [_full_route(part) for part in _listed(target)] for prefix, target in routes.items()}

    @field_validator("listen", mode="before")
    @classmethod
    def _read_one_address(cls, listen: Any) -> Any:
        return (listen,) if isinstance(listen, str) else listen

    @field_validator("listen")
    @classmethod
    def _check_addresses(cls, listen: tuple[str, ...]) -> tuple[str, ...]:
        for address in listen:
            check_address(address)
        return listen

    @field_validator("routes")
    @classmethod
    def _check_prefixes(cls, routes: dict[str, tuple[Route, ...]]) -> dict[str, tuple[Route, ...]]:
        tidy: dict[str, tuple[Route, ...]] = {}
        for prefix, targets in routes.items():
            if not prefix.startswith("/") or "//" in prefix or any(char in prefix for char in "{}*"):
                raise ValueError(f"{prefix!r} is no prefix; write one like /python: every path below it is meant")
            if not targets:
                raise ValueError(f"{prefix!r} leads nowhere; name a plugin")
            name = prefix.rstrip("/") or "/"
            if name in tidy:
                raise ValueError(f"{prefix!r} stands there twice")
            tidy[name] = targets
        return tidy

    @model_validator(mode="after")
    def _complete(self) -> Self:
        plugins = dict(self.plugins)
        plugins.setdefault(BUILTIN, BuiltinPlugin(type="builtin"))
        routes = dict(self.routes) or {f"/{name}": (Route(plugin=name),) for name in plugins}
        for prefix, targets in routes.items():
            for route in targets:
                if route.plugin not in plugins:
                    raise ValueError(f"routes: {prefix}: there is no plugin {route.plugin!r}{nearest(route.plugin, plugins)}")
        if isinstance(plugins[BUILTIN], BuiltinPlugin):
            routes.setdefault(f"/{BUILTIN}", (Route(plugin=BUILTIN),))
        # The model is frozen for everybody else; here it comes into being.
        object.__setattr__(self, "plugins", plugins)
        object.__setattr__(self, "routes", routes)
        self.check_access()
        return self

    def check_access(self) -> None:
        """Raises ValueError if somebody beyond this machine could call without TLS and a token, or anybody without
        having been let in on purpose."""
        places = [("listen", address) for address in self.listen]
        if self.web is not None:
            places.append(("web.listen", self.web.listen))
        for place, address in places:
            if is_loopback(address):
                continue
            if isinstance(self.auth, NoAuth):
                raise ValueError(
                    f"{place}: {address} can be reached from other machines: `auth: {{type: none}}` is for loopback only"
                )
            if self.tls is None:
                raise ValueError(
                    f"{place}: {address} can be reached from other machines: it needs `tls` with a certificate and a key"
                )


def check_address(address: str) -> None:
    """Raises ValueError unless it is `unix:/absolute/path` or `host:port` (IPv6 in brackets; port 0: any free one)."""
    if address.startswith("unix:"):
        if not address.startswith("unix:/"):
            raise ValueError(f"{address!r}: the path of a unix socket is absolute, as in unix:/run/user/1000/flowspan.sock")
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{address!r} is no address; write HOST:PORT (port 0: any free one) or unix:/path")


def check_web_address(address: str) -> None:
    """Raises ValueError unless it is `host:port`."""
    check_address(address)
    if address.startswith("unix:"):
        raise ValueError(f"{address!r}: browsers know no unix sockets; write HOST:PORT")


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach it. Names other than `localhost` may resolve to anything, so they count as far."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _with_process_paths(plugin: StdioPlugin | HttpPlugin | McpPlugin, directory: Path) -> StdioPlugin | HttpPlugin | McpPlugin:
    paths: dict[str, Any] = {"cwd": (directory / (plugin.cwd or ".")).resolve()}
    if isinstance(plugin, McpPlugin):
        paths["roots"] = tuple((directory / root.expanduser()).resolve() for root in plugin.roots)
    return plugin.model_copy(update=paths)


def with_paths_from(config: Config, directory: Path) -> Config:
    """The same configuration with its relative paths made absolute, from `directory`."""
    plugins = {
        name: _with_process_paths(plugin, directory) if isinstance(plugin, ProcessPlugin) else plugin
        for name, plugin in config.plugins.items()
    }
    store = config.store
    if isinstance(store, SqliteStore):
        store = store.model_copy(update={"path": (directory / store.path.expanduser()).resolve()})
    tls = config.tls
    if tls is not None:
        tls = Tls(
            certificate=directory / tls.certificate,
            key=directory / tls.key,
            client_ca=None if tls.client_ca is None else directory / tls.client_ca,
        )
    key_file = config.secrets.key_file
    secrets = Secrets(key_file=None if key_file is None else (directory / key_file.expanduser()).resolve())
    load_file = config.builtins.load_file
    directories = tuple((directory / one.expanduser()).resolve() for one in load_file.directories)
    builtins = config.builtins.model_copy(update={"load_file": load_file.model_copy(update={"directories": directories})})
    update = {"plugins": plugins, "builtins": builtins, "store": store, "tls": tls, "secrets": secrets}
    return config.model_copy(update=update)


def _listed(target: Any) -> list[Any]:
    return target if isinstance(target, list) else [target]


def _full_route(target: Any) -> Any:
    return {"plugin": target} if isinstance(target, str) else target
