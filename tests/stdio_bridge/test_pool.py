"""A plugin over real child processes: calls and results, ends of processes, replicas."""

from __future__ import annotations

import asyncio
import shutil

import msgspec
import pytest

from flowspan.errors import FlowErrorCode
from flowspan.idempotency import idempotency_token
from gateway.catalog import PluginHealth
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import MIB, StdioPlugin
from runtime_core.calls import CallFailure
from tests.stdio_bridge.children import RunOnLoop
from tests.stdio_bridge.fakes import NAMING, WAIT_S, Bridge, calls, template
from tests.stdio_bridge.servers import server

QUICK = RestartLimits(first_backoff_s=0.01, max_backoff_s=0.02)
NODE_ECHO = r"""
let held = "";
process.stdin.on("data", (chunk) => {
  const lines = (held + chunk).split("\n");
  held = lines.pop();
  for (const line of lines) {
    const m = JSON.parse(line);
    const say = (result) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id: m.id, result }) + "\n");
    if (m.method === "initialize") say({ serverProtocolVersion: 1 });
    else if (m.method === "components/list") say({ components: ["echo"] });
    else if (m.method === "components/execute") say({ output: [m.params.component, m.params.input] });
  }
});
"""


def failure(result: bytes | CallFailure) -> CallFailure:
    assert isinstance(result, CallFailure), result
    return result


def test_calls_come_back_as_they_were_sent_on_both_loops(on_loop: RunOnLoop) -> None:
    async def main() -> None:
        async with Bridge(StdioPlugin(server())) as bridge:
            await bridge.up()
            batch = calls(250, data=b'{"n":9007199254740993,"x":"%d"}')
            assert await bridge.execute(batch) == [batch[0].input] * 250
            assert bridge.server.statistics["in_flight"] == 0

    on_loop(main)


async def test_a_request_says_who_asks_for_what_and_in_which_attempt() -> None:
    told = "def execute(request, params): answer(request, {'output': params})"
    async with Bridge(StdioPlugin(server(told))) as bridge:
        await bridge.up()
        (call,) = calls(1, template("/double", step_id='50 % "off"'), b'{"a":\n[1]}')
        call.attempt = 3
        (output,) = await bridge.execute([call])
        assert isinstance(output, bytes)
        span = NAMING.span_id(call.number)
        trace = call.template.trace_id
        assert msgspec.json.decode(output) == {
            "component": "/double",
            "input": {"a": [1]},
            "attempt": 3,
            "observability": {
                "trace_id": trace,
                "span_id": span,
                "run_id": "run-1",
                "flow_id": call.template.flow_id,
                "step_id": '50 % "off"',
                "traceparent": f"00-{trace}-{span}-01",
            },
            "taskToken": NAMING.task_token(call.number),
            "itemIndex": 0,
            "idempotencyToken": idempotency_token("run-1", 0, '50 % "off"'),
        }
        assert call.idempotency_token == idempotency_token("run-1", 0, '50 % "off"')


async def test_a_server_that_derives_tokens_is_sent_none() -> None:
    told = """
CAPABILITIES = {'derivesTokens': True}
def execute(request, params): answer(request, {'output': [params['itemIndex'], 'idempotencyToken' in params]})
"""
    async with Bridge(StdioPlugin(server(told))) as bridge:
        await bridge.up()
        (output,) = await bridge.execute(calls(1))
        assert isinstance(output, bytes)
        assert msgspec.json.decode(output) == [0, False]


async def test_a_server_that_keeps_time_outs_is_told_the_bound_and_others_are_not() -> None:
    told = """
CAPABILITIES = {'timeouts': True, 'capacity': 3}
def execute(request, params): answer(request, {'output': params['timeoutMs']})
"""
    async with Bridge(StdioPlugin(server(told))) as bridge:
        await bridge.up()
        assert bridge.server.free_slots() == 3
        assert await bridge.execute(calls(1)) == [b"600000"]


SLASHLESS = [
    server(
        "COMPONENTS = ['echo']\ndef execute(request, params): answer(request, {'output': [params['component'], params['input']]})"
    ),
    *[LaunchSpec("node", program, ("-e", NODE_ECHO)) for program in [shutil.which("node")] if program is not None],
]


