"""Spawned component servers on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.components.played_gateway import PlayedGateway

Spawn = Callable[..., PlayedGateway]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    """Starts a component server whose components the given source defines; ends it after the test."""
    started: list[PlayedGateway] = []

    def start(source: str, *, loop: str = "auto", capacity: int = 256) -> PlayedGateway:
        gateway = PlayedGateway(tmp_path / f"server_{len(started)}.py", source, loop=loop, capacity=capacity)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        gateway.close()


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """The name of the event loop."""
    name: str = request.param
    return name
