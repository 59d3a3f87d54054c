"""Routes with conditions under real runs: each call goes where its own input says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowspan.view.events import Outcome
from gateway.app import Gateway
from gateway.assembly import assemble
from gateway.config import Config, ConfigError
from tests.e2e.house import House, one_step


def answers(who: str, *inputs: Any) -> dict[str, Any]:
    """A mock plugin whose `/who` tells its name."""
    return {
        "type": "mock",
        "components": {"/who": {"behaviors": {json.dumps(one): {"outcome": "success", "value": who} for one in inputs}}},
    }


INPUTS = [{"size": "big", "n": 1}, {"size": "small", "n": 2}, {"size": "odd", "n": 3}]


def config(**more: Any) -> Config:
    return Config.model_validate(
        {
            "plugins": {"big": answers("big", *INPUTS), "small": answers("small", *INPUTS), **more},
            "routes": {
                "/pick": [
                    {"plugin": "big", "conditions": [{"path": "$.size", "value": "big"}]},
                    {"plugin": "small", "conditions": [{"path": "$.size", "value": "small"}]},
                ],
                "/builtin": "builtin",
            },
        }
    )


@asynccontextmanager
async def house_of(settings: Config) -> AsyncIterator[House]:
    async with Gateway(assemble(settings, store=None)) as gateway:
        yield House(gateway)


async def test_each_item_goes_where_its_input_says() -> None:
    async with house_of(config()) as house:
        inputs = [json.dumps(one).encode() for one in (INPUTS * 20)]
        fold = await house.run(one_step("/pick/who"), inputs, max_concurrency=7)
    by_item = sorted(fold.results, key=lambda result: result.item_index)
    assert [result.value for result in by_item[:2]] == ["big", "small"]
    assert [result.outcome for result in by_item] == [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILED] * 20
    error = by_item[2].error
    assert error is not None
    assert error.code == "COMPONENT_NOT_FOUND"
    assert "/pick/who" in error.message


async def test_steps_behind_others_are_routed_by_what_they_get() -> None:
    flow = {
        "name": "two",
        "steps": [
            {"id": "first", "component": "/builtin/noop", "input": {"$input": "$"}},
            {"id": "second", "component": "/pick/who", "input": {"$step": "first"}},
        ],
        "output": {"$step": "second"},
    }
    async with house_of(config()) as house:
        fold = await house.run(flow, [json.dumps(one).encode() for one in INPUTS[:2]])
    assert [result.value for result in sorted(fold.results, key=lambda result: result.item_index)] == ["big", "small"]


async def test_the_catalogue_leaves_out_what_a_plugin_is_closed_for() -> None:
    closed = {**answers("x", 1), "deny": ["/who"]}
    settings = Config.model_validate({"plugins": {"x": closed, "y": answers("y", 1)}})
    async with house_of(settings) as house:
        paths = [one.path for one in await house.gateway.catalog.components()]
        fold = await house.run(one_step("/x/who"), [b"1"])
    assert "/y/who" in paths
    assert "/x/who" not in paths
    error = fold.results[0].error
    assert error is not None
    assert "deny" in error.message


def test_a_condition_whose_path_is_none_is_told_with_its_place() -> None:
    settings = Config.model_validate({"routes": {"/a": [{"plugin": "builtin", "conditions": [{"path": "$.x[", "value": 1}]}]}})
    with pytest.raises(ConfigError) as caught:
        assemble(settings, store=None)
    assert [problem.pointer for problem in caught.value.problems] == ["/routes/~1a/0/conditions/0/path"]