@pytest.mark.parametrize("spec", SLASHLESS, ids=lambda spec: str(spec.name))
async def test_a_server_whose_components_have_no_slash_is_called_by_its_own_names(spec: LaunchSpec) -> None:
    async with Bridge(StdioPlugin(spec)) as bridge:
        await bridge.up()
        assert await bridge.execute(calls(1, data=b"7")) == [b'["echo",7]']


async def test_errors_of_a_component_are_told_by_their_meaning() -> None:
    body = """
def execute(request, params):
    code = params["input"]
    fail(request, code, "no", {"retryAfterMs": 1500})
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        codes = {
            -32602: FlowErrorCode.INVALID_INPUT,
            -32003: FlowErrorCode.INVALID_INPUT,
            -32004: FlowErrorCode.COMPONENT_FAILED,
            -32001: FlowErrorCode.COMPONENT_NOT_FOUND,
            -32005: FlowErrorCode.RESOURCE_UNAVAILABLE,
            -32017: FlowErrorCode.COMPONENT_FAILED,
            7: FlowErrorCode.COMPONENT_FAILED,
        }
        batch = [call for code in codes for call in calls(1, data=b"%d" % code)]
        ended = [failure(result) for result in await bridge.execute(batch)]
        assert [one.code for one in ended] == list(codes.values())
        assert ended[0].retry_after_s == 1.5
        assert ended[5].data is not None and msgspec.json.decode(ended[5].data)["pluginCode"] == -32017


async def test_a_raised_exception_of_an_older_server_is_a_failed_component() -> None:
    body = "SNAKE = True\ndef execute(request, params): fail(request, -32003, 'raised')"
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        (result,) = await bridge.execute(calls(1))
        assert failure(result).code is FlowErrorCode.COMPONENT_FAILED


async def test_an_answer_without_output_fails_its_call_only() -> None:
    body = "def execute(request, params): answer(request, {} if params['input'] == 0 else {'output': None})"
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        bad, good = await bridge.execute([*calls(1, data=b"0"), *calls(1, data=b"1")])
        assert failure(bad).code is FlowErrorCode.UNREACHABLE
        assert good == b"null"


async def test_an_output_over_the_limit_fails_its_item_and_no_other() -> None:
    body = "def execute(request, params): answer(request, {'output': 'x' * params['input']})"
    async with Bridge(StdioPlugin(server(body), max_output_bytes=100)) as bridge:
        await bridge.up()
        long, short = await bridge.execute([*calls(1, data=b"99"), *calls(1, data=b"98")])
        assert failure(long).code is FlowErrorCode.COMPONENT_FAILED
        data = failure(long).data
        assert data is not None
        assert msgspec.json.decode(data) == {"reason": "LIMIT_EXCEEDED", "limit": "output", "max": 100, "actual": 101}
        assert short == b'"' + b"x" * 98 + b'"'


async def test_an_older_server_is_never_sent_a_line_that_would_kill_it() -> None:
    async with Bridge(StdioPlugin(server("SNAKE = True"))) as bridge:
        await bridge.up()
        long, short = await bridge.execute([*calls(1, data=b'"%s"' % (b"x" * 65_536)), *calls(1)])
        assert failure(long).data is not None
        assert short == b'{"n":1}'


async def test_a_component_that_the_server_does_not_offer_or_offers_twice_is_not_found() -> None:
    body = "COMPONENTS = ['/echo', '/twice', 'twice']"
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        missing, twice, fine = await bridge.execute(
            [*calls(1, template("/missing")), *calls(1, template("/twice")), *calls(1, template("/echo"))]
        )
        assert failure(missing).code is failure(twice).code is FlowErrorCode.COMPONENT_NOT_FOUND
        assert "more than once" in failure(twice).message
        assert fine == b'{"n":1}'


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os._exit(3)", "exit code 3"),
        ("os._exit(0)", "exit code 0"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ],
)
async def test_calls_in_flight_at_a_crash_are_reported_with_how_it_ended(end: str, said: str) -> None:
    body = f"def execute(request, params):\n    print('last words', file=sys.stderr, flush=True)\n    {end}"
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        (call,) = calls(1)
        bridge.server.start([call])
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        sent, unsent, why = bridge.sink.crashes[0]
        assert (sent, unsent, why.code) == ([call.number], [], FlowErrorCode.UNREACHABLE)
        assert said in why.message and "last words" in why.message
        assert not bridge.sink.results


async def test_a_process_that_ended_is_started_again_and_its_list_is_read_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    marker = tmp_path_factory.mktemp("restart") / "second"
    body = f"""
