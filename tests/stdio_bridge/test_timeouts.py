"""Servers that keep time-outs themselves: who is trusted with it, what they tell, and how they are replaced."""

from __future__ import annotations

import pytest

from gateway.stdio_bridge import peer
from gateway.stdio_bridge.handshake import read_initialize
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import StdioPlugin

from .fakes import Bridge, calls
from .servers import server

KEEPS = "CAPABILITIES = {'timeouts': True, 'started': True, 'ping': True}\n"
PONG = "def other(request): answer(request, {})\n"
QUICK = RestartLimits(first_backoff_s=0.001, max_backoff_s=0.001)

DRAINS = """
held = []
def execute(request, params):
    if params['input'] == 2: return answer(request, {'output': ME})
    held.append(request['id'])
    if len(held) == 3: tell('$/drain', {'ids': [held[1], held[2], held[1], 999, 'x']})
"""


@pytest.mark.parametrize("missing", ["timeouts", "started", "ping"])
def test_only_a_server_whose_hang_would_be_found_is_trusted_with_time_outs(missing: str) -> None:
    def declared(*names: str) -> bool:
        capabilities = ",".join(f'"{name}":true' for name in names)
        answer = b'{"serverProtocolVersion":1,"capabilities":{%b}}' % capabilities.encode()
        return read_initialize(answer, None).is_trusted_with_timeouts

    names = ["timeouts", "started", "ping"]
    assert declared(*names)
    assert not declared(*[name for name in names if name != missing])


async def test_the_engine_hears_which_executions_have_begun() -> None:
    body = KEEPS + PONG + "def execute(request, params): tell('$/started', {'ids': [request['id'], request['id'], 999, 'x']})"
    async with Bridge(StdioPlugin(server(body))) as bridge:
        assert not bridge.server.keeps_timeouts, "nobody knows yet"
        await bridge.up()
        assert bridge.server.keeps_timeouts
        batch = calls(2)
        bridge.server.start(batch)
        await bridge.sink.until(lambda: len(bridge.sink.started) == 2)
        assert bridge.sink.started == [call.number for call in batch]


async def test_a_server_that_asks_to_be_replaced_gets_a_successor_and_what_it_gives_back_was_never_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer, "MIN_LIFE_S", 0.0)
    async with Bridge(StdioPlugin(server(DRAINS))) as bridge:
        await bridge.up()
        (before,) = await bridge.execute(calls(1, data=b"2"))
        hangs, one, other = calls(3, data=b"1")
        bridge.server.start([hangs, one, other])
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        assert bridge.sink.crashes[0][:2] == ([], [one.number, other.number])
        await bridge.up()
        (after,) = await bridge.execute(calls(1, data=b"2"))
        assert after != before
        assert bridge.server.statistics["in_flight"] == 1, "the old process has time for what it began"
        assert bridge.server.statistics["restarts"] == 0, "no crash was counted"


async def test_a_server_that_wants_to_be_replaced_right_after_its_start_has_crashed() -> None:
    async with Bridge(StdioPlugin(server(DRAINS), restart=QUICK)) as bridge:
        await bridge.up()
        batch = calls(3, data=b"1")
        bridge.server.start(batch)
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        sent, unsent, failure = bridge.sink.crashes[0]
        assert sent == [call.number for call in batch] and unsent == []
        assert "asked to be replaced" in failure.message
        await bridge.sink.until(lambda: bridge.server.statistics["restarts"] == 1)
