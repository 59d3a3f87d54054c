"""Spans: one trace through client, runs, components and sub-runs, under the ids that everybody was told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from flowspan.client import AsyncClient
from flowspan.view.status import RunStatus
from gateway.telemetry.traces import CALL_SPANS_PER_S, CLOSE_S, FULL_ITEMS, span_recorder
from runtime_core.stores.sqlite import SqliteStore
from tests.e2e.house import House, one_step, raw_peer_house
from tests.telemetry.house import PLUGIN, Spans, facts, parent_id, span_id, traceparent, watched_house

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


async def ended(h: House, run: RunStatus) -> str:
    await h.follow(run.run_id)
    return run.run_id


async def test_one_trace_leads_from_a_client_through_run_and_component_to_the_sub_run_and_its_component(tmp_path: Path) -> None:
    spans = Spans()
    async with watched_house(PLUGIN, traces=spans.open, listen=f"unix:{tmp_path}/s") as h:
        leaf = await h.flow(one_step("/p/leaf"))
        async with AsyncClient(h.gateway.addresses[0]) as client:
            run = await client.run(one_step("/p/parent"), [{"flow": leaf}], traceparent=TRACEPARENT)
    assert run.results is not None
    saw = run.results[0].value
    (above,), (below,) = spans.calls("/parent"), spans.calls("/leaf")
    outer = spans.runs()[run.run_id]
    inner = spans.runs()[facts(below)["flowspan.run_id"]]
    assert len(spans.all()) == 4
    assert {span.context.trace_id for span in spans.all() if span.context} == {int(TRACE, 16)}
    assert [parent_id(span) for span in (outer, above, inner, below)] == [
        CALLER,
        span_id(outer),
        span_id(above),
        span_id(inner),
    ]
    assert traceparent(above) == saw["saw"]
    assert traceparent(below) == saw["sub"][0]["saw"]
    assert facts(inner)["flowspan.parent_run_id"] == run.run_id
    assert facts(above)["flowspan.waited_s"] > 0
    for inside, around in ((below, inner), (inner, above), (above, outer)):
        assert around.start_time is not None and inside.start_time is not None
        # Calls are timed by the monotonic clock, runs by the wall's: they agree to a millisecond.
        assert around.start_time - 1_000_000 <= inside.start_time
    assert all(span.status.status_code is StatusCode.OK for span in spans.all())


async def test_a_run_keeps_its_span_over_a_restart(tmp_path: Path) -> None:
    before, after = Spans(), Spans()
    held = tmp_path / "held"
    inputs = [b"{}", b'{"file":"%s"}' % str(held).encode()]
    async with watched_house(PLUGIN, traces=before.open, store=SqliteStore(tmp_path / "runs")) as h:
        run = await h.submit(await h.flow(one_step("/p/once_held")), inputs, max_concurrency=1, traceparent=TRACEPARENT)
        async with asyncio.timeout(10):
            while not held.exists() or not before.calls("/once_held"):
                await asyncio.sleep(0.01)
    assert not before.runs()
    async with watched_house(PLUGIN, traces=after.open, store=SqliteStore(tmp_path / "runs")) as h:
        fold = await h.follow(run.run_id)
    own = after.runs()[run.run_id]
    (first,), (second,) = before.calls("/once_held"), after.calls("/once_held")
    assert (traceparent(own)[3:35], parent_id(own)) == (TRACE, CALLER)
    assert parent_id(first) == parent_id(second) == span_id(own)
    assert [traceparent(first), traceparent(second)] == [fold.results[0].value["saw"], fold.results[1].value["saw"]]
    assert (facts(second)["flowspan.item_index"], facts(second)["flowspan.attempt"]) == (1, 2)
    assert held.read_text() != traceparent(second)


async def test_a_caller_that_does_not_record_is_followed_all_the_way_down() -> None:
    spans = Spans()
    async with watched_house(PLUGIN, traces=spans.open) as h:
        leaf = await h.flow(one_step("/p/leaf"))
        run = await h.submit(
            await h.flow(one_step("/p/parent")), [b'{"flow":"%s"}' % leaf.encode()], traceparent=f"00-{TRACE}-{CALLER}-00"
        )
        fold = await h.follow(run.run_id)
    saw = fold.results[0].value
    assert [text[:36] + text[52:] for text in (saw["saw"], saw["sub"][0]["saw"])] == [f"00-{TRACE}--00"] * 2
    assert spans.all() == ()


async def test_the_sampler_of_the_environment_decides_where_a_trace_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    spans = Spans()
    async with watched_house(PLUGIN, traces=spans.open) as h:
        flow_id = await h.flow(one_step("/p/leaf"))
        silent = await h.follow((await h.submit(flow_id, [b"1"])).run_id)
        asked = await ended(h, await h.submit(flow_id, [b"1"], traceparent=TRACEPARENT))
    assert silent.results[0].value["saw"].endswith("-00")
    assert set(spans.runs()) == {asked} and len(spans.calls("/leaf")) == 1


async def test_of_later_items_only_failed_calls_have_spans() -> None:
    spans = Spans()
    total = FULL_ITEMS + 50
    async with watched_house(PLUGIN, traces=spans.open) as h:
        run = await h.submit(await h.flow(one_step("/p/fails_odd")), [b"%d" % n for n in range(total)], max_concurrency=32)
        await ended(h, run)
    calls = spans.calls("/fails_odd")
    items = sorted(facts(call)["flowspan.item_index"] for call in calls)
    assert items == [*range(FULL_ITEMS), *range(FULL_ITEMS + 1, total, 2)]
    for call in calls:
        is_odd = facts(call)["flowspan.item_index"] % 2 == 1
        assert call.status.status_code is (StatusCode.ERROR if is_odd else StatusCode.OK)
        assert facts(call).get("error.type") == ("COMPONENT_FAILED" if is_odd else None)
    own = spans.runs()[run.run_id]
    assert own.status.status_code is StatusCode.ERROR
    assert facts(own)["flowspan.items_failed"] == total // 2


async def test_attempts_that_time_out_crash_or_lead_nowhere_have_spans(tmp_path: Path) -> None:
    spans = Spans()
    async with watched_house(PLUGIN, traces=spans.open) as h:
        held = one_step("/p/once_held", timeout="300ms")
        await ended(h, await h.submit(await h.flow(held), [b'{"file":"%s/late"}' % str(tmp_path).encode()]))
        crashing = b'{"file":"%s/crash","crash":true}' % str(tmp_path).encode()
        await ended(h, await h.submit(await h.flow(one_step("/p/once_held")), [crashing]))
        await ended(h, await h.submit(await h.flow(one_step("/nowhere/x")), [b"1"]))
    attempts = [(facts(call)["flowspan.attempt"], facts(call).get("error.type")) for call in spans.calls("/once_held")]
    assert attempts == [(1, "TIMEOUT"), (2, None), (1, "UNREACHABLE"), (2, None)]
    (late, *_) = spans.calls("/once_held")
    assert late.start_time is not None and late.end_time is not None
    assert 0.25e9 < late.end_time - late.start_time < 5e9
    assert [facts(call)["error.type"] for call in spans.calls("/nowhere/x")] == ["COMPONENT_NOT_FOUND"]


@pytest.mark.parametrize(
    ("said", "trace_id", "parent"),
    [
        ({"trace_id": TRACE}, TRACE, None),
        ({"trace_id": TRACE, "span_id": CALLER}, TRACE, CALLER),
        ({"trace_id": TRACE, "span_id": "0" * 16}, TRACE, None),
        ({"traceparent": "nonsense", "trace_id": TRACE}, TRACE, None),
        ({"span_id": CALLER}, "own", "execution"),
        ({"trace_id": "0" * 32}, "own", "execution"),
        ({}, "own", "execution"),
    ],
)
async def test_a_bare_trace_id_is_carried_on(tmp_path: Path, said: dict[str, str], trace_id: str, parent: str | None) -> None:
    async with raw_peer_house(tmp_path) as (h, peer):
        await peer.handshake()
        flow_id = await h.flow(one_step("/raw/work"))
        await h.submit(flow_id, [b"1"])
        execute = (await peer.expect(method="components/execute"))["params"]
        own = execute["observability"]
        params = {"flowId": flow_id, "inputs": [2], "taskToken": execute["taskToken"], "observability": said}
        await peer.send_message({"jsonrpc": "2.0", "id": "s", "method": "runs/submit", "params": params})
        run_id = (await peer.expect(id="s"))["result"]["runId"]
        seen = (await peer.expect(method="components/execute"))["params"]["observability"]
        settings = h.gateway._runtime.open_runs[run_id].settings
    assert seen["trace_id"] == (own["trace_id"] if trace_id == "own" else trace_id)
    assert settings.parent_span_id == (own["span_id"] if parent == "execution" else parent or "")


class HangingExporter(SpanExporter):
    """A collector that takes the first batch and never answers, until it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.let_go.wait(30)
        return SpanExportResult.FAILURE


async def test_a_collector_that_hangs_holds_up_neither_runs_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    exporter = HangingExporter()
    try:
        async with watched_house(PLUGIN, traces=span_recorder(exporter)) as h:
            flow_id = await h.flow(one_step("/p/leaf"))
            for _ in range(4):
                await ended(h, await h.submit(flow_id, [b"1"] * FULL_ITEMS, max_concurrency=64))
            assert exporter.asked.wait(5)
            stops_at = time.monotonic()
        assert time.monotonic() - stops_at < CLOSE_S + 3
    finally:
        exporter.let_go.set()


async def test_more_spans_than_a_second_may_have_are_dropped_and_counted() -> None:
    spans = Spans()
    async with watched_house(traces=spans.open) as h:
        run = await h.submit(await h.flow(one_step("/nowhere/x")), [b"1"] * (3 * CALL_SPANS_PER_S), max_concurrency=10_000)
        await ended(h, run)
        traces = h.gateway._traces
        assert traces is not None
        assert traces.recorded == len(spans.all())
        assert traces.recorded + traces.dropped == 3 * CALL_SPANS_PER_S + 1
        assert run.run_id in spans.runs()
