"""The end of a gateway is whole, whatever fails on the way."""

from __future__ import annotations

import pytest

from gateway.app import Gateway, GatewayParts
from runtime_core.stores.memory import MemoryStore


async def test_a_stop_that_fails_in_between_still_lets_the_store_go(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    gateway = Gateway(GatewayParts(store=store))
    await gateway.start()

    async def fail(grace_s: float) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(gateway.api, "drain", fail)
    with pytest.raises(RuntimeError):
        await gateway.stop()
    async with Gateway(GatewayParts(store=store)):
        pass  # the store has no owner any more
