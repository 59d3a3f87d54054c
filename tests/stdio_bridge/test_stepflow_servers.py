"""What published servers of the older SDKs were seen to do, played by servers of our own (`tests/peers/run.py` asks theirs)."""

from __future__ import annotations

import msgspec

from gateway.methods.context import RequestContext, RequestOrigin
from gateway.stdio_bridge.output_sizes import BURST_BYTES, MIN_CALLS, OutputSizes
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import StdioPlugin
from runtime_core.calls import CallFailure
from tests.stdio_bridge.fakes import Bridge, calls
from tests.stdio_bridge.servers import server

QUICK = RestartLimits(first_backoff_s=0.01, max_backoff_s=0.02)

STRICT_PARAMS = """
SNAKE = True
def execute(request, params):
    # Releases 0.3 and 0.5: without one of these the request is never answered.
    if all(name in params for name in ('run_id', 'flow_id', 'step_id', 'attempt', 'input')):
        answer(request, {'output': [params[name] for name in ('run_id', 'flow_id', 'step_id')]})
"""


async def test_older_servers_find_run_flow_and_step_beside_the_input_too() -> None:
    async with Bridge(StdioPlugin(server(STRICT_PARAMS))) as bridge:
        await bridge.up()
        (call,) = calls(1)
        (output,) = await bridge.execute([call])
        assert isinstance(output, bytes)
        assert msgspec.json.decode(output) == ["run-1", "ab" * 32, "step"]


async def test_servers_of_the_contract_are_told_run_flow_and_step_once() -> None:
    told = "def execute(request, params): answer(request, {'output': sorted(params)})"
    async with Bridge(StdioPlugin(server(told))) as bridge:
        await bridge.up()
        (output,) = await bridge.execute(calls(1))
        assert isinstance(output, bytes)
        names = ["attempt", "component", "idempotencyToken", "input", "itemIndex", "observability", "taskToken"]
        assert msgspec.json.decode(output) == names


LOSES_ANSWERS = """
SNAKE = True
waiting = []
def execute(request, params):
    waiting.append(request)
    if params['input'] == 'lose' and len(waiting) == 3:
        # The pipe took a part of the first answer, nothing of the second, and all of the third.
        os.write(1, b'{"id":%d,"result":{"output":"xxxx' % waiting[0]['id'])
        answer(waiting[2], {'output': 3})
    elif params['input'] != 'lose':
        answer(request, {'output': 'served'})
"""


async def test_a_server_that_lost_a_part_of_its_answers_is_ended_and_its_calls_are_given_back_at_once() -> None:
    async with Bridge(StdioPlugin(server(LOSES_ANSWERS), restart=QUICK)) as bridge:
        await bridge.up()
        batch = calls(3, data=b'"lose"')
        bridge.server.start(batch)
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        sent, unsent, failure = bridge.sink.crashes[0]
        assert sent == [call.number for call in batch] and unsent == []
        assert "did not fit its pipe" in failure.message
        await bridge.up()
        assert await bridge.execute(calls(1)) == [b'"served"']


async def test_a_broken_line_of_another_server_costs_only_itself() -> None:
    body = """
def execute(request, params):
    os.write(1, b'{"id":%d,"result":{"output":"xxxx\\n' % request['id'])
    answer(request, {'output': 'served'})
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        assert await bridge.execute(calls(3)) == [b'"served"'] * 3
        assert bridge.sink.crashes == []


LARGE_ANSWERS = """
SNAKE = True
def execute(request, params): answer(request, {'output': 'x' * params['input']})
"""


async def test_an_older_server_is_given_only_as_many_calls_as_its_pipe_can_answer_at_once() -> None:
    async with Bridge(StdioPlugin(server(LARGE_ANSWERS))) as bridge:
        await bridge.up()
        assert bridge.server.free_slots() == 256
        await bridge.execute(calls(1, data=b"100"))
        assert bridge.server.free_slots() == 256
        await bridge.execute(calls(1, data=b"%d" % (100 * 1024)))
        assert bridge.server.free_slots() == 7


async def test_other_servers_wait_for_room_and_are_given_all_they_take() -> None:
    body = LARGE_ANSWERS.replace("SNAKE = True", "")
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        await bridge.execute(calls(1, data=b"%d" % (100 * 1024)))
        assert bridge.server.free_slots() == 256


def test_one_large_answer_is_forgotten_after_some_dozens_of_small_ones() -> None:
    sizes = OutputSizes()
    assert sizes.calls_within_pipe == BURST_BYTES
    sizes.note(10 * BURST_BYTES)
    assert sizes.calls_within_pipe == MIN_CALLS
    for _ in range(150):
        sizes.note(100)
    assert sizes.calls_within_pipe > 256


WAITS = """
SNAKE = True
def execute(request, params): ask('w%d' % request['id'], 'wait', {})
def replied(message): answer({'id': int(message['id'][1:])}, {'output': message['result']})
"""


async def test_a_process_full_of_waits_that_name_no_execution_has_room_for_what_they_wait_for() -> None:
    bridge: Bridge
    rooms: list[int] = []

    async def handle(context: RequestContext, method: str, params: bytes) -> bytes:
        link = context.link(RequestOrigin())
        assert link.task_token is None
        with context.waiting(link):
            rooms.append(bridge.server.free_slots())
            await bridge.sink.until(lambda: len(rooms) == 2)
        return b'"done"'

    bridge = Bridge(StdioPlugin(server(WAITS), capacity=2), handle)
    async with bridge:
        await bridge.up()
        before = bridge.sink.slot_changes
        batch = calls(2)
        bridge.server.start(batch)
        await bridge.sink.until(lambda: all(call.number in bridge.sink.results for call in batch))
        assert rooms == [1, 2], "the engine saw no room while they waited"
        assert bridge.sink.slot_changes >= before + 2
        assert [bridge.sink.results[call.number] for call in batch] == [b'"done"'] * 2
        assert bridge.server.free_slots() == 2


async def test_notices_that_the_gateway_does_not_need_change_nothing() -> None:
    body = """
def execute(request, params):
    tell('$/started', {'ids': [request['id']]})
    tell('$/started', {'ids': 'nonsense'})
    answer(request, {'output': 1})
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        assert await bridge.execute(calls(30)) == [b"1"] * 30
        assert not any(isinstance(result, CallFailure) for result in bridge.sink.results.values())