import os.path
if os.path.exists({str(marker)!r}): COMPONENTS = ["/other"]
def execute(request, params):
    if params["component"] == "/other": return answer(request, {{"output": 2}})
    open({str(marker)!r}, "w").close()
    os._exit(1)
"""
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        bridge.server.start(calls(1))
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        assert bridge.server.free_slots() == 0
        assert bridge.server.waiting_for is not None
        await bridge.up()
        gone, other = await bridge.execute([*calls(1, template("/echo")), *calls(1, template("/other"))])
        assert failure(gone).code is FlowErrorCode.COMPONENT_NOT_FOUND
        assert other == b"2"
        assert bridge.server.waiting_for is None


async def test_a_server_that_never_starts_opens_the_circuit_and_says_so() -> None:
    limits = RestartLimits(first_backoff_s=0.001, max_backoff_s=0.001)
    async with Bridge(StdioPlugin(server("os._exit(1)"), restart=limits)) as bridge:
        await bridge.sink.until(lambda: "circuit" in (bridge.server.waiting_for or ""))
        assert bridge.server.status().health is PluginHealth.CIRCUIT_OPEN
        assert bridge.server.broken is None
        assert bridge.server.free_slots() == 0


async def test_calls_that_were_started_while_nothing_runs_come_back_unsent() -> None:
    async with Bridge(StdioPlugin(server("time.sleep(60)"))) as bridge:
        batch = calls(2)
        bridge.server.start(batch)
        assert not bridge.sink.crashes
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        assert bridge.sink.crashes[0][:2] == ([], [call.number for call in batch])


@pytest.mark.parametrize("command", ["/nonexistent/program", "no-such-program-anywhere"])
async def test_a_program_that_is_not_there_breaks_the_plugin_without_a_restart_loop(command: str) -> None:
    async with Bridge(StdioPlugin(LaunchSpec("gone", command))) as bridge:
        await bridge.sink.until(lambda: bridge.server.broken is not None)
        broken = bridge.server.broken
        assert broken is not None and broken.code is FlowErrorCode.RESOURCE_UNAVAILABLE
        assert command in broken.message and "ENOENT" in broken.message
        assert bridge.server.status().health is PluginHealth.BROKEN
        assert bridge.server.statistics["restarts"] == 0


async def test_another_protocol_version_breaks_the_plugin_and_both_versions_are_named() -> None:
    async with Bridge(StdioPlugin(server("VERSION = 7"))) as bridge:
        await bridge.sink.until(lambda: bridge.server.broken is not None)
        broken = bridge.server.broken
        assert broken is not None
        assert "version 7" in broken.message and "speaks 1" in broken.message
        assert bridge.server.statistics["restarts"] == 0


async def test_a_handshake_that_is_never_answered_ends_the_process() -> None:
    plugin = StdioPlugin(server("def initialize(request): pass"), initialize_timeout_s=0.2, restart=QUICK)
    async with Bridge(plugin) as bridge:
        await bridge.sink.until(lambda: bridge.server.statistics["restarts"] > 0)
        assert bridge.server.broken is None


async def test_a_slow_handshake_only_makes_calls_wait() -> None:
    async with Bridge(
        StdioPlugin(server("def initialize(request):\n  time.sleep(0.3)\n  answer(request, {'serverProtocolVersion': 1})"))
    ) as bridge:
        assert bridge.server.free_slots() == 0
        assert bridge.server.waiting_for == "plugin py starts"
        await bridge.up()
        assert await bridge.execute(calls(1)) == [b'{"n":1}']


async def test_a_server_without_a_list_is_called_for_anything() -> None:
    body = "def listing(request): other(request)\nCAPABILITIES = {}"
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        assert await bridge.execute(calls(1, template("/whatever"))) == [b'{"n":1}']


async def test_a_list_beyond_the_limit_breaks_the_plugin() -> None:
    async with Bridge(StdioPlugin(server("COMPONENTS = ['/c%d' % n for n in range(10001)]"))) as bridge:
        await bridge.sink.until(lambda: bridge.server.broken is not None)
        assert "10001" in (bridge.server.waiting_for or "")


# -- broken rules ------------------------------------------------------------------------------------------------------------


async def test_ten_broken_lines_end_the_process_and_its_calls() -> None:
    body = "def execute(request, params): os.write(1, b'{broken\\n' * 10); time.sleep(60)"
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        bridge.server.start(calls(1))
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        why = bridge.sink.crashes[0][2]
        assert why.code is FlowErrorCode.UNREACHABLE and "protocol" in why.message
        assert why.data is not None and msgspec.json.decode(why.data)["reason"] == "PLUGIN_PROTOCOL"


async def test_a_few_lines_of_print_harm_nobody_and_a_flood_ends_the_process() -> None:
    body = """
