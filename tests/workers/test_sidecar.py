"""The bridge beside a remote gateway, with component servers that know nothing of either."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flowspan.client import AsyncClient
from flowspan.errors import FlowspanError
from flowspan.view.events import Outcome
from gateway.sidecar.naming import SessionNaming
from gateway.sidecar.program import serve_bridge, stdio_server
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import StdioPlugin
from tests.e2e.house import one_step
from tests.stdio_bridge.servers import server
from tests.workers.hand_worker import WAIT_S, WorkerHouse, worker_house
from tests.workers.processes import workers_there

QUICK = RestartLimits(first_backoff_s=0.01, max_backoff_s=0.02)


@asynccontextmanager
async def bridged(house: WorkerHouse, body: str, **options: Any) -> AsyncIterator[asyncio.Event]:
    """A plain server behind a bridge in this process; what ends it in order."""
    stop = asyncio.Event()
    plugin = StdioPlugin(server(body), restart=QUICK, **options)
    task = asyncio.create_task(serve_bridge(stdio_server(plugin), AsyncClient(house.target), "q", stop))
    try:
        await workers_there(house, 1)
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(3 * WAIT_S):
            await task


async def _values(house: WorkerHouse, component: str, inputs: list[Any], **options: Any) -> list[Any]:
    fold = await house.run(one_step(f"/w/{component}"), [json.dumps(value).encode() for value in inputs], **options)
    return [json.loads(result.payload) for result in sorted(fold.results, key=lambda result: result.item_index)]


async def test_a_plain_server_works_behind_a_bridge() -> None:
    async with worker_house() as house, bridged(house, "CAPABILITIES = {'capacity': 3}"):
        assert await _values(house, "echo", list(range(100)), max_concurrency=50) == list(range(100))
        status = next(plugin for plugin in house.gateway.catalog.plugins() if plugin.name == "w")
        assert status.capacity == 3


async def test_requests_carry_the_names_of_the_remote_gateway() -> None:
    told = "def execute(request, params): answer(request, {'output': params})"
    async with worker_house() as house, bridged(house, told):
        flow_id = await house.flow(one_step("/w/echo"))
        run = await house.submit(flow_id, [b"1"])
        (result,) = (await house.follow(run.run_id)).results
        params = json.loads(result.payload)
        assert params["observability"]["run_id"] == run.run_id
        naming = house.gateway._naming
        number = naming.number_of_token(params["taskToken"])
        assert number is not None
        assert params["observability"]["span_id"] == naming.span_id(number)


SUBMITS = """
SNAKE = %s
waiting = {}
def execute(request, params):
    if params['component'] != '/double':
        waiting['s%%d' %% request['id']] = request
        token = {'taskToken': params['taskToken']} if %s else {}
        ask('s%%d' %% request['id'], 'runs/submit', {**params['input'], 'wait': True, **token})
    else:
        answer(request, {'output': 2 * params['input']})
def replied(message):
    request = waiting.pop(message['id'])
    answer(request, {'output': message.get('result') or message['error']})
"""


@pytest.mark.parametrize("says_whose", [True, False])
async def test_stepflow_servers_get_statuses_in_their_words(says_whose: bool) -> None:
    async with worker_house() as house, bridged(house, SUBMITS % (True, says_whose), capacity=2):
        flow_id = await house.flow(one_step("/w/double"))
        inputs = [{"flowId": flow_id.removeprefix("sha256:"), "inputs": [n, n + 1]} for n in range(6)]
        for n, run in enumerate(await _values(house, "echo", inputs, max_concurrency=6)):
            assert run["status"] == "completed", run
            assert run["items"]["completed"] == 2
            assert [entry["result"] for entry in run["results"]] == [
                {"outcome": "success", "result": 2 * n}, {"outcome": "success", "result": 2 * n + 2},
            ]  # fmt: skip


async def test_a_flow_that_is_no_id_is_refused_and_never_read_as_a_file() -> None:
    async with worker_house() as house, bridged(house, SUBMITS % (False, True)):
        (error,) = await _values(house, "echo", [{"flowId": "/etc/hostname", "inputs": [1]}])
        assert error["data"]["reason"] == "INVALID_ARGUMENT"


async def test_a_stepflow_component_skips_its_step() -> None:
    skips = """
