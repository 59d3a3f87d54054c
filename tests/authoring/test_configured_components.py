"""What a configuration alone says of components, and whom it would have to ask."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.authoring.checking.configured import ConfiguredComponents
from gateway.config import Config
from gateway.routing import PrefixRouter, RouteEntry
from runtime_core.builtins.catalog import BUILTINS
from runtime_core.flow.types.components import UNKNOWN_COMPONENT, ComponentTypes, NoComponent, NoRoute
from runtime_core.ports import Route

TYPED = ComponentTypes({"type": "string"}, {"type": "integer"})
STDIO = {"type": "stdio", "command": "x"}
MOCK = {"type": "mock", "components": {"/one": {"input_schema": {"type": "string"}, "behaviors": {}}}}


def known(routes: Any = None, answers: Any = None, **plugins: Any) -> ConfiguredComponents:
    return ConfiguredComponents(Config.model_validate({"plugins": plugins, "routes": routes or {}}), answers)


def test_built_ins_are_known_with_their_schemas() -> None:
    for name, one in BUILTINS.items():
        found = known().look_up(f"/builtin{name}")
        assert isinstance(found, ComponentTypes)
        assert (found.input_schema, found.output_schema) == (one.input_schema, one.output_schema)
    missing = known().look_up("/builtin/eva")
    assert isinstance(missing, NoComponent)
    assert "/builtin/eval" in missing.known


def test_mocks_are_known_as_such_below_their_route() -> None:
    found = known({"/deep/er": "m"}, m=MOCK).look_up("/deep/er/one")
    assert found == ComponentTypes({"type": "string"}, None, is_mock=True)
    assert isinstance(known({"/deep/er": "m"}, m=MOCK).look_up("/deep/er/two"), NoComponent)


def test_other_plugins_are_known_by_their_answers_only() -> None:
    assert known(p=STDIO).look_up("/p/x") is UNKNOWN_COMPONENT
    assert known(answers={"p": {"/x": TYPED}}, p=STDIO).look_up("/p/x") == TYPED
    assert known(answers={"p": {"/x": TYPED}}, p=STDIO).look_up("/p/y") == NoComponent("p", ["/p/x"])
    assert known(answers={"p": {}}, p=STDIO).look_up("/p/y") == NoComponent("p", [])


def test_only_plugins_that_paths_lead_to_are_to_be_asked() -> None:
    both = known(p=STDIO, q=STDIO, m=MOCK)
    assert both.plugins_of(["/p/x", "/m/one", "/builtin/noop", "/nowhere/x"]) == {"p"}
    assert known(answers={"p": {}}, p=STDIO).plugins_of(["/p/x"]) == set()


@pytest.mark.parametrize("path", ["/a/x", "/a/b/x", "/a/bc/x", "/a/b", "/a", "a/b/x", "/c/x", "/", ""])
@pytest.mark.parametrize("routes", [{"/a": "p", "/a/b": "q"}, {"/": "p", "/a/b": "q"}, {"/a/b": "q"}])
def test_paths_are_routed_as_the_gateway_routes_them(routes: dict[str, str], path: str) -> None:
    class Server:
        def __init__(self, name: str) -> None:
            self.name = name

    router = PrefixRouter([RouteEntry(prefix, Server(name)) for prefix, name in routes.items()])  # type: ignore[arg-type]
    expected = router.resolve(path)
    components = known(routes, p=STDIO, q=STDIO)
    found = components.look_up(path)
    if isinstance(expected, Route):
        assert components.plugins_of([path]) == {expected.server.name}
        own = {expected.server.name: {expected.component: TYPED}}
        assert known(routes, own, p=STDIO, q=STDIO).look_up(path) == TYPED
    else:
        assert isinstance(found, NoRoute)


def test_of_plugins_behind_conditions_only_what_holds_for_each_is_said() -> None:
    condition = [{"path": "$.m", "value": 1}]
    routes = {"/x": [{"plugin": "p", "conditions": condition}, {"plugin": "q"}, {"plugin": "never"}]}
    plugins = {"p": STDIO, "q": STDIO, "never": STDIO}
    typed, nothing = {"/one": TYPED}, dict[str, ComponentTypes]()
    assert known(routes, {"p": typed, "q": typed}, **plugins).look_up("/x/one") is UNKNOWN_COMPONENT
    assert known(routes, {"p": nothing, "q": typed}, **plugins).look_up("/x/one") is UNKNOWN_COMPONENT
    assert isinstance(known(routes, {"p": nothing, "q": nothing}, **plugins).look_up("/x/one"), NoComponent)
    assert known(routes, {"p": nothing}, **plugins).look_up("/x/one") is UNKNOWN_COMPONENT
    assert known(routes, **plugins).plugins_of(["/x/one"]) == {"p", "q"}
