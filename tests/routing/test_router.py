"""Component paths to servers: prefixes, conditions on inputs, what a plugin is open for."""

from __future__ import annotations

from typing import Any

import pytest

from flowspan.flows.paths import parse_path
from flowspan.view.status import FlowError
from gateway.routing import ComponentRules, Condition, PrefixRouter, RouteEntry
from runtime_core.engine.unreachable import Unreachable
from runtime_core.ports import Route, RouteChoice

BIG, SMALL, REST = (Unreachable(name, None) for name in ("big", "small", "rest"))


def when(path: str, value: Any) -> Condition:
    return Condition(parse_path(path), value)


def chosen(router: PrefixRouter, path: str, input_json: bytes) -> Route | None:
    found = router.resolve(path)
    assert isinstance(found, RouteChoice)
    index = found.choose(input_json)
    return None if index < 0 else found.routes[index]


def test_the_first_route_whose_conditions_all_hold_is_taken() -> None:
    router = PrefixRouter(
        [
            RouteEntry("/ai", BIG, (when("$.model", "large"), when("$.tier", 1))),
            RouteEntry("/ai", SMALL, (when("$.model", "large"),)),
            RouteEntry("/ai", REST),
        ]
    )
    assert chosen(router, "/ai/ask", b'{"model":"large","tier":1}') == Route(BIG, "/ask")
    assert chosen(router, "/ai/ask", b'{"model":"large","tier":2}') == Route(SMALL, "/ask")
    assert chosen(router, "/ai/ask", b'"no object at all"') == Route(REST, "/ask")


def test_what_no_condition_takes_goes_to_a_shorter_prefix() -> None:
    router = PrefixRouter([RouteEntry("/", REST), RouteEntry("/ai", BIG, (when("$", 7),))])
    assert chosen(router, "/ai/ask", b"7") == Route(BIG, "/ask")
    assert chosen(router, "/ai/ask", b"8") == Route(REST, "/ai/ask")


def test_an_input_that_no_route_takes_gets_an_error_that_names_the_component() -> None:
    router = PrefixRouter([RouteEntry("/ai", BIG, (when("$.a", None),))])
    assert chosen(router, "/ai/ask", b"{}") is None, "absent is not null"
    assert chosen(router, "/ai/ask", b'{"a":null}') == Route(BIG, "/ask")
    found = router.resolve("/ai/ask")
    assert isinstance(found, RouteChoice)
    assert "/ai/ask" in found.none.message


@pytest.mark.parametrize(
    ("expected", "input_json", "holds"),
    [
        (1, b"1.0", True), (1, b"true", False), (True, b"true", True), (True, b"1", False), ("1", b"1", False),
        ({"a": [1, 2]}, b'{"a":[1,2.0]}', True), ({"a": [1, 2]}, b'{"a":[2,1]}', False), ({}, b'{"a":1}', False),
        ([True], b"[1]", False), (9007199254740993, b"9007199254740992", False), (None, b"null", True), (None, b"0", False),
    ],
)  # fmt: skip
def test_values_are_compared_as_json(expected: Any, input_json: bytes, holds: bool) -> None:
    router = PrefixRouter([RouteEntry("/x", BIG, (when("$", expected),))])
    assert (chosen(router, "/x/y", input_json) is not None) is holds


def test_a_plugin_is_open_for_what_it_allows_and_does_not_deny() -> None:
    rules = ComponentRules(allow=("/users/*", "health"), deny=("/users/*/delete",))
    assert rules.permit("/users/7")
    assert rules.permit("/health")
    assert not rules.permit("/users/7/delete")
    assert not rules.permit("/admin")
    assert ComponentRules(deny=("*",)).permit("/x") is False
    assert ComponentRules().permit("/x")


def test_a_closed_component_is_looked_for_behind_other_routes_and_else_refused_by_name() -> None:
    closed = ComponentRules(deny=("/secret",))
    alone = PrefixRouter([RouteEntry("/a", BIG)], {BIG: closed})
    refused = alone.resolve("/a/secret")
    assert isinstance(refused, FlowError)
    assert refused.code == "COMPONENT_NOT_FOUND"
    assert "'big'" in refused.message
    assert "deny" in refused.message
    assert alone.resolve("/a/open") == Route(BIG, "/open")
    other = PrefixRouter([RouteEntry("/a", BIG), RouteEntry("/a", SMALL)], {BIG: closed})
    assert other.resolve("/a/secret") == Route(SMALL, "/secret")