def execute(request, params):
    for _ in range(params["input"]): os.write(1, b"Downloading 5%\\n")
    answer(request, {"output": 1})
"""
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        assert await bridge.execute(calls(1, data=b"20")) == [b"1"]
        bridge.server.start(calls(1, data=b"2000"))
        await bridge.sink.until(lambda: bridge.server.statistics["restarts"] > 0)


async def test_a_closed_stdout_ends_the_process() -> None:
    body = "def execute(request, params): os.close(1); time.sleep(60)"
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        bridge.server.start(calls(1))
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        assert "stdout" in bridge.sink.crashes[0][2].message


async def test_a_closed_stdin_ends_the_process() -> None:
    body = "def execute(request, params):\n  os.close(0)\n  answer(request, {'output': 1})\n  time.sleep(60)"
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        assert await bridge.execute(calls(1)) == [b"1"]
        bridge.server.start(calls(1))
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        assert "stdin" in bridge.sink.crashes[0][2].message


async def test_a_server_that_does_not_read_is_ended_after_the_stall_and_the_unwritten_calls_are_innocent() -> None:
    body = "def execute(request, params): time.sleep(60)"
    async with Bridge(StdioPlugin(server(body), stall_s=0.2, restart=QUICK)) as bridge:
        await bridge.up()
        batch = calls(40, data=b'"%s"' % (b"x" * (MIB // 4)))
        bridge.server.start(batch)
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        sent, unsent, why = bridge.sink.crashes[0]
        assert sent + unsent == [call.number for call in batch]
        assert unsent
        assert "stdin" in why.message


async def test_an_unfinished_line_ends_the_process_after_the_stall() -> None:
    body = "def execute(request, params): os.write(1, b'{\"jsonrpc\":'); time.sleep(60)"
    async with Bridge(StdioPlugin(server(body), stall_s=0.2, restart=QUICK)) as bridge:
        await bridge.up()
        bridge.server.start(calls(1))
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        why = bridge.sink.crashes[0][2]
        assert "unfinished" in why.message
        assert why.data is not None and msgspec.json.decode(why.data)["halfLine"] == '{"jsonrpc":'


async def test_unknown_and_second_answers_change_no_result() -> None:
    body = """
def execute(request, params):
    send({"id": 987654321, "result": {"output": "foreign"}})
    answer(request, {"output": 1})
    answer(request, {"output": 2})
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        assert await bridge.execute(calls(3)) == [b"1"] * 3


# -- cancel and time-outs ----------------------------------------------------------------------------------------------------


async def test_replicas_share_the_work() -> None:
    body = "CAPABILITIES = {'capacity': 4}\ndef execute(request, params): answer(request, {'output': ME})"
    async with Bridge(StdioPlugin(server(body), replicas=2)) as bridge:
        await bridge.sink.until(lambda: bridge.server.free_slots() == 8)
        answers = await bridge.execute(calls(8))
        assert sorted(map(answers.count, set(answers))) == [4, 4]


async def test_a_parked_call_gives_its_slot_back_and_takes_one_again() -> None:
    body = "CAPABILITIES = {'capacity': 2}\ndef execute(request, params): pass"
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        one, two, three = calls(3)
        bridge.server.start([one, two])
        assert bridge.server.free_slots() == 0
        bridge.server.park(one)
        assert bridge.server.free_slots() == 1
        bridge.server.start([three])
        assert not bridge.server.try_unpark(one)
        bridge.server.park(two)
        assert bridge.server.try_unpark(one)
        assert bridge.server.free_slots() == 0
        assert bridge.server.try_unpark(calls(1)[0])


