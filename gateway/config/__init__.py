"""The configuration file `flowspan.yml`: its model, where it is found, how it is read."""

from __future__ import annotations

from gateway.config.builtins import BuiltinSettings, LoadFileSettings, OpenAiSettings
from gateway.config.loading import (
    LoadedConfig,
    config_directory,
    data_directory,
    find_config,
    load_config,
    parse_config,
    with_lines,
)
from gateway.config.model import (
    BUILTIN,
    Auth,
    Config,
    Engine,
    LimitSettings,
    MemoryStore,
    NoAuth,
    Route,
    RouteCondition,
    SqliteStore,
    Store,
    Telemetry,
    Tls,
    TokenAuth,
    check_address,
    is_loopback,
)
from gateway.config.plugins import (
    BuiltinPlugin,
    MockComponent,
    MockPlugin,
    Plugin,
    PluginLimits,
    PluginTimeouts,
    StdioPlugin,
    WorkerPlugin,
)
from gateway.config.problems import ConfigError, Problem
from gateway.config.schema import config_schema

__all__ = [
    "BUILTIN",
    "Auth",
    "BuiltinPlugin",
    "BuiltinSettings",
    "Config",
    "ConfigError",
    "Engine",
    "LimitSettings",
    "LoadFileSettings",
    "LoadedConfig",
    "MemoryStore",
    "MockComponent",
    "MockPlugin",
    "NoAuth",
    "OpenAiSettings",
    "Plugin",
    "PluginLimits",
    "PluginTimeouts",
    "Problem",
    "Route",
    "RouteCondition",
    "SqliteStore",
    "StdioPlugin",
    "WorkerPlugin",
    "Store",
    "Telemetry",
    "Tls",
    "TokenAuth",
    "check_address",
    "config_directory",
    "config_schema",
    "data_directory",
    "find_config",
    "is_loopback",
    "load_config",
    "parse_config",
    "with_lines",
]
