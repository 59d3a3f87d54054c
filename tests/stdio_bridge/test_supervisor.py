"""Several plugins together: routes, the catalogue, start and stop."""

from __future__ import annotations

import asyncio

from flowspan.view.status import FlowError
from gateway.catalog import PluginHealth
from gateway.routed_catalog import RoutedCatalog
from gateway.routing import PrefixRouter, RouteEntry, planned_routes
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.pool import PluginServer
from gateway.stdio_bridge.settings import StdioPlugin
from gateway.stdio_bridge.supervisor import StdioSupervisor
from runtime_core.ports import Route
from tests.stdio_bridge.fakes import NAMING, NotingSink, no_methods
from tests.stdio_bridge.servers import server


def plugin(spec: LaunchSpec) -> PluginServer:
    sink = NotingSink()
    return PluginServer(StdioPlugin(spec), lambda: sink, NAMING, no_methods)


def test_the_longest_prefix_takes_a_path_and_leaves_the_rest_with_its_slash() -> None:
    python, deep, rest = (plugin(server(name=name)) for name in ("python", "deep", "rest"))
    router = PrefixRouter([RouteEntry("/python", python), RouteEntry("/python/deep/", deep), RouteEntry("/python", deep)])
    assert router.resolve("/python/double") == Route(python, "/double")
    assert router.resolve("/python/deep/a/b") == Route(deep, "/a/b")
    assert router.resolve("/python") == Route(python, "/")
    missing = router.resolve("/pythonic/x")
    assert isinstance(missing, FlowError)
    assert missing.code == "COMPONENT_NOT_FOUND"
    assert missing.message == "no route leads to component '/pythonic/x'; the configured prefixes are: /python, /python/deep"
    assert PrefixRouter([RouteEntry("/", rest)]).resolve("/pythonic/x") == Route(rest, "/pythonic/x")
    nothing = PrefixRouter([]).resolve("/x")
    assert isinstance(nothing, FlowError) and "none" in nothing.message


async def test_the_catalogue_lists_components_under_their_routes_and_how_the_plugins_are() -> None:
    described = """
def listing(request):
    answer(request, {"components": [{"name": "double", "description": "twice", "input_schema": {"type": "object"}}]})
"""
    good = plugin(server(described, name="good"))
    broken = plugin(LaunchSpec("broken", "/nonexistent"))
    catalog = RoutedCatalog(planned_routes({"/py": "good", "/also": "good", "/gone": "broken"}), {"good": good, "broken": broken})
    async with StdioSupervisor([good, broken]) as supervisor, asyncio.timeout(10):
        supervisor.start()
        components = await catalog.components()
        assert [(one.path, one.plugin, one.description, one.input_schema) for one in components] == [
            ("/also/double", "good", "twice", b'{"type":"object"}'),
            ("/py/double", "good", "twice", b'{"type":"object"}'),
        ]
        assert [(one.name, one.health) for one in catalog.plugins()] == [
            ("broken", PluginHealth.BROKEN),
            ("good", PluginHealth.UP),
        ]
        assert "ENOENT" in catalog.plugins()[0].detail
        assert catalog.plugins()[1].capacity == 256
    assert good.free_slots() == 0
    await supervisor.stop()


async def test_stopping_what_was_never_started_is_harmless() -> None:
    await StdioSupervisor([plugin(server())]).stop()
