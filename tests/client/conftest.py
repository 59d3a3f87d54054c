"""Fixtures of the client's tests: a fake gateway on a socket of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowspan.client import RetryPolicy
from tests.client.fake_gateway import FakeGateway

QUICK = RetryPolicy(first_delay_s=0.01, longest_delay_s=0.05, give_up_after_s=5.0)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[FakeGateway]:
    fake = FakeGateway(f"unix:{tmp_path}/gateway.sock")
    fake.start()
    yield fake
    fake.stop()