async def test_suspects_run_alone_and_nothing_else_is_taken_until_they_have_ended_or_all_wait() -> None:
    body = """
held = []
def execute(request, params):
  held.append(request)
  if params['input'] == 1: [answer(one, {'output': 1}) for one in held]
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        assert bridge.server.can_start_alone()
        (suspect,) = calls(1, data=b"0")
        bridge.server.start_alone([suspect])
        assert bridge.server.free_slots() == 0
        assert not bridge.server.can_start_alone()
        bridge.server.park(suspect)
        assert bridge.server.free_slots() > 0
        await bridge.execute(calls(1, data=b"1"))
        assert suspect.number in bridge.sink.results
        assert bridge.server.free_slots() == 256


async def test_a_crash_of_many_is_not_held_against_the_server_and_does_not_open_its_circuit() -> None:
    body = "def execute(request, params): os._exit(1)"
    limits = RestartLimits(first_backoff_s=0.001, max_backoff_s=0.001, max_crashes=2)
    async with Bridge(StdioPlugin(server(body), restart=limits)) as bridge:
        for number in range(3):
            await bridge.up()
            bridge.server.start(calls(2))
            await bridge.sink.until(lambda wanted=number + 1: len(bridge.sink.crashes) == wanted)  # type: ignore[misc]
        await bridge.up()
        assert bridge.server.free_slots() > 0


async def test_a_server_that_is_not_re_entrant_gets_nested_work_in_a_second_process() -> None:
    body = """
CAPABILITIES = {'capacity': 1, 'reentrant': False}
def execute(request, params):
  if params['input'] == 2: answer(request, {'output': 2})
"""
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        (outer,) = calls(1)
        bridge.server.start([outer])
        bridge.server.park(outer)
        assert bridge.server.free_slots() == 0
        await bridge.up()
        assert await bridge.execute(calls(1, data=b"2")) == [b"2"]
        assert bridge.server.try_unpark(outer)


# -- stop --------------------------------------------------------------------------------------------------------------------


async def test_stop_lets_running_calls_end_and_takes_nothing_new() -> None:
    body = "def execute(request, params):\n  time.sleep(0.2)\n  answer(request, {'output': 1})"
    bridge = Bridge(StdioPlugin(server(body)))
    async with bridge:
        await bridge.up()
        (call,) = calls(1)
        bridge.server.start([call])
        async with asyncio.timeout(WAIT_S):
            await bridge.server.stop(drain_s=WAIT_S)
        assert bridge.sink.results == {call.number: b"1"}
        assert bridge.server.free_slots() == 0
        assert not bridge.sink.crashes


async def test_stop_ends_processes_that_ignore_everything_side_by_side() -> None:
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef execute(request, params):\n  while True: time.sleep(60)"
    plugin = StdioPlugin(server(body), replicas=3, stop_grace_s=0.2)
    bridge = Bridge(plugin)
    async with bridge:
        await bridge.sink.until(lambda: bridge.server.free_slots() == 768)
        bridge.server.start(calls(300))
        began = asyncio.get_running_loop().time()
        await bridge.server.stop()
        assert asyncio.get_running_loop().time() - began < 3
        assert not bridge.sink.crashes


async def test_a_process_that_answers_no_ping_is_ended_and_one_that_does_lives() -> None:
    deaf = "CAPABILITIES = {'ping': True}\ndef other(request): pass\ndef execute(request, params): pass"
    async with Bridge(StdioPlugin(server(deaf), ping_s=0.0, restart=QUICK)) as bridge:
        await bridge.up()
        bridge.server.start(calls(1))
        await bridge.sink.until(lambda: bool(bridge.sink.crashes), within_s=8)
        assert "ping" in bridge.sink.crashes[0][2].message


async def test_any_answer_to_a_ping_is_a_sign_of_life() -> None:
    body = """
CAPABILITIES, pinged, held = {"ping": True}, 0, []
def execute(request, params): held.append(request)
def other(request):
    global pinged
    pinged += 1
    fail(request, -32601, "no ping here after all")
    if pinged == 5: answer(held[0], {"output": 1})
"""
    async with Bridge(StdioPlugin(server(body), ping_s=0.0)) as bridge:
        await bridge.up()
        (call,) = calls(1)
        bridge.server.start([call])
        await bridge.sink.until(lambda: call.number in bridge.sink.results, within_s=8)
        assert not bridge.sink.crashes
