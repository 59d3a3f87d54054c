"""A component server made with the SDK, under the gateway's supervision: what each side promises the other."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from flowspan.errors import FlowErrorCode
from gateway.methods.table import MethodTable
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.calls import CallFailure
from tests.methods.fake_api import FLOW_ID, FakeApi
from tests.stdio_bridge.fakes import Bridge, calls, template

SOURCE = """
import asyncio, os
from flowspan import ComponentServer
server = ComponentServer(capacity=8)

@server.component
def double(input: int) -> int:
    print("noise")
    return 2 * input

@server.component
async def fails(input: dict) -> dict:
    raise ValueError("no such thing")

@server.component
async def waits(input: dict) -> dict:
    await asyncio.sleep(60)
    return input

@server.component
async def orchestrates(input: list, ctx) -> dict:
    flow_id = await ctx.put_blob({"steps": []})
    status = await ctx.submit_run(flow_id=flow_id, inputs=input, wait=True, max_concurrency=5)
    again = await ctx.get_run(run_id=status.run_id, wait=True, include_results=True)
    seen = [result.value async for result in ctx.watch_run(status.run_id)]
    return {"status": status.status.wire_name, "values": [one.value for one in again.results], "seen": seen}

server.run()
"""


def sdk_server(directory: Path) -> LaunchSpec:
    program = directory / "server.py"
    program.write_text(SOURCE)
    return LaunchSpec("sdk", sys.executable, (str(program),))


async def test_a_server_of_the_sdk_executes_fails_orchestrates_and_confirms_cancels(tmp_path: Path) -> None:
    api = FakeApi([b"1", b"2"])
    handler = MethodTable(lambda: api).handle  # type: ignore[arg-type,return-value]  # a fake of what is used here
    async with Bridge(StdioPlugin(sdk_server(tmp_path)), handler) as bridge:
        await bridge.up()
        assert bridge.server.free_slots() == 8
        assert set(bridge.server.offered) == {"/double", "/fails", "/waits", "/orchestrates"}
        assert await bridge.execute(calls(8, template("/double"), b"21")) == [b"42"] * 8

        (failed,) = await bridge.execute(calls(1, template("/fails"), b"{}"))
        assert isinstance(failed, CallFailure)
        assert failed.code is FlowErrorCode.COMPONENT_FAILED and "no such thing" in failed.message

        (wrong,) = await bridge.execute(calls(1, template("/double"), b'"x"'))
        assert isinstance(wrong, CallFailure) and wrong.code is FlowErrorCode.INVALID_INPUT

        (outcome,) = await bridge.execute(calls(1, template("/orchestrates"), b"[1,2]"))
        assert isinstance(outcome, bytes), outcome
        assert msgspec.json.decode(outcome) == {"status": "success", "values": [1, 2], "seen": [1, 2]}
        assert api.submitted[0].max_concurrency == 5 and api.submitted[0].flow_id != FLOW_ID

        waiting = calls(3, template("/waits"), b"{}")
        bridge.server.start(waiting)
        assert await bridge.server.cancel(waiting) == 0
        await bridge.sink.until(lambda: all(call.number in bridge.sink.results for call in waiting))
        for call in waiting:
            ended = bridge.sink.results[call.number]
            assert isinstance(ended, CallFailure) and ended.code is FlowErrorCode.CANCELLED
        assert not bridge.sink.crashes
