"""The status pages: figures for Prometheus, signs of life for probes."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from pathlib import Path

import pytest

from flowspan.errors import PreconditionError
from gateway.assembly import assemble
from gateway.config import Config
from gateway.telemetry.exposition import Family, Histogram, Sample, render
from gateway.telemetry.status_pages import MAX_CONNECTIONS, StatusPages
from runtime_core.stores.sqlite import SqliteStore
from tests.e2e.house import one_step
from tests.telemetry.house import PLUGIN, fetch, figures, get, watched_house

ANYWHERE = "127.0.0.1:0"


async def test_a_scrape_tells_runs_items_events_commits_and_plugins(tmp_path: Path) -> None:
    async with watched_house(PLUGIN, metrics=ANYWHERE, listen=f"unix:{tmp_path}/s") as h:
        address = h.gateway.metrics_address
        assert address is not None
        run = await h.submit(await h.flow(one_step("/p/fails_odd")), [b"%d" % n for n in range(25)])
        fold = await h.follow(run.run_id)
        seen = await figures(address)
    expected = {
        "flowspan_runs_accepted_total": 1,
        'flowspan_runs_ended_total{status="failed"}': 1,
        'flowspan_runs_ended_total{status="success"}': 0,
        'flowspan_runs_open{status="running"}': 0,
        'flowspan_items_ended_total{outcome="success"}': 13,
        'flowspan_items_ended_total{outcome="failed"}': 12,
        "flowspan_events_total": fold.through_seq,
        "flowspan_calls_in_flight": 0,
        "flowspan_submit_seconds_count": 1,
        'flowspan_submit_seconds_bucket{le="+Inf"}': 1,
        'flowspan_plugin_up{plugin="p"}': 1,
        'flowspan_plugin_restarts_total{plugin="p"}': 0,
        "flowspan_grpc_watch_streams": 0,
        "flowspan_watches_open": 0,
    }
    assert {name: seen[name] for name in expected} == expected
    assert seen["flowspan_store_commits_total"] > 0


async def test_open_runs_and_their_items_are_told_while_they_run(tmp_path: Path) -> None:
    async with watched_house(PLUGIN, metrics=ANYWHERE) as h:
        address = h.gateway.metrics_address
        assert address is not None
        document = one_step("/p/once_held")
        document["steps"].append({"id": "b", "component": "/no/such", "input": {"$step": "a"}})
        held = await h.flow(document)
        await h.submit(held, [b'{"file":"%s/f"}' % str(tmp_path).encode(), b"{}", b"{}"], max_concurrency=1)
        async with asyncio.timeout(5):
            while (seen := await figures(address))["flowspan_calls_in_flight"] != 1:
                pass
    assert {name for name in seen if name.startswith("flowspan_calls_waiting")} == {'flowspan_calls_waiting{plugin="p"}'}
    assert seen['flowspan_items_open{status="running"}'] == 1
    assert seen['flowspan_items_open{status="pending"}'] == 2
    assert seen['flowspan_runs_open{status="running"}'] == 1
    assert seen['flowspan_plugin_calls_in_flight{plugin="p"}'] == 1


async def test_counters_begin_anew_with_the_process_though_runs_go_on(tmp_path: Path) -> None:
    inputs = [b"{}", b"{}", b'{"file":"%s/f"}' % str(tmp_path).encode()]
    async with watched_house(PLUGIN, store=SqliteStore(tmp_path / "runs"), metrics=ANYWHERE) as h:
        address = h.gateway.metrics_address
        assert address is not None
        run = await h.submit(await h.flow(one_step("/p/once_held")), inputs, max_concurrency=1)
        async with asyncio.timeout(10):
            while (await figures(address))['flowspan_items_ended_total{outcome="success"}'] != 2 or not (tmp_path / "f").exists():
                await asyncio.sleep(0.01)
    async with watched_house(PLUGIN, store=SqliteStore(tmp_path / "runs"), metrics=ANYWHERE) as h:
        address = h.gateway.metrics_address
        assert address is not None
        await h.follow(run.run_id)
        seen = await figures(address)
    assert seen['flowspan_items_ended_total{outcome="success"}'] == 1
    assert seen['flowspan_runs_ended_total{status="success"}'] == 1
    assert seen["flowspan_runs_accepted_total"] == 0


async def test_nothing_listens_and_nothing_is_recorded_unless_it_is_asked_for() -> None:
    parts = assemble(Config(), store=None, listen=("unix:/nowhere",))
    assert (parts.traces, parts.metrics) == (None, None)
    async with watched_house() as h:
        assert h.gateway.metrics_address is None
        assert h.gateway._runtime.dispatcher.on_calls_ended is None


def test_the_configuration_switches_both_on_and_embedded_gateways_open_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config.model_validate({"telemetry": {"traces": "otlp", "metrics": "127.0.0.1:9464"}})
    served = assemble(config, store=None, listen=("unix:/nowhere",))
    assert served.traces is not None and served.metrics == "127.0.0.1:9464"
    assert assemble(config, store=None).metrics is None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert assemble(config, store=None).traces is None


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "unix:/x", "9464", "example.org:1"])
def test_pages_without_a_token_are_for_loopback_only(address: str) -> None:
    with pytest.raises(ValueError, match="telemetry"):
        Config.model_validate({"telemetry": {"metrics": address}})


async def test_readyz_says_no_before_the_start_and_during_the_drain() -> None:
    is_live, is_ready = True, False

    async def page() -> bytes:
        return b""

    pages = StatusPages(ANYWHERE, metrics=page, is_live=lambda: is_live, is_ready=lambda: is_ready)
    await pages.start()
    try:
        assert [(await get(pages.address, path))[0] for path in ("/livez", "/readyz")] == [200, 503]
        is_ready = True
        assert [(await get(pages.address, path))[0] for path in ("/livez", "/readyz")] == [200, 200]
        is_live = False
        assert [(await get(pages.address, path))[0] for path in ("/livez", "/readyz")] == [503, 503]
    finally:
        await pages.stop()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.1\r\nHost: [::1]:1\r\n\r\n", 200),
        (b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx", 405),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"\x16\x03\x01 \r\n\r\n", 400),
    ],
)
async def test_odd_requests_get_an_answer_and_an_end(request_bytes: bytes, status: int) -> None:
    async with watched_house(metrics=ANYWHERE) as h:
        address = h.gateway.metrics_address
        assert address is not None
        seen, headers, body = await fetch(address, request_bytes)
    assert seen == status and headers["connection"] == "close"
    assert body == "" if request_bytes.startswith(b"HEAD") else len(body) == int(headers["content-length"])


async def is_answered(host: str, port: int) -> bool:
    """Whether one more connection gets anything but its end."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /livez HTTP/1.1\r\n\r\n")
        return await reader.read() != b""
    except ConnectionResetError:
        return False
    finally:
        writer.close()


