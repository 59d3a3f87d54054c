"""Components whose names have parameters."""

from __future__ import annotations

from typing import Any

import pytest

from flowspan.components import ComponentContext, ComponentServer
from flowspan.components.registry import path_parameters
from tests.components.memory_pair import MemoryPair

server = ComponentServer()


@server.component("/users/{id}/mail/{box}")
async def mail(input: Any, ctx: ComponentContext) -> Any:
    return ctx.path_parameters


@server.component("/users/{id}")
async def user(input: Any, ctx: ComponentContext) -> Any:
    return ctx.path_parameters


@server.component("/users/me")
async def me(input: Any, ctx: ComponentContext) -> Any:
    return [ctx.path_parameters]


async def test_a_component_learns_what_its_parameters_stand_for() -> None:
    pair = MemoryPair(server)
    assert await pair.output("/users/7", None) == {"id": "7"}
    assert await pair.output("/users/7/mail/in", None) == {"id": "7", "box": "in"}
    assert await pair.output("/users/me", None) == [{}]
    pair.close()


async def test_a_path_that_fits_no_name_is_refused() -> None:
    pair = MemoryPair(server)
    assert "no component" in (await pair.error("/users/7/mail", None))["message"]
    pair.close()


@pytest.mark.parametrize("name", ["/x{a}", "/{}", "/{a-b}", "/{a"])
def test_a_parameter_is_a_whole_part(name: str) -> None:
    with pytest.raises(ValueError, match="whole part"):
        ComponentServer().component(name)(lambda input: input)


def test_parts_are_compared_one_by_one() -> None:
    assert path_parameters("/a/{b}", "/a/c") == {"b": "c"}
    assert path_parameters("/a/{b}", "/a/") is None
    assert path_parameters("/a/{b}", "/a/b/c") is None
