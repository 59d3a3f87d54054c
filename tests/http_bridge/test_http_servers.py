"""Component servers over HTTP behind a whole gateway: those that it starts, and those that run already."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.catalog import PluginHealth
from gateway.http_bridge.settings import HttpPlugin
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import StdioPlugin
from tests.e2e.house import House, house, one_step, python_plugin

SERVER = Path(__file__).parent / "hand_server.py"
QUICK = RestartLimits(first_backoff_s=0.05, max_backoff_s=0.2)
WAIT_S = 10.0
ONCE: dict[str, Any] = {"retry": {"maxRetries": 0}}


def spawned(marks: Path, **options: Any) -> StdioPlugin:
    settings: dict[str, Any] = {"kind": HttpPlugin, "restart": QUICK, "stop_grace_s": 0.5, **options}
    return python_plugin("http", SERVER, str(marks), **settings)


def at(url: str, **options: Any) -> HttpPlugin:
    return HttpPlugin(LaunchSpec("http", ""), url=url, restart=QUICK, **options)


@contextmanager
def running(marks: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The same server as a process that is not the gateway's, and its port."""
    command = [sys.executable, str(SERVER), str(marks), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process, json.loads(process.stdout.readline())["port"]
        finally:
            process.kill()


async def call(h: House, component: str, *inputs: Any, **step: Any) -> list[Any]:
    fold = await h.run(one_step(f"/http{component}", **step), [json.dumps(given).encode() for given in inputs])
    return [json.loads(result.payload) for result in sorted(fold.results, key=lambda result: result.item_index)]


async def until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_server_that_is_started_says_its_port_and_is_called(tmp_path: Path) -> None:
    async with house(spawned(tmp_path)) as h:
        inputs = [{"n": n, "text": "Ж\n"} for n in range(200)]
        assert await call(h, "/echo", *inputs, retry={"maxRetries": 0}) == inputs
        status = h.gateway._plugins["http"].status()
        assert (status.type, status.health) == ("http", PluginHealth.UP)
        assert await call(h, "/large", 1_000_000) == ["x" * 1_000_000]


async def test_numbers_come_back_as_they_were_written(tmp_path: Path) -> None:
    async with house(spawned(tmp_path)) as h:
        fold = await h.run(one_step("/http/echo"), [b"12345678901234567890"])
        assert fold.results[0].payload == b"12345678901234567890"


async def test_failures_say_what_the_server_said(tmp_path: Path) -> None:
    async with house(spawned(tmp_path)) as h:
        (failed,) = await call(h, "/fail", 1, **ONCE)
        assert (failed["code"], failed["message"]) == ("COMPONENT_FAILED", "no such luck")
        (refused,) = await call(h, "/plain", 1, **ONCE)
        assert (refused["code"], refused["message"]) == ("COMPONENT_FAILED", "HTTP 400: not like that")
        (other,) = await call(h, "/status", 1, **ONCE)
        assert other["message"] == "HTTP 502: <html>Bad Gateway</html>"
        (long,) = await call(h, "/large", 3_000_000, **ONCE)
        assert "at most" in long["message"]
        assert await call(h, "/echo", 1) == [1]


async def test_a_server_asks_in_the_stream_of_its_answer_and_is_answered_at_its_instance(tmp_path: Path) -> None:
    async with house(spawned(tmp_path, headers={"X-Asked": "by the gateway"})) as h:
        flow_id = await h.flow(one_step("/http/echo"))
        asked = [
            ["blobs/put", {"data": {"a": 1}, "blob_type": "data"}],
            ["runs/submit", {"flowId": flow_id, "inputs": [1, 2], "wait": True}],
            ["nothing", {}],
        ]
        (said,) = await call(h, "/ask", asked, **ONCE)
        (blob, run, error), instances, headers = zip(*said, strict=True)
        assert set(instances) == {"instance-1"} and set(headers) == {"by the gateway"}
        assert json.loads((await h.api.get_blob(blob["blob_id"])).data) == {"a": 1}
        assert [item["result"]["value"] for item in run["results"]] == [1, 2]
        assert error["code"] == -32601
        # Each waits in a request of its own while its sub-run needs further ones.
        told = await call(h, "/ask", *[[["runs/submit", {"flowId": flow_id, "inputs": [n], "wait": True}]] for n in range(50)])
        assert [one[0][0]["results"][0]["result"]["value"] for one in told] == list(range(50))


async def test_a_stream_that_is_cut_off_is_a_lost_connection(tmp_path: Path) -> None:
    async with house(spawned(tmp_path)) as h:
        (lost,) = await call(h, "/cut", 1, retry={"maxRetries": 0, "maxTransportRetries": 0})
        assert lost["code"] == "UNREACHABLE", lost
        assert await call(h, "/echo", 1) == [1]


async def test_a_crash_repeats_the_call_in_a_new_process(tmp_path: Path) -> None:
    async with house(spawned(tmp_path)) as h:
        assert await call(h, "/crash_once", 1, retry={"maxRetries": 0}) == ["second try"]
        assert h.gateway._plugins["http"].status().restarts == 1


async def test_a_time_out_closes_the_connection(tmp_path: Path) -> None:
    async with house(spawned(tmp_path)) as h:
        (hung,) = await call(h, "/hang", 1, timeout=0.3, **ONCE)
        assert hung["code"] == "TIMEOUT"
        assert await call(h, "/echo", 1) == [1]


async def test_a_cancel_closes_the_connection_and_the_run_ends_at_once(tmp_path: Path) -> None:
    async with house(spawned(tmp_path)) as h:
        run = await h.submit(await h.flow(one_step("/http/hang")), [b"1"])
        await until((tmp_path / "hanging").exists)
        await h.api.cancel_run(run.run_id, reason="enough")
        fold = await h.follow(run.run_id, wait_s=2.0)
        assert fold.status.wire_name == "cancelled"
        await until((tmp_path / "hung_up").exists)


async def test_a_program_that_says_no_port_is_told_apart(tmp_path: Path) -> None:
    silent = tmp_path / "silent.py"
    silent.write_text("import time\nprint('hello', flush=True)\ntime.sleep(60)\n")
    async with house(python_plugin("http", silent, kind=HttpPlugin, restart=QUICK, initialize_timeout_s=0.5)) as h:
        plugin = h.gateway._plugins["http"]
        await until(lambda: '{"port": N}' in plugin.status().detail)


async def test_a_server_that_runs_elsewhere_comes_and_goes(tmp_path: Path) -> None:
    with running(tmp_path) as (process, port):
        async with house(at(f"http://127.0.0.1:{port}/")) as h:
            assert await call(h, "/echo", 1) == [1]
            process.send_signal(signal.SIGKILL)
            process.wait()
            plugin = h.gateway._plugins["http"]
            waiting = asyncio.ensure_future(call(h, "/echo", 2))
            await until(lambda: "nobody listens" in plugin.status().detail)
            with running(tmp_path, port):
                async with asyncio.timeout(WAIT_S):
                    assert await waiting == [2]


@pytest.mark.parametrize("listens", [True, False])
async def test_the_gateway_does_not_end_a_server_that_is_not_its_own(tmp_path: Path, listens: bool) -> None:
    with running(tmp_path) as (process, port):
        async with house(at(f"http://127.0.0.1:{port}/" if listens else "http://127.0.0.1:9/")) as h:
            plugin = h.gateway._plugins["http"]
            await until(lambda: plugin.status().restarts > 0 or plugin.status().health is PluginHealth.UP)
        assert process.poll() is None