SNAKE = True
def execute(request, params): answer(request, {'output': {'outcome': 'skipped', 'reason': 'not today'}})
"""
    async with worker_house() as house, bridged(house, skips):
        fold = await house.run(one_step("/w/echo"), [b"1"])
        (result,) = fold.results
        assert result.outcome is Outcome.SKIPPED and json.loads(result.payload) == {"reason": "not today"}


async def test_errors_keep_their_meaning() -> None:
    fails = "def execute(request, params): fail(request, params['input'], 'no', {'n': 1})"
    codes = [-32602, -32001, -32005, -32000, -32014, 7]
    async with worker_house() as house, bridged(house, fails):
        told = await _values(house, "echo", codes)
    assert [error["code"] for error in told] == [
        "INVALID_INPUT", "COMPONENT_NOT_FOUND", "RESOURCE_UNAVAILABLE", *3 * ["COMPONENT_FAILED"],
    ]  # fmt: skip
    assert told[4]["data"]["pluginCode"] == -32014


async def test_an_item_that_kills_its_server_fails_alone() -> None:
    kills = """
CAPABILITIES = {'capacity': 8}
def execute(request, params):
    if params['input'] == 13: os._exit(9)
    answer(request, {'output': params['input']})
"""
    async with worker_house() as house, bridged(house, kills):
        found = await _values(house, "echo", list(range(20)), max_concurrency=20)
        assert found[:13] + found[14:] == [n for n in range(20) if n != 13]
        assert found[13]["code"] == "UNREACHABLE" and "9" in found[13]["message"]


async def test_a_server_that_hangs_is_replaced_after_the_time_out() -> None:
    hangs = """
def execute(request, params):
    if params['input'] != 'hang': answer(request, {'output': params['input']})
"""
    async with worker_house() as house, bridged(house, hangs):
        fold = await house.run(one_step("/w/echo", timeout=0.3), [b'"hang"'])
        (result,) = fold.results
        assert json.loads(result.payload)["code"] == "TIMEOUT"
        assert await _values(house, "echo", [1, 2]) == [1, 2]


async def test_a_bridge_that_is_told_to_end_finishes_what_runs() -> None:
    naps = "CAPABILITIES = {'capacity': 1}\ndef execute(request, params): time.sleep(0.4); answer(request, {'output': 1})"
    async with worker_house() as house, bridged(house, naps) as stop:
        run = await house.submit(await house.flow(one_step("/w/echo")), [b"1"])
        async with asyncio.timeout(WAIT_S):
            while not house.in_flight:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        stop.set()
        assert (await house.follow(run.run_id)).status.wire_name == "success"


async def test_a_server_that_cannot_start_ends_the_bridge_with_its_reason() -> None:
    async with worker_house() as house:
        plugin = StdioPlugin(server("VERSION = 7"))
        with pytest.raises(FlowspanError, match="protocol version 7"):
            await serve_bridge(stdio_server(plugin), AsyncClient(house.target), "q", asyncio.Event())


async def test_a_bridge_whose_server_breaks_gives_back_what_it_has() -> None:
    # It starts once; the next time it speaks another version, which no restart cures.
    breaks = """
import pathlib
mark = pathlib.Path(%r)
VERSION = 7 if mark.exists() else 1
def execute(request, params):
    mark.touch()
    os._exit(1)
"""
    with tempfile.TemporaryDirectory() as directory:
        async with worker_house() as house:
            plugin = StdioPlugin(server(breaks % f"{directory}/mark"), restart=QUICK)
            serving = asyncio.create_task(serve_bridge(stdio_server(plugin), AsyncClient(house.target), "q", asyncio.Event()))
            await workers_there(house, 1)
            run = await house.submit(await house.flow(one_step("/w/echo")), [b"1"])
            with pytest.raises(FlowspanError, match="protocol version 7"):
                async with asyncio.timeout(3 * WAIT_S):
                    await serving
            async with bridged(house, ""):
                assert (await house.follow(run.run_id)).status.wire_name == "success"


def test_a_session_names_executions_its_own_way() -> None:
    naming = SessionNaming()
    naming.adopt("0123456789abcdef-", "abcdef")
    assert naming.task_token(26) == "0123456789abcdef-1a"
    assert naming.number_of_span("abcdef000000001a") == 26
    with pytest.raises(FlowspanError, match="in another way"):
        naming.adopt("x", "abcdef")
