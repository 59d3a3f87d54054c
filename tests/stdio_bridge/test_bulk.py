"""Executions in bulk between the gateway and real processes, most of them written by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.errors import FlowErrorCode
from flowspan.jsonrpc import bulk, messages
from flowspan.jsonrpc.bulk import SMALL_BYTES, decode_execute_many
from flowspan.view.events import Outcome
from gateway.stdio_bridge import peer
from gateway.stdio_bridge.execute_lines import ExecuteLines
from gateway.stdio_bridge.handshake import read_initialize
from gateway.stdio_bridge.launch import LaunchSpec
from gateway.stdio_bridge.process import ComponentProcess
from gateway.stdio_bridge.restart_policy import RestartLimits
from gateway.stdio_bridge.settings import KIB, StdioPlugin
from runtime_core.calls import CallFailure, ComponentCall
from tests.e2e.house import house, one_step
from tests.stdio_bridge.fakes import NAMING, Bridge, calls, template
from tests.stdio_bridge.servers import server

QUICK = RestartLimits(first_backoff_s=0.001, max_backoff_s=0.002)
BULK = """
CAPABILITIES = {"bulk": True, "derivesTokens": True, "capacity": 4096}
seen = []
def outputs(*answers): tell("$/outputs", {"outputs": answers})
def failures(*answers): tell("$/outputs", {"failures": answers})
def many(params, calls): outputs(*[[number, value] for number, item, attempt, value in calls])
def notified(method, params):
    if method == "$/execute":
        seen.append(["many", len(params["calls"])])
        many(params, params["calls"])
def execute(request, params):
    seen.append("one")
    answer(request, {"output": params["input"]})
"""


def numbered(values: Sequence[object], component: str = "/echo") -> list[ComponentCall]:
    batch = calls(len(values), template(component))
    for call, value in zip(batch, values, strict=True):
        call.input = json.dumps(value).encode()
    return batch


def failure(result: bytes | CallFailure) -> CallFailure:
    assert isinstance(result, CallFailure), result
    return result


class Traffic:
    """Lines that the gateway writes to processes, and the messages and bulk answers that it parses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[bytes] = []
        self.parsed = 0
        self.bulk_parsed = 0
        write, decode_block, read_answers = ComponentProcess.write, messages.decode_block, bulk.read_answers

        def noting_write(process: ComponentProcess, data: bytes | list[bytes]) -> bool:
            whole = data if isinstance(data, bytes) else b"".join(data)
            self.written += whole.splitlines(keepends=True)
            return write(process, data)

        def noting_decode(block: bytes) -> Any:
            found = decode_block(block)
            self.parsed += len(found or ())
            return found

        def noting_read(*args: Any, **options: Any) -> Any:
            self.bulk_parsed += 1
            return read_answers(*args, **options)

        monkeypatch.setattr(ComponentProcess, "write", noting_write)
        monkeypatch.setattr(messages, "decode_block", noting_decode)
        monkeypatch.setattr(bulk, "read_answers", noting_read)

    def lines(self, method: bytes) -> list[bytes]:
        return [line for line in self.written if b'"method":"%b"' % method in line[:120]]


# ---------------------------------------------------------------- lines


def execute_lines(**options: Any) -> ExecuteLines:
    of = template(run_id='r "%x"', step_id="100 % s\u00e9")
    return ExecuteLines(
        NAMING,
        of,
        kind=None,
        component="/c%d",
        flow_id=of.flow_id,
        repeats_origin=False,
        sends_timeout=True,
        bulk=True,
        **options,
    )


