"""Executions that came in bulk: whatever an execution may do or suffer, it does and suffers as if it had come alone."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from flowspan.components import BlockingContext, ComponentContext, ComponentError, ComponentServer
from flowspan.components.connection import EARLY_FLUSH_ANSWERS
from flowspan.jsonrpc.bulk import SMALL_BYTES
from gateway.stdio_bridge.execute_lines import ExecuteLines
from runtime_core.calls import CallNaming, CallTemplate, ComponentCall
from tests.components.memory_pair import MemoryPair
from tests.components.played_gateway import Message, run_status

NAMING = CallNaming("5ec2e75ec2e75ec2", "abcdef")
KINDS = ["inline", "sync", "async"]
KINDS_AND_CONTEXTS = [*KINDS, "inline_context", "sync_context", "async_context"]


def facts_of(context: Any) -> dict[str, object]:
    return {
        name: getattr(context, name)
        for name in (
            "attempt", "idempotency_token", "task_token", "run_id", "flow_id", "step_id", "item_index", "traceparent",
        )
    }  # fmt: skip


class Untellable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Foreign(BaseException):
    """No `Exception`, as some libraries end their tasks."""


def misbehave(value: Any) -> Any:
    match value:
        case "untellable":
            raise Untellable
        case "bad code":
            raise ComponentError("no", code=["a list"])  # type: ignore[arg-type]
        case "exit":
            raise SystemExit(3)
        case "cancelled":
            raise asyncio.CancelledError
        case "foreign":
            raise Foreign("far")
        case "fails":
            raise ComponentError("cannot", code="INVALID_INPUT", data={"why": 1}, retry_after_s=2)
        case "nan":
            return float("nan")
        case "large":
            return "x" * (2 * SMALL_BYTES)
        case _:
            return value


def made_server(capacity: int = 256) -> ComponentServer:
    server = ComponentServer(capacity=capacity)

    @server.component(inline=True)
    def inline(input: Any) -> Any:
        return misbehave(input)

    @server.component
    def sync(input: Any) -> Any:
        return misbehave(input)

    @server.component(name="/async")
    async def asynchronous(input: Any) -> Any:
        return misbehave(input)

    @server.component(inline=True)
    def inline_context(input: Any, ctx: BlockingContext) -> Any:
        return facts_of(ctx)

    @server.component
    def sync_context(input: Any, ctx: BlockingContext) -> Any:
        return facts_of(ctx)

    @server.component
    async def async_context(input: Any, ctx: ComponentContext) -> Any:
        return facts_of(ctx)

    @server.component
    async def forever(input: Any) -> None:
        await asyncio.sleep(3600)

    @server.component(inline=True)
    def reports(input: Any, ctx: BlockingContext) -> Any:
        ctx.report_progress(0.5)
        return input

    @server.component
    async def asks(input: Any, ctx: ComponentContext) -> Any:
        return (await ctx.submit_run("sha256:" + "cd" * 32, [input], wait=True)).items.success

    return server


def lines_of(component: str, *, bulk: bool, timeout_s: float = 600.0, sampled: bool = True) -> ExecuteLines:
    template = CallTemplate(
        namespace="default",
        run_id="0190f5fe-7c00-7000-8000-000000000001",
        flow_id="sha256:" + "ab" * 32,
        step_id='%x "step" \u00e9',
        step_index=0,
        component=component,
        timeout_s=timeout_s,
        trace_id="0af7651916cd43dd8448eb211c80319c",
        parent_span_id="b7ad6b7169203331",
        sampled=sampled,
    )
    return ExecuteLines(
        NAMING,
        template,
        kind=None,
        component=component,
        flow_id=template.flow_id,
        repeats_origin=False,
        sends_timeout=True,
        bulk=bulk,
    )


def calls(values: Sequence[object], first: int = 1000, attempt: int = 1) -> list[ComponentCall]:
    return [
        ComponentCall(first + index, None, index, attempt, json.dumps(value, indent=1).encode(), None)  # type: ignore[arg-type]
        for index, value in enumerate(values)
    ]


class Answers:
    """What `$/outputs` said, each number once."""

    def __init__(self, pair: MemoryPair) -> None:
        self._pair = pair
        self.outputs: dict[int, Any] = {}
        self.failures: dict[int, Message] = {}

    async def until(self, count: int) -> Answers:
        while len(self.outputs) + len(self.failures) < count:
            self.add(await self._pair.next("$/outputs"))
        return self

    def add(self, message: Message) -> None:
        assert "id" not in message
        for kind, known in (("outputs", self.outputs), ("failures", self.failures)):
            for number, value in message["params"].get(kind, ()):
                assert number not in self.outputs and number not in self.failures, "answered twice"
                known[number] = value


async def executed(pair: MemoryPair, component: str, values: Sequence[object], **options: Any) -> Answers:
    pair.connection.receive(lines_of(component, bulk=True, **options).bulk_lines(calls(values)))
    return await Answers(pair).until(len(values))


# ---------------------------------------------------------------- what components return


@pytest.mark.parametrize("component", KINDS)
async def test_each_call_of_a_line_is_answered_once_with_its_own_output(component: str) -> None:
    pair = MemoryPair(made_server())
    values = [[n, "a\nb\u00e9\U0001f600", None, 1.0] for n in range(200)]
    answers = await executed(pair, f"/{component}", values)
    assert answers.outputs == {1000 + n: value for n, value in enumerate(values)}
    assert not answers.failures and not pair.inbox
    pair.close()


@pytest.mark.parametrize("component", KINDS)
@pytest.mark.parametrize("what", ["fails", "untellable", "bad code", "exit", "cancelled", "foreign", "nan"])
async def test_a_failure_is_told_as_it_would_be_alone_and_harms_no_neighbour(component: str, what: str) -> None:
    pair = MemoryPair(made_server())
    alone = await pair.error(f"/{component}", what)
    answers = await executed(pair, f"/{component}", [1, what, 3, what, 5])
    assert answers.outputs == {1000: 1, 1002: 3, 1004: 5}
    assert set(answers.failures) == {1001, 1003}
    for error in answers.failures.values():
        error["data"].pop("traceback", None)
        alone["data"].pop("traceback", None)
        assert error == alone
    pair.close()


async def test_an_unknown_component_fails_each_call() -> None:
    pair = MemoryPair(made_server())
    alone = await pair.error("/nothing", 1)
    answers = await executed(pair, "/nothing", [1, 2])
    assert answers.failures == {1000: alone, 1001: alone}
    pair.close()


@pytest.mark.parametrize("component", KINDS)
async def test_a_large_output_has_a_line_of_its_own(component: str) -> None:
    pair = MemoryPair(made_server())
    answers = await executed(pair, f"/{component}", [1, "large", 2])
    assert answers.outputs[1001] == "x" * (2 * SMALL_BYTES)
    lines = [json.loads(line) for line in b"".join(pair.written[1:]).splitlines()]
    assert [len(line["params"]["outputs"]) for line in lines if line["params"]["outputs"][0][0] == 1001] == [1]
    pair.close()


# ---------------------------------------------------------------- what contexts tell


@pytest.mark.parametrize("component", ["inline_context", "sync_context", "async_context"])
@pytest.mark.parametrize("sampled", [True, False])
async def test_a_context_tells_what_it_would_tell_of_an_ordinary_request(component: str, sampled: bool) -> None:
    pair = MemoryPair(made_server())
    batch = calls([None, None, None], first=0xABCDE, attempt=3)
    pair.connection.receive(lines_of(f"/{component}", bulk=True, sampled=sampled).bulk_lines(batch))
    answers = await Answers(pair).until(3)
    ordinary = lines_of(f"/{component}", bulk=False, sampled=sampled)
    for call in batch:
        pair.connection.receive(ordinary.line(call))
        expected = (await pair.answer_to(call.number))["result"]["output"]
        assert answers.outputs[call.number] == expected
        assert expected["item_index"] == call.item_index and expected["attempt"] == 3
        assert expected["task_token"] == NAMING.task_token(call.number)
        assert NAMING.span_id(call.number) in expected["traceparent"]
        assert len(expected["idempotency_token"]) == 26
    pair.close()


async def test_what_an_execution_asks_is_linked_to_it() -> None:
    pair = MemoryPair(made_server())
    batch = calls([5])
    pair.connection.receive(lines_of("/asks", bulk=True).bulk_lines(batch))
    asked = await pair.next("runs/submit")
    ordinary = json.loads(lines_of("/asks", bulk=False).line(batch[0]))["params"]
    assert asked["params"]["taskToken"] == ordinary["taskToken"]
    assert asked["params"]["observability"] == ordinary["observability"]
    pair.answer(asked, run_status("run-1", [5]))
    assert (await Answers(pair).until(1)).outputs == {1000: 1}
    pair.close()


async def test_progress_comes_ahead_of_the_output_and_names_the_number() -> None:
    pair = MemoryPair(made_server())
    await executed(pair, "/inline", [0])
    del pair.written[:]
    pair.connection.receive(lines_of("/reports", bulk=True).bulk_lines(calls([1, 2])))
    said = [json.loads(line) for line in b"".join(pair.written).splitlines()]
    assert [message["method"] for message in said] == ["$/progress", "$/outputs", "$/progress", "$/outputs"]
    assert [message["params"]["id"] for message in said[::2]] == [1000, 1001]
    assert [message["params"]["outputs"] for message in said[1::2]] == [[[1000, 1]], [[1001, 2]]]
    pair.close()


# ---------------------------------------------------------------- ends before the output


async def test_a_cancel_is_answered_after_the_outputs_that_came_before_it() -> None:
    pair = MemoryPair(made_server())
    del pair.written[:]
    batch = calls([1, 2])
    cancel = b'{"jsonrpc":"2.0","id":"c","method":"$/cancel","params":{"ids":[1000,1001]}}\n'
    pair.connection.receive(lines_of("/inline", bulk=True).bulk_lines(batch) + cancel)
    answers, cancelled = (json.loads(line) for line in b"".join(pair.written).splitlines())
    assert answers["params"]["outputs"] == [[1000, 1], [1001, 2]]
    assert cancelled["result"] == {"dropped": [], "running": []}
    pair.close()


@pytest.mark.parametrize("component", ["sync", "forever"])
async def test_calls_cancelled_in_the_same_read_never_begin(component: str) -> None:
    pair = MemoryPair(made_server())
    cancel = b'{"jsonrpc":"2.0","id":"c","method":"$/cancel","params":{"ids":[1000,1001,77]}}\n'
    pair.connection.receive(lines_of(f"/{component}", bulk=True).bulk_lines(calls([1, 2])) + cancel)
    assert (await pair.answer_to("c"))["result"] == {"dropped": [1000, 1001], "running": []}
    answers = await Answers(pair).until(2)
    assert {number: error["code"] for number, error in answers.failures.items()} == {1000: -32800, 1001: -32800}
    pair.close()


@pytest.mark.parametrize("by_request", [True, False])
async def test_a_running_one_is_cancelled_by_its_number_and_the_others_run_on(by_request: bool) -> None:
    server = made_server()
    release = asyncio.Event()

    @server.component
    async def held(input: Any) -> Any:
        await release.wait()
        return input

    pair = MemoryPair(server)
    pair.connection.receive(lines_of("/held", bulk=True).bulk_lines(calls([1, 2, 3])))
    await asyncio.sleep(0)
    if by_request:
        pair.receive({"id": "c", "method": "$/cancel", "params": {"ids": [1001]}})
        assert (await pair.answer_to("c"))["result"] == {"dropped": [], "running": [1001]}
    else:
        pair.receive({"method": "$/cancelRequest", "params": {"id": 1001}})
    answers = await Answers(pair).until(1)
    assert answers.failures[1001]["code"] == -32800
    release.set()
    await answers.until(3)
    assert answers.outputs == {1000: 1, 1002: 3}
    pair.close()


async def test_time_outs_are_kept_by_the_server_and_answered_in_bulk() -> None:
    pair = MemoryPair(made_server())
    answers = await executed(pair, "/forever", [1, 2], timeout_s=0.02)
    assert {number: error["code"] for number, error in answers.failures.items()} == {1000: -32006, 1001: -32006}
    pair.close()


async def test_executions_that_run_on_are_told_as_begun_by_their_numbers() -> None:
    pair = MemoryPair(made_server())
    now_s = pair.connection.monotonic()
    pair.connection.receive(lines_of("/forever", bulk=True).bulk_lines(calls([1, 2])))
    await asyncio.sleep(0)
    pair.connection.monotonic = lambda: now_s + 2
    pair.connection._on_sweep()  # the timer's work, without the second's wait
    assert sorted((await pair.next("$/started"))["params"]["ids"]) == [1000, 1001]
    pair.close()


async def test_a_server_whose_threads_hang_gives_back_what_came_in_bulk_then_and_later() -> None:
    server = made_server(capacity=1)
    release = threading.Event()

    @server.component
    def hangs(input: Any) -> None:
        release.wait(10)

    pair = MemoryPair(server)
    pair.request("initialize", {"runtimeProtocolVersion": 1, "capabilities": {"drain": True}})
    pair.connection.receive(lines_of("/hangs", bulk=True, timeout_s=0.01).bulk_lines(calls([1, 2, 3])))
    answers = await Answers(pair).until(1)
    assert answers.failures[1000]["code"] == -32006
    drained = await pair.next("$/drain")
    assert sorted(drained["params"]["ids"]) == [1001, 1002]
    pair.connection.receive(lines_of("/sync", bulk=True).bulk_lines(calls([1, 2], first=2000)))
    assert (await pair.next("$/drain"))["params"]["ids"] == [2000, 2001]
    release.set()
    pair.request("ping", {})
    assert not [message for message in pair.inbox if message.get("method") == "$/outputs"]
    pair.close()


async def test_nothing_is_written_after_the_end() -> None:
    pair = MemoryPair(made_server())
    pair.connection.receive(lines_of("/forever", bulk=True).bulk_lines(calls([1, 2])))
    pair.connection.receive(lines_of("/sync", bulk=True).bulk_lines(calls([1, 2], first=2000)))
    await Answers(pair).until(2)
    written = len(pair.written)
    pair.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(pair.written) == written


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize(
    "params",
    [
        b"{}",
        b'{"component":"/inline","observability":null,"spanPrefix":"a","tokenPrefix":"b","calls":[]}',
        b'{"component":"/inline","observability":{"trace_id":"","run_id":"","flow_id":"","step_id":""},"spanPrefix":"a",%b'
        % b'"tokenPrefix":"b","calls":[[1,2,3]]}',
    ],
)
async def test_calls_that_cannot_be_read_end_the_process_so_that_none_is_waited_for(params: bytes) -> None:
    pair = MemoryPair(made_server())
    pair.connection.receive(b'{"jsonrpc":"2.0","method":"$/execute","params":' + params + b"}\n")
    await asyncio.sleep(0)
    assert pair.ended
    pair.close()


async def test_what_comes_before_initialize_is_refused() -> None:
    server = made_server()
    pair = MemoryPair(server)
    pair.connection._methods.initialized = False
    answers = await executed(pair, "/inline", [1])
    assert answers.failures[1000]["code"] == -32002
    pair.close()


@pytest.mark.parametrize("component", ["inline", "inline_context"])
async def test_answers_of_inline_components_go_out_in_few_lines_and_before_all_are_done(component: str) -> None:
    pair = MemoryPair(made_server())
    del pair.written[:]
    count = 5 * EARLY_FLUSH_ANSWERS + 1
    pair.connection.receive(lines_of(f"/{component}", bulk=True).bulk_lines(calls([1] * count)))
    assert [piece.count(b"\n") for piece in pair.written] == [1] * 6
    assert [len(message["params"]["outputs"]) for message in pair.inbox] == [EARLY_FLUSH_ANSWERS] * 5 + [1]
    pair.close()


async def test_async_components_that_are_done_together_answer_in_one_line() -> None:
    pair = MemoryPair(made_server())
    del pair.written[:]
    await executed(pair, "/async", [1] * 100)
    assert [piece.count(b"\n") for piece in pair.written] == [1]
    pair.close()


async def test_ordinary_requests_between_are_answered_as_requests() -> None:
    pair = MemoryPair(made_server())
    pair.connection.receive(
        lines_of("/inline", bulk=True).bulk_lines(calls([1])) + lines_of("/inline", bulk=False).line(calls([2], 5)[0])
    )
    assert (await pair.answer_to(5))["result"]["output"] == 2
    assert (await Answers(pair).until(1)).outputs == {1000: 1}
    pair.close()