async def test_callers_that_hold_on_are_bounded_and_do_not_keep_the_gateway() -> None:
    async with watched_house(metrics=ANYWHERE) as h:
        address = h.gateway.metrics_address
        assert address is not None
        host, _, port = address.rpartition(":")
        held = [socket.create_connection((host, int(port)), timeout=5) for _ in range(MAX_CONNECTIONS)]
        try:
            for connection in held:
                connection.send(b"GET /me")
            async with asyncio.timeout(5):
                while await is_answered(host, int(port)):  # until all that are held have been accepted
                    pass
        finally:
            for connection in held:
                connection.close()


async def test_an_address_that_is_taken_is_refused_by_name() -> None:
    async with watched_house(metrics=ANYWHERE) as h:
        address = h.gateway.metrics_address
        with pytest.raises(PreconditionError, match=r"telemetry\.metrics: 127"):
            async with watched_house(metrics=address):
                pass


def test_a_histogram_counts_cumulatively() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    family = histogram.family("h", "x")
    assert [(sample.suffix, dict(sample.labels), sample.value) for sample in family.samples[:3]] == [
        ("_bucket", {"le": "0.1"}, 2),
        ("_bucket", {"le": "1"}, 3),
        ("_bucket", {"le": "+Inf"}, 4),
    ]
    assert [(sample.suffix, sample.value) for sample in family.samples[3:]] == [("_sum", pytest.approx(7.65)), ("_count", 4)]


def test_labels_cannot_break_out_of_their_quotes() -> None:
    page = render([Family("m", "gauge", "Meaning.", [Sample(1.5, {"plugin": 'a"}\n\\'})])])
    assert page.decode() == '# HELP m Meaning.\n# TYPE m gauge\nm{plugin="a\\"}\\n\\\\"} 1.5\n'
    assert Counter(page.decode())["\n"] == 3
