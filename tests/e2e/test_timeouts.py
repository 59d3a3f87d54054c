"""Time-outs of executions that a server of the SDK keeps, under a real gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.stdio_bridge import pool
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.engine import dispatcher
from tests.e2e.house import house, one_step, python_plugin

SOURCE = """
import os, signal, time
from flowspan import ComponentServer
server = ComponentServer(capacity=1)

@server.component
def hold(input: float) -> float:
    time.sleep(input)
    return input

@server.component
def freezes(input: float) -> float:
    time.sleep(input)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)  # a thread may run on for a moment

server.run()
"""


def plugin(directory: Path, **options: Any) -> StdioPlugin:
    program = directory / "server.py"
    program.write_text(SOURCE)
    return python_plugin("py", program, stop_grace_s=0.2, **options)


def step(component: str, timeout_s: float) -> dict[str, Any]:
    return one_step(component, timeout=timeout_s, retry={"maxRetries": 0})


async def test_executions_that_queue_in_the_sdk_for_longer_than_their_time_out_all_succeed(tmp_path: Path) -> None:
    async with house(plugin(tmp_path, capacity=8)) as h:
        fold = await h.run(step("/py/hold", 0.9), [b"0.25"] * 8, max_concurrency=8)
        assert fold.counts().success == 8


async def test_an_execution_whose_process_is_stopped_is_timed_out_by_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "BACKSTOP_SLACK_S", 0.2)
    async with house(plugin(tmp_path)) as h:
        # Stopped after it was reported as begun, and before the SDK would have answered.
        fold = await h.run(step("/py/freezes", 2.0), [b"1.3"])
        error = fold.results[0].error
        assert error is not None and error.code == "TIMEOUT" and "no answer from py" in error.message
        fold = await h.run(step("/py/hold", 5.0), [b"0"])
        assert fold.counts().success == 1


async def test_a_process_that_is_stopped_before_it_said_what_began_is_found_by_pings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_TICK_S", 0.2)
    async with house(plugin(tmp_path, ping_s=0.2)) as h:
        document = one_step("/py/freezes", timeout=600, retry={"maxRetries": 0})
        fold = await h.run(document, [b"0"])
        error = fold.results[0].error
        assert error is not None and error.code == "UNREACHABLE" and "pings" in error.message


async def test_a_component_that_never_ends_fails_its_item_and_what_queued_behind_it_runs_in_another_process(
    tmp_path: Path,
) -> None:
    async with house(plugin(tmp_path, capacity=4)) as h:
        fold = await h.run(step("/py/hold", 0.3), [b"600", b"0", b"0.01", b"0.02"], max_concurrency=4)
        error = fold.results[0].error
        assert error is not None and error.code == "TIMEOUT"
        assert [fold.results[index].value for index in (1, 2, 3)] == [0, 0.01, 0.02]