@given(st.lists(st.integers(0, SMALL_BYTES - 2), min_size=1, max_size=200), st.integers(4 * KIB, 40 * KIB))
def test_lines_in_bulk_are_few_and_within_what_the_server_takes(sizes: list[int], max_line_bytes: int) -> None:
    lines = execute_lines(max_line_bytes=max_line_bytes)
    batch = calls(len(sizes))
    for call, size in zip(batch, sizes, strict=True):
        call.input = b'"%s"' % (b"x" * size)
    fitting = [call for call in batch if len(call.input) <= lines.bulk_bytes]
    if not fitting:
        return
    written = lines.bulk_lines(fitting).splitlines(keepends=True)
    assert max(map(len, written)) <= max_line_bytes
    said = [decode_execute_many(json.dumps(json.loads(line)["params"]).encode()) for line in written]
    assert [call.number for many in said for call in many.calls] == [call.number for call in fitting]
    total = sum(len(call.input) + 64 for call in fitting)
    assert len(written) <= max(1, 4 * total // (max_line_bytes - 1024) + 1)


def test_a_line_in_bulk_says_what_the_ordinary_requests_say() -> None:
    lines, batch = execute_lines(), calls(3)
    many = decode_execute_many(json.dumps(json.loads(lines.bulk_lines(batch))["params"]).encode())
    for call, sent in zip(batch, many.calls, strict=True):
        ordinary = json.loads(lines.line(call))["params"]
        assert len(ordinary.pop("idempotencyToken")) == 26
        assert ordinary == {
            "component": many.component, "input": json.loads(bytes(sent.input)), "timeoutMs": many.timeoutMs,
            **json.loads(many.params_of(sent)),
        }  # fmt: skip


@pytest.mark.parametrize(
    ("capabilities", "version", "dialect", "bulk_is_used"),
    [
        (b'"bulk":true,"derivesTokens":true', b'"serverProtocolVersion":1', None, True),
        (b'"bulk":true', b'"serverProtocolVersion":1', None, False),
        (b'"bulk":1,"derivesTokens":true', b'"serverProtocolVersion":1', None, False),
        (b'"bulk":true,"derivesTokens":true', b'"server_protocol_version":1', None, False),
        (b'"bulk":true,"derivesTokens":true', b'"serverProtocolVersion":1', "stepflow", False),
    ],
)
def test_bulk_needs_its_declaration_derived_tokens_and_our_own_dialect(
    capabilities: bytes, version: bytes, dialect: Any, bulk_is_used: bool
) -> None:
    assert read_initialize(b'{%b,"capabilities":{%b}}' % (version, capabilities), dialect).bulk is bulk_is_used


# ---------------------------------------------------------------- what goes over the pipes


async def test_small_inputs_go_in_bulk_and_large_ones_alone_and_each_gets_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic(monkeypatch)
    values = ["x" * (0 if n % 3 else SMALL_BYTES) + str(n) for n in range(30)]
    async with Bridge(StdioPlugin(server(BULK))) as bridge:
        await bridge.up()
        assert await bridge.execute(numbered(values)) == [json.dumps(value).encode() for value in values]
    assert len(traffic.lines(b"components/execute")) == 10
    assert sum(len(json.loads(line)["params"]["calls"]) for line in traffic.lines(b"$/execute")) == 20


async def test_a_thousand_items_cost_a_few_dozen_lines_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic(monkeypatch)
    async with Bridge(StdioPlugin(server(BULK))) as bridge:
        await bridge.up()
        parsed = traffic.parsed
        assert await bridge.execute(numbered(range(1000))) == [b"%d" % n for n in range(1000)]
        assert traffic.parsed - parsed == traffic.bulk_parsed == len(traffic.lines(b"$/execute")) <= 20
    assert not traffic.lines(b"components/execute")


SDK = """
from flowspan import ComponentServer
server = ComponentServer(capacity=1000)
@server.component(inline=True)
def inline(input): return input
@server.component
def sync(input): return input
@server.component(name="/async")
async def asynchronous(input): return input
server.run()
"""


@pytest.mark.parametrize("component", ["/inline", "/sync", "/async"])
async def test_a_thousand_items_of_the_sdk_cost_a_few_dozen_lines_each_way(
    component: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server.py").write_text(SDK)
    traffic = Traffic(monkeypatch)
    async with Bridge(StdioPlugin(LaunchSpec("sdk", sys.executable, (str(tmp_path / "server.py"),)))) as bridge:
        await bridge.up()
        parsed = traffic.parsed
        assert await bridge.execute(numbered(range(1000), component)) == [b"%d" % n for n in range(1000)]
        # Threads flush when their queue is empty, which a slow reader makes more frequent.
        assert traffic.parsed - parsed == traffic.bulk_parsed <= 200
        assert len(traffic.lines(b"$/execute")) <= 20


async def test_calls_of_two_steps_in_one_batch_are_kept_apart() -> None:
    body = BULK + "def many(params, calls): outputs(*[[one[0], [params['component'], one[3]]] for one in calls])"
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        echo, double = numbered(range(10)), numbered(range(10), "/double")
        mixed = [call for pair in zip(echo, double, strict=True) for call in pair]
        said = await bridge.execute(mixed)
    assert [json.loads(one) for one in said if isinstance(one, bytes)] == [
        [name, n] for n in range(10) for name in ("/echo", "/double")
    ]


@pytest.mark.parametrize("declared", ['{"bulk": True}', "{}"])
async def test_a_server_that_does_not_declare_it_gets_requests(declared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic(monkeypatch)
    async with Bridge(StdioPlugin(server(BULK + f"CAPABILITIES = {declared}"))) as bridge:
        await bridge.up()
        assert await bridge.execute(numbered(range(20))) == [b"%d" % n for n in range(20)]
    assert (len(traffic.lines(b"components/execute")), traffic.lines(b"$/execute")) == (20, [])


async def test_a_successor_that_declares_something_else_gets_lines_of_its_own_kind(tmp_path: Path) -> None:
    body = (
        BULK
        + f"""
if os.path.exists({str(tmp_path / "first")!r}): CAPABILITIES = {{}}
else: open({str(tmp_path / "first")!r}, "w")
def many(params, calls): os._exit(1) if calls[0][3] == "end" else outputs(*[[one[0], "bulk"] for one in calls])
def execute(request, params): answer(request, {{"output": "alone"}})
"""
    )
    of = template()
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        assert await bridge.execute(calls(2, of)) == [b'"bulk"'] * 2
        bridge.server.start(calls(1, of, b'"end"'))
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        await bridge.up()
        assert await bridge.execute(calls(2, of)) == [b'"alone"'] * 2


async def test_lines_stay_within_what_the_configuration_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic(monkeypatch)
    values = ["x" * (17 * n) for n in range(300)]
    async with Bridge(StdioPlugin(server(BULK), max_line_bytes=4 * KIB)) as bridge:
        await bridge.up()
        results = await bridge.execute(numbered(values))
    assert max(map(len, traffic.lines(b"$/execute") + traffic.lines(b"components/execute"))) <= 4 * KIB
    refused = [failure(result) for result in results if not isinstance(result, bytes)]
    assert 0 < len(refused) < 150 and all("the input has" in one.message for one in refused)


# ---------------------------------------------------------------- failures and limits


async def test_failures_in_bulk_are_failures_of_their_calls() -> None:
    body = (
        BULK
        + """
def many(params, calls):
    failures(*[[one[0], {"code": -32003, "message": "bad %d" % one[3], "data": {"retryAfterMs": 1500}}] for one in calls])
"""
    )
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        one, other = [failure(result) for result in await bridge.execute(numbered([1, 2]))]
    assert (one.code, one.message, other.message) == (FlowErrorCode.INVALID_INPUT, "bad 1", "bad 2")
    assert one.retry_after_s == 1.5


async def test_an_output_that_is_too_long_or_breaks_a_limit_fails_alone() -> None:
    """Catalogue B22."""
    body = (
        BULK
        + """
def many(params, calls):
    deep = []
    for _ in range(80): deep = [deep]
    outputs(*[[one[0], {"deep": deep, "long": "x" * 2000}.get(one[3], one[3])] for one in calls])
"""
    )
    async with Bridge(StdioPlugin(server(body), max_output_bytes=1000)) as bridge:
        await bridge.up()
        first, deep, long, last = await bridge.execute(numbered([1, "deep", "long", 4]))
        assert (first, last) == (b"1", b"4")
        assert b'"depth"' in (failure(deep).data or b"") and b'"output"' in (failure(long).data or b"")
        assert not bridge.sink.crashes


async def test_large_inputs_may_be_answered_in_bulk_too() -> None:
    body = BULK + 'def execute(request, params): outputs([request["id"], "taken"])'
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        assert await bridge.execute(numbered(["x" * SMALL_BYTES])) == [b'"taken"']
        assert bridge.server._peers()[0]._session.open_calls == 0


# ---------------------------------------------------------------- answers to nothing


async def test_b1_and_b2_answers_in_bulk_to_nothing_and_second_ones_change_no_result_and_are_charged() -> None:
    """Catalogue B1 and B2."""
    body = (
        BULK
        + """
def many(params, calls):
    for _ in range(calls[0][3]):
        if seen[1:]: failures([calls[0][0], {"code": -1, "message": "second"}])
        else: outputs([999999999, 0])
    outputs([calls[0][0], "first"])
    outputs([calls[0][0], "second"])
"""
    )
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        assert await bridge.execute(numbered([3])) == [b'"first"']
        assert not bridge.sink.crashes and bridge.server.free_slots()
        (second,) = numbered([20])
        bridge.server.start([second])
        await bridge.sink.until(lambda: bridge.server.statistics["restarts"] == 1)
        assert failure(bridge.sink.results[second.number]).message == "second"


async def test_b3_an_answer_in_bulk_after_the_time_out_is_dropped_without_reproach() -> None:
    """Catalogue B3."""
    body = (
        BULK
        + """
held = []
def many(params, calls): held.extend(one[0] for one in calls)
notified_before = notified
def notified(method, params):
    if method == "$/cancelRequest" and params["id"] == held[-2]:
        outputs(*[[number, "late"] for number in held])
    notified_before(method, params)
"""
    )
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        late = numbered(range(50))
        (last,) = numbered([1])
        (process,) = bridge.server._peers()
        bridge.server.start([*late, last])
        bridge.server.time_out(late)
        await bridge.sink.until(lambda: last.number in bridge.sink.results)
        assert bridge.sink.results == {last.number: b'"late"'}
        assert process.gave_up is None


# ---------------------------------------------------------------- early ends


async def test_cancels_progress_and_beginnings_name_calls_by_their_numbers() -> None:
    body = (
        BULK
        + """
CAPABILITIES |= {"cancelAck": True, "started": True, "timeouts": True, "ping": True}
def many(params, calls):
    tell("$/started", {"ids": [one[0] for one in calls]})
    tell("$/progress", {"id": calls[0][0], "fraction": 0.5})
    tell("$/progress", {"taskToken": "%s%x" % (params["tokenPrefix"], calls[1][0]), "fraction": 0.25})
def other(request):
    first, second, third = request["params"]["ids"]
    failures([first, {"code": -32800, "message": "dropped"}])
    answer(request, {"dropped": [first], "running": [second]})
"""
    )
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        batch = calls(3)
        bridge.server.start(batch)
        await bridge.sink.until(lambda: len(bridge.sink.progress) == 2)
        assert bridge.sink.started == [call.number for call in batch]
        assert [number for number, _, _ in bridge.sink.progress] == [batch[0].number, batch[1].number]
        assert await bridge.server.cancel(batch) == 1
        assert failure(bridge.sink.results[batch[0].number]).code is FlowErrorCode.CANCELLED


async def test_what_a_server_gives_back_of_a_line_was_never_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "MIN_LIFE_S", 0.0)
    body = BULK + 'def many(params, calls): tell("$/drain", {"ids": [one[0] for one in calls[1:]]})'
    async with Bridge(StdioPlugin(server(body))) as bridge:
        await bridge.up()
        batch = calls(3)
        bridge.server.start(batch)
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        ((sent, unsent, _),) = bridge.sink.crashes
        assert (sent, unsent) == ([], [call.number for call in batch[1:]])


async def test_after_a_crash_calls_that_were_not_written_are_told_from_those_that_were() -> None:
    body = BULK + "def many(params, calls): os._exit(1)"
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        batch = calls(4096, data=b'"%s"' % (b"x" * (SMALL_BYTES - 2)))
        bridge.server.start(batch)
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        ((sent, unsent, _),) = bridge.sink.crashes
        assert sorted(sent + unsent) == [call.number for call in batch]
        assert sent[0] == batch[0].number and len(unsent) > 1000


async def test_calls_in_the_backlog_are_cancelled_at_once() -> None:
    async with Bridge(StdioPlugin(server(BULK + "def many(params, calls): time.sleep(60)"))) as bridge:
        await bridge.up()
        batch = calls(4096, data=b'"%s"' % (b"x" * (SMALL_BYTES - 2)))
        bridge.server.start(batch)
        unconfirmed = await bridge.server.cancel(batch)
        await bridge.sink.until(lambda: len(bridge.sink.results) + unconfirmed == len(batch))
        assert 0 < unconfirmed < len(batch)


# ---------------------------------------------------------------- lines that cannot be read


BROKEN = {
    "no JSON": 'os.write(1, b\'{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[1,nil]]}}\\n\')',
    "spaces": 'os.write(1, b\'{"jsonrpc": "2.0", "method": "$/outputs", "params": {"outputs": [[1, nil]]}}\\n\')',
    "no number": 'outputs(["1", 2])',
    "a request": 'ask(1, "$/outputs", {"outputs": []})',
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_b21_a_line_of_answers_that_cannot_be_read_ends_the_process_and_gives_its_calls_back(broken: str) -> None:
    """Catalogue B21."""
    body = BULK + f"def many(params, calls): {broken}"
    async with Bridge(StdioPlugin(server(body), restart=QUICK)) as bridge:
        await bridge.up()
        batch = calls(5)
        bridge.server.start(batch)
        await bridge.sink.until(lambda: bool(bridge.sink.crashes))
        ((sent, unsent, why),) = bridge.sink.crashes
        assert (sent, unsent) == ([call.number for call in batch], [])
        assert "$/outputs cannot be read" in why.message


async def test_b21_of_many_calls_only_the_one_whose_output_breaks_the_line_fails() -> None:
    """Catalogue B21."""
    body = (
        BULK
        + """
def many(params, calls):
    if any(one[3] == 13 for one in calls):
        os.write(1, b'{"jsonrpc":"2.0","method":"$/outputs","params":{"outputs":[[%d,{broken]]}}\\n' % calls[0][0])
    else: outputs(*[one[::3] for one in calls])
"""
    )
    async with house(StdioPlugin(server(body, name="words"), restart=QUICK)) as h:
        fold = await h.run(one_step("/words/echo"), [b"%d" % n for n in range(64)], max_concurrency=64)
    results = {result.item_index: result for result in fold.results}
    assert len(results) == 64
    assert [n for n, result in results.items() if result.outcome is not Outcome.SUCCESS] == [13]
    assert all(result.payload == b"%d" % n for n, result in results.items() if n != 13)
    assert b"UNREACHABLE" in results[13].payload and b"cannot be read" in results[13].payload
