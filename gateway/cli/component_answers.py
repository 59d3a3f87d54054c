"""Asking plugins what they offer: they are started, listed and ended, without a run, a store or a listener."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.authoring.checking.configured import Offered, SilentPlugin
from gateway.catalog import PluginHealth
from gateway.cli.connection import LOOK_EVERY_S, MAX_START_CRASHES, join_environment, run_loop
from gateway.config import LoadedConfig, Route
from runtime_core.flow.types.components import ComponentTypes
from runtime_core.model.json_value import JsonValue, decode_json

if TYPE_CHECKING:
    from gateway.app import Gateway

ASK_S: Final = 15.0
"""For all plugins together to come up and say what they offer: a handshake takes at most 10 s by default."""
_GIVEN_UP: Final = (PluginHealth.CIRCUIT_OPEN, PluginHealth.BROKEN)


@dataclass(frozen=True, slots=True)
class Answers:
    """What plugins offer, by their names, and those that did not say."""

    offered: Mapping[str, Offered]
    silent: Sequence[SilentPlugin] = ()


def ask_plugins(loaded: LoadedConfig, names: Collection[str]) -> Answers:
    """Start these plugins of a configuration, list what they offer, and end them. Blocks for `ASK_S` at most, and for as
    long as it takes to end them.

    Raises:
        ConfigError: the configuration asks for something that this version does not run.
    """
    return run_loop(_ask(loaded, names)) if names else Answers({})


async def _ask(loaded: LoadedConfig, names: Collection[str]) -> Answers:
    from gateway.app import open_gateway
    from gateway.assembly import assemble

    join_environment()
    config = loaded.config
    plugins = {name: plugin for name, plugin in config.plugins.items() if name in names or plugin.type == "builtin"}
    routes = {f"/{name}": (Route(plugin=name),) for name in plugins}
    # Only what is asked: no other plugin starts, no port is opened, no certificate is read.
    telemetry = config.telemetry.model_copy(update={"traces": "none", "metrics": None})
    reduced = config.model_copy(update={"plugins": plugins, "routes": routes, "tls": None, "telemetry": telemetry})
    gateway = await open_gateway(assemble(reduced, store=None, name=str(loaded.path or "flowspan.yml")))
    try:
        await _until_they_said(gateway)
        offered: dict[str, dict[str, ComponentTypes]] = {}
        for one in await gateway.catalog.components(wait_s=0.0):
            types = ComponentTypes(_schema(one.input_schema), _schema(one.output_schema))
            offered.setdefault(one.plugin, {})[one.path.removeprefix(f"/{one.plugin}")] = types
        silent: list[SilentPlugin] = []
        for plugin in gateway.catalog.plugins():
            if plugin.name not in names:
                continue
            if plugin.health is PluginHealth.UP:
                offered.setdefault(plugin.name, {})
                continue
            why = plugin.last_end or plugin.detail or "it has not said in time what it offers"
            why = why.removeprefix(f"plugin {plugin.name!r}").lstrip(": ")
            silent.append(SilentPlugin(plugin.name, why))
        return Answers({name: types for name, types in offered.items() if name in names}, silent)
    finally:
        await gateway.stop(grace_s=0.0)


async def _until_they_said(gateway: Gateway) -> None:
    """Until every plugin said what it offers, or will not."""
    clock = asyncio.get_running_loop().time
    give_up_at = clock() + ASK_S
    while not await gateway.wait_plugins(LOOK_EVERY_S):
        late = [plugin for plugin in gateway.catalog.plugins() if plugin.health is not PluginHealth.UP]
        if clock() > give_up_at or all(plugin.health in _GIVEN_UP or plugin.restarts >= MAX_START_CRASHES for plugin in late):
            return


def _schema(data: bytes | None) -> JsonValue:
    """A component's schema; one that cannot be read says nothing."""
    from flowspan.errors import FlowspanError

    try:
        return None if data is None else decode_json(data)
    except FlowspanError:
        return None
