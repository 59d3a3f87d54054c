"""Who looks on at calls: spans, whoever traces items, both, or nobody."""

from __future__ import annotations

from gateway.app import Gateway, GatewayParts
from gateway.telemetry.observer import GatewayObserver
from runtime_core.calls import CallResult
from runtime_core.stores.memory import MemoryStore
from tests.e2e.house import House, one_step

from .house import Spans


async def test_one_who_looks_on_sees_every_attempt_beside_the_spans() -> None:
    seen: list[CallResult] = []
    spans = Spans()
    parts = GatewayParts(store=MemoryStore(), drain_s=0.0, traces=spans.open, on_calls=seen.extend)
    async with Gateway(parts) as gateway:
        h = House(gateway)
        fold = await h.run(one_step("/builtin/noop"), [b"1", b"2"])
        assert fold.is_terminal
    assert sorted((call.item_index, call.input, answer) for call, answer in seen) == [(0, b"1", b"1"), (1, b"2", b"2")]
    assert len(spans.calls("/noop")) + len(spans.calls("/builtin/noop")) == 2


def test_nobody_is_told_if_nobody_asks() -> None:
    assert GatewayObserver().on_calls is None
    seen: list[CallResult] = []
    alone = GatewayObserver(on_calls=seen.extend).on_calls
    assert alone is not None
    alone([])
