"""Fixtures of the client's tests: a fake gateway on a socket of its own, and both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from flowspan.client import RetryPolicy
from tests.client.fake_gateway import FakeGateway

QUICK = RetryPolicy(first_delay_s=0.01, longest_delay_s=0.05, give_up_after_s=5.0)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    fake = FakeGateway(f"unix:{tmp_path}/gateway.sock")
    fake.start()
    yield fake
    fake.stop()
