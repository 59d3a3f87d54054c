"""Event loops of the test suite.

Tests of the edges run on asyncio's loop and, where it is installed, on uvloop; everything inside has no loop of its own to
depend on and runs on asyncio's. A directory may say otherwise with a `pytest_asyncio_loop_factories` of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

# Before anything imports grpc: its fork handlers kill children that are spawned under uvloop while calls run.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

EDGES: Final = frozenset({"client", "components", "grpc_server", "http_bridge", "mcp", "methods", "stdio_bridge", "web"})
"""Directories below `tests/` whose code talks to the outside through the event loop."""

_HERE: Final = Path(__file__).parent
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def _loop_factories() -> dict[str, LoopFactory]:
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    if find_spec("uvloop") is not None:
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    return factories


ALL_LOOPS: Final = _loop_factories()
ONE_LOOP: Final[dict[str, LoopFactory]] = {"asyncio": asyncio.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "deep: takes minutes; collected only with FLOWSPAN_DEEP set, as `make deep-tests` does")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not os.environ.get("FLOWSPAN_DEEP"):
        deep = [item for item in items if item.get_closest_marker("deep")]
        config.hook.pytest_deselected(items=deep)
        items[:] = [item for item in items if not item.get_closest_marker("deep")]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """Which loops a test runs on; called for tests that are coroutine functions or use such fixtures."""
    area = item.path.relative_to(_HERE).parts[0] if item.path.is_relative_to(_HERE) else ""
    return ALL_LOOPS if area in EDGES else ONE_LOOP
