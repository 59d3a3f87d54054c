"""Spawned component servers on both event loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.components.played_gateway import PlayedGateway

Spawn = Callable[..., PlayedGateway]


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
